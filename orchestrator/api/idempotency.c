/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Idempotency keys.  A row is written before the handler runs and gets its answer after it.  A row without an answer is of a
 * call that is being served, which this process knows of its own, or of one that was cut off.
 */
#include "orchestrator/api/idempotency.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include "core/log.h"
#include "core/seal.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/idempotency.h"
#include "pkiproto/base/text.h"

#define KEY_MAX       255
#define SERVED_WITHIN 60 /* seconds: no call takes longer, nginx would have given it up */

struct idempotency {
    pthread_mutex_t lock;
    keyed_t        *serving;
    char            holder[256]; /* HOST/PROCESS */
};

pki_code_t
idempotency_open(idempotency_t **out, pki_err_t *err)
{
    idempotency_t *i = calloc(1, sizeof(*i));
    struct utsname host = { 0 };
    uint8_t        random[8];
    char           process[17];

    if (i == NULL || uname(&host) != 0 || RAND_bytes(random, sizeof(random)) != 1) {
        free(i);
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    hex_encode(BYTES_ARR(random), process);
    snprintf(i->holder, sizeof(i->holder), "%.200s/%s", host.nodename, process);
    pthread_mutex_init(&i->lock, NULL);
    *out = i;
    return PKI_OK;
}

void
idempotency_close(idempotency_t *i)
{
    if (i != NULL) {
        pthread_mutex_destroy(&i->lock);
        free(i);
    }
}

/* ---- what this process serves ---- */

static bool
serving_enter(idempotency_t *i, keyed_t *k)
{
    keyed_t *at;

    pthread_mutex_lock(&i->lock);
    for (at = i->serving; at != NULL && (strcmp(at->key, k->key) != 0 || strcmp(at->actor, k->actor) != 0); at = at->next) {
    }
    if (at == NULL) {
        k->next = i->serving;
        i->serving = k;
    }
    pthread_mutex_unlock(&i->lock);
    return at == NULL;
}

static void
serving_leave(idempotency_t *i, const keyed_t *k)
{
    pthread_mutex_lock(&i->lock);
    for (keyed_t **at = &i->serving; *at != NULL; at = &(*at)->next) {
        if (*at == k) {
            *at = k->next;
            break;
        }
    }
    pthread_mutex_unlock(&i->lock);
}

/* Of this host, and another process than this one: there is one at a time, so that it has died. */
static bool
holder_is_dead(const idempotency_t *i, const char *holder)
{
    size_t host = strcspn(i->holder, "/") + 1;

    return strncmp(holder, i->holder, host) == 0 && strcmp(holder, i->holder) != 0;
}

/* ---- requests ---- */

/* A digest of a body with a chosen password must be as hard to guess from as what is kept of the password itself. */
static pki_code_t
request_digest(req_t *r, uint8_t out[SHA256_DIGEST_LENGTH], pki_err_t *err)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool        good = c != NULL && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1
                && EVP_DigestUpdate(c, r->method, strlen(r->method) + 1) == 1
                && EVP_DigestUpdate(c, r->uri, strlen(r->uri) + 1) == 1;

    if (good && r->body_secret) {
        uint8_t salt[SHA256_DIGEST_LENGTH], slow[SHA256_DIGEST_LENGTH];

        SHA256((const uint8_t *) r->keyed.key, strlen(r->keyed.key), salt);
        good = EVP_PBE_scrypt((const char *) r->body, r->body_len, salt, sizeof(salt), 16384, 8, 1, 64u << 20, slow,
                              sizeof(slow)) == 1
               && EVP_DigestUpdate(c, slow, sizeof(slow)) == 1;
    } else if (good && r->body_len > 0) {
        good = EVP_DigestUpdate(c, r->body, r->body_len) == 1;
    }
    good = good && EVP_DigestFinal_ex(c, out, NULL) == 1;
    EVP_MD_CTX_free(c);
    return good ? PKI_OK : pki_fail(err, PKI_E_CRYPTO, NULL, "cannot digest the request");
}

/* With it a second run of an issuance finds the certificate of the first. */
static pki_code_t
transaction_key_make(req_t *r, bytes_t digest, pki_err_t *err)
{
    const char *text = pki_printf(r->a, "api %s %s ", r->keyed.actor, r->keyed.key);
    uint8_t    *in = text != NULL ? pki_alloc(r->a, strlen(text) + digest.len) : NULL, *out = pki_alloc(r->a, 32);

    if (in == NULL || out == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    memcpy(in, text, strlen(text));
    memcpy(in + strlen(text), digest.p, digest.len);
    SHA256(in, strlen(text) + digest.len, out);
    r->transaction_key = bytes_of(out, 32);
    return PKI_OK;
}

static const char *
answer_place(req_t *r)
{
    return pki_printf(r->a, "idempotency:%s:%s:answer", r->keyed.actor, r->keyed.key);
}

/* ---- the answer: kept, and given again ---- */

typedef struct {
    const char *content_type, *disposition, *location, *etag;
} kept_headers_t;

/* clang-format off */
static const field_t kept_fields[] = {
    FIELD_STR(kept_headers_t, content_type, 0, NULL, "Content-Type"),
    FIELD_STR(kept_headers_t, disposition,  0, NULL, "Content-Disposition"),
    FIELD_STR(kept_headers_t, location,     0, NULL, "Location"),
    FIELD_STR(kept_headers_t, etag,         0, NULL, "ETag"),
    FIELD_END };
/* clang-format on */

static pki_code_t
answer_again(req_t *r, const idempotency_row_t *row, pki_err_t *err)
{
    kept_headers_t kept;
    pki_secret_t   secret;
    bytes_t        body = row->answer;
    JSON_AUTO      json = NULL;

    PKI_TRY(json_parse(bytes_str(row->headers), &json, err));
    PKI_TRY(fields_decode(r->a, kept_fields, json, &kept, NULL, err));
    if (row->sealed) {
        PKI_TRY(unseal(r->api->parts.keyring, r->a, answer_place(r), row->answer, &secret, err));
        body = pki_secret_bytes(&secret);
    }
    r->answer = (answer_t){ .status = (int) row->status, .content_type = kept.content_type, .disposition = kept.disposition,
                            .location = kept.location, .etag = kept.etag, .secret = row->sealed, .replayed = true,
                            .body = body.p != NULL ? body : BYTES_LIT("") };
    return PKI_OK;
}

static pki_code_t
answer_keep(req_t *r, idempotency_row_t *row, pki_err_t *err)
{
    const answer_t      *answer = &r->answer;
    const kept_headers_t kept = { answer->content_type, answer->disposition, answer->location, answer->etag };
    JSON_AUTO            json = fields_encode(kept_fields, &kept);
    char                *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;

    if (text == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    PKI_TRY(pki_arena_own(r->a, text, free, err));
    row->headers = text;
    row->status = answer->status;
    row->answer = answer->body;
    row->sealed = answer->secret;
    if (row->sealed) {
        PKI_TRY(seal(r->api->parts.keyring, r->a, answer_place(r), answer->body, &row->answer, err));
    }
    return idempotency_finish(r->api->parts.db, row, err);
}

/* ---- the way in and out ---- */

static pki_code_t
in_progress(req_t *r, pki_err_t *err)
{
    r->retry_after_s = 1;
    return pki_fail(err, PKI_E_CONFLICT, NULL, "the request with this Idempotency-Key is still being served");
}

/* There is a row with that key. */
static pki_code_t
row_judge(req_t *r, const idempotency_row_t *mine, const idempotency_row_t *there, bool *served, pki_err_t *err)
{
    const idempotency_t *i = r->api->idempotency;

    if (!bytes_eq(there->request_hash, mine->request_hash)) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "this Idempotency-Key was used for another request");
    }
    if (there->status != 0) {
        *served = true;
        return answer_again(r, there, err);
    }
    if (strcmp(there->holder, i->holder) != 0 && !holder_is_dead(i, there->holder) && there->age_s < SERVED_WITHIN) {
        return in_progress(r, err);
    }
    if (r->route->flags & R_TRANSACTION) {
        return idempotency_resume(r->api->parts.db, mine, there->holder, err);
    }
    return pki_fail(err, PKI_E_CONFLICT, NULL,
                    "the request with this Idempotency-Key was cut off and its outcome is unknown: look first, then ask again "
                    "with another key");
}

static bool
key_valid(const char *key)
{
    size_t len = strlen(key);

    for (size_t n = 0; n < len; n++) {
        if (key[n] < 0x21 || key[n] > 0x7e) {
            return false;
        }
    }
    return len > 0 && len <= KEY_MAX;
}

static bool
answer_is_secret(const route_t *route)
{
    return route->answer != NULL && fields_secret(route->answer->fields);
}

static pki_code_t
key_check(req_t *r, pki_err_t *err)
{
    if (!key_valid(r->keyed.key)) {
        check_problem(r, "Idempotency-Key", "must have 1 to %d printable characters without spaces", KEY_MAX);
        return check_done(r, err);
    }
    if (answer_is_secret(r->route) && keyring_count(r->api->parts.keyring) == 0) {
        return pki_fail(err, PKI_E_UNSUPPORTED, NULL,
                        "an Idempotency-Key cannot be used here: the answer shows a secret, and there is no master key to "
                        "keep it with");
    }
    return PKI_OK;
}

/* The row as this call would write it. */
static idempotency_row_t
row_of(const req_t *r)
{
    return (idempotency_row_t){ .actor = r->keyed.actor, .key = r->keyed.key, .request_hash = r->keyed.digest,
                                .request_id = r->id, .holder = r->api->idempotency->holder };
}

static pki_code_t
row_begin(req_t *r, bool *served, pki_err_t *err)
{
    idempotency_row_t mine, there;
    uint8_t          *digest = pki_alloc(r->a, SHA256_DIGEST_LENGTH);
    bool              fresh;

    if (digest == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    PKI_TRY(request_digest(r, digest, err));
    r->keyed.digest = bytes_of(digest, SHA256_DIGEST_LENGTH);
    PKI_TRY(transaction_key_make(r, r->keyed.digest, err));
    mine = row_of(r);
    PKI_TRY(idempotency_begin(r->api->parts.db, r->a, &mine, &fresh, &there, err));
    return fresh ? PKI_OK : row_judge(r, &mine, &there, served, err);
}

pki_code_t
idempotency_enter(req_t *r, bool *served, pki_err_t *err)
{
    pki_code_t code;

    *served = false;
    /* Nobody in particular could be shown what was answered to somebody else. */
    if (r->keyed.key == NULL || strcmp(r->method, "POST") != 0 || r->route->reach == REACH_OPEN) {
        return PKI_OK;
    }
    PKI_TRY(key_check(r, err));
    r->keyed.actor = r->identity.actor;
    if (!serving_enter(r->api->idempotency, &r->keyed)) {
        return in_progress(r, err);
    }
    code = row_begin(r, served, err);
    r->keyed.serving = code == PKI_OK && !*served;
    if (!r->keyed.serving) {
        serving_leave(r->api->idempotency, &r->keyed);
    }
    return code;
}

void
idempotency_leave(req_t *r, pki_code_t code)
{
    idempotency_row_t row = row_of(r);
    pki_err_t         err = { 0 };

    if (!r->keyed.serving) {
        return;
    }
    if (code == PKI_OK) {
        code = answer_keep(r, &row, &err);
    } else if (pki_code_http(code) < 500 || r->audited_status == 0) {
        code = idempotency_drop(r->api->parts.db, &row, &err);
    } else {
        code = PKI_OK; /* something was done and could not be answered: nobody does it again */
    }
    if (code != PKI_OK) {
        log_failure(LOG_WARN, "api.idempotency", &err);
    }
    serving_leave(r->api->idempotency, &r->keyed);
    r->keyed.serving = false;
}
