/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Bearer API keys: 160 random bits, known to the database by their SHA-256 only.  A digest finds the row
 * and is compared once more in constant time; what was good within the last moment is remembered.
 */
#include "orchestrator/api/auth.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/api_key.h"

#define CACHE_SLOTS    256
#define CACHE_TRUST_US 800000 /* less than the second within which a revocation must be in force */
#define TOUCH_AFTER_S  60

typedef struct {
    pki_arena_t  *a; /* NULL: empty */
    api_key_row_t row;
    int64_t       checked_us;
} slot_t;

struct key_cache {
    pthread_mutex_t lock;
    slot_t          slot[CACHE_SLOTS];
};

key_cache_t *
key_cache_new(void)
{
    key_cache_t *c = calloc(1, sizeof(*c));

    if (c != NULL) {
        pthread_mutex_init(&c->lock, NULL);
    }
    return c;
}

void
key_cache_free(key_cache_t *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; i < CACHE_SLOTS; i++) {
        pki_arena_free(c->slot[i].a);
    }
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void
key_cache_forget(key_cache_t *c, const char *key_id)
{
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < CACHE_SLOTS; i++) {
        if (c->slot[i].a != NULL && strcmp(c->slot[i].row.id, key_id) == 0) {
            c->slot[i].checked_us = 0;
        }
    }
    pthread_mutex_unlock(&c->lock);
}

static pki_code_t
row_copy(pki_arena_t *a, const api_key_row_t *in, api_key_row_t *out, pki_err_t *err)
{
    *out = *in;
    PKI_TRY(pki_bytes_dup(a, in->digest, &out->digest, err));
    PKI_TRY(PKI_NEW_N(a, in->permissions.count + 1, &out->permissions.v, err));
    for (size_t i = 0; i < in->permissions.count; i++) {
        out->permissions.v[i] = pki_strdup(a, in->permissions.v[i]);
    }
    out->id = pki_strdup(a, in->id);
    out->name = pki_strdup(a, in->name);
    return out->id != NULL && out->name != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

static bool
cache_find(key_cache_t *c, pki_arena_t *a, bytes_t digest, api_key_row_t *out)
{
    slot_t *s = &c->slot[digest.p[0] % CACHE_SLOTS];
    bool    found;

    pthread_mutex_lock(&c->lock);
    found = s->a != NULL && clock_mono_us() - s->checked_us < CACHE_TRUST_US
            && bytes_eq_secret(s->row.digest, digest)
            && (s->row.expires_at == 0 || s->row.expires_at > clock_now())
            && row_copy(a, &s->row, out, NULL) == PKI_OK;
    pthread_mutex_unlock(&c->lock);
    return found;
}

static void
cache_put(key_cache_t *c, const api_key_row_t *row)
{
    slot_t  fresh = { .a = pki_arena_new(65536), .checked_us = clock_mono_us() }, old;
    slot_t      *s = &c->slot[row->digest.p[0] % CACHE_SLOTS];

    if (fresh.a == NULL || row_copy(fresh.a, row, &fresh.row, NULL) != PKI_OK) {
        pki_arena_free(fresh.a);
        return;
    }
    pthread_mutex_lock(&c->lock);
    old = *s;
    *s = fresh;
    pthread_mutex_unlock(&c->lock);
    pki_arena_free(old.a);
}

static pki_code_t
key_find(req_t *r, bytes_t digest, api_key_row_t *out, pki_err_t *err)
{
    pki_code_t code;

    if (cache_find(r->api->keys, r->a, digest, out)) {
        return PKI_OK;
    }
    code = api_key_find(r->api->parts.db, r->a, digest, out, err);
    if (code == PKI_E_NOT_FOUND || (code == PKI_OK && !bytes_eq_secret(out->digest, digest))) {
        return pki_fail(err, PKI_E_UNAUTHENTICATED, "RFC 6750 3.1", "this API key is not valid");
    }
    if (code != PKI_OK) {
        return code;
    }
    cache_put(r->api->keys, out);
    if (out->last_used_at + TOUCH_AFTER_S < clock_now()
        && api_key_touch(r->api->parts.db, out->id, err) != PKI_OK) {
        log_failure(LOG_WARN, "api.key.touch", err);
    }
    return PKI_OK;
}

/* Permissions that a key has by itself hold everywhere. */
static pki_code_t
own_permissions(req_t *r, const str_list_t *permissions, pki_err_t *err)
{
    str_list_t *kept;

    PKI_TRY(PKI_NEW(r->a, &kept, err));
    PKI_TRY(PKI_NEW(r->a, &r->identity.grants, err));
    *kept = *permissions;
    r->identity.grants[0] = (grant_t){ .permissions = kept, .scope = SCOPE_KINDS };
    r->identity.grant_count = 1;
    return PKI_OK;
}

pki_code_t
auth_identify(req_t *r, pki_err_t *err)
{
    static const char scheme[] = "Bearer ";
    bytes_t           header = pki_secret_bytes(&r->authorization);
    uint8_t           digest[32];
    api_key_row_t     row;

    if (header.p == NULL) {
        return pki_fail(err, PKI_E_UNAUTHENTICATED, "RFC 6750 3", "an API key is needed: Authorization: Bearer KEY");
    }
    if (header.len <= sizeof(scheme) - 1 || strncasecmp((const char *) header.p, scheme, sizeof(scheme) - 1) != 0) {
        return pki_fail(err, PKI_E_UNAUTHENTICATED, "RFC 6750 2.1", "the Authorization header is not: Bearer KEY");
    }
    if (EVP_Digest(header.p + sizeof(scheme) - 1, header.len - (sizeof(scheme) - 1), digest, NULL, EVP_sha256(), NULL)
        != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "SHA-256 failed");
    }
    PKI_TRY(key_find(r, BYTES_ARR(digest), &row, err));
    r->identity.actor = row.id;
    r->identity.type = "api_key";
    return own_permissions(r, &row.permissions, err);
}

static bool
grant_gives(const grant_t *grant, const char *permission)
{
    for (size_t i = 0; i < grant->permissions->count; i++) {
        const char *given = grant->permissions->v[i];

        if (strcmp(given, "*") == 0 || strcmp(given, permission) == 0) {
            return true;
        }
    }
    return false;
}

bool
identity_may(pki_arena_t *a, const identity_t *who, const char *permission, scope_t *out)
{
    bool found = false;

    *out = (scope_t){ 0 };
    for (size_t i = 0; i < who->grant_count; i++) {
        const grant_t *grant = &who->grants[i];
        str_list_t    *ids = grant->scope < SCOPE_KINDS ? &out->ids[grant->scope] : NULL;

        if (!grant_gives(grant, permission)) {
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
    if (EVP_Digest(text, strlen(text), digest, NULL, EVP_sha256(), NULL) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "SHA-256 failed");
    }
    return PKI_OK;
}
