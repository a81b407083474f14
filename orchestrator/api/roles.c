/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Roles: made, changed, deleted; and the catalogue of what they can allow.  The built-in ones are as this program says.
 */
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/rights.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/role.h"

#define PERMISSIONS_SHOWN_MAX 512

typedef struct {
    const char *permission;
    str_list_t  permissions;
} role_permissions_t;

typedef struct {
    const char *permission, *description;
} permission_shown_t;

typedef struct {
    object_list_t data;
} permissions_shown_t;

/* clang-format off */
static const field_t role_permissions_fields[] = {
    FIELD_TEXT(role_permissions_t, permission,  0, 1, 64, "one to add"),
    FIELD_STRS(role_permissions_t, permissions, 0, NULL,  "several to add"),
    FIELD_END };

static const field_t permission_shown_fields[] = {
    FIELD_STR(permission_shown_t, permission,  F_REQUIRED, NULL, "its name"),
    FIELD_STR(permission_shown_t, description, F_REQUIRED, NULL, "what it allows"),
    FIELD_END };

static const field_t permissions_shown_fields[] = {
    FIELD_OBJECTS(permissions_shown_t, data, F_REQUIRED, permission_shown_fields, sizeof(permission_shown_t), "all permissions"),
    FIELD_END };
/* clang-format on */

const shape_t shape_role = SHAPE("RoleInput", role_row_t, role_fields);
const shape_t shape_role_permissions = SHAPE("RolePermissions", role_permissions_t, role_permissions_fields);
const shape_t shape_permissions = SHAPE("Permissions", permissions_shown_t, permissions_shown_fields);

pki_code_t
permission_list(req_t *r, pki_err_t *err)
{
    permission_shown_t  list[PERMISSIONS_SHOWN_MAX];
    permissions_shown_t out = { { list, 0 } };
    const permission_t *p;

    while ((p = permission_at(out.data.count)) != NULL) {
        list[out.data.count++] = (permission_shown_t){ p->name, p->text };
    }
    return answer_struct(r, &out, err);
}

/* Whoever adds to a role adds to everybody who has it, for as long as they have it: roles have no end. */
static pki_code_t
role_check(req_t *r, const role_row_t *row, pki_err_t *err)
{
    check_name(r, row->name);
    permissions_check(r, "permissions", &row->permissions);
    PKI_TRY(check_done(r, err));
    return give_grant(r, &(grant_t){ .permissions = row->permissions, .scope = SCOPE_KINDS }, err);
}

static pki_code_t
custom_find(req_t *r, role_row_t *out, pki_err_t *err)
{
    PKI_TRY(role_find(r->api->parts.db, r->a, r->param[0], out, err));
    return !out->built_in ? PKI_OK : pki_fail(err, PKI_E_CONFLICT, NULL, "%s is built in, and stays as it is", out->id);
}

static pki_code_t
role_changed(req_t *r, const audit_t *audit, const char *id, pki_err_t *err)
{
    audit_kept(r, audit);
    identity_forget(r->api->identities, NULL);
    return r->answer.status == 204 ? PKI_OK : row_answer(r, id, err);
}

pki_code_t
role_create(req_t *r, pki_err_t *err)
{
    role_row_t *row = r->in;
    audit_t     audit;

    row->id = id_choose(r, "role", row->id, row->name);
    PKI_TRY(role_check(r, row, err));
    audit = audit_of(r, 201);
    PKI_TRY(role_insert(r->api->parts.db, row, &audit, err));
    return role_changed(r, &audit, row->id, err);
}

pki_code_t
role_replace(req_t *r, pki_err_t *err)
{
    role_row_t *row = r->in, there;
    audit_t     audit = audit_of(r, 200);

    PKI_TRY(custom_find(r, &there, err));
    PKI_TRY(check_same_id(r, row->id, err));
    row->id = r->param[0];
    PKI_TRY(role_check(r, row, err));
    PKI_TRY(role_update(r->api->parts.db, row, r->if_match, &audit, err));
    return role_changed(r, &audit, row->id, err);
}

pki_code_t
role_remove(req_t *r, pki_err_t *err)
{
    role_row_t there;
    audit_t    audit = audit_of(r, 204);

    PKI_TRY(custom_find(r, &there, err));
    PKI_TRY(role_delete(r->api->parts.db, there.id, &audit, err));
    return role_changed(r, &audit, there.id, err);
}

pki_code_t
role_permissions_add(req_t *r, pki_err_t *err)
{
    role_permissions_t *in = r->in;
    bool                single = in->permission != NULL;
    str_list_t          list = single ? (str_list_t){ &in->permission, 1 } : in->permissions;
    role_row_t          there;
    audit_t             audit = audit_of(r, 200);

    PKI_TRY(custom_find(r, &there, err));
    permissions_check(r, single ? "permission" : "permissions", &list);
    if (single == (in->permissions.count > 0)) {
        check_problem(r, "permission", "is needed, or permissions; not both");
    }
    PKI_TRY(check_done(r, err));
    PKI_TRY(give_grant(r, &(grant_t){ .permissions = list, .scope = SCOPE_KINDS }, err));
    PKI_TRY(role_permissions_change(r->api->parts.db, there.id, &list, true, r->if_match, &audit, err));
    return role_changed(r, &audit, there.id, err);
}

pki_code_t
role_permission_remove(req_t *r, pki_err_t *err)
{
    str_list_t one = { &r->param[1], 1 };
    role_row_t there;
    size_t     i = 0;
    audit_t    audit = audit_of(r, 204);

    PKI_TRY(custom_find(r, &there, err));
    while (i < there.permissions.count && strcmp(there.permissions.v[i], r->param[1]) != 0) {
        i++;
    }
    if (i == there.permissions.count) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "%s does not allow that", there.id);
    }
    PKI_TRY(role_permissions_change(r->api->parts.db, there.id, &one, false, r->if_match, &audit, err));
    return role_changed(r, &audit, there.id, err);
}
