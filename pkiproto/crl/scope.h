/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Which certificates of an issuer a CRL is about, and the name under which it is published: the only place
 * that knows how the two are spelled.
 *
 *     {issuer}[.g{generation}][.delta|.s{shard}].crl       iss-local.crl, iss-local.g2.s17.crl
 *
 * Generation 1 is not written.  The names are in certificates (CDP) and never change their meaning.
 */
#ifndef PKI_CRL_SCOPE_H
#define PKI_CRL_SCOPE_H

#include "pkiproto/base/arena.h"

#define CRL_SHARDS_MAX 4096

typedef enum { CRL_FULL, CRL_DELTA, CRL_SHARD } crl_scope_kind_t;

typedef struct {
    crl_scope_kind_t kind;
    uint32_t         shard; /* below CRL_SHARDS_MAX; 0 unless CRL_SHARD */
} crl_scope_t;

/* "full", "delta", "s17": how records and rows name a scope.  NUL-terminated. */
#define CRL_SCOPE_TEXT_MAX 8
void crl_scope_format(crl_scope_t scope, char out[CRL_SCOPE_TEXT_MAX]);
bool crl_scope_parse(bytes_t text, crl_scope_t *out); /* false: no such scope; *out is left alone */

typedef struct {
    bytes_t     issuer;     /* id */
    uint32_t    generation; /* 1 to 255 */
    crl_scope_t scope;
} crl_name_t;

/* NUL-terminated, with suffix (".crl", ".crt", ".json"); false when it does not fit. */
#define CRL_NAME_MAX 128
bool crl_name_format(const crl_name_t *name, const char *suffix, char out[CRL_NAME_MAX]);

/* The suffix may be missing.  False for what crl_name_format() would not have written. */
bool crl_name_parse(bytes_t text, const char *suffix, crl_name_t *out);

/*
 * Where it is published, "{base}/crl/{name}.crl"; NULL when out of memory or too long.  Certificates (CDP), the IDP of
 * shards and freshestCRL all have their URL from here, so that their octets are the same (RFC 5280 5.2.5).
 */
const char *crl_url(pki_arena_t *a, const char *base, const crl_name_t *name);

/* Which of count shards (at least 1) a certificate belongs to: it is written into it, and so is for ever. */
uint32_t crl_shard_of(bytes_t serial, uint32_t count);

#endif
