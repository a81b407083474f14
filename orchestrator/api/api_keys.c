/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * API keys: made, changed, given another secret, revoked.  Nobody gives away more than they have.
 */
#include "core/clock.h"
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/rights.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/api_key.h"

#define GRACE_MAX_S 86400

typedef struct {
    const char *id, *name;
    str_list_t  permissions, roles, allowed_names;
    int64_t     expires_at;
} api_key_new_t;

typedef struct {
    const char *name;
    str_list_t  allowed_names;
    int64_t     expires_at;
} api_key_change_t;

typedef struct {
    int64_t grace_s;
} api_key_rotate_t;

typedef struct {
    const char *id, *name, *key;
    str_list_t  permissions, roles, allowed_names;
    int64_t     expires_at, previous_until;
} api_key_made_t;

/* clang-format off */
static const field_t api_key_new_fields[] = {
    FIELD_TEXT(api_key_new_t, id,            0,          1, 61,  "id, \"key-...\"; absent: made of the name"),
    FIELD_TEXT(api_key_new_t, name,          F_REQUIRED, 1, 200, "who or what uses it"),
    FIELD_STRS(api_key_new_t, permissions,   0, NULL,            "permissions that it has everywhere; \"*\" is all of them"),
    FIELD_STRS(api_key_new_t, roles,         0, NULL,            "roles that it has everywhere, by id; with a scope: POST .../roles"),
    FIELD_STRS(api_key_new_t, allowed_names, 0, NULL,            ALLOWED_NAMES_HELP),
    FIELD_TIME(api_key_new_t, expires_at,    0,                  "when it stops being valid; absent: never"),
    FIELD_END };

static const field_t api_key_change_fields[] = {
    FIELD_TEXT(api_key_change_t, name,          F_REQUIRED, 1, 200, "who or what uses it"),
    FIELD_STRS(api_key_change_t, allowed_names, 0, NULL,            ALLOWED_NAMES_HELP),
    FIELD_TIME(api_key_change_t, expires_at,    0,                  "when it stops being valid; absent: never"),
    FIELD_END };

static const field_t api_key_rotate_fields[] = {
    FIELD_INT(api_key_rotate_t, grace_s, 0, "0", 0, GRACE_MAX_S, "seconds for which the secret before is still good"),
    FIELD_END };

static const field_t api_key_made_fields[] = {
    FIELD_STR (api_key_made_t, id,             F_REQUIRED, NULL,                        "id of the key"),
    FIELD_STR (api_key_made_t, name,           F_REQUIRED, NULL,                        "who or what uses it"),
    FIELD_STR (api_key_made_t, key,            F_REQUIRED | F_SECRET | F_CARRIED, NULL, "the key, shown here only"),
    FIELD_STRS(api_key_made_t, permissions,    F_REQUIRED, NULL,                        "what it may do everywhere, besides its roles"),
    FIELD_STRS(api_key_made_t, roles,          F_REQUIRED, NULL,                        "roles that it was given in this call"),
    FIELD_STRS(api_key_made_t, allowed_names,  F_REQUIRED, NULL,                        "names that it may ask certificates for; empty: any"),
    FIELD_TIME(api_key_made_t, expires_at,     0,                                       "when it stops being valid"),
    FIELD_TIME(api_key_made_t, previous_until, 0,                                       "until when the secret before is good"),
    FIELD_END };
/* clang-format on */

const shape_t shape_api_key_new = SHAPE("ApiKeyNew", api_key_new_t, api_key_new_fields);
const shape_t shape_api_key_change = SHAPE("ApiKeyChange", api_key_change_t, api_key_change_fields);
const shape_t shape_api_key_rotate = SHAPE("ApiKeyRotate", api_key_rotate_t, api_key_rotate_fields);
const shape_t shape_api_key = SHAPE("ApiKeyMade", api_key_made_t, api_key_made_fields);

void
check_end(req_t *r, int64_t expires_at)
{
    if (expires_at != 0 && expires_at <= clock_now()) {
        check_problem(r, "expires_at", "is in the past");
    }
}

/* The secret into the answer, which is cleansed when it was sent. */
static pki_code_t
key_answer(req_t *r, char text[API_KEY_TEXT_MAX], api_key_made_t *out, pki_err_t *err)
{
    pki_secret_t secret;

    PKI_TRY(pki_secret_new(r->a, bytes_str(text), &secret, err));
    explicit_bzero(text, API_KEY_TEXT_MAX);
    out->key = (const char *) secret.p;
    r->answer.secret = true;
    return answer_struct(r, out, err);
}

static pki_code_t
new_check(req_t *r, const api_key_new_t *in, pki_err_t *err)
{
    const grant_t own = { .permissions = in->permissions, .scope = SCOPE_KINDS, .expires_at = in->expires_at };

    check_name(r, in->name);
    check_end(r, in->expires_at);
    permissions_check(r, "permissions", &in->permissions);
    allowed_names_check(r, &in->allowed_names);
    PKI_TRY(give_roles(r, &in->roles, in->expires_at, err));
    PKI_TRY(give_grant(r, &own, err));
    return give_names(r, &in->allowed_names, err);
}

pki_code_t
api_key_create(req_t *r, pki_err_t *err)
{
    const api_key_new_t *in = r->in;
    uint8_t              digest[32];
    char                 text[API_KEY_TEXT_MAX];
    audit_t              audit;
    api_key_row_t        row = { .name = in->name, .permissions = in->permissions, .allowed_names = in->allowed_names,
                                 .created_by = r->identity.actor, .expires_at = in->expires_at, .digest = BYTES_ARR(digest) };
    api_key_made_t       out = { .name = in->name, .permissions = in->permissions, .roles = in->roles,
                                 .allowed_names = in->allowed_names, .expires_at = in->expires_at };

    row.id = out.id = id_choose(r, "key", in->id, in->name);
    PKI_TRY(new_check(r, in, err));
    PKI_TRY(api_key_generate(text, digest, err));
    audit = audit_of(r, 201);
    PKI_TRY(api_key_insert(r->api->parts.db, &row, &in->roles, &audit, err));
    audit_kept(r, &audit);
    r->answer.location = pki_printf(r->a, "%s/%s", r->route->path, row.id);
    return key_answer(r, text, &out, err);
}

/* Its rights for longer are more rights. */
static pki_code_t
end_check(req_t *r, int64_t expires_at, pki_err_t *err)
{
    actor_row_t actor;

    PKI_TRY(actor_find(r->api->parts.db, r->a, r->param[0], "api_key", &actor, err));
    if (!ends_before(actor.ends_at, expires_at)) {
        return PKI_OK;
    }
    actor.ends_at = expires_at;
    return give_actor(r, &actor, err);
}

pki_code_t
api_key_replace(req_t *r, pki_err_t *err)
{
    const api_key_change_t *in = r->in;
    api_key_row_t           row = { .id = r->param[0], .name = in->name, .allowed_names = in->allowed_names,
                                    .expires_at = in->expires_at };
    audit_t                 audit = audit_of(r, 200);

    check_name(r, in->name);
    check_end(r, in->expires_at);
    allowed_names_check(r, &in->allowed_names);
    PKI_TRY(check_done(r, err));
    PKI_TRY(give_names(r, &in->allowed_names, err));
    PKI_TRY(end_check(r, in->expires_at, err));
    PKI_TRY(api_key_update(r->api->parts.db, &row, r->if_match, &audit, err));
    audit_kept(r, &audit);
    identity_forget(r->api->identities, row.id);
    return row_answer(r, row.id, err);
}

/* Whoever has the secret is the key: it takes all of its rights to set it. */
pki_code_t
api_key_renew(req_t *r, pki_err_t *err)
{
    const api_key_rotate_t *in = r->in;
    uint8_t                 digest[32];
    char                    text[API_KEY_TEXT_MAX];
    actor_row_t             actor;
    api_key_made_t          out = { .id = r->param[0] };
    audit_t                 audit = audit_of(r, 200);

    PKI_TRY(give_identity(r, r->param[0], "api_key", &actor, err));
    PKI_TRY(api_key_generate(text, digest, err));
    PKI_TRY(api_key_rotate(r->api->parts.db, r->param[0], BYTES_ARR(digest), in->grace_s, &audit, err));
    audit_kept(r, &audit);
    identity_forget(r->api->identities, r->param[0]);
    out.name = actor.name;
    out.permissions = actor.permissions;
    out.allowed_names = actor.allowed_names;
    out.previous_until = in->grace_s > 0 ? clock_now() + in->grace_s : 0;
    return key_answer(r, text, &out, err);
}

pki_code_t
api_key_remove(req_t *r, pki_err_t *err)
{
    audit_t audit = audit_of(r, 204);

    PKI_TRY(api_key_revoke(r->api->parts.db, r->param[0], &audit, err));
    audit_kept(r, &audit);
    identity_forget(r->api->identities, r->param[0]);
    return PKI_OK;
}
