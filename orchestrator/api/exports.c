/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Exports of a certificate in the forms that other software opens.  Never with a key: there is none here.  Each is in the
 * audit with the serial of what left, before it leaves.
 */
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"
#include "pkiproto/base/text.h"
#include "pkiproto/cms/certs_only.h"
#include "pkiproto/x509/pem.h"
#include "pkiproto/x509/trust_store.h"

#define EXPORT_MAX (1u << 20)

typedef struct {
    bool download;
} export_query_t;

typedef struct {
    const char *cert_pem, *chain_pem, *full_pem;
} export_pem_t;

typedef struct {
    const char *format;
} p7b_query_t;

typedef struct {
    const char *password, *friendly_name;
} pkcs12_t;

static const char *const p7b_formats[] = { "der", "pem", NULL };

/* clang-format off */
static const field_t export_query_fields[] = {
    FIELD_BOOL(export_query_t, download, 0, "false", "as a file: full_pem alone"),
    FIELD_END };

static const field_t export_pem_fields[] = {
    FIELD_STR(export_pem_t, cert_pem,  F_REQUIRED, NULL, "the certificate"),
    FIELD_STR(export_pem_t, chain_pem, F_REQUIRED, NULL, "the CA certificates up to, and without, the root"),
    FIELD_STR(export_pem_t, full_pem,  F_REQUIRED, NULL, "both"),
    FIELD_END };

static const field_t p7b_query_fields[] = {
    FIELD_ENUM(p7b_query_t, format, 0, "der", p7b_formats, "der, or pem"),
    FIELD_END };

static const field_t pkcs12_fields[] = {
    FIELD_TEXT(pkcs12_t, password,      F_REQUIRED | F_SECRET | F_WRITEONLY, 6, 256, "password of the trust store"),
    FIELD_TEXT(pkcs12_t, friendly_name, 0, 1, 128, "alias of the certificate; absent: its id"),
    FIELD_END };
/* clang-format on */

const shape_t shape_export_query = SHAPE("ExportQuery", export_query_t, export_query_fields);
const shape_t shape_export_pem = SHAPE("ExportPem", export_pem_t, export_pem_fields);
const shape_t shape_export_p7b_query = SHAPE("ExportP7bQuery", p7b_query_t, p7b_query_fields);
const shape_t shape_export_pkcs12 = SHAPE("ExportPkcs12", pkcs12_t, pkcs12_fields);

/* The chain of what is to be exported; that it is, is written down. */
static pki_code_t
export_begin(req_t *r, chain_t *chain, pki_err_t *err)
{
    audit_t     audit = audit_of(r, 200);
    const char *serial;

    PKI_TRY(chain_newest(r, r->param[0], chain, err));
    serial = hex_print(r->a, chain->version.serial);
    audit.details = serial != NULL ? pki_printf(r->a, "{\"serial\": \"%s\"}", serial) : NULL;
    if (audit.details == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    PKI_TRY(audit_add(r->api->parts.db, &audit, err));
    audit_kept(r, &audit);
    return PKI_OK;
}

static pki_code_t
file_answer(req_t *r, const char *type, const char *suffix, pki_buf_t *in, pki_err_t *err)
{
    PKI_TRY(pki_buf_check(in, "an export", err));
    r->answer.disposition = pki_printf(r->a, "attachment; filename=\"%s.%s\"", r->param[0], suffix);
    return answer_octets(r, type, pki_buf_bytes(in), err);
}

/* Certificates from one to before another, as text. */
static pki_code_t
pem_print(req_t *r, const chain_t *chain, size_t from, size_t to, const char **out, pki_err_t *err)
{
    pki_buf_t buf;

    pki_buf_init(&buf, r->a, EXPORT_MAX);
    for (size_t i = from; i < to; i++) {
        PKI_TRY(cert_pem(chain->list.v[i], &buf, err));
    }
    pki_buf_put_u8(&buf, '\0');
    *out = (const char *) buf.p;
    return pki_buf_check(&buf, "certificates in PEM", err);
}

pki_code_t
export_pem(req_t *r, pki_err_t *err)
{
    const export_query_t *query = r->query;
    export_pem_t          out;
    chain_t               chain;
    pki_buf_t             file;
    size_t                sent;

    PKI_TRY(export_begin(r, &chain, err));
    sent = chain_sent(&chain);
    PKI_TRY(pem_print(r, &chain, 0, 1, &out.cert_pem, err));
    PKI_TRY(pem_print(r, &chain, 1, sent, &out.chain_pem, err));
    PKI_TRY(pem_print(r, &chain, 0, sent, &out.full_pem, err));
    if (!query->download) {
        return answer_struct(r, &out, err);
    }
    pki_buf_init(&file, r->a, EXPORT_MAX);
    pki_buf_put(&file, bytes_str(out.full_pem));
    return file_answer(r, "application/x-pem-file", "pem", &file, err);
}

pki_code_t
export_p7b(req_t *r, pki_err_t *err)
{
    const p7b_query_t *query = r->query;
    chain_t            chain;
    pki_buf_t          der, text;

    PKI_TRY(export_begin(r, &chain, err));
    pki_buf_init(&der, r->a, EXPORT_MAX);
    PKI_TRY(certs_only_build(&chain.list, &der, err));
    if (strcmp(query->format, "der") == 0) {
        return file_answer(r, "application/x-pkcs7-certificates", "p7b", &der, err);
    }
    pki_buf_init(&text, r->a, EXPORT_MAX);
    PKI_TRY(pem_put(&text, "PKCS7", pki_buf_bytes(&der), err));
    return file_answer(r, "application/x-pem-file", "p7b", &text, err);
}

pki_code_t
export_pkcs12(req_t *r, pki_err_t *err)
{
    const pkcs12_t *in = r->in;
    chain_t         chain;
    pki_buf_t       out;

    check_text(r, "friendly_name", in->friendly_name);
    PKI_TRY(check_done(r, err));
    PKI_TRY(export_begin(r, &chain, err));
    pki_buf_init(&out, r->a, EXPORT_MAX);
    PKI_TRY(trust_store_build(&chain.list, in->friendly_name != NULL ? in->friendly_name : r->param[0], in->password, &out,
                              err));
    return file_answer(r, "application/x-pkcs12", "p12", &out, err);
}
