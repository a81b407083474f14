/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Inside of store/ only: the two shapes that most verbs have.  Reading is one statement; changing is one
 * statement, a line in the change feed when edges have to know, and an audit row, in one transaction.
 */
#ifndef ORCHESTRATOR_STORE_VERB_H
#define ORCHESTRATOR_STORE_VERB_H

#include "orchestrator/store/audit.h"
#include "orchestrator/store/conn.h"
#include "orchestrator/store/revocation.h"

pki_code_t verb_read(db_t *db, pki_arena_t *a, db_query_t q, const db_param_t *params, size_t count,
                     db_rows_t **rows, pki_err_t *err);

/* All rows as an array of structs. */
pki_code_t verb_list(db_t *db, pki_arena_t *a, db_query_t q, const db_param_t *params, size_t count,
                     conn_read_pt read, size_t size, void **out, size_t *n, pki_err_t *err);

/* The first row as a struct; NOT_FOUND "there is no WHAT ID" when there is none. */
pki_code_t verb_find(db_t *db, pki_arena_t *a, db_query_t q, const db_param_t *params, size_t count,
                     conn_read_pt read, void *out, const char *what, const char *id, pki_err_t *err);

typedef struct {
    db_query_t        q;
    const db_param_t *params;
    size_t            count;
    const char       *what, *id;  /* for errors: "profile", "prof-device" */
    pki_code_t        none;       /* when no row was changed; PKI_OK: that is fine */
    pki_code_t        foreign;    /* when a row that it refers to is not there, or still refers to it */
    bool              announce;   /* a configuration change for the edges */
    const char       *table, *version; /* PRECONDITION unless the row of .id in this table has this version; NULL: any */
    const audit_t    *audit;
} verb_change_t;
pki_code_t verb_change(db_t *db, const verb_change_t *v, pki_err_t *err);

/*
 * verb_change() for something that others may refer to: CONFLICT that names how many do, by a statement with the
 * parameters of the change and rows of (what, uses).
 */
pki_code_t verb_remove(db_t *db, const verb_change_t *v, db_query_t uses, pki_err_t *err);

/* The parts of verb_change(), inside of a longer transaction. */
pki_code_t verb_apply(db_conn_t *c, const verb_change_t *v, pki_err_t *err);
pki_code_t change_write(db_conn_t *c, const char *kind, uint32_t issuer_no, bytes_t serial, pki_err_t *err);

/* A status row from columns named as in revocation.sql. */
void status_read(const db_rows_t *r, size_t row, status_row_t *out);

#endif
