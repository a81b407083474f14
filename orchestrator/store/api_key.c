/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rows of API keys.
 */
#include "orchestrator/store/api_key.h"

#include "orchestrator/store/verb.h"

static pki_code_t
api_key_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    api_key_row_t *key = out;

    *key = (api_key_row_t){
        .id = db_text(r, row, "id"),
        .name = db_text(r, row, "name"),
        .digest = db_bytes(r, row, "digest"),
        .created_at = db_time(r, row, "created_at"),
        .expires_at = db_time(r, row, "expires_at"),
        .last_used_at = db_time(r, row, "last_used_at"),
    };
    return db_texts(r, row, "permissions", a, &key->permissions, err);
}

pki_code_t
api_key_find(db_t *db, pki_arena_t *a, bytes_t digest, api_key_row_t *out, pki_err_t *err)
{
    return verb_find(db, a, Q_api_key_find, DB_PARAMS(DB_B(digest)), api_key_read, out, "live API key",
                     "like that", err);
}

pki_code_t
api_key_insert(db_t *db, const api_key_row_t *in, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(in->id), DB_T(in->name), DB_B(in->digest), DB_TS(&in->permissions),
                                     DB_TM(in->expires_at) };
    const verb_change_t v = {
        .q = Q_api_key_insert, .params = params, .count = 5, .what = "API key", .id = in->id, .audit = audit,
    };

    return verb_change(db, &v, err);
}

pki_code_t
api_key_revoke(db_t *db, const char *id, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(id) };
    const verb_change_t v = {
        .q = Q_api_key_revoke, .params = params, .count = 1, .what = "live API key", .id = id,
        .none = PKI_E_NOT_FOUND, .audit = audit,
    };

    return verb_change(db, &v, err);
}

pki_code_t
api_key_touch(db_t *db, const char *id, pki_err_t *err)
{
    return verb_read(db, NULL, Q_api_key_touch, DB_PARAMS(DB_T(id)), NULL, err);
}
