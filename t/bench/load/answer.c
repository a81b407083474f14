/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * HTTP answers, as far as a load tool has to read them: the status, the length, a few fields.  And what OpenSSL
 * says of an OCSP answer.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/ocsp.h>

#include "t/bench/load/load.h"

#define SKEW_S 5

static bool
field_is(const char *line, size_t len, const char *name, size_t name_len, const char **value)
{
    if (len <= name_len || line[name_len] != ':' || strncasecmp(line, name, name_len) != 0) {
        return false;
    }
    *value = line + name_len + 1;
    while (**value == ' ') {
        (*value)++;
    }
    return true;
}

/* One field line, without its end. */
static void
field_read(const char *line, size_t len, load_answer_t *a, bool *has_length)
{
    const char *value;

    switch (line[0] | 0x20) {
    case 'c':
        if (field_is(line, len, "content-length", 14, &value)) {
            a->body_len = strtoul(value, NULL, 10);
            *has_length = true;
        } else if (field_is(line, len, "connection", 10, &value)) {
            a->close = strncasecmp(value, "close", 5) == 0;
        }
        break;
    case 'e':
        if (field_is(line, len, "etag", 4, &value)) {
            a->etag = value;
            a->etag_len = (size_t) (line + len - value);
        }
        break;
    case 'x':
        if (field_is(line, len, "x-worker", 8, &value)) {
            a->worker = strtol(value, NULL, 10);
        }
        break;
    default:
        break;
    }
}

int
load_answer_read(const char *p, size_t len, load_answer_t *a)
{
    const char *at = p, *end = p + len, *eol;
    bool        has_length = false;

    *a = (load_answer_t){ 0 };
    if (len >= 13 && (memcmp(p, "HTTP/1.", 7) != 0 || (a->status = (int) strtol(p + 9, NULL, 10)) < 100
                      || a->status >= LOAD_HTTP_MAX)) {
        return -1;
    }
    a->close = len > 7 && p[7] == '0'; /* unless the server says otherwise */
    for (;;) {
        eol = memchr(at, '\n', (size_t) (end - at));
        if (eol == NULL) {
            return 0;
        }
        if (eol - at <= 1) {
            break;
        }
        if (at != p) {
            field_read(at, (size_t) (eol - at - 1), a, &has_length);
        }
        at = eol + 1;
    }
    if (a->status == 304 || a->status == 204) {
        a->body_len = 0;
    } else if (!has_length) {
        return -1;
    }
    a->body = eol + 1;
    a->whole = (size_t) (a->body - p) + a->body_len;
    return len >= a->whole;
}

int
load_ocsp_status(const char *body, size_t len)
{
    const uint8_t *p = (const uint8_t *) body;
    size_t         at = len > 2 && p[1] >= 0x80 ? 2 + (size_t) (p[1] & 0x7f) : 2;

    return len >= at + 3 && p[0] == 0x30 && p[at] == 0x0a && p[at + 1] == 1 ? p[at + 2] : -1;
}

void
load_check_init(load_check_t *c, X509 *issuer)
{
    c->issuer = issuer;
    c->trust = X509_STORE_new();
    if (c->trust == NULL || !X509_STORE_add_cert(c->trust, issuer)
        || !X509_STORE_set_flags(c->trust, X509_V_FLAG_PARTIAL_CHAIN)) {
        load_die("issuer", "cannot be trusted");
    }
}

static bool
nonce_is(OCSP_BASICRESP *basic, const uint8_t *nonce, size_t len)
{
    int                      at = OCSP_BASICRESP_get_ext_by_NID(basic, NID_id_pkix_OCSP_Nonce, -1);
    X509_EXTENSION          *ext = at >= 0 ? OCSP_BASICRESP_get_ext(basic, at) : NULL;
    const ASN1_OCTET_STRING *value = ext != NULL ? X509_EXTENSION_get_data(ext) : NULL;
    const uint8_t           *p = value != NULL ? ASN1_STRING_get0_data(value) : NULL;
    size_t                   size = value != NULL ? (size_t) ASN1_STRING_length(value) : 0;

    if (len == 0) {
        return value == NULL;
    }
    return size > len && memcmp(p + size - len, nonce, len) == 0;
}

static const char *
single_check(const load_check_t *c, OCSP_BASICRESP *basic, const uint8_t *serial, size_t serial_len, int *status)
{
    OCSP_SINGLERESP      *single = OCSP_resp_get0(basic, 0);
    ASN1_GENERALIZEDTIME *revoked, *this_update, *next_update;
    ASN1_OBJECT          *hash = NULL;
    ASN1_INTEGER         *number = NULL;
    OCSP_CERTID          *id, *wanted;
    int                   reason, same;

    if (single == NULL || OCSP_resp_count(basic) != 1) {
        return "it does not have exactly one single response";
    }
    id = (OCSP_CERTID *) (uintptr_t) OCSP_SINGLERESP_get0_id(single);
    OCSP_id_get0_info(NULL, &hash, NULL, &number, id);
    if ((size_t) ASN1_STRING_length(number) != serial_len || memcmp(ASN1_STRING_get0_data(number), serial, serial_len) != 0) {
        return "it is about another serial";
    }
    wanted = OCSP_cert_id_new(EVP_get_digestbyobj(hash), X509_get_subject_name(c->issuer),
                              X509_get0_pubkey_bitstr(c->issuer), number);
    same = wanted != NULL ? OCSP_id_cmp(id, wanted) : 1;
    OCSP_CERTID_free(wanted);
    if (same != 0) {
        return "its CertID names another issuer";
    }
    *status = OCSP_single_get0_status(single, &reason, &revoked, &this_update, &next_update);
    return OCSP_check_validity(this_update, next_update, SKEW_S, -1) == 1 ? NULL : "it is not valid now";
}

static const char *
basic_check(const load_check_t *c, OCSP_BASICRESP *basic, const uint8_t *serial, size_t serial_len,
            const uint8_t *nonce, size_t nonce_len, int *status)
{
    if (OCSP_basic_verify(basic, NULL, c->trust, 0) != 1) {
        return "its signature or its signer's certificate does not verify";
    }
    if (!nonce_is(basic, nonce, nonce_len)) {
        return "its nonce is not that of the request";
    }
    return single_check(c, basic, serial, serial_len, status);
}

/* The caller frees; NULL: it is none. */
static OCSP_BASICRESP *
basic_parse(const char *body, size_t len)
{
    const uint8_t  *p = (const uint8_t *) body;
    OCSP_RESPONSE  *response = d2i_OCSP_RESPONSE(NULL, &p, (long) len);
    OCSP_BASICRESP *basic = NULL;

    if (response != NULL && p == (const uint8_t *) body + len) {
        basic = OCSP_response_get1_basic(response);
    }
    OCSP_RESPONSE_free(response);
    return basic;
}

const char *
load_check(const load_check_t *c, const char *body, size_t len, const uint8_t *serial, size_t serial_len,
           const uint8_t *nonce, size_t nonce_len, int *status)
{
    OCSP_BASICRESP *basic = basic_parse(body, len);
    const char     *wrong = "it is not a basic OCSP response";

    *status = -1;
    if (basic != NULL) {
        wrong = basic_check(c, basic, serial, serial_len, nonce, nonce_len, status);
    }
    OCSP_BASICRESP_free(basic);
    return wrong;
}

int
load_cert_status(const char *body, size_t len)
{
    OCSP_BASICRESP       *basic = basic_parse(body, len);
    ASN1_GENERALIZEDTIME *revoked, *this_update, *next_update;
    int                   reason, status = -1;

    if (basic != NULL && OCSP_resp_count(basic) == 1) {
        status = OCSP_single_get0_status(OCSP_resp_get0(basic, 0), &reason, &revoked, &this_update, &next_update);
    }
    OCSP_BASICRESP_free(basic);
    return status;
}
