/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The head of the audit's tree, as it is signed, and as it is told in JSON.
 *
 *     head = "chancery audit head 1", log[16], size[8], time[8] (seconds since 1970), root[32]
 *            log: id of the journal of the signer that signs it
 *
 * It begins with a letter, so that it is never taken for anything in DER.
 */
#ifndef PKI_AUDIT_HEAD_H
#define PKI_AUDIT_HEAD_H

#include "pkiproto/audit/merkle.h"
#include "pkiproto/json/field.h"
#include "pkiproto/x509/key.h"

#define AUDIT_LOG_LEN    16
#define AUDIT_HEAD_LEN   (21 + AUDIT_LOG_LEN + 8 + 8 + MERKLE_HASH_LEN)
#define AUDIT_KEY_ID_LEN 16 /* hexadecimal digits: half of the SHA-256 of the SubjectPublicKeyInfo, cut */

typedef struct {
    uint8_t       log[AUDIT_LOG_LEN];
    uint64_t      size;
    int64_t       at;
    merkle_hash_t root;
} audit_head_t;

void       audit_head_build(const audit_head_t *h, uint8_t out[AUDIT_HEAD_LEN]);
pki_code_t audit_head_parse(bytes_t in, audit_head_t *out, pki_err_t *err);

void audit_key_id(bytes_t spki, char out[AUDIT_KEY_ID_LEN + 1]);

/* A signed head in JSON. */
typedef struct {
    int64_t     tree_size, at;
    bytes_t     root, log, signature;
    const char *key_id;
} audit_signed_head_t;
extern const field_t audit_signed_head_fields[];

/* SIGNATURE when it is not that key's. */
pki_code_t audit_signed_head_check(const audit_signed_head_t *h, bytes_t spki, pki_err_t *err);

/* The same with the one of these keys that the head names. */
pki_code_t audit_signed_head_check_any(const audit_signed_head_t *h, const bytes_t *spki, size_t count, pki_err_t *err);

#endif
