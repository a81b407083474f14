/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rows of issuers and of their chains.
 */
#include "orchestrator/store/issuer.h"

#include "orchestrator/store/verb.h"

static void
issuer_read(const db_rows_t *r, size_t row, issuer_row_t *out)
{
    *out = (issuer_row_t){
        .no = db_int(r, row, "no"),
        .id = db_text(r, row, "id"),
        .name = db_text(r, row, "name"),
        .type = db_text(r, row, "type"),
        .enabled = db_bool(r, row, "enabled"),
        .config = db_text(r, row, "config"),
        .created_at = db_time(r, row, "created_at"),
        .updated_at = db_time(r, row, "updated_at"),
    };
}

static void
ca_read(const db_rows_t *r, size_t row, ca_row_t *out)
{
    *out = (ca_row_t){
        .generation = db_int(r, row, "generation"),
        .position = db_int(r, row, "position"),
        .der = db_bytes(r, row, "der"),
        .serial = db_bytes(r, row, "serial"),
        .skid = db_bytes(r, row, "skid"),
        .subject = db_text(r, row, "subject"),
        .key_ref = db_text(r, row, "key_ref"),
        .key_kind = db_text(r, row, "key_kind"),
        .not_before = db_time(r, row, "not_before"),
        .not_after = db_time(r, row, "not_after"),
    };
}

/* Rows come by issuer, then by position; each issuer's certificates become one slice of one array. */
static pki_code_t
chains_read(const db_rows_t *r, pki_arena_t *a, issuer_chain_t **out, size_t *count, pki_err_t *err)
{
    size_t          n = db_row_count(r);
    ca_row_t       *ca;
    issuer_chain_t *last = NULL;

    *count = 0;
    PKI_TRY(PKI_NEW_N(a, n + 1, out, err));
    PKI_TRY(PKI_NEW_N(a, n + 1, &ca, err));
    for (size_t i = 0; i < n; i++) {
        if (last == NULL || last->issuer.no != db_int(r, i, "no")) {
            last = &(*out)[(*count)++];
            issuer_read(r, i, &last->issuer);
            last->chain = &ca[i];
        }
        ca_read(r, i, &ca[i]);
        last->chain_len++;
    }
    return PKI_OK;
}

static pki_code_t
chains_find(db_t *db, pki_arena_t *a, db_param_t id, db_param_t no, issuer_chain_t **out, size_t *count,
            pki_err_t *err)
{
    db_rows_t *rows;

    PKI_TRY(verb_read(db, a, Q_issuer_chains, DB_PARAMS(id, no), &rows, err));
    return chains_read(rows, a, out, count, err);
}

pki_code_t
issuer_row_list(db_t *db, pki_arena_t *a, issuer_chain_t **out, size_t *count, pki_err_t *err)
{
    return chains_find(db, a, DB_T(NULL), DB_T(NULL), out, count, err);
}

pki_code_t
issuer_row_find(db_t *db, pki_arena_t *a, const char *id, issuer_chain_t *out, pki_err_t *err)
{
    issuer_chain_t *found;
    size_t          count;

    PKI_TRY(chains_find(db, a, DB_T(id), DB_T(NULL), &found, &count, err));
    if (id == NULL || count == 0) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "there is no issuer %s",
                        id != NULL ? id : "without an id");
    }
    *out = found[0];
    return PKI_OK;
}

pki_code_t
issuer_row_find_no(db_t *db, pki_arena_t *a, uint32_t no, issuer_chain_t *out, pki_err_t *err)
{
    issuer_chain_t *found;
    size_t          count;

    PKI_TRY(chains_find(db, a, DB_T(NULL), DB_I(no), &found, &count, err));
    if (count == 0) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "there is no issuer with the number %u", no);
    }
    *out = found[0];
    return PKI_OK;
}

pki_code_t
issuer_no_next(db_t *db, uint32_t *no, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    db_rows_t   *rows;
    pki_code_t   rc;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = verb_read(db, a, Q_issuer_no_next, NULL, 0, &rows, err);
    if (rc == PKI_OK) {
        *no = (uint32_t) db_int(rows, 0, "no");
    }
    pki_arena_free(a);
    return rc;
}

typedef struct {
    const issuer_chain_t *in;
    const audit_t        *audit;
} issuer_new_t;

static pki_code_t
issuer_insert(db_conn_t *c, void *arg, pki_err_t *err)
{
    const issuer_new_t *n = arg;
    const issuer_row_t *i = &n->in->issuer;
    const db_param_t    params[] = {
        DB_I(i->no), DB_T(i->id), DB_T(i->name), DB_T(i->type), DB_F(i->enabled), DB_T(i->config),
    };
    const verb_change_t v = {
        .q = Q_issuer_insert, .params = params, .count = 6, .what = "issuer", .id = i->id,
    };

    PKI_TRY(verb_apply(c, &v, err));
    for (size_t k = 0; k < n->in->chain_len; k++) {
        const ca_row_t *ca = &n->in->chain[k];

        PKI_TRY(db_query(c, NULL, Q_ca_insert,
                         DB_PARAMS(DB_I(i->no), DB_I(1), DB_I(k), DB_B(ca->der), DB_B(ca->serial),
                                   DB_T(ca->subject), DB_T(ca->key_ref), DB_T(ca->key_kind), DB_B(ca->skid),
                                   DB_TM(ca->not_before), DB_TM(ca->not_after)),
                         NULL, err));
    }
    PKI_TRY(change_write(c, "config", (uint32_t) i->no, BYTES_NONE, err));
    return audit_write(c, n->audit, err);
}

pki_code_t
issuer_row_insert(db_t *db, const issuer_chain_t *in, const audit_t *audit, pki_err_t *err)
{
    issuer_new_t n = { in, audit };

    return db_tx(db, issuer_insert, &n, err);
}

pki_code_t
issuer_row_enable(db_t *db, const char *id, bool enabled, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(id), DB_F(enabled) };
    const verb_change_t v = {
        .q = Q_issuer_enable, .params = params, .count = 2, .what = "issuer", .id = id,
        .none = PKI_E_NOT_FOUND, .announce = true, .audit = audit,
    };

    return verb_change(db, &v, err);
}
