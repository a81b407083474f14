/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * API keys: made, listed, revoked.  Nobody gives away a permission that they do not have.
 */
#include "core/clock.h"
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/api_key.h"

typedef struct {
    const char *id, *name;
    str_list_t  permissions;
    int64_t     expires_at;
} api_key_new_t;

typedef struct {
    const char *id, *name, *key;
    str_list_t  permissions;
    int64_t     expires_at;
} api_key_made_t;

/* clang-format off */
static const field_t api_key_new_fields[] = {
    FIELD_TEXT(api_key_new_t, id,          0,          1, 61,  "id, \"key-...\"; absent: made of the name"),
    FIELD_TEXT(api_key_new_t, name,        F_REQUIRED, 1, 200, "who or what uses it"),
    FIELD_STRS(api_key_new_t, permissions, F_REQUIRED, NULL,   "permissions of the route table; \"*\" is all of them"),
    FIELD_TIME(api_key_new_t, expires_at,  0,                  "when it stops being valid; absent: never"),
    FIELD_END };

static const field_t api_key_made_fields[] = {
    FIELD_STR (api_key_made_t, id,          F_REQUIRED, NULL,                        "id of the key"),
    FIELD_STR (api_key_made_t, name,        F_REQUIRED, NULL,                        "who or what uses it"),
    FIELD_STR (api_key_made_t, key,         F_REQUIRED | F_SECRET | F_CARRIED, NULL, "the key, shown here only"),
    FIELD_STRS(api_key_made_t, permissions, F_REQUIRED, NULL,                        "what it may do"),
    FIELD_TIME(api_key_made_t, expires_at,  0,                                       "when it stops being valid"),
    FIELD_END };
/* clang-format on */

const shape_t shape_api_key_new = SHAPE("ApiKeyNew", api_key_new_t, api_key_new_fields);
const shape_t shape_api_key = SHAPE("ApiKeyMade", api_key_made_t, api_key_made_fields);

static bool
permission_known(const char *permission)
{
    const route_t *route;

    if (strcmp(permission, ROUTE_PUBLIC) == 0 || strcmp(permission, ROUTE_EDGE) == 0) {
        return false;
    }
    for (size_t i = 0; (route = route_at(i)) != NULL; i++) {
        if (strcmp(route->permission, permission) == 0) {
            return true;
        }
    }
    return strcmp(permission, "*") == 0;
}

static pki_code_t
permissions_check(req_t *r, const str_list_t *permissions, pki_err_t *err)
{
    const char *wanting = NULL;
    scope_t     scope;

    if (permissions->count == 0) {
        check_problem(r, "permissions", "must name at least one permission");
    }
    for (size_t i = 0; i < permissions->count; i++) {
        if (!permission_known(permissions->v[i])) {
            check_problem(r, pki_printf(r->a, "permissions.%zu", i), "is not a known permission");
        } else if (!identity_may(r->a, &r->identity, permissions->v[i], &scope) || !scope.all) {
            wanting = permissions->v[i];
        }
    }
    PKI_TRY(check_done(r, err));
    if (wanting != NULL) {
        return pki_fail(err, PKI_E_FORBIDDEN, NULL, "you cannot give the permission %s, which you do not have", wanting);
    }
    return PKI_OK;
}

pki_code_t
api_key_create(req_t *r, pki_err_t *err)
{
    const api_key_new_t *in = r->in;
    uint8_t              digest[32];
    char                 text[API_KEY_TEXT_MAX];
    pki_secret_t         secret;
    audit_t              audit;
    api_key_row_t        row = { .name = in->name, .permissions = in->permissions, .expires_at = in->expires_at,
                                 .digest = BYTES_ARR(digest) };
    api_key_made_t       out = { .name = in->name, .permissions = in->permissions, .expires_at = in->expires_at };

    check_name(r, in->name);
    row.id = out.id = id_choose(r, "key", in->id, in->name);
    if (in->expires_at != 0 && in->expires_at <= clock_now()) {
        check_problem(r, "expires_at", "is in the past");
    }
    PKI_TRY(permissions_check(r, &in->permissions, err));
    PKI_TRY(api_key_generate(text, digest, err));
    PKI_TRY(pki_secret_new(r->a, bytes_str(text), &secret, err));
    explicit_bzero(text, sizeof(text));
    audit = audit_of(r, 201);
    PKI_TRY(api_key_insert(r->api->parts.db, &row, &audit, err));
    audit_kept(r, &audit);
    out.key = (const char *) secret.p;
    r->answer.secret = true;
    return answer_struct(r, &out, err);
}

pki_code_t
api_key_remove(req_t *r, pki_err_t *err)
{
    audit_t audit = audit_of(r, 204);

    PKI_TRY(api_key_revoke(r->api->parts.db, r->param[0], &audit, err));
    audit_kept(r, &audit);
    key_cache_forget(r->api->keys, r->param[0]);
    return PKI_OK;
}
