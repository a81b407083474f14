/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Scopes of CRLs and their names.
 */
#include "pkiproto/crl/scope.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#define GENERATION_MAX 255

void
crl_scope_format(crl_scope_t scope, char out[CRL_SCOPE_TEXT_MAX])
{
    switch (scope.kind) {
    case CRL_FULL:
        memcpy(out, "full", sizeof("full"));
        break;
    case CRL_DELTA:
        memcpy(out, "delta", sizeof("delta"));
        break;
    case CRL_SHARD:
        snprintf(out, CRL_SCOPE_TEXT_MAX, "s%u", scope.shard % CRL_SHARDS_MAX);
        break;
    }
}

/* Decimal without leading zeros, at most max. */
static bool
number_parse(bytes_t text, uint32_t max, uint32_t *out)
{
    *out = 0;
    if (text.len == 0 || text.len > 5 || (text.p[0] == '0' && text.len > 1)) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') {
            return false;
        }
        *out = *out * 10 + (uint32_t) (text.p[i] - '0');
    }
    return *out <= max;
}

bool
crl_scope_parse(bytes_t text, crl_scope_t *out)
{
    uint32_t shard = 0;

    if (bytes_eq(text, BYTES_LIT("full"))) {
        *out = (crl_scope_t){ CRL_FULL, 0 };
        return true;
    }
    if (bytes_eq(text, BYTES_LIT("delta"))) {
        *out = (crl_scope_t){ CRL_DELTA, 0 };
        return true;
    }
    if (text.len > 1 && text.p[0] == 's'
        && number_parse(bytes_of(text.p + 1, text.len - 1), CRL_SHARDS_MAX - 1, &shard)) {
        *out = (crl_scope_t){ CRL_SHARD, shard };
        return true;
    }
    return false;
}

bool
crl_name_format(const crl_name_t *name, const char *suffix, char out[CRL_NAME_MAX])
{
    char generation[8] = "", scope[CRL_SCOPE_TEXT_MAX + 1] = "";
    int  n;

    if (name->generation != 1) {
        snprintf(generation, sizeof(generation), ".g%u", name->generation % (GENERATION_MAX + 1));
    }
    if (name->scope.kind != CRL_FULL) {
        scope[0] = '.';
        crl_scope_format(name->scope, scope + 1);
    }
    n = snprintf(out, CRL_NAME_MAX, "%.*s%s%s%s", (int) name->issuer.len, (const char *) name->issuer.p, generation,
                 scope, suffix);
    return n > 0 && n < CRL_NAME_MAX;
}

/* Cut the last ".part" off; absent when there is no dot. */
static bytes_t
last_part(bytes_t *text)
{
    size_t  at = text->len;
    bytes_t part;

    while (at > 0 && text->p[at - 1] != '.') {
        at--;
    }
    if (at == 0) {
        return BYTES_NONE;
    }
    part = bytes_of(text->p + at, text->len - at);
    text->len = at - 1;
    return part;
}

bool
crl_name_parse(bytes_t text, const char *suffix, crl_name_t *out)
{
    size_t  len = strlen(suffix);
    bytes_t part;

    if (text.len > len && memcmp(text.p + text.len - len, suffix, len) == 0) {
        text.len -= len;
    }
    *out = (crl_name_t){ .generation = 1 };
    part = last_part(&text);
    if (part.p != NULL && crl_scope_parse(part, &out->scope)) {
        if (out->scope.kind == CRL_FULL) {
            return false; /* written as nothing */
        }
        part = last_part(&text);
    }
    if (part.p != NULL) {
        if (part.len < 2 || part.p[0] != 'g'
            || !number_parse(bytes_of(part.p + 1, part.len - 1), GENERATION_MAX, &out->generation)
            || out->generation < 2) {
            return false;
        }
    }
    out->issuer = text;
    return text.len > 0 && memchr(text.p, '.', text.len) == NULL;
}

const char *
crl_url(pki_arena_t *a, const char *base, const crl_name_t *name)
{
    char   text[CRL_NAME_MAX];
    size_t len = strlen(base);

    while (len > 0 && base[len - 1] == '/') {
        len--;
    }
    return crl_name_format(name, ".crl", text) ? pki_printf(a, "%.*s/crl/%s", (int) len, base, text) : NULL;
}

uint32_t
crl_shard_of(bytes_t serial, uint32_t count)
{
    uint8_t  hash[SHA256_DIGEST_LENGTH];
    uint32_t first;

    SHA256(serial.p, serial.len, hash);
    first = (uint32_t) hash[0] << 24 | (uint32_t) hash[1] << 16 | (uint32_t) hash[2] << 8 | hash[3];
    return first % count;
}
