/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Free text over certificates (q= and san= of their list): kept up a moment after the certificates are written, by their
 * updated_at.
 */
#ifndef ORCHESTRATOR_STORE_SEARCH_H
#define ORCHESTRATOR_STORE_SEARCH_H

#include "orchestrator/store/db.h"

#define SEARCH_AT_MAX 48

/* Instants as PostgreSQL prints them. */
typedef struct {
    char again[SEARCH_AT_MAX];   /* the next turn has to look again from here on */
    char settled[SEARCH_AT_MAX]; /* nothing can be changed with a date before this any more */
    char done[SEARCH_AT_MAX];    /* all that was changed before is searchable, whoever dies */
    bool late;                   /* a transaction that runs may bring something dated before `again` */
} search_begin_t;
pki_code_t search_begin(db_t *db, search_begin_t *out, pki_err_t *err);

/* At most `max` rows after *at and *no, both moved on; *rows: how many there were; *busy: another host is at it. */
pki_code_t search_fill(db_t *db, char at[SEARCH_AT_MAX], int64_t *no, int64_t max, int64_t *rows, bool *busy,
                       pki_err_t *err);

/* All before `settled` is done. */
pki_code_t search_settle(db_t *db, const char *settled, pki_err_t *err);

/* In the transaction that has changed a certificate's name: it is found by it at once. */
pki_code_t search_update(db_conn_t *c, const char *managed_id, pki_err_t *err);

#endif
