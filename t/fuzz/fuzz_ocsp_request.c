/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * OCSP requests: what we accept, OpenSSL accepts too; the answer to it is one that OpenSSL reads.  Requests
 * with parts that we leave unread (a requestor's name, certificates of a signature) are outside of the
 * comparison: OpenSSL looks into them.
 */
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>

#include "pkiproto/der/read.h"
#include "pkiproto/ocsp/response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_read_whole(const ocsp_request_t *r)
{
    bytes_t tbs = r->tbs, value, version;

    if (der_take(&tbs, DER_SEQUENCE, "tbs", &value, NULL) != PKI_OK) {
        abort();
    }
    if (der_peek(value, DER_CONTEXT_CONSTRUCTED(0))
        && der_take(&value, DER_CONTEXT_CONSTRUCTED(0), "version", &version, NULL) != PKI_OK)
    {
        abort();
    }
    return !r->is_signed && !der_peek(value, DER_CONTEXT_CONSTRUCTED(1));
}

static void
check_request(const ocsp_request_t *r, bytes_t in)
{
    const uint8_t *p = in.p;
    OCSP_REQUEST  *o = d2i_OCSP_REQUEST(NULL, &p, (long) in.len);

    if (is_read_whole(r)
        && (o == NULL || p != in.p + in.len || (size_t) OCSP_request_onereq_count(o) != r->count))
    {
        abort();
    }
    OCSP_REQUEST_free(o);
}

static void
check_answer(const ocsp_request_t *r)
{
    static const uint8_t id[] = "\xa2\x16\x04\x14kkkkkkkkkkkkkkkkkkkk",
                         signature[] = {0x30, 6, 2, 1, 1, 2, 1, 1};
    const ocsp_responder_t responder = { .responder_id = bytes_of(id, sizeof(id) - 1),
                                         .sigalg = pki_key_sigalg(PKI_KEY_P256), .not_after = 4000 };
    ocsp_single_t   single[OCSP_IDS_MAX];
    uint8_t         mem[2 * OCSP_REQUEST_MAX], whole[3 * OCSP_REQUEST_MAX];
    pki_buf_t       tbs, out;
    const uint8_t  *p = whole;
    OCSP_RESPONSE  *o;
    OCSP_BASICRESP *basic;

    for (size_t i = 0; i < r->count; i++) {
        single[i] = (ocsp_single_t){.cert_id = r->id[i].whole,
                                    .status = (ocsp_cert_status_t) (i % 3),
                                    .reason = 1,
                                    .revoked_at = 5,
                                    .invalidity_at = 4,
                                    .this_update = 10,
                                    .next_update = 4000};
    }
    pki_buf_fixed(&tbs, mem, sizeof(mem));
    pki_buf_fixed(&out, whole, sizeof(whole));
    if (ocsp_tbs_build(&responder, single, r->count, 20, r->nonce, &tbs, NULL) != PKI_OK
        || ocsp_response_build(&responder, pki_buf_bytes(&tbs), BYTES_ARR(signature), &out, NULL) != PKI_OK)
    {
        abort();
    }
    o = d2i_OCSP_RESPONSE(NULL, &p, (long) out.len);
    basic = o != NULL && p == whole + out.len ? OCSP_response_get1_basic(o) : NULL;
    if (basic == NULL || (size_t) OCSP_resp_count(basic) != r->count) {
        abort();
    }
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(o);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ocsp_request_t r;

    if (ocsp_request_parse(bytes_of(data, size), &r, NULL) == PKI_OK) {
        check_request(&r, bytes_of(data, size));
        check_answer(&r);
        ERR_clear_error();
    }
    return 0;
}
