/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Roles given to identities and taken from them, everywhere or for an issuer, a profile, a team or an owner; for a while
 * or for good.  One way for API keys, accounts and certificates.
 */
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/rights.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/role.h"

typedef struct {
    const char *role_id, *scope_type, *scope_id;
    int64_t     expires_at;
} grant_new_t;

typedef struct {
    const char *actor_id, *role_id, *scope_type, *scope_id;
    int64_t     expires_at;
} grant_made_t;

static const char *const scope_types[] = { "global", "issuer", "profile", "team", "owner", NULL };

/* clang-format off */
static const field_t grant_new_fields[] = {
    FIELD_TEXT(grant_new_t, role_id,    F_REQUIRED, 1, 64,          "the role"),
    FIELD_ENUM(grant_new_t, scope_type, 0, "global", scope_types,   "what the role is good for: everything, or what belongs to one of these"),
    FIELD_TEXT(grant_new_t, scope_id,   0, 0, 200,                  "which one; absent for global"),
    FIELD_TIME(grant_new_t, expires_at, 0,                          "when it ends; absent: never"),
    FIELD_END };

static const field_t grant_query_fields[] = {
    FIELD_ENUM(grant_new_t, scope_type, 0, NULL, scope_types, "of which scope, where the role was given for several"),
    FIELD_TEXT(grant_new_t, scope_id,   0, 0, 200,            "which one of that kind"),
    FIELD_END };

static const field_t grant_made_fields[] = {
    FIELD_STR (grant_made_t, actor_id,   F_REQUIRED, NULL,              "who has it"),
    FIELD_STR (grant_made_t, role_id,    F_REQUIRED, NULL,              "the role"),
    FIELD_ENUM(grant_made_t, scope_type, F_REQUIRED, NULL, scope_types, "what it is good for"),
    FIELD_STR (grant_made_t, scope_id,   0, NULL,                       "which one"),
    FIELD_TIME(grant_made_t, expires_at, 0,                             "when it ends"),
    FIELD_END };

/* Which identities a path is about: what stands before the id. */
static const struct {
    const char *path, *type;
} kinds[] = {
    { "/api/v1/auth/keys/", "api_key" },
    { "/api/v1/auth/accounts/", "account" },
    { "/api/v1/auth/certificates/", "certificate" },
};
/* clang-format on */

const shape_t shape_grant_new = SHAPE("GrantNew", grant_new_t, grant_new_fields);
const shape_t shape_grant_query = SHAPE("GrantQuery", grant_new_t, grant_query_fields);
const shape_t shape_grant = SHAPE("Grant", grant_made_t, grant_made_fields);

static const char *
kind_of(const route_t *route)
{
    size_t i = 0;

    while (strncmp(route->path, kinds[i].path, strlen(kinds[i].path)) != 0) {
        i++;
    }
    return kinds[i].type;
}

static scope_kind_t
scope_of(const char *type)
{
    scope_kind_t kind = 0;

    while (kind < SCOPE_KINDS && strcmp(scope_names[kind], type) != 0) {
        kind++;
    }
    return kind;
}

static pki_code_t
scope_check(req_t *r, const grant_new_t *in, pki_err_t *err)
{
    bool global = strcmp(in->scope_type, "global") == 0, named = in->scope_id != NULL && *in->scope_id != '\0', there = true;

    if (global == named) {
        check_problem(r, "scope_id", global ? "must be absent for global" : "is needed for this scope_type");
        return PKI_OK;
    }
    if (!global) {
        PKI_TRY(grant_scope_there(r->api->parts.db, r->a, in->scope_type, in->scope_id, &there, err));
    }
    if (!there) {
        check_problem(r, "scope_id", "does not exist");
    }
    return PKI_OK;
}

pki_code_t
grant_create(req_t *r, pki_err_t *err)
{
    const grant_new_t *in = r->in;
    grant_row_t        row = { .actor_id = r->param[0], .role_id = in->role_id, .scope_type = in->scope_type,
                               .scope_id = in->scope_id != NULL ? in->scope_id : "", .expires_at = in->expires_at };
    grant_made_t       out = { row.actor_id, row.role_id, row.scope_type, in->scope_id, row.expires_at };
    actor_row_t        actor;
    role_row_t         role = { 0 };
    grant_t            given;
    audit_t            audit;

    PKI_TRY(actor_find(r->api->parts.db, r->a, row.actor_id, kind_of(r->route), &actor, err));
    PKI_TRY(check_found(r, "role_id", role_find(r->api->parts.db, r->a, in->role_id, &role, err), err));
    PKI_TRY(scope_check(r, in, err));
    check_end(r, in->expires_at);
    PKI_TRY(check_done(r, err));
    given = (grant_t){ .permissions = role.permissions, .scope = scope_of(in->scope_type), .scope_id = in->scope_id,
                       .expires_at = in->expires_at };
    PKI_TRY(give_grant(r, &given, err));
    PKI_TRY(give_names(r, &actor.allowed_names, err));
    audit = audit_of(r, 201);
    audit.details = pki_printf(r->a, "{\"role\": \"%s\", \"scope_type\": \"%s\"}", role.id, row.scope_type);
    PKI_TRY(grant_insert(r->api->parts.db, &row, r->identity.actor, &audit, err));
    audit_kept(r, &audit);
    identity_forget(r->api->identities, row.actor_id);
    return answer_struct(r, &out, err);
}

pki_code_t
grant_remove(req_t *r, pki_err_t *err)
{
    const grant_new_t *in = r->query;
    const grant_row_t  row = { .actor_id = r->param[0], .role_id = r->param[1], .scope_type = in->scope_type,
                               .scope_id = in->scope_id != NULL ? in->scope_id : "" };
    actor_row_t        actor;
    audit_t            audit = audit_of(r, 204);

    PKI_TRY(actor_find(r->api->parts.db, r->a, row.actor_id, kind_of(r->route), &actor, err));
    PKI_TRY(grant_delete(r->api->parts.db, &row, &audit, err));
    audit_kept(r, &audit);
    identity_forget(r->api->identities, row.actor_id);
    return PKI_OK;
}
