/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * How handlers answer: structs by field tables, rows that PostgreSQL rendered, certificates as PEM or
 * DER.  Also the readable ids that new things get.
 */
#include <stdlib.h>
#include <strings.h>

#include "orchestrator/api/request.h"
#include "pkiproto/base/ossl.h"
#include "pkiproto/base/text.h"
#include "pkiproto/x509/cert.h"

#define TYPE_JSON "application/json"
#define TYPE_PEM  "application/x-pem-file"
#define TYPE_DER  "application/pkix-cert"
#define PEM_MAX   (1u << 20)

pki_code_t
answer_octets(req_t *r, const char *content_type, bytes_t in, pki_err_t *err)
{
    if (in.p == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory while answering");
    }
    r->answer.content_type = content_type;
    r->answer.body = in;
    return PKI_OK;
}

pki_code_t
answer_text(req_t *r, const char *json, pki_err_t *err)
{
    return answer_octets(r, TYPE_JSON, bytes_str(json), err);
}

pki_code_t
answer_struct(req_t *r, const void *in, pki_err_t *err)
{
    JSON_AUTO out = fields_encode(r->route->answer->fields, in);
    char     *text = out != NULL ? json_dumps(out, JSON_COMPACT) : NULL;

    if (text == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory while encoding");
    }
    PKI_TRY(pki_arena_own(r->a, text, free, err));
    return answer_text(r, text, err);
}

/* 8 octets of SHA-256: other states of one row do not meet. */
pki_code_t
etag_set(req_t *r, const char *version, bytes_t body, pki_err_t *err)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    char    hash[17];

    if (EVP_Digest(body.p, body.len, digest, NULL, ossl_sha256(), NULL) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "SHA-256 failed");
    }
    hex_encode(bytes_of(digest, 8), hash);
    r->answer.etag = pki_printf(r->a, "\"%s%s%s\"", version != NULL ? version : "", version != NULL ? "-" : "", hash);
    return r->answer.etag != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory while answering");
}

/* What Accept prefers is read in its order; weights are not looked at. */
static bool
wants_der(const char *format, const char *accept)
{
    if (format != NULL) {
        return strcmp(format, "der") == 0;
    }
    for (const char *at = accept; at != NULL && *at != '\0';) {
        size_t len;

        at += strspn(at, ", ");
        len = strcspn(at, ",; ");
        if (len == strlen(TYPE_PEM) && strncasecmp(at, TYPE_PEM, len) == 0) {
            return false;
        }
        if (len == strlen(TYPE_DER) && strncasecmp(at, TYPE_DER, len) == 0) {
            return true;
        }
        at += strcspn(at, ",");
    }
    return false;
}

pki_code_t
answer_certificates(req_t *r, const bytes_t *der, size_t count, const char *format, const char *name, pki_err_t *err)
{
    pki_buf_t out;
    bool      binary = wants_der(format, r->accept);

    r->answer.disposition = pki_printf(r->a, "attachment; filename=\"%s.%s\"", name, binary ? "cer" : "pem");
    if (r->answer.disposition == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory while answering");
    }
    if (binary) {
        return answer_octets(r, TYPE_DER, der[0], err);
    }
    pki_buf_init(&out, r->a, PEM_MAX);
    for (size_t i = 0; i < count; i++) {
        PKI_TRY(cert_pem(der[i], &out, err));
    }
    PKI_TRY(pki_buf_check(&out, "certificates in PEM", err));
    return answer_octets(r, TYPE_PEM, pki_buf_bytes(&out), err);
}

#define ID_CHARS "abcdefghijklmnopqrstuvwxyz0123456789-"
#define ID_MAX   57 /* of the part after the prefix: what the tables of the database take */

static bool
id_valid(const char *prefix, const char *id)
{
    size_t len = strlen(prefix);

    return strncmp(id, prefix, len) == 0 && id[len] == '-' && id[len + 1] != '-' && id[len + 1] != '\0'
           && strspn(id + len + 1, ID_CHARS) == strlen(id + len + 1) && strlen(id + len + 1) <= ID_MAX;
}

/* Letters and digits in lower case, one hyphen for any run of others, none at the ends. */
static const char *
id_derive(pki_arena_t *a, const char *prefix, const char *name)
{
    char   part[ID_MAX + 1] = "";
    size_t len = 0;

    for (const char *p = name; *p != '\0' && len < ID_MAX; p++) {
        char c = *p >= 'A' && *p <= 'Z' ? (char) (*p - 'A' + 'a') : *p;

        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
            part[len++] = c;
        } else if (len > 0 && part[len - 1] != '-') {
            part[len++] = '-';
        }
    }
    while (len > 0 && part[len - 1] == '-') {
        len--;
    }
    part[len] = '\0';
    return len > 0 ? pki_printf(a, "%s-%s", prefix, part) : NULL;
}

const char *
id_choose(req_t *r, const char *prefix, const char *given, const char *name)
{
    const char *id = given;

    if (given == NULL) {
        id = name != NULL ? id_derive(r->a, prefix, name) : NULL;
        if (id == NULL) {
            check_problem(r, "id", "is needed: no id can be made of the name");
        }
    } else if (!id_valid(prefix, given)) {
        check_problem(r, "id", "must be \"%s-\" and up to %d of a-z, 0-9 and hyphens", prefix, ID_MAX);
    }
    if (id != NULL) {
        r->resource = id;
    }
    return id;
}
