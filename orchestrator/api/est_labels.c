/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * EST labels and the credentials of their users.  A generated password is stored as its SHA-256 and shown
 * once; one that a person chose is stored as scrypt's output with its parameters.
 */
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "core/clock.h"
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/rights.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/est.h"
#include "orchestrator/store/issuer.h"
#include "orchestrator/store/profile.h"
#include "pkiproto/base/text.h"

#define LABEL_CHARS  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-"
#define LABEL_MAX    64

typedef struct {
    const char *user_name, *password;
    str_list_t  allowed_names;
    int64_t     expires_at;
} credential_new_t;

typedef struct {
    const char *id, *label_id, *user_name, *kind, *password;
    str_list_t  allowed_names;
    int64_t     expires_at;
} credential_t;

/* clang-format off */
static const field_t credential_new_fields[] = {
    FIELD_TEXT(credential_new_t, user_name,  F_REQUIRED, 1, 128,                   "name the device authenticates with; no colon"),
    FIELD_TEXT(credential_new_t, password,   F_SECRET | F_WRITEONLY, PASSWORD_MIN, PASSWORD_MAX, "chosen password; absent: one is generated and answered once"),
    FIELD_STRS(credential_new_t, allowed_names, 0, NULL,                           ALLOWED_NAMES_HELP),
    FIELD_TIME(credential_new_t, expires_at, 0,                                    "when it stops being valid; absent: never"),
    FIELD_END };

static const char *const kinds[] = { "sha256", "scrypt", NULL };

static const field_t credential_fields[] = {
    FIELD_STR (credential_t, id,         F_REQUIRED, NULL,            "id of the credential"),
    FIELD_STR (credential_t, label_id,   F_REQUIRED, NULL,            "label it is good for"),
    FIELD_STR (credential_t, user_name,  F_REQUIRED, NULL,            "name the device authenticates with"),
    FIELD_ENUM(credential_t, kind,       F_REQUIRED, NULL, kinds,     "how it is stored: generated (sha256) or chosen (scrypt)"),
    FIELD_STR (credential_t, password,   F_SECRET | F_CARRIED, NULL,  "the generated password, shown here only"),
    FIELD_STRS(credential_t, allowed_names, F_REQUIRED, NULL,         "names that the user may ask for; empty: any"),
    FIELD_TIME(credential_t, expires_at, 0,                           "when it stops being valid"),
    FIELD_END };
/* clang-format on */

const shape_t shape_est_label = SHAPE("EstLabelInput", est_label_row_t, est_label_fields);
const shape_t shape_est_credential_new = SHAPE("EstCredentialNew", credential_new_t, credential_new_fields);
const shape_t shape_est_credential = SHAPE("EstCredential", credential_t, credential_fields);

/* ---- labels ---- */

static void
trust_check(req_t *r, const char *pem)
{
    cert_list_t list;
    pki_err_t   why = { 0 };

    if (pem == NULL) {
        return;
    }
    if (cert_decode(r->a, bytes_str(pem), EDGE_TRUST_MAX, &list, &why) != PKI_OK) {
        check_problem(r, "trust_pem", "%s", why.text);
        return;
    }
    for (size_t i = 0; i < list.count; i++) {
        cert_t cert;

        if (cert_parse(r->a, list.v[i], &cert, &why) != PKI_OK) {
            check_problem(r, "trust_pem", "certificate %zu: %s", i + 1, why.text);
        } else if (!cert.is_ca) {
            check_problem(r, "trust_pem", "certificate %zu is not of a CA", i + 1);
        }
    }
}

/* A segment of the path below /.well-known/est, and not the name of an operation (RFC 7030 3.2.2). */
static void
label_name_check(req_t *r, const char *name)
{
    static const char *const operations[] = { "cacerts",     "simpleenroll", "simplereenroll", "fullcmc",
                                              "serverkeygen", "csrattrs",     ".",              ".." };
    size_t                   len = strspn(name, LABEL_CHARS);

    if (len == 0 || len > LABEL_MAX || name[len] != '\0') {
        check_problem(r, "name", "must have 1 to %d of A-Z, a-z, 0-9 and ._~-", LABEL_MAX);
    }
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        if (strcmp(name, operations[i]) == 0) {
            check_problem(r, "name", "is the name of an operation of EST");
        }
    }
}

/* What the field table cannot say: things that are named exist, somebody can authenticate. */
static pki_code_t
label_check(req_t *r, const est_label_row_t *row, pki_err_t *err)
{
    db_t          *db = r->api->parts.db;
    issuer_chain_t issuer;
    profile_row_t  profile;

    label_name_check(r, row->name);
    PKI_TRY(check_found(r, "issuer_id", issuer_row_find(db, r->a, row->issuer_id, &issuer, err), err));
    if (issuer.issuer.retired_at != 0) {
        check_problem(r, "issuer_id", "is retired");
    }
    PKI_TRY(check_found(r, "profile_id", profile_find(db, r->a, row->profile_id, &profile, err), err));
    if (!row->auth_basic && !row->auth_certificate) {
        check_problem(r, "auth_basic", "one of auth_basic and auth_certificate must be true");
    }
    trust_check(r, row->trust_pem);
    allowed_names_check(r, &row->allowed_names);
    PKI_TRY(check_meta(r, &(issue_meta_t){ row->owner_id, row->team_id, row->environment, row->renewal_policy_id, NULL },
                       err));
    PKI_TRY(check_done(r, err));
    PKI_TRY(give_names(r, &row->allowed_names, err));
    return reach_check(r, &(scope_of_t){ { [SCOPE_ISSUER] = row->issuer_id, [SCOPE_PROFILE] = row->profile_id } }, err);
}

pki_code_t
est_label_create(req_t *r, pki_err_t *err)
{
    est_label_row_t *row = r->in;
    audit_t          audit;

    row->id = id_choose(r, "est", row->id, row->name);
    PKI_TRY(label_check(r, row, err));
    audit = audit_of(r, 201);
    PKI_TRY(est_label_insert(r->api->parts.db, row, &audit, err));
    audit_kept(r, &audit);
    PKI_TRY(edge_follow(r, err));
    return row_answer(r, row->id, err);
}

pki_code_t
est_label_replace(req_t *r, pki_err_t *err)
{
    est_label_row_t *row = r->in, there;
    audit_t          audit = audit_of(r, 200);

    PKI_TRY(est_label_find(r->api->parts.db, r->a, r->param[0], &there, err));
    PKI_TRY(check_same_id(r, row->id, err));
    row->id = r->param[0];
    PKI_TRY(label_check(r, row, err));
    PKI_TRY(est_label_update(r->api->parts.db, row, r->if_match, &audit, err));
    audit_kept(r, &audit);
    PKI_TRY(edge_follow(r, err));
    return row_answer(r, row->id, err);
}

pki_code_t
est_label_remove(req_t *r, pki_err_t *err)
{
    audit_t audit = audit_of(r, 204);

    PKI_TRY(est_label_delete(r->api->parts.db, r->param[0], &audit, err));
    audit_kept(r, &audit);
    return edge_follow(r, err);
}

/* ---- credentials ---- */

static pki_code_t
password_generate(req_t *r, credential_t *shown, est_credential_row_t *row, pki_err_t *err)
{
    char         token[PKI_TOKEN_LEN + 1];
    uint8_t     *digest;
    pki_secret_t secret;

    PKI_TRY(PKI_NEW_N(r->a, 32, &digest, err));
    PKI_TRY(pki_token_generate(token, err));
    PKI_TRY(pki_secret_new(r->a, bytes_str(token), &secret, err));
    explicit_bzero(token, sizeof(token));
    if (EVP_Digest(secret.p, secret.len, digest, NULL, EVP_sha256(), NULL) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "SHA-256 failed");
    }
    shown->password = (const char *) secret.p;
    row->kind = "sha256";
    row->digest = bytes_of(digest, 32);
    return PKI_OK;
}

static pki_code_t
password_hash(req_t *r, const char *password, est_credential_row_t *row, pki_err_t *err)
{
    password_t made = { .id = row->id };

    PKI_TRY(password_make(r->api->passwords, r->a, password, &made, err));
    row->kind = "scrypt";
    row->salt = made.salt;
    row->digest = made.digest;
    row->scrypt_n = made.n;
    row->scrypt_r = made.r;
    row->scrypt_p = made.p;
    return PKI_OK;
}

static pki_code_t
credential_id(req_t *r, const char **out, pki_err_t *err)
{
    uint8_t random[8];
    char    hex[2 * sizeof(random) + 1];

    if (RAND_bytes(random, sizeof(random)) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "no random octets");
    }
    hex_encode(BYTES_ARR(random), hex);
    *out = pki_printf(r->a, "cred-%s", hex);
    return *out != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

static pki_code_t
credential_check(req_t *r, const credential_new_t *in, pki_err_t *err)
{
    if (strchr(in->user_name, ':') != NULL) {
        check_problem(r, "user_name", "must not contain a colon (RFC 7617 2)");
    }
    for (const char *p = in->user_name; *p != '\0'; p++) {
        if ((unsigned char) *p < 0x20 || *p == 0x7f) {
            check_problem(r, "user_name", "must not contain control characters");
            break;
        }
    }
    if (in->expires_at != 0 && in->expires_at <= clock_now()) {
        check_problem(r, "expires_at", "is in the past");
    }
    allowed_names_check(r, &in->allowed_names);
    PKI_TRY(check_done(r, err));
    return give_names(r, &in->allowed_names, err);
}

pki_code_t
est_credential_create(req_t *r, pki_err_t *err)
{
    const credential_new_t *in = r->in;
    est_credential_row_t    row = { .label_id = r->param[0], .user_name = in->user_name, .allowed_names = in->allowed_names,
                                    .expires_at = in->expires_at };
    credential_t            out = { .label_id = row.label_id, .user_name = row.user_name, .allowed_names = in->allowed_names,
                                    .expires_at = row.expires_at };
    audit_t                 audit;

    PKI_TRY(credential_check(r, in, err));
    PKI_TRY(credential_id(r, &row.id, err));
    PKI_TRY(in->password != NULL ? password_hash(r, in->password, &row, err) : password_generate(r, &out, &row, err));
    r->resource = row.id;
    audit = audit_of(r, 201);
    PKI_TRY(est_credential_insert(r->api->parts.db, &row, &audit, err));
    audit_kept(r, &audit);
    PKI_TRY(edge_follow(r, err));
    out.id = row.id;
    out.kind = row.kind;
    r->answer.secret = true;
    return answer_struct(r, &out, err);
}

pki_code_t
est_credential_remove(req_t *r, pki_err_t *err)
{
    audit_t audit;

    r->resource = r->param[1];
    audit = audit_of(r, 204);
    PKI_TRY(est_credential_revoke(r->api->parts.db, r->param[0], r->param[1], &audit, err));
    audit_kept(r, &audit);
    return edge_follow(r, err);
}
