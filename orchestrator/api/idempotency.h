/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Idempotency-Key on POST: one effect for one key, whatever the network and the processes do.  What was answered is kept
 * for a day and answered again; of a call whose process died in the middle nobody knows the outcome, and it is never
 * made again, but for an issuance, whose transaction key finds the certificate.
 */
#ifndef ORCHESTRATOR_API_IDEMPOTENCY_H
#define ORCHESTRATOR_API_IDEMPOTENCY_H

#include "orchestrator/api/request.h"

typedef struct idempotency idempotency_t; /* the keys that this process is serving */

pki_code_t idempotency_open(idempotency_t **out, pki_err_t *err);
void       idempotency_close(idempotency_t *i); /* accepts NULL */

/*
 * Before the handler: *served when the answer is that of an earlier call, and is set.  CONFLICT: the key is of another
 * request, is being served, or its outcome is not known.  Nothing to do for calls without a key.
 */
pki_code_t idempotency_enter(req_t *r, bool *served, pki_err_t *err);

/* After the handler, with what it returned: keeps the answer, or gives the key free. */
void idempotency_leave(req_t *r, pki_code_t code);

#endif
