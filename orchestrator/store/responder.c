/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rows of delegated OCSP responders.
 */
#include "orchestrator/store/responder.h"

#include "orchestrator/store/verb.h"

static pki_code_t
responder_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    (void) a;
    (void) err;
    *(responder_row_t *) out = (responder_row_t){
        .issuer_no = db_int(r, row, "issuer_no"),
        .ca_generation = db_int(r, row, "ca_generation"),
        .key_kind = db_text(r, row, "key_kind"),
        .generation = db_int(r, row, "generation"),
        .der = db_bytes(r, row, "der"),
        .key_file = db_text(r, row, "key_file"),
        .not_before = db_time(r, row, "not_before"),
        .not_after = db_time(r, row, "not_after"),
    };
    return PKI_OK;
}

pki_code_t
responder_list(db_t *db, pki_arena_t *a, responder_row_t **out, size_t *count, pki_err_t *err)
{
    return verb_list(db, a, Q_responder_list, DB_PARAMS(DB_T(NULL), DB_T(NULL), DB_T(NULL)), responder_read,
                     sizeof(**out), (void **) out, count, err);
}

pki_code_t
responder_find(db_t *db, pki_arena_t *a, uint32_t issuer_no, uint32_t ca_generation, const char *key_kind,
               responder_row_t **out, size_t *count, pki_err_t *err)
{
    return verb_list(db, a, Q_responder_list, DB_PARAMS(DB_I(issuer_no), DB_I(ca_generation), DB_T(key_kind)),
                     responder_read, sizeof(**out), (void **) out, count, err);
}

typedef struct {
    const responder_new_t *in;
    const audit_t         *audit;
    pki_arena_t           *a;
    int64_t                generation;
} insert_t;

static pki_code_t
insert_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    insert_t              *x = arg;
    const responder_new_t *n = x->in;
    const responder_row_t *r = &n->row;
    db_rows_t             *rows;

    PKI_TRY(db_query(c, x->a, Q_responder_insert,
                     DB_PARAMS(DB_I(r->issuer_no), DB_B(r->der), DB_T(r->key_file), DB_TM(r->not_before),
                               DB_TM(r->not_after), DB_I(r->ca_generation), DB_T(r->key_kind)),
                     &rows, err));
    x->generation = db_int(rows, 0, "generation");
    PKI_TRY(db_query(c, NULL, Q_responder_version,
                     DB_PARAMS(DB_I(r->issuer_no), DB_B(n->serial), DB_B(r->der), DB_B(n->spki_sha256),
                               DB_B(n->fingerprint), DB_TM(r->not_before), DB_TM(r->not_after),
                               DB_I(r->ca_generation)),
                     NULL, err));
    PKI_TRY(change_write(c, "status", (uint32_t) r->issuer_no, n->serial, err));
    PKI_TRY(change_write(c, "config", (uint32_t) r->issuer_no, BYTES_NONE, err));
    return audit_write(c, x->audit, err);
}

pki_code_t
responder_insert(db_t *db, const responder_new_t *in, const audit_t *audit, int64_t *generation,
                 pki_err_t *err)
{
    insert_t   x = { .in = in, .audit = audit, .a = pki_arena_new(0) };
    pki_code_t rc;

    if (x.a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = db_tx(db, insert_run, &x, err);
    *generation = x.generation;
    pki_arena_free(x.a);
    return rc;
}
