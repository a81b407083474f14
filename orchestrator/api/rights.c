/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Permissions and built-in roles as tables, and the checks of what one caller may give to another (see rights.h).
 */
#include "orchestrator/api/rights.h"

#include "core/clock.h"
#include "orchestrator/api/auth.h"
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/role.h"

#define NAMES_MAX   100
#define PATTERN_MAX 253

/* clang-format off */
#define ADMIN    ROLE_ADMIN
#define OPERATOR ROLE_OPERATOR
#define VIEWER   ROLE_VIEWER
#define AGENT    ROLE_AGENT
#define MCP      ROLE_MCP
#define CLI      ROLE_CLI
#define AUDITOR  ROLE_AUDITOR
static const permission_t permissions[] = {
#define PERMISSION(word, has, help) { .name = word, .roles = has, .text = help },
#include "orchestrator/api/permissions.inc"
#undef PERMISSION
};
/* clang-format on */

#define PERMISSION_COUNT (sizeof(permissions) / sizeof(permissions[0]))

static const role_row_t built_in[ROLE_COUNT] = {
#define ROLE(word, role_id, role_name, help) { .id = role_id, .name = role_name, .description = help, .built_in = true },
#include "orchestrator/api/roles.inc"
#undef ROLE
};

const permission_t *
permission_at(size_t i)
{
    return i < PERMISSION_COUNT ? &permissions[i] : NULL;
}

pki_code_t
roles_sync(db_t *db, pki_err_t *err)
{
    role_row_t  roles[ROLE_COUNT];
    const char *names[ROLE_COUNT][PERMISSION_COUNT];

    memcpy(roles, built_in, sizeof(roles));
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        roles[i].permissions.v = names[i];
        for (size_t p = 0; p < PERMISSION_COUNT && i != ROLE_NO_ADMIN; p++) {
            if ((permissions[p].roles & 1u << i) != 0) {
                names[i][roles[i].permissions.count++] = permissions[p].name;
            }
        }
    }
    names[ROLE_NO_ADMIN][0] = "*";
    roles[ROLE_NO_ADMIN].permissions.count = 1;
    return role_sync(db, roles, ROLE_COUNT, err);
}

static bool
permission_known(const char *name)
{
    for (size_t i = 0; i < PERMISSION_COUNT; i++) {
        if (strcmp(permissions[i].name, name) == 0) {
            return true;
        }
    }
    return strcmp(name, "*") == 0;
}

void
permissions_check(req_t *r, const char *field, const str_list_t *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (!permission_known(list->v[i])) {
            check_problem(r, pki_printf(r->a, "%s.%zu", field, i), "is not a known permission");
        }
    }
}

void
allowed_names_check(req_t *r, const str_list_t *names)
{
    if (names->count > NAMES_MAX) {
        check_problem(r, "allowed_names", "must be at most %d patterns", NAMES_MAX);
    }
    for (size_t i = 0; i < names->count; i++) {
        size_t len = strlen(names->v[i]);
        bool   good = len > 0 && len <= PATTERN_MAX;

        for (const char *p = names->v[i]; *p != '\0'; p++) {
            good = good && (unsigned char) *p > 0x20 && *p != 0x7f;
        }
        if (!good) {
            check_problem(r, pki_printf(r->a, "allowed_names.%zu", i), "must be 1 to %d characters, no spaces", PATTERN_MAX);
        }
    }
}

/* ---- giving ---- */

bool
ends_before(int64_t a, int64_t b)
{
    return a != 0 && (b == 0 || a < b);
}

static int64_t
end_first(int64_t a, int64_t b)
{
    return ends_before(a, b) ? a : b;
}

static bool
grant_there(const grant_t *grant, const grant_t *there)
{
    return grant->scope == SCOPE_KINDS || (grant->scope == there->scope && strcmp(grant->scope_id, there->scope_id) == 0);
}

typedef enum { HELD_NOT, HELD_SHORTER, HELD } held_t;

/* Whether somebody has a permission where another grant would be good, and as long. */
static held_t
right_held(const identity_t *who, const char *permission, const grant_t *there)
{
    int64_t now = clock_now();
    held_t  out = HELD_NOT;

    for (size_t i = 0; i < who->grant_count; i++) {
        const grant_t *mine = &who->grants[i];
        int64_t        end = end_first(mine->expires_at, who->ends_at);

        if (!grant_gives(mine, permission) || !grant_there(mine, there) || (end != 0 && end <= now)) {
            continue;
        }
        if (!ends_before(end, there->expires_at)) {
            return HELD;
        }
        out = HELD_SHORTER;
    }
    return out;
}

pki_code_t
give_grant(req_t *r, const grant_t *grant, pki_err_t *err)
{
    for (size_t i = 0; i < grant->permissions.count; i++) {
        const char *permission = grant->permissions.v[i];
        held_t      held = right_held(&r->identity, permission, grant);

        if (held == HELD_SHORTER) {
            return pki_fail(err, PKI_E_FORBIDDEN, NULL, "you cannot give the permission %s for longer than you have it",
                            permission);
        }
        if (held == HELD_NOT) {
            return pki_fail(err, PKI_E_FORBIDDEN, NULL, "you cannot give the permission %s, which you do not have%s",
                            permission, grant->scope < SCOPE_KINDS ? " there" : " everywhere");
        }
    }
    return PKI_OK;
}

static bool
name_is_ours(const str_list_t *ours, const char *theirs)
{
    for (size_t i = 0; i < ours->count; i++) {
        if (issue_name_covers(ours->v[i], theirs)) {
            return true;
        }
    }
    return false;
}

pki_code_t
give_names(req_t *r, const str_list_t *names, pki_err_t *err)
{
    const str_list_t *ours = &r->identity.allowed_names;

    if (ours->count == 0) {
        return PKI_OK;
    }
    if (names->count == 0) {
        return pki_fail(err, PKI_E_FORBIDDEN, NULL, "you may not ask for every name: say allowed_names, within your own");
    }
    for (size_t i = 0; i < names->count; i++) {
        if (!name_is_ours(ours, names->v[i])) {
            return pki_fail(err, PKI_E_FORBIDDEN, NULL, "you cannot give the name %.100s, which you may not ask for",
                            names->v[i]);
        }
    }
    return PKI_OK;
}

pki_code_t
give_roles(req_t *r, const str_list_t *roles, int64_t until, pki_err_t *err)
{
    role_row_t *rows;

    PKI_TRY(PKI_NEW_N(r->a, roles->count + 1, &rows, err));
    for (size_t i = 0; i < roles->count; i++) {
        const char *field = pki_printf(r->a, "roles.%zu", i);

        PKI_TRY(check_found(r, field, role_find(r->api->parts.db, r->a, roles->v[i], &rows[i], err), err));
    }
    PKI_TRY(check_done(r, err));
    for (size_t i = 0; i < roles->count; i++) {
        const grant_t given = { .permissions = rows[i].permissions, .scope = SCOPE_KINDS, .expires_at = until };

        PKI_TRY(give_grant(r, &given, err));
    }
    return PKI_OK;
}

pki_code_t
give_actor(req_t *r, const actor_row_t *actor, pki_err_t *err)
{
    const grant_t own = { .permissions = actor->permissions, .scope = SCOPE_KINDS, .expires_at = actor->ends_at };
    grant_t      *grants;
    size_t        count;

    PKI_TRY(give_grant(r, &own, err));
    PKI_TRY(grant_list(r->api->parts.db, r->a, actor->id, &grants, &count, err));
    for (size_t i = 0; i < count; i++) {
        grants[i].expires_at = end_first(grants[i].expires_at, actor->ends_at);
        PKI_TRY(give_grant(r, &grants[i], err));
    }
    return give_names(r, &actor->allowed_names, err);
}

pki_code_t
give_identity(req_t *r, const char *actor_id, const char *type, actor_row_t *out, pki_err_t *err)
{
    PKI_TRY(actor_find(r->api->parts.db, r->a, actor_id, type, out, err));
    return give_actor(r, out, err);
}
