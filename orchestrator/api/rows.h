/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The rows socket: GETs of single rows, which nginx passes on in frames (pkiproto/edge/relay.h).
 */
#ifndef ORCHESTRATOR_API_ROWS_H
#define ORCHESTRATOR_API_ROWS_H

#include "orchestrator/api/api.h"

typedef struct rows rows_t;

pki_code_t rows_open(api_t *api, rows_t **out, pki_err_t *err); /* *out NULL: no such socket is configured */
void       rows_quiesce(rows_t *w); /* take no more requests; accepts NULL, as the next one */
void       rows_close(rows_t *w);   /* after the queue's workers */

#endif
