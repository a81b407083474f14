/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The enrolment hop: pkiproto/edge/enrol.h in frames on the edge socket, for nginx alone.
 */
#ifndef ORCHESTRATOR_API_HOP_H
#define ORCHESTRATOR_API_HOP_H

#include "orchestrator/api/api.h"

typedef struct hop hop_t;

pki_code_t hop_open(api_t *api, hop_t **out, pki_err_t *err);
void       hop_quiesce(hop_t *h); /* take no more requests; accepts NULL, as the next one */
void       hop_close(hop_t *h);   /* finish what is being served */

#endif
