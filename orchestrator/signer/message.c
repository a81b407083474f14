/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The messages' octets.  A table says which parts each operation has and how long they may be; the
 * parser refuses everything else, since the signer must not trust the process that asks.
 */
#include "orchestrator/signer/message.h"

#include "pkiproto/audit/head.h"
#include "pkiproto/der/read.h"
#include "pkiproto/x509/cert.h"

#define MESSAGE_VERSION 1

typedef struct {
    size_t ref_min, ref_max, name_min, name_max, body_min, body_max;
} op_row_t;

/* Lengths of ref, name and body; an all-zero row is no operation. */
static const op_row_t op_rows[SIGNER_OP_COUNT_] = {
    /* clang-format off */
    [SIGNER_OP_HELLO]        = { 0, 0,                  0, 0,               0, 0 },
    [SIGNER_OP_KEY_MAKE]     = { 1, SIGNER_KEY_REF_MAX, 1, 15,              0, 0 },
    [SIGNER_OP_KEY_PUBLIC]   = { 1, SIGNER_KEY_REF_MAX, 0, 0,               0, 0 },
    [SIGNER_OP_SIGN_CERT]    = { 1, SIGNER_KEY_REF_MAX, 1, CERT_SERIAL_MAX, 1, SIGNER_TBS_MAX },
    [SIGNER_OP_SIGN_CRL]     = { 1, SIGNER_KEY_REF_MAX, 1, CERT_SERIAL_MAX, 0, EVP_MAX_MD_SIZE },
    [SIGNER_OP_SIGN_HEAD]    = { 1, SIGNER_KEY_REF_MAX, 0, 0,               AUDIT_HEAD_LEN, AUDIT_HEAD_LEN },
    [SIGNER_OP_JOURNAL_INFO] = { 0, 0,                  0, 0,               0, 0 },
    [SIGNER_OP_JOURNAL_READ] = { 0, 0,                  0, 0,               0, 0 },
    /* clang-format on */
};

void
signer_request_build(const signer_request_t *r, pki_buf_t *out)
{
    pki_buf_put_u8(out, MESSAGE_VERSION);
    pki_buf_put_u8(out, (uint8_t) r->op);
    pki_buf_put_be(out, 0, 2);
    pki_buf_put_be(out, r->issuer_no, 4);
    pki_buf_put_be(out, r->epoch, 8);
    pki_buf_put_be(out, r->client, 8);
    pki_buf_put_be(out, r->id, 8);
    pki_buf_put_be(out, r->position, 8);
    pki_buf_put_be(out, r->max, 4);
    pki_buf_put_be(out, r->ref.len, 2);
    pki_buf_put_be(out, r->name.len, 2);
    pki_buf_put_be(out, r->body.len, 4);
    pki_buf_put(out, r->ref);
    pki_buf_put(out, r->name);
    pki_buf_put(out, r->body);
}

static bool
within(bytes_t part, size_t min, size_t max)
{
    return part.len >= min && part.len <= max;
}

/* A reference is text without spaces or control characters, so that it can stand in a log. */
static bool
ref_is_text(bytes_t ref)
{
    for (size_t i = 0; i < ref.len; i++) {
        if (ref.p[i] <= ' ' || ref.p[i] > '~') {
            return false;
        }
    }
    return true;
}

static pki_code_t
request_check(const signer_request_t *r, pki_err_t *err)
{
    const op_row_t *row = &op_rows[r->op];

    if (!within(r->ref, row->ref_min, row->ref_max) || !within(r->name, row->name_min, row->name_max)
        || !within(r->body, row->body_min, row->body_max))
    {
        return pki_fail(err, PKI_E_PARSE, NULL, "signer request %d has parts of %zu, %zu and %zu octets", r->op,
                        r->ref.len, r->name.len, r->body.len);
    }
    if (!ref_is_text(r->ref)) {
        return pki_fail(err, PKI_E_PARSE, NULL, "key reference is not plain text");
    }
    return PKI_OK;
}

pki_code_t
signer_request_parse(bytes_t in, signer_request_t *out, pki_err_t *err)
{
    uint64_t version, op, zero, issuer_no, max, ref, name, body;

    *out = (signer_request_t){ 0 };
    if (!bytes_take_be(&in, 1, &version) || !bytes_take_be(&in, 1, &op) || !bytes_take_be(&in, 2, &zero)
        || !bytes_take_be(&in, 4, &issuer_no) || !bytes_take_be(&in, 8, &out->epoch)
        || !bytes_take_be(&in, 8, &out->client) || !bytes_take_be(&in, 8, &out->id)
        || !bytes_take_be(&in, 8, &out->position) || !bytes_take_be(&in, 4, &max) || !bytes_take_be(&in, 2, &ref)
        || !bytes_take_be(&in, 2, &name) || !bytes_take_be(&in, 4, &body))
    {
        return pki_fail(err, PKI_E_PARSE, NULL, "signer request ends inside its header");
    }
    if (version != MESSAGE_VERSION || op == SIGNER_OP_NONE || op >= SIGNER_OP_COUNT_ || zero != 0) {
        return pki_fail(err, PKI_E_PARSE, NULL, "signer request of version %u with operation %u",
                        (unsigned) version, (unsigned) op);
    }
    if (!bytes_take(&in, ref, &out->ref) || !bytes_take(&in, name, &out->name) || !bytes_take(&in, body, &out->body)
        || in.len != 0)
    {
        return pki_fail(err, PKI_E_PARSE, NULL, "signer request is not as long as it says");
    }
    out->op = (signer_op_t) op;
    out->issuer_no = (uint32_t) issuer_no;
    out->max = (uint32_t) max;
    return request_check(out, err);
}

void
signer_answer_build(const signer_answer_t *r, pki_buf_t *out)
{
    pki_buf_put_u8(out, MESSAGE_VERSION);
    pki_buf_put_u8(out, (uint8_t) r->op);
    pki_buf_put_be(out, (uint64_t) r->code, 2);
    pki_buf_put_be(out, r->count, 4);
    pki_buf_put_be(out, r->epoch, 8);
    pki_buf_put_be(out, r->client, 8);
    pki_buf_put_be(out, r->id, 8);
    pki_buf_put_be(out, r->position, 8);
    pki_buf_put_be(out, r->syncs, 8);
    pki_buf_put_be(out, r->body.len, 4);
    pki_buf_put(out, r->body);
}

pki_code_t
signer_answer_take(bytes_t *in, signer_answer_t *out, pki_err_t *err)
{
    uint64_t version, op, code, count, body;

    if (!bytes_take_be(in, 1, &version) || !bytes_take_be(in, 1, &op) || !bytes_take_be(in, 2, &code)
        || !bytes_take_be(in, 4, &count) || !bytes_take_be(in, 8, &out->epoch)
        || !bytes_take_be(in, 8, &out->client) || !bytes_take_be(in, 8, &out->id)
        || !bytes_take_be(in, 8, &out->position) || !bytes_take_be(in, 8, &out->syncs)
        || !bytes_take_be(in, 4, &body) || !bytes_take(in, body, &out->body))
    {
        return pki_fail(err, PKI_E_PARSE, NULL, "signer answer is not as long as it says");
    }
    if (version != MESSAGE_VERSION || op == SIGNER_OP_NONE || op >= SIGNER_OP_COUNT_ || code >= PKI_E_COUNT_) {
        return pki_fail(err, PKI_E_PARSE, NULL, "signer answer of version %u to operation %u", (unsigned) version,
                        (unsigned) op);
    }
    out->op = (signer_op_t) op;
    out->code = (pki_code_t) code;
    out->count = (uint32_t) count;
    return PKI_OK;
}

size_t
signer_entry_size(const signer_journal_entry_t *e)
{
    return 8 + 8 + 8 + 1 + 4 + 2 + 4 + e->serial.len + e->tbs.len;
}

void
signer_entry_build(const signer_journal_entry_t *e, pki_buf_t *out)
{
    pki_buf_put_be(out, e->position, 8);
    pki_buf_put_be(out, e->next, 8);
    pki_buf_put_be(out, (uint64_t) e->at, 8);
    pki_buf_put_u8(out, e->is_cert);
    pki_buf_put_be(out, e->issuer_no, 4);
    pki_buf_put_be(out, e->serial.len, 2);
    pki_buf_put_be(out, e->tbs.len, 4);
    pki_buf_put(out, e->serial);
    pki_buf_put(out, e->tbs);
}

pki_code_t
signer_entry_take(bytes_t *in, signer_journal_entry_t *out, pki_err_t *err)
{
    uint64_t at, is_cert, issuer_no, serial, tbs;

    if (!bytes_take_be(in, 8, &out->position) || !bytes_take_be(in, 8, &out->next) || !bytes_take_be(in, 8, &at)
        || !bytes_take_be(in, 1, &is_cert) || !bytes_take_be(in, 4, &issuer_no) || !bytes_take_be(in, 2, &serial)
        || !bytes_take_be(in, 4, &tbs) || !bytes_take(in, serial, &out->serial) || !bytes_take(in, tbs, &out->tbs))
    {
        return pki_fail(err, PKI_E_PARSE, NULL, "journal entry is not as long as it says");
    }
    out->at = (int64_t) at;
    out->is_cert = is_cert != 0;
    out->issuer_no = (uint32_t) issuer_no;
    return PKI_OK;
}

/* What follows the serial and the algorithm: issuer, validity, subject, key, and extensions that are not empty. */
static pki_code_t
tbs_rest_check(bytes_t in, pki_err_t *err)
{
    static const char *const parts[] = { "issuer", "validity", "subject", "subjectPublicKeyInfo" };
    bytes_t                  extensions, list;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        PKI_TRY(der_take(&in, DER_SEQUENCE, parts[i], &list, err));
    }
    PKI_TRY(der_take(&in, DER_CONTEXT_CONSTRUCTED(3), "extensions", &extensions, err));
    PKI_TRY(der_take(&extensions, DER_SEQUENCE, "extensions", &list, err));
    PKI_TRY(der_end(extensions, "extensions", err));
    if (list.len == 0) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.1.2.9", "extensions are empty");
    }
    return der_end(in, "TBSCertificate", err);
}

pki_code_t
signer_tbs_check(bytes_t tbs, bytes_t serial, const pki_sigalg_t *sigalg, pki_err_t *err)
{
    bytes_t  in, version, value, algorithm;
    uint64_t v;

    PKI_TRY(der_take(&tbs, DER_SEQUENCE, "TBSCertificate", &in, err));
    PKI_TRY(der_end(tbs, "TBSCertificate", err));
    PKI_TRY(der_take(&in, DER_CONTEXT_CONSTRUCTED(0), "version", &version, err));
    PKI_TRY(der_take_uint(&version, "version", 2, &v, err));
    PKI_TRY(der_end(version, "version", err));
    if (v != 2) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.1.2.1", "version is not v3");
    }
    PKI_TRY(der_take_integer(&in, "serialNumber", &value, err));
    if (!bytes_eq(value, serial)) {
        return pki_fail(err, PKI_E_INVALID, NULL, "the TBSCertificate has another serialNumber than the request");
    }
    if (value.p[0] >= 0x80 || value.len > CERT_SERIAL_MAX || (value.len == 1 && value.p[0] == 0)) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.1.2.2", "serialNumber is not positive or too long");
    }
    PKI_TRY(der_take_whole(&in, DER_SEQUENCE, "signature", &algorithm, err));
    if (!bytes_eq(algorithm, sigalg->identifier)) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.1.2.3", "the signature algorithm is not the key's");
    }
    return tbs_rest_check(in, err);
}
