/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Calls with an Idempotency-Key: what was asked, who serves it, and what was answered.  Kept for a day.
 */
#ifndef ORCHESTRATOR_STORE_IDEMPOTENCY_H
#define ORCHESTRATOR_STORE_IDEMPOTENCY_H

#include "orchestrator/store/db.h"

typedef struct {
    const char *actor, *key;
    bytes_t     request_hash;
    const char *request_id; /* of the call that serves it */
    const char *holder;     /* host and process that serve it */
    int64_t     status;     /* of the answer; 0: there is none yet */
    const char *headers;    /* JSON text */
    bytes_t     answer;
    bool        sealed;
    int64_t     age_s;
} idempotency_row_t;

/* *fresh: the row is written; otherwise *out is what was there. */
pki_code_t idempotency_begin(db_t *db, pki_arena_t *a, const idempotency_row_t *in, bool *fresh, idempotency_row_t *out,
                             pki_err_t *err);

/* Take over a row without an answer from another holder; CONFLICT when somebody was quicker. */
pki_code_t idempotency_resume(db_t *db, const idempotency_row_t *in, const char *holder, pki_err_t *err);

/* Keep the answer. */
pki_code_t idempotency_finish(db_t *db, const idempotency_row_t *in, pki_err_t *err);

/* The call did nothing: its key can be used again.  A call that did something, as the audit says, keeps its row. */
pki_code_t idempotency_drop(db_t *db, const idempotency_row_t *in, pki_err_t *err);

/* Forget what is older than a day. */
pki_code_t idempotency_prune(db_t *db, pki_err_t *err);

#endif
