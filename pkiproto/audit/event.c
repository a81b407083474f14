/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The one encoding of an audit event.
 */
#include "pkiproto/audit/event.h"

#include <openssl/evp.h>

#include "pkiproto/base/ossl.h"

const char *const audit_event_names[AUDIT_EVENT_FIELDS] = {
    "id", "at", "actor", "actor_type", "action", "resource_type", "resource_id", "status", "request_id", "source",
    "latency_us", "body_hash", "details",
};

pki_code_t
audit_event_leaf(const audit_event_t *e, merkle_hash_t *out, pki_err_t *err)
{
    static const uint8_t start[] = { 0x00, 0x01 };
    PKI_AUTO(EVP_MD_CTX) ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, ossl_sha256(), NULL) == 1
              && EVP_DigestUpdate(ctx, start, sizeof(start)) == 1;

    for (size_t i = 0; i < AUDIT_EVENT_FIELDS; i++) {
        bytes_t  f = e->field[i];
        uint32_t n = f.p != NULL ? (uint32_t) f.len : UINT32_MAX;
        uint8_t  len[4] = { (uint8_t) (n >> 24), (uint8_t) (n >> 16), (uint8_t) (n >> 8), (uint8_t) n };

        ok = ok && EVP_DigestUpdate(ctx, len, sizeof(len)) == 1 && EVP_DigestUpdate(ctx, f.p, f.len) == 1;
    }
    return ok && EVP_DigestFinal_ex(ctx, out->h, NULL) == 1 ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}
