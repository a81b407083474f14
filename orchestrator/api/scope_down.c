/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The smallest rights that an API key can do with, from what it has really used: permissions of its own for what it may
 * do everywhere, and those of its roles with a scope or an end that it used.  Nothing is ever added.
 */
#include "orchestrator/api/auth.h"
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/rights.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/api_key.h"

typedef struct {
    int64_t days;
} scope_down_input_t;

typedef struct {
    const char   *id;
    int64_t       days;
    object_list_t used;
    str_list_t    unused, permissions, roles;
} scope_down_t;

/* clang-format off */
static const field_t scope_down_input_fields[] = {
    FIELD_INT(scope_down_input_t, days, 0, "90", 1, 3650, "days that are looked at"),
    FIELD_END };

static const field_t use_fields[] = {
    FIELD_STR (permission_use_t, permission, F_REQUIRED, NULL,              "what was used"),
    FIELD_INT (permission_use_t, hours,      F_REQUIRED, NULL, 0, INT64_MAX, "hours in which it was used, since the key was made"),
    FIELD_TIME(permission_use_t, last_at,    F_REQUIRED,                    "last use, to the hour"),
    FIELD_END };

static const field_t scope_down_fields[] = {
    FIELD_STR    (scope_down_t, id,          F_REQUIRED, NULL,             "the key"),
    FIELD_INT    (scope_down_t, days,        F_REQUIRED, NULL, 1, 3650,    "days that were looked at"),
    FIELD_OBJECTS(scope_down_t, used,        F_REQUIRED, use_fields, sizeof(permission_use_t), "what it used"),
    FIELD_STRS   (scope_down_t, unused,      F_REQUIRED, NULL,             "permissions that it has by name and did not use"),
    FIELD_STRS   (scope_down_t, permissions, F_REQUIRED, NULL,             "permissions that it would keep everywhere"),
    FIELD_STRS   (scope_down_t, roles,       F_REQUIRED, NULL,             "roles with a scope or an end that it would keep"),
    FIELD_END };
/* clang-format on */

const shape_t shape_scope_down_input = SHAPE("ScopeDownInput", scope_down_input_t, scope_down_input_fields);
const shape_t shape_scope_down = SHAPE("ScopeDown", scope_down_t, scope_down_fields);

static bool
list_has(const str_list_t *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->v[i], text) == 0) {
            return true;
        }
    }
    return false;
}

static void
list_add(str_list_t *list, const char *text)
{
    if (!list_has(list, text)) {
        list->v[list->count++] = text;
    }
}

/* Permissions of its own have no scope and no end but the key's. */
static bool
grant_is_own(const grant_t *grant)
{
    return grant->scope == SCOPE_KINDS && grant->expires_at == 0;
}

/* Where a used permission came from: from everywhere and for good, or from roles with a scope or an end, which stay. */
static void
use_place(const identity_t *key, const char *permission, scope_down_t *out)
{
    for (size_t i = 0; i < key->grant_count; i++) {
        if (grant_is_own(&key->grants[i]) && grant_gives(&key->grants[i], permission)) {
            list_add(&out->permissions, permission);
            return;
        }
    }
    for (size_t i = 0; i < key->grant_count; i++) {
        if (grant_gives(&key->grants[i], permission)) {
            list_add(&out->roles, key->grants[i].role_id);
        }
    }
}

static void
unused_list(const identity_t *key, scope_down_t *out)
{
    const permission_use_t *used = out->used.v;

    for (size_t i = 0; i < key->grant_count; i++) {
        for (size_t n = 0; n < key->grants[i].permissions.count; n++) {
            const char *name = key->grants[i].permissions.v[n];
            size_t      u = 0;

            while (u < out->used.count && strcmp(used[u].permission, name) != 0) {
                u++;
            }
            if (u == out->used.count && strcmp(name, "*") != 0) {
                list_add(&out->unused, name);
            }
        }
    }
}

/* The key's rights as of an identity. */
static pki_code_t
key_read(req_t *r, identity_t *out, pki_err_t *err)
{
    db_t       *db = r->api->parts.db;
    actor_row_t row;
    grant_t    *list;

    PKI_TRY(actor_find(db, r->a, r->param[0], "api_key", &row, err));
    if (!row.live) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "there is no live API key %s", row.id);
    }
    PKI_TRY(grant_list(db, r->a, row.id, &list, &out->grant_count, err));
    *--list = (grant_t){ .permissions = row.permissions, .scope = SCOPE_KINDS };
    out->grant_count++;
    out->grants = list;
    return PKI_OK;
}

static pki_code_t
proposal_make(req_t *r, int64_t days, scope_down_t *out, pki_err_t *err)
{
    identity_t        key = { 0 };
    permission_use_t *used;
    size_t            room = 1;

    *out = (scope_down_t){ .id = r->param[0], .days = days };
    PKI_TRY(key_read(r, &key, err));
    PKI_TRY(permission_use_list(r->api->parts.db, r->a, r->param[0], days, &used, &out->used.count, err));
    out->used.v = used;
    for (size_t i = 0; i < key.grant_count; i++) {
        room += key.grants[i].permissions.count;
    }
    PKI_TRY(PKI_NEW_N(r->a, room, &out->unused.v, err));
    PKI_TRY(PKI_NEW_N(r->a, out->used.count + 1, &out->permissions.v, err));
    PKI_TRY(PKI_NEW_N(r->a, key.grant_count + 1, &out->roles.v, err));
    for (size_t i = 0; i < out->used.count; i++) {
        use_place(&key, used[i].permission, out);
    }
    unused_list(&key, out);
    return PKI_OK;
}

pki_code_t
scope_down_get(req_t *r, pki_err_t *err)
{
    const scope_down_input_t *in = r->query;
    scope_down_t              out;

    PKI_TRY(proposal_make(r, in->days, &out, err));
    return answer_struct(r, &out, err);
}

pki_code_t
scope_down_apply(req_t *r, pki_err_t *err)
{
    const scope_down_input_t *in = r->in;
    scope_down_t              out;
    audit_t                   audit = audit_of(r, 200);

    PKI_TRY(proposal_make(r, in->days, &out, err));
    if (out.permissions.count + out.roles.count == 0) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "%s was not used in %lld days: revoke it, if nobody needs it", out.id,
                        (long long) in->days);
    }
    PKI_TRY(api_key_reduce(r->api->parts.db, out.id, &out.permissions, &out.roles, &audit, err));
    audit_kept(r, &audit);
    identity_forget(r->api->identities, out.id);
    return answer_struct(r, &out, err);
}
