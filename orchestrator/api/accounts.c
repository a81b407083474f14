/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Local accounts of people, and certificates of programs that may call the API: made, changed, taken away.
 */
#include <openssl/crypto.h>

#include "orchestrator/api/handlers.h"
#include "orchestrator/api/rights.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/account.h"

#define ACCOUNT_NAME_MAX 128

typedef struct {
    const char *id, *name, *email, *password;
    str_list_t  roles, allowed_names;
    bool        disabled;
} account_input_t;

typedef struct {
    const char *certificate_id;
    str_list_t  roles, allowed_names;
} certificate_identity_t;

/* clang-format off */
#define ACCOUNT_FIELDS \
    FIELD_TEXT(account_input_t, name,          F_REQUIRED, 1, ACCOUNT_NAME_MAX, "name to log in with, not used by another"), \
    FIELD_TEXT(account_input_t, email,         0, 3, 254,                       "mail address"), \
    FIELD_STRS(account_input_t, allowed_names, 0, NULL,                         ALLOWED_NAMES_HELP), \
    FIELD_BOOL(account_input_t, disabled,      0, "false",                      "whether it may not log in; its sessions end")

static const field_t account_new_fields[] = {
    FIELD_TEXT(account_input_t, id,       0, 1, 62,                                                        "id, \"user-...\"; absent: made of the name"),
    ACCOUNT_FIELDS,
    FIELD_TEXT(account_input_t, password, F_REQUIRED | F_SECRET | F_WRITEONLY, PASSWORD_MIN, PASSWORD_MAX, "password"),
    FIELD_STRS(account_input_t, roles,    0, NULL,                                                         "roles that it has everywhere, by id"),
    FIELD_END };

static const field_t account_change_fields[] = {
    ACCOUNT_FIELDS,
    FIELD_TEXT(account_input_t, password, F_SECRET | F_WRITEONLY, PASSWORD_MIN, PASSWORD_MAX, "another password, which ends its sessions; absent: it stays"),
    FIELD_END };

static const field_t certificate_identity_fields[] = {
    FIELD_TEXT(certificate_identity_t, certificate_id, F_REQUIRED, 1, 200, "the managed certificate: each of its versions is one to call the API with"),
    FIELD_STRS(certificate_identity_t, roles,          0, NULL,            "roles that its holder has everywhere, by id"),
    FIELD_STRS(certificate_identity_t, allowed_names,  0, NULL,            ALLOWED_NAMES_HELP),
    FIELD_END };
/* clang-format on */

const shape_t shape_account_new = SHAPE("AccountNew", account_input_t, account_new_fields);
const shape_t shape_account_change = SHAPE("AccountChange", account_input_t, account_change_fields);
const shape_t shape_certificate_identity = SHAPE("CertificateIdentity", certificate_identity_t, certificate_identity_fields);

/* ---- accounts ---- */

static pki_code_t
account_check(req_t *r, const account_input_t *in, pki_err_t *err)
{
    const char *at = in->email != NULL ? strchr(in->email, '@') : NULL;

    check_name(r, in->name);
    if (in->email != NULL && (at == NULL || at == in->email || at[1] == '\0' || strpbrk(in->email, " \r\n\t<>") != NULL)) {
        check_problem(r, "email", "is not a mail address");
    }
    allowed_names_check(r, &in->allowed_names);
    PKI_TRY(give_roles(r, &in->roles, 0, err));
    return give_names(r, &in->allowed_names, err);
}

static account_row_t
account_row(const char *id, const account_input_t *in)
{
    return (account_row_t){ .id = id, .name = in->name, .email = in->email, .allowed_names = in->allowed_names,
                            .disabled = in->disabled };
}

pki_code_t
account_create(req_t *r, pki_err_t *err)
{
    const account_input_t *in = r->in;
    account_row_t          row = account_row(id_choose(r, "user", in->id, in->name), in);
    audit_t                audit;

    PKI_TRY(account_check(r, in, err));
    PKI_TRY(password_make(r->api->passwords, r->a, in->password, &row.password, err));
    audit = audit_of(r, 201);
    PKI_TRY(account_insert(r->api->parts.db, &row, &in->roles, &audit, err));
    audit_kept(r, &audit);
    return row_answer(r, row.id, err);
}

/* Whoever knows the password is the account: it takes all of its rights to set it. */
pki_code_t
account_replace(req_t *r, pki_err_t *err)
{
    const account_input_t *in = r->in;
    account_row_t          row = account_row(r->param[0], in), there;
    actor_row_t            actor;
    audit_t                audit = audit_of(r, 200);

    PKI_TRY(account_find(r->api->parts.db, r->a, row.id, &there, err));
    PKI_TRY(account_check(r, in, err));
    if (in->password != NULL) {
        PKI_TRY(give_identity(r, row.id, "account", &actor, err));
        PKI_TRY(password_make(r->api->passwords, r->a, in->password, &row.password, err));
    }
    PKI_TRY(account_update(r->api->parts.db, &row, r->if_match, &audit, err));
    audit_kept(r, &audit);
    identity_forget(r->api->identities, row.id);
    return row_answer(r, row.id, err);
}

pki_code_t
account_remove(req_t *r, pki_err_t *err)
{
    audit_t audit = audit_of(r, 204);

    PKI_TRY(account_delete(r->api->parts.db, r->param[0], &audit, err));
    audit_kept(r, &audit);
    identity_forget(r->api->identities, r->param[0]);
    return PKI_OK;
}

pki_code_t
account_release(req_t *r, pki_err_t *err)
{
    audit_t audit = audit_of(r, 200);

    PKI_TRY(account_unlock(r->api->parts.db, r->param[0], &audit, err));
    audit_kept(r, &audit);
    return row_answer(r, r->param[0], err);
}

/* ---- certificates ---- */

pki_code_t
certificate_identity_create(req_t *r, pki_err_t *err)
{
    const certificate_identity_t *in = r->in;
    list_row_t                    row;
    audit_t                       audit;

    r->resource = in->certificate_id;
    PKI_TRY(check_found(r, "certificate_id",
                        list_one(r->api->parts.db, r->a, &list_certificates, NULL, in->certificate_id, NULL, &row, err), err));
    allowed_names_check(r, &in->allowed_names);
    PKI_TRY(give_roles(r, &in->roles, 0, err));
    PKI_TRY(give_names(r, &in->allowed_names, err));
    audit = audit_of(r, 201);
    PKI_TRY(certificate_identity_insert(r->api->parts.db, in->certificate_id, &in->allowed_names, &in->roles, &audit, err));
    audit_kept(r, &audit);
    return row_answer(r, in->certificate_id, err);
}

pki_code_t
certificate_identity_remove(req_t *r, pki_err_t *err)
{
    audit_t audit = audit_of(r, 204);

    PKI_TRY(certificate_identity_delete(r->api->parts.db, r->param[0], &audit, err));
    audit_kept(r, &audit);
    identity_forget(r->api->identities, r->param[0]);
    return PKI_OK;
}
