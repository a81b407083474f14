/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What a request presents: an API key (160 random bits), a session's cookie (256), or a certificate whose key TLS has
 * proved.  The database knows each by its SHA-256, which finds the row and is compared once more in constant time.
 */
#include "orchestrator/api/auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <strings.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/api_key.h"
#include "orchestrator/store/session.h"
#include "pkiproto/base/ossl.h"
#include "pkiproto/base/text.h"
#include "pkiproto/x509/cert.h"

#define TOUCH_AFTER_S 60

/* What was presented, and how it is looked up and noted as used. */
typedef struct {
    uint8_t     digest[32];
    bytes_t     serial; /* of a certificate */
    pki_code_t  (*find)(req_t *r, pki_arena_t *a, const void *shown, actor_row_t *out, pki_err_t *err);
    pki_code_t  (*touch)(db_t *db, const char *id, pki_err_t *err); /* NULL: it is not */
    const char *refusal, *clause;
} shown_t;

static pki_code_t
digest_of(bytes_t in, uint8_t out[32], pki_err_t *err)
{
    return EVP_Digest(in.p, in.len, out, NULL, ossl_sha256(), NULL) == 1 ? PKI_OK
                                                                         : pki_fail(err, PKI_E_CRYPTO, NULL, "SHA-256 failed");
}

/* ---- API keys: RFC 6750 ---- */

static pki_code_t
key_find(req_t *r, pki_arena_t *a, const void *shown, actor_row_t *out, pki_err_t *err)
{
    return actor_of_key(r->api->parts.db, a, bytes_of(((const shown_t *) shown)->digest, 32), out, err);
}

static pki_code_t
key_show(req_t *r, shown_t *out, pki_err_t *err)
{
    static const char scheme[] = "Bearer ";
    bytes_t           header = pki_secret_bytes(&r->authorization);

    if (header.len <= sizeof(scheme) - 1 || strncasecmp((const char *) header.p, scheme, sizeof(scheme) - 1) != 0) {
        return pki_fail(err, PKI_E_UNAUTHENTICATED, "RFC 6750 2.1", "the Authorization header is not: Bearer KEY");
    }
    out->find = key_find;
    out->touch = api_key_touch;
    out->refusal = "this API key is not valid";
    out->clause = "RFC 6750 3.1";
    return digest_of(bytes_of(header.p + sizeof(scheme) - 1, header.len - (sizeof(scheme) - 1)), out->digest, err);
}

/* ---- sessions ---- */

static pki_code_t
session_find(req_t *r, pki_arena_t *a, const void *shown, actor_row_t *out, pki_err_t *err)
{
    return actor_of_session(r->api->parts.db, a, bytes_of(((const shown_t *) shown)->digest, 32),
                            r->api->parts.conf->session.idle_s, out, err);
}

static pki_code_t
session_show(req_t *r, shown_t *out, pki_err_t *err)
{
    out->find = session_find;
    out->touch = session_touch;
    out->refusal = "this session is over: log in again";
    return digest_of(pki_secret_bytes(&r->cookie), out->digest, err);
}

pki_code_t
session_generate(char text[SESSION_TOKEN_LEN + 1], uint8_t digest[32], pki_err_t *err)
{
    uint8_t random[SESSION_TOKEN_LEN / 2];

    if (RAND_bytes(random, sizeof(random)) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "no random octets");
    }
    hex_encode(BYTES_ARR(random), text);
    OPENSSL_cleanse(random, sizeof(random));
    return digest_of(bytes_str(text), digest, err);
}

/* Made of the cookie, which no script and no other site can read. */
pki_code_t
session_csrf(const char *cookie, char out[SESSION_TOKEN_LEN + 1], pki_err_t *err)
{
    static const uint8_t text[] = "chancery csrf";
    uint8_t              mac[32];
    unsigned             len;

    if (HMAC(EVP_sha256(), cookie, (int) strlen(cookie), text, sizeof(text) - 1, mac, &len) == NULL) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "HMAC failed");
    }
    hex_encode(BYTES_ARR(mac), out);
    OPENSSL_cleanse(mac, sizeof(mac));
    return PKI_OK;
}

/* ---- certificates ---- */

static pki_code_t
certificate_find(req_t *r, pki_arena_t *a, const void *shown, actor_row_t *out, pki_err_t *err)
{
    const shown_t *s = shown;

    return actor_of_certificate(r->api->parts.db, a, s->serial, bytes_of(s->digest, 32), out, err);
}

/* What nginx has escaped: every octet but unreserved ones as %XX. */
static bool
unescape(const char *in, uint8_t *out, size_t *len)
{
    size_t n;

    for (*len = 0; *in != '\0'; in++) {
        if (*in != '%') {
            out[(*len)++] = (uint8_t) *in;
        } else if (hex_decode(bytes_of(in + 1, strnlen(in + 1, 2)), out + *len, 1, &n, NULL) == PKI_OK && n == 1) {
            (*len)++;
            in += 2;
        } else {
            return false;
        }
    }
    return true;
}

static pki_code_t
certificate_show(req_t *r, shown_t *out, pki_err_t *err)
{
    uint8_t    *pem = pki_alloc(r->a, strlen(r->certificate) + 1);
    size_t      len;
    cert_list_t list;
    cert_t      cert;

    if (pem == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    if (!unescape(r->certificate, pem, &len) || cert_decode(r->a, bytes_of(pem, len), 1, &list, NULL) != PKI_OK
        || cert_parse(r->a, list.v[0], &cert, NULL) != PKI_OK) {
        return pki_fail(err, PKI_E_UNAUTHENTICATED, NULL, "the client certificate cannot be read");
    }
    out->find = certificate_find;
    out->refusal = "the client certificate is not a good one of ours that is registered for this API";
    out->serial = cert.serial;
    return digest_of(list.v[0], out->digest, err);
}

/* ---- identities ---- */

/* Permissions that an actor has by itself hold everywhere. */
static pki_code_t
grants_read(req_t *r, pki_arena_t *a, const actor_row_t *row, identity_t *out, pki_err_t *err)
{
    grant_t *list;

    PKI_TRY(grant_list(r->api->parts.db, a, row->id, &list, &out->grant_count, err));
    if (row->permissions.count > 0) {
        *--list = (grant_t){ .permissions = row->permissions, .scope = SCOPE_KINDS };
        out->grant_count++;
    }
    out->grants = list;
    return PKI_OK;
}

static pki_code_t
identity_read(req_t *r, const shown_t *shown, known_t *k, pki_err_t *err)
{
    db_t       *db = r->api->parts.db;
    actor_row_t row;
    pki_err_t   why = { 0 };
    pki_code_t  code = shown->find(r, k->a, shown, &row, err);

    if (code == PKI_E_NOT_FOUND || (code == PKI_OK && !bytes_eq_secret(row.digest, bytes_of(shown->digest, 32)))) {
        return pki_fail(err, PKI_E_UNAUTHENTICATED, shown->clause, "%s", shown->refusal);
    }
    PKI_TRY(code);
    k->who = (identity_t){ .actor = row.id, .type = row.type, .name = row.name, .session = row.session_id,
                           .allowed_names = row.allowed_names, .ends_at = row.ends_at };
    k->expires_at = row.expires_at;
    PKI_TRY(grants_read(r, k->a, &row, &k->who, err));
    if (shown->touch != NULL && row.used_at + TOUCH_AFTER_S < clock_now()
        && shown->touch(db, row.session_id != NULL ? row.session_id : row.id, &why) != PKI_OK) {
        log_failure(LOG_WARN, "api.touch", &why);
    }
    return PKI_OK;
}

static pki_code_t
identity_take(req_t *r, const shown_t *shown, pki_err_t *err)
{
    identity_cache_t *cache = r->api->identities;
    uint64_t          epoch = identity_epoch(cache);
    known_t          *k = identity_recall(cache, shown->digest);

    if (k == NULL) {
        k = identity_new(shown->digest);
        if (k == NULL) {
            return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
        }
        r->known = k; /* released with the request, also when it turns out to be nobody */
        PKI_TRY(identity_read(r, shown, k, err));
        identity_keep(cache, k, epoch);
    }
    r->known = k;
    r->identity = k->who;
    return PKI_OK;
}

static bool
is_safe(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

/*
 * A browser sends cookies and certificates along with what another site made it ask for.  With a cookie the caller has to
 * know what only our pages can; with a certificate it must not be a browser, which names the site that asks.
 */
static pki_code_t
forgery_check(req_t *r, pki_err_t *err)
{
    char wanted[SESSION_TOKEN_LEN + 1];

    if (is_safe(r->method) || r->authorization.p != NULL) {
        return PKI_OK;
    }
    if (r->cookie.p == NULL) {
        return r->origin == NULL ? PKI_OK
                                 : pki_fail(err, PKI_E_FORBIDDEN, NULL, "browsers log in: certificates are for programs");
    }
    PKI_TRY(session_csrf((const char *) r->cookie.p, wanted, err));
    if (r->csrf == NULL || !bytes_eq_secret(bytes_str(r->csrf), bytes_str(wanted))) {
        return pki_fail(err, PKI_E_FORBIDDEN, NULL, "a session's changes need its X-CSRF-Token");
    }
    return PKI_OK;
}

/* What is presented first in this order; false: nothing is. */
static bool
shown_find(req_t *r, shown_t *out, pki_code_t *code, pki_err_t *err)
{
    const struct {
        bool       there;
        pki_code_t (*show)(req_t *r, shown_t *out, pki_err_t *err);
    } ways[] = {
        { r->authorization.p != NULL, key_show },
        { r->cookie.p != NULL, session_show },
        { r->certificate != NULL, certificate_show },
    };

    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        if (ways[i].there) {
            *code = ways[i].show(r, out, err);
            return true;
        }
    }
    return false;
}

bool
auth_recalled(req_t *r)
{
    shown_t    shown = { .clause = NULL };
    pki_code_t code;

    if (shown_find(r, &shown, &code, NULL) && code == PKI_OK) {
        r->known = identity_recall(r->api->identities, shown.digest);
    }
    return r->known != NULL;
}

pki_code_t
auth_identify(req_t *r, pki_err_t *err)
{
    shown_t    shown = { .clause = NULL };
    pki_code_t code;

    if (r->known != NULL) {
        r->identity = r->known->who;
        return forgery_check(r, err);
    }
    if (!shown_find(r, &shown, &code, err)) {
        return pki_fail(err, PKI_E_UNAUTHENTICATED, "RFC 6750 3", "an API key is needed: Authorization: Bearer KEY");
    }
    PKI_TRY(code);
    PKI_TRY(identity_take(r, &shown, err));
    return forgery_check(r, err);
}

bool
grant_gives(const grant_t *grant, const char *permission)
{
    for (size_t i = 0; i < grant->permissions.count; i++) {
        const char *given = grant->permissions.v[i];

        if (strcmp(given, "*") == 0 || strcmp(given, permission) == 0) {
            return true;
        }
    }
    return false;
}

bool
identity_may(pki_arena_t *a, const identity_t *who, const char *permission, scope_t *out)
{
    int64_t now = clock_now();
    bool    found = false;

    *out = (scope_t){ 0 };
    for (size_t i = 0; i < who->grant_count; i++) {
        const grant_t *grant = &who->grants[i];
        str_list_t    *ids = grant->scope < SCOPE_KINDS ? &out->ids[grant->scope] : NULL;

        if (!grant_gives(grant, permission) || (grant->expires_at != 0 && grant->expires_at <= now)) {
            continue;
        }
        if (ids == NULL) {
            out->all = true;
            return true;
        }
        if (ids->v == NULL && (ids->v = pki_alloc(a, who->grant_count * sizeof(*ids->v))) == NULL) {
            continue; /* less is never too much */
        }
        ids->v[ids->count++] = grant->scope_id;
        found = true;
    }
    return found;
}

pki_code_t
reach_check(req_t *r, const scope_of_t *of, pki_err_t *err)
{
    if (!scope_has(&r->scope, of)) {
        return pki_fail(err, PKI_E_FORBIDDEN, NULL, "your permission %s does not reach that far", r->route->permission);
    }
    return PKI_OK;
}

pki_code_t
auth_permit(req_t *r, pki_err_t *err)
{
    const route_t *route = r->route;
    list_row_t     row;

    if (route->reach == REACH_SELF) {
        return PKI_OK;
    }
    if (!identity_may(r->a, &r->identity, route->permission, &r->scope)) {
        return pki_fail(err, PKI_E_FORBIDDEN, NULL, "this needs the permission %s", route->permission);
    }
    if (route->reach == REACH_ALL && !r->scope.all) {
        return pki_fail(err, PKI_E_FORBIDDEN, NULL, "this needs the permission %s without a scope", route->permission);
    }
    if (route->reach == REACH_ROW && !r->scope.all) {
        return list_one(r->api->parts.db, r->a, route->reach_of, NULL, r->param[0], &r->scope, &row, err);
    }
    return PKI_OK;
}

pki_code_t
api_key_generate(char text[API_KEY_TEXT_MAX], uint8_t digest[32], pki_err_t *err)
{
    char token[PKI_TOKEN_LEN + 1];

    PKI_TRY(pki_token_generate(token, err));
    snprintf(text, API_KEY_TEXT_MAX, "%s%s", API_KEY_PREFIX, token);
    explicit_bzero(token, sizeof(token));
    return digest_of(bytes_str(text), digest, err);
}

bool
auth_holds(const req_t *r)
{
    req_t      again = *r;
    pki_err_t  err = { 0 };
    pki_code_t code = PKI_OK;

    again.a = pki_arena_new(0);
    if (again.a != NULL) {
        again.identity = (identity_t){ .actor = "anonymous", .type = "anonymous" };
        again.known = NULL;
        code = auth_identify(&again, &err);
        code = code == PKI_OK ? auth_permit(&again, &err) : code;
        identity_release(again.known);
    }
    pki_arena_free(again.a);
    return code != PKI_E_UNAUTHENTICATED && code != PKI_E_FORBIDDEN;
}
