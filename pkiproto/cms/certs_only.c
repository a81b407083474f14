/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Certs-only SignedData (RFC 5652 5.1, RFC 5272 4.1).  The certificates keep the order they are
 * given in: clients look at the first one, and CMS does not ask for a sorted SET here.
 */
#include "pkiproto/cms/certs_only.h"

#include "pkiproto/der/write.h"
#include "pkiproto/x509/ext.h"

#define CERTS_ONLY_MAX 64

static const bytes_t oid_data = OID_OCTETS("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01");
static const bytes_t oid_signed_data = OID_OCTETS("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02");

pki_code_t
certs_only_build(const cert_list_t *certs, pki_buf_t *out, pki_err_t *err)
{
    size_t info, explicit, signed_data, content, set;

    if (certs->count == 0) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5272 4.1", "no certificates to send");
    }
    info = der_open(out, DER_SEQUENCE);
    der_put(out, DER_OID, oid_signed_data);
    explicit = der_open(out, DER_CONTEXT_CONSTRUCTED(0));
    signed_data = der_open(out, DER_SEQUENCE);
    der_put_uint(out, DER_INTEGER, 1);
    der_put(out, DER_SET, BYTES_NONE);
    content = der_open(out, DER_SEQUENCE);
    der_put(out, DER_OID, oid_data);
    der_close(out, content);
    set = der_open(out, DER_CONTEXT_CONSTRUCTED(0));
    for (size_t i = 0; i < certs->count; i++) {
        pki_buf_put(out, certs->v[i]);
    }
    der_close(out, set);
    der_put(out, DER_SET, BYTES_NONE);
    der_close(out, signed_data);
    der_close(out, explicit);
    der_close(out, info);
    return pki_buf_check(out, "a certs-only message", err);
}

static pki_code_t
oid_take(bytes_t *in, bytes_t wanted, const char *what, pki_err_t *err)
{
    bytes_t oid;

    PKI_TRY(der_take(in, DER_OID, what, &oid, err));
    if (!bytes_eq(oid, wanted)) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5652 3", "%s is another type", what);
    }
    return PKI_OK;
}

static pki_code_t
empty_set_take(bytes_t *in, const char *what, pki_err_t *err)
{
    bytes_t set;

    PKI_TRY(der_take(in, DER_SET, what, &set, err));
    return der_end(set, what, err);
}

/* SignedData's contents up to its certificates. */
static pki_code_t
signed_data_read(bytes_t in, bytes_t *certs, pki_err_t *err)
{
    bytes_t  content, crls;
    uint64_t version;

    PKI_TRY(der_take_uint(&in, "version", UINT32_MAX, &version, err));
    if (version != 1) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5652 5.1", "SignedData has version %llu, not 1",
                        (unsigned long long) version);
    }
    PKI_TRY(empty_set_take(&in, "digestAlgorithms", err));
    PKI_TRY(der_take(&in, DER_SEQUENCE, "encapContentInfo", &content, err));
    PKI_TRY(oid_take(&content, oid_data, "eContentType", err));
    PKI_TRY(der_end(content, "eContentType", err));
    PKI_TRY(der_take(&in, DER_CONTEXT_CONSTRUCTED(0), "certificates", certs, err));
    if (der_peek(in, DER_CONTEXT_CONSTRUCTED(1))) {
        PKI_TRY(der_take(&in, DER_CONTEXT_CONSTRUCTED(1), "crls", &crls, err));
    }
    PKI_TRY(empty_set_take(&in, "signerInfos", err));
    return der_end(in, "signerInfos", err);
}

pki_code_t
certs_only_parse(pki_arena_t *a, bytes_t der, cert_list_t *out, pki_err_t *err)
{
    bytes_t info, explicit, seq, certs;

    out->count = 0;
    PKI_TRY(der_take(&der, DER_SEQUENCE, "ContentInfo", &info, err));
    PKI_TRY(der_end(der, "ContentInfo", err));
    PKI_TRY(oid_take(&info, oid_signed_data, "contentType", err));
    PKI_TRY(der_take(&info, DER_CONTEXT_CONSTRUCTED(0), "content", &explicit, err));
    PKI_TRY(der_end(info, "content", err));
    PKI_TRY(der_take(&explicit, DER_SEQUENCE, "SignedData", &seq, err));
    PKI_TRY(der_end(explicit, "SignedData", err));
    PKI_TRY(signed_data_read(seq, &certs, err));

    PKI_TRY(PKI_NEW_N(a, CERTS_ONLY_MAX, &out->v, err));
    while (certs.len != 0) {
        if (out->count == CERTS_ONLY_MAX) {
            return pki_fail(err, PKI_E_TOO_LARGE, NULL, "more than %d certificates", CERTS_ONLY_MAX);
        }
        PKI_TRY(der_take_whole(&certs, DER_SEQUENCE, "Certificate", &out->v[out->count++], err));
    }
    return out->count != 0 ? PKI_OK : pki_fail(err, PKI_E_PARSE, "RFC 5272 4.1", "there are no certificates");
}
