/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Signed heads: octets, JSON, and their checks.
 */
#include "pkiproto/audit/head.h"

#include <openssl/sha.h>

#include "pkiproto/base/text.h"

static const char head_context[] = "chancery audit head 1";

/* clang-format off */
const field_t audit_signed_head_fields[] = {
    FIELD_INT   (audit_signed_head_t, tree_size, F_REQUIRED, NULL, 1, INT64_MAX / 2, "events in the tree"),
    FIELD_HEX   (audit_signed_head_t, root,      F_REQUIRED, "root of the tree"),
    FIELD_TIME  (audit_signed_head_t, at,        F_REQUIRED, "when it was signed"),
    FIELD_HEX   (audit_signed_head_t, log,       F_REQUIRED, "id of the journal of the signer that signed it"),
    FIELD_STR   (audit_signed_head_t, key_id,    F_REQUIRED, NULL, "first 16 digits of the SHA-256 of the signing key"),
    FIELD_BASE64(audit_signed_head_t, signature, F_REQUIRED, "over the head's octets"),
    FIELD_END };
/* clang-format on */

void
audit_head_build(const audit_head_t *h, uint8_t out[AUDIT_HEAD_LEN])
{
    pki_buf_t b;

    pki_buf_fixed(&b, out, AUDIT_HEAD_LEN);
    pki_buf_put(&b, BYTES_LIT(head_context));
    pki_buf_put(&b, BYTES_ARR(h->log));
    pki_buf_put_be(&b, h->size, 8);
    pki_buf_put_be(&b, (uint64_t) h->at, 8);
    pki_buf_put(&b, BYTES_ARR(h->root.h));
}

pki_code_t
audit_head_parse(bytes_t in, audit_head_t *out, pki_err_t *err)
{
    bytes_t  context, log, root;
    uint64_t at;

    if (!bytes_take(&in, sizeof(head_context) - 1, &context) || !bytes_eq(context, BYTES_LIT(head_context))
        || !bytes_take(&in, AUDIT_LOG_LEN, &log) || !bytes_take_be(&in, 8, &out->size) || !bytes_take_be(&in, 8, &at)
        || !bytes_take(&in, MERKLE_HASH_LEN, &root) || in.len != 0)
    {
        return pki_fail(err, PKI_E_PARSE, NULL, "not a head of the audit's tree");
    }
    memcpy(out->log, log.p, log.len);
    memcpy(out->root.h, root.p, root.len);
    out->at = (int64_t) at;
    return PKI_OK;
}

void
audit_key_id(bytes_t spki, char out[AUDIT_KEY_ID_LEN + 1])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];

    hex_encode(bytes_of(SHA256(spki.p, spki.len, digest), AUDIT_KEY_ID_LEN / 2), out);
}

pki_code_t
audit_signed_head_check(const audit_signed_head_t *h, bytes_t spki, pki_err_t *err)
{
    audit_head_t head = { .size = (uint64_t) h->tree_size, .at = h->at };
    uint8_t      octets[AUDIT_HEAD_LEN];
    pki_key_t    key;

    if (h->root.len != MERKLE_HASH_LEN || h->log.len != AUDIT_LOG_LEN) {
        return pki_fail(err, PKI_E_PARSE, NULL, "a head with a root of %zu and a log of %zu octets", h->root.len,
                        h->log.len);
    }
    memcpy(head.root.h, h->root.p, h->root.len);
    memcpy(head.log, h->log.p, h->log.len);
    audit_head_build(&head, octets);
    PKI_TRY(pki_key_parse(spki, &key, err));
    return pki_signature_check(&key, pki_key_sigalg(key.kind)->identifier, BYTES_ARR(octets), h->signature, err);
}

pki_code_t
audit_signed_head_check_any(const audit_signed_head_t *h, const bytes_t *spki, size_t count, pki_err_t *err)
{
    for (size_t i = 0; i < count; i++) {
        char id[AUDIT_KEY_ID_LEN + 1];

        audit_key_id(spki[i], id);
        if (strcmp(id, h->key_id) == 0) {
            return audit_signed_head_check(h, spki[i], err);
        }
    }
    return pki_fail(err, PKI_E_SIGNATURE, NULL, "its key %.32s is not among those given", h->key_id);
}
