/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The first administrator's API key: made by whoever may read the configuration (`chanceryd bootstrap-key`), or once by
 * whoever knows the token in it (POST /api/v1/auth/bootstrap), while nobody may do everything.
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "core/file.h"
#include "core/log.h"
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/api_key.h"
#include "pkiproto/base/text.h"

#define TOKEN_FILE_MAX 4096

typedef struct {
    bool open;
} bootstrap_state_t;

typedef struct {
    const char *token, *name;
} bootstrap_claim_t;

typedef struct {
    const char *id, *name, *key;
} bootstrap_made_t;

/* clang-format off */
static const field_t bootstrap_state_fields[] = {
    FIELD_BOOL(bootstrap_state_t, open, F_REQUIRED, "false", "whether the first administrator can still be made with the token"),
    FIELD_END };

static const field_t bootstrap_claim_fields[] = {
    FIELD_TEXT(bootstrap_claim_t, token, F_REQUIRED | F_SECRET | F_WRITEONLY, 1, 1024, "the token of the configuration"),
    FIELD_TEXT(bootstrap_claim_t, name,  F_REQUIRED, 1, 200,                           "what the key is called"),
    FIELD_END };

static const field_t bootstrap_made_fields[] = {
    FIELD_STR(bootstrap_made_t, id,   F_REQUIRED, NULL,                        "id of the key"),
    FIELD_STR(bootstrap_made_t, name, F_REQUIRED, NULL,                        "its name"),
    FIELD_STR(bootstrap_made_t, key,  F_REQUIRED | F_SECRET | F_CARRIED, NULL, "the key, shown here only: it may do everything"),
    FIELD_END };
/* clang-format on */

const shape_t shape_bootstrap_state = SHAPE("BootstrapState", bootstrap_state_t, bootstrap_state_fields);
const shape_t shape_bootstrap_claim = SHAPE("BootstrapClaim", bootstrap_claim_t, bootstrap_claim_fields);
const shape_t shape_bootstrap_made = SHAPE("BootstrapMade", bootstrap_made_t, bootstrap_made_fields);

/* A key for everything: its row, but for the name, in memory of the caller's. */
typedef struct {
    char          text[API_KEY_TEXT_MAX], id[32];
    uint8_t       digest[32];
    api_key_row_t row;
} first_key_t;

static pki_code_t
first_key_make(const char *name, first_key_t *out, pki_err_t *err)
{
    static const char *all[] = { "*" };
    char               hex[17];

    PKI_TRY(api_key_generate(out->text, out->digest, err));
    hex_encode(bytes_of(out->digest, 8), hex);
    snprintf(out->id, sizeof(out->id), "key-%s", hex);
    out->row = (api_key_row_t){ .id = out->id, .name = name, .digest = BYTES_ARR(out->digest), .permissions = { all, 1 } };
    return PKI_OK;
}

/* ---- by token ---- */

/* Whether there is one at all, and whether this is it; compared by digests, which have one length. */
static pki_code_t
token_check(req_t *r, const char *shown, bool *there, bool *right, pki_err_t *err)
{
    const conf_t *conf = r->api->parts.conf;
    uint8_t       want[32], have[32];
    pki_secret_t  file = { 0 };
    bytes_t       token = bytes_str(conf->bootstrap_token);

    if (token.len == 0 && conf->bootstrap_token_file[0] != '\0') {
        pki_code_t code = file_read_secret(r->a, conf->bootstrap_token_file, TOKEN_FILE_MAX, &file, err);

        if (code != PKI_OK && code != PKI_E_NOT_FOUND) {
            return code;
        }
        token = code == PKI_OK ? pki_secret_bytes(&file) : BYTES_NONE;
    }
    *there = token.len >= BOOTSTRAP_TOKEN_MIN;
    if (EVP_Digest(token.p, token.len, want, NULL, EVP_sha256(), NULL) != 1
        || EVP_Digest(shown, strlen(shown), have, NULL, EVP_sha256(), NULL) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "SHA-256 failed");
    }
    *right = *there && bytes_eq_secret(BYTES_ARR(want), BYTES_ARR(have));
    return PKI_OK;
}

pki_code_t
bootstrap_get(req_t *r, pki_err_t *err)
{
    bootstrap_state_t out = { false };
    bool              there, right;

    PKI_TRY(token_check(r, "", &there, &right, err));
    if (there) {
        PKI_TRY(bootstrap_open(r->api->parts.db, r->a, &out.open, err));
    }
    return answer_struct(r, &out, err);
}

pki_code_t
bootstrap_create(req_t *r, pki_err_t *err)
{
    const bootstrap_claim_t *in = r->in;
    bool                     there, right;
    first_key_t              key;
    pki_secret_t             secret;
    audit_t                  audit;
    bootstrap_made_t         out = { .name = in->name };

    check_name(r, in->name);
    PKI_TRY(check_done(r, err));
    PKI_TRY(token_check(r, in->token, &there, &right, err));
    if (!right) {
        return there ? pki_fail(err, PKI_E_UNAUTHENTICATED, NULL, "this is not the bootstrap token")
                     : pki_fail(err, PKI_E_CONFLICT, NULL, "no bootstrap token is configured");
    }
    PKI_TRY(first_key_make(in->name, &key, err));
    r->resource = out.id = pki_strdup(r->a, key.id);
    r->identity.actor = "bootstrap";
    r->identity.type = "system";
    audit = audit_of(r, 201);
    PKI_TRY(bootstrap_claim(r->api->parts.db, &key.row, &audit, err));
    audit_kept(r, &audit);
    PKI_TRY(pki_secret_new(r->a, bytes_str(key.text), &secret, err));
    OPENSSL_cleanse(key.text, sizeof(key.text));
    out.key = (const char *) secret.p;
    r->answer.secret = true;
    return answer_struct(r, &out, err);
}

/* ---- from the command line ---- */

static pki_code_t
key_insert(db_t *db, const char *name, first_key_t *key, pki_err_t *err)
{
    audit_t audit = { .actor = "chanceryd", .actor_type = "system", .action = "api_key.create", .resource_type = "api_key",
                      .resource_id = key->id, .status = 201 };

    PKI_TRY(first_key_make(name, key, err));
    return api_key_insert(db, &key->row, NULL, &audit, err);
}

int
api_bootstrap_key(const conf_t *conf, const char *name)
{
    first_key_t key;
    pki_err_t   err = { 0 };
    db_t       *db = NULL;
    pki_code_t  code = db_open(&conf->database, &db, &err);

    if (code == PKI_OK) {
        code = key_insert(db, name, &key, &err);
    }
    if (code == PKI_OK) {
        printf("%s\n", key.text);
        OPENSSL_cleanse(&key, sizeof(key));
    } else {
        log_failure(LOG_ERROR, "bootstrap.failed", &err);
    }
    if (db != NULL) {
        db_close(db);
    }
    return code == PKI_OK ? 0 : 1;
}
