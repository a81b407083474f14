/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * How one can log in, who one is, and what one may.
 */
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/rights.h"
#include "orchestrator/api/server.h"

typedef struct {
    const char *auth_type, *login_path, *cookie;
    str_list_t  methods;
} auth_info_t;

typedef struct {
    const char *status, *actor, *actor_type;
    bool        admin;
} auth_check_t;

typedef struct {
    const char *role_id, *name, *scope_type, *scope_id;
    int64_t     expires_at;
} my_role_t;

typedef struct {
    const char *permission;
    bool        everywhere;
    str_list_t  ids[SCOPE_KINDS];
} my_permission_t;

typedef struct {
    const char   *actor, *actor_type, *name, *session_id, *csrf_token;
    bool          admin;
    object_list_t roles, effective;
    str_list_t    permissions, allowed_names;
} me_t;

/* clang-format off */
static const field_t auth_info_fields[] = {
    FIELD_STR (auth_info_t, auth_type,  F_REQUIRED, NULL, "how programs say who they are: api-key, as Authorization: Bearer KEY"),
    FIELD_STRS(auth_info_t, methods,    F_REQUIRED, NULL, "everything that says who one is"),
    FIELD_STR (auth_info_t, login_path, F_REQUIRED, NULL, "where browsers log in"),
    FIELD_STR (auth_info_t, cookie,     F_REQUIRED, NULL, "name of the session's cookie"),
    FIELD_END };

static const field_t auth_check_fields[] = {
    FIELD_STR (auth_check_t, status,     F_REQUIRED, NULL,    "authenticated"),
    FIELD_STR (auth_check_t, actor,      F_REQUIRED, NULL,    "who that is"),
    FIELD_STR (auth_check_t, actor_type, F_REQUIRED, NULL,    "api_key, account or certificate"),
    FIELD_BOOL(auth_check_t, admin,      F_REQUIRED, "false", "whether they may do everything"),
    FIELD_END };

static const field_t my_role_fields[] = {
    FIELD_STR (my_role_t, role_id,    F_REQUIRED, NULL, "the role"),
    FIELD_STR (my_role_t, name,       F_REQUIRED, NULL, "its name"),
    FIELD_STR (my_role_t, scope_type, F_REQUIRED, NULL, "global, issuer, profile, team or owner"),
    FIELD_STR (my_role_t, scope_id,   0, NULL,          "which one"),
    FIELD_TIME(my_role_t, expires_at, 0,                "when it ends"),
    FIELD_END };

#define FIELD_IDS(kind, text, help_) \
    { .name = text, .type = FIELD_T_STRS, .offset = offsetof(my_permission_t, ids) + (kind) * sizeof(str_list_t), .help = help_ }
static const field_t my_permission_fields[] = {
    FIELD_STR (my_permission_t, permission, F_REQUIRED, NULL,    "the permission"),
    FIELD_BOOL(my_permission_t, everywhere, F_REQUIRED, "false", "whether it is good for everything; otherwise for what belongs to these:"),
    FIELD_IDS(SCOPE_ISSUER,  "issuers",  "issuers"),
    FIELD_IDS(SCOPE_PROFILE, "profiles", "profiles"),
    FIELD_IDS(SCOPE_TEAM,    "teams",    "teams"),
    FIELD_IDS(SCOPE_OWNER,   "owners",   "owners"),
    FIELD_END };

static const field_t me_fields[] = {
    FIELD_STR    (me_t, actor,         F_REQUIRED, NULL,    "who one is, as the audit says it"),
    FIELD_STR    (me_t, actor_type,    F_REQUIRED, NULL,    "api_key, account or certificate"),
    FIELD_STR    (me_t, name,          F_REQUIRED, NULL,    "for people"),
    FIELD_BOOL   (me_t, admin,         F_REQUIRED, "false", "whether one may do everything"),
    FIELD_OBJECTS(me_t, roles,         F_REQUIRED, my_role_fields, sizeof(my_role_t), "one's roles"),
    FIELD_STRS   (me_t, permissions,   F_REQUIRED, NULL,    "what one may, somewhere at least"),
    FIELD_OBJECTS(me_t, effective,     F_REQUIRED, my_permission_fields, sizeof(my_permission_t), "the same, and where"),
    FIELD_STRS   (me_t, allowed_names, F_REQUIRED, NULL,    "names that one may ask certificates for; empty: any"),
    FIELD_STR    (me_t, session_id,    0, NULL,             "one's session, where it is one"),
    FIELD_STR    (me_t, csrf_token,    F_SECRET | F_CARRIED, NULL, "what X-CSRF-Token has to say in it"),
    FIELD_END };
/* clang-format on */

const shape_t shape_auth_info = SHAPE("AuthInfo", auth_info_t, auth_info_fields);
const shape_t shape_auth_check = SHAPE("AuthCheck", auth_check_t, auth_check_fields);
const shape_t shape_me = SHAPE("Me", me_t, me_fields);

pki_code_t
auth_info_get(req_t *r, pki_err_t *err)
{
    static const char *methods[] = { "api_key", "account", "certificate" };
    const auth_info_t  out = { .auth_type = "api-key", .login_path = "/api/v1/auth/login", .cookie = SESSION_COOKIE,
                               .methods = { methods, 3 } };

    return answer_struct(r, &out, err);
}

static bool
is_admin(req_t *r)
{
    scope_t scope;

    return identity_may(r->a, &r->identity, "*", &scope) && scope.all;
}

pki_code_t
auth_check_get(req_t *r, pki_err_t *err)
{
    const auth_check_t out = { .status = "authenticated", .actor = r->identity.actor, .actor_type = r->identity.type,
                               .admin = is_admin(r) };

    return answer_struct(r, &out, err);
}

static pki_code_t
roles_fill(req_t *r, me_t *out, pki_err_t *err)
{
    const identity_t *who = &r->identity;
    my_role_t        *list;

    PKI_TRY(PKI_NEW_N(r->a, who->grant_count + 1, &list, err));
    out->roles.v = list;
    for (size_t i = 0; i < who->grant_count; i++) {
        const grant_t *g = &who->grants[i];

        if (g->role_id != NULL) {
            list[out->roles.count++] = (my_role_t){ g->role_id, g->role_name,
                                                    g->scope < SCOPE_KINDS ? scope_names[g->scope] : "global",
                                                    g->scope < SCOPE_KINDS ? g->scope_id : NULL, g->expires_at };
        }
    }
    return PKI_OK;
}

static pki_code_t
permissions_fill(req_t *r, me_t *out, pki_err_t *err)
{
    my_permission_t    *list;
    const permission_t *p;
    size_t              count = 0;

    while (permission_at(count) != NULL) {
        count++;
    }
    PKI_TRY(PKI_NEW_N(r->a, count, &list, err));
    PKI_TRY(PKI_NEW_N(r->a, count, &out->permissions.v, err));
    out->effective.v = list;
    for (size_t i = 0; (p = permission_at(i)) != NULL; i++) {
        my_permission_t *mine = &list[out->effective.count];
        scope_t          scope;

        if (identity_may(r->a, &r->identity, p->name, &scope)) {
            mine->permission = p->name;
            mine->everywhere = scope.all;
            for (size_t kind = 0; kind < SCOPE_KINDS && !scope.all; kind++) {
                mine->ids[kind] = scope.ids[kind];
            }
            out->permissions.v[out->permissions.count++] = p->name;
            out->effective.count++;
        }
    }
    return PKI_OK;
}

pki_code_t
me_get(req_t *r, pki_err_t *err)
{
    const identity_t *who = &r->identity;
    char              csrf[SESSION_TOKEN_LEN + 1];
    me_t              out = { .actor = who->actor, .actor_type = who->type, .name = who->name, .session_id = who->session,
                              .admin = is_admin(r), .allowed_names = who->allowed_names };

    PKI_TRY(roles_fill(r, &out, err));
    PKI_TRY(permissions_fill(r, &out, err));
    if (who->session != NULL) {
        PKI_TRY(session_csrf((const char *) r->cookie.p, csrf, err));
        out.csrf_token = csrf;
        r->answer.secret = true;
    }
    return answer_struct(r, &out, err);
}
