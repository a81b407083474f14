/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * EST on the wire: the operations of RFC 7030 3.2.2 and their media types, the transfer encoding of
 * RFC 8951 3.1, and the Basic credentials of RFC 7617.
 */
#include "pkiproto/est/transfer.h"

#include <strings.h>

#include <openssl/crypto.h>

#include "pkiproto/base/secret.h"
#include "pkiproto/base/text.h"
#include "pkiproto/base/utf8.h"
#include "pkiproto/der/read.h"

#define CERTS_ONLY "application/pkcs7-mime; smime-type=certs-only"

static const est_op_info_t op_rows[EST_OP_COUNT] = {
    [EST_CACERTS] = { "cacerts", "GET", NULL, "application/pkcs7-mime" },
    [EST_SIMPLEENROLL] = { "simpleenroll", "POST", "application/pkcs10", CERTS_ONLY },
    [EST_SIMPLEREENROLL] = { "simplereenroll", "POST", "application/pkcs10", CERTS_ONLY },
};

/* Names that RFC 7030 3.2.2 gives to operations, whether or not they are offered here. */
static const char *const op_names[] = { "cacerts",      "simpleenroll", "simplereenroll",
                                        "serverkeygen", "csrattrs",     "fullcmc" };

const est_op_info_t *
est_op_info(est_op_t op)
{
    return (unsigned) op < EST_OP_COUNT ? &op_rows[op] : NULL;
}

static bool
is_label_char(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c != 0 && strchr("._-", c) != NULL);
}

pki_code_t
est_label_check(const char *label, pki_err_t *err)
{
    size_t len = strlen(label), i = 0;

    while (i < len && is_label_char((uint8_t) label[i])) {
        i++;
    }
    if (len == 0 || len > EST_LABEL_MAX || i < len) {
        return pki_fail(err, PKI_E_INVALID, "RFC 7030 3.2.2", "a label is 1 to %d letters, digits, \".\", "
                        "\"_\" or \"-\"", EST_LABEL_MAX);
    }
    if (strcmp(label, ".") == 0 || strcmp(label, "..") == 0) {
        return pki_fail(err, PKI_E_INVALID, "RFC 3986 5.2.4", "a label is neither \".\" nor \"..\"");
    }
    for (i = 0; i < sizeof(op_names) / sizeof(op_names[0]); i++) {
        if (strcmp(label, op_names[i]) == 0) {
            return pki_fail(err, PKI_E_INVALID, "RFC 7030 3.2.2", "\"%s\" is an operation's name", label);
        }
    }
    return PKI_OK;
}

static pki_code_t
path_fail(pki_err_t *err)
{
    return pki_fail(err, PKI_E_NOT_FOUND, "RFC 7030 3.2.2", "not the path of an EST operation");
}

/* The next "/segment", percent-decoded once, as a string of label characters. */
static bool
segment_take(bytes_t *in, char out[EST_LABEL_MAX + 1])
{
    size_t n = 0;

    if (in->len == 0 || in->p[0] != '/') {
        return false;
    }
    for (*in = bytes_of(in->p + 1, in->len - 1); in->len != 0 && in->p[0] != '/';) {
        uint8_t c = in->p[0];
        size_t  used = 1, len;

        if (c == '%') {
            if (in->len < 3 || hex_decode(bytes_of(in->p + 1, 2), &c, 1, &len, NULL) != PKI_OK) {
                return false;
            }
            used = 3;
        }
        if (!is_label_char(c) || n == EST_LABEL_MAX) {
            return false;
        }
        out[n++] = (char) c;
        *in = bytes_of(in->p + used, in->len - used);
    }
    out[n] = '\0';
    return n != 0;
}

pki_code_t
est_path_parse(bytes_t path, char label[EST_LABEL_MAX + 1], est_op_t *op, pki_err_t *err)
{
    char first[EST_LABEL_MAX + 1], second[EST_LABEL_MAX + 1];
    bool labelled;

    label[0] = '\0';
    if (!segment_take(&path, first)) {
        return path_fail(err);
    }
    labelled = path.len != 0;
    if (labelled
        && (!segment_take(&path, second) || path.len != 0 || est_label_check(first, NULL) != PKI_OK))
    {
        return path_fail(err);
    }
    for (size_t i = 0; i < EST_OP_COUNT; i++) {
        if (strcmp(labelled ? second : first, op_rows[i].name) == 0) {
            *op = (est_op_t) i;
            memcpy(label, labelled ? first : "", labelled ? strlen(first) + 1 : 1);
            return PKI_OK;
        }
    }
    return pki_fail(err, PKI_E_NOT_FOUND, "RFC 7030 3.2.2", "there is no such operation");
}

/* A media type without its parameters and the spaces around it. */
static bytes_t
media_type_of(bytes_t in)
{
    const uint8_t *end = in.len != 0 ? memchr(in.p, ';', in.len) : NULL;

    in.len = end != NULL ? (size_t) (end - in.p) : in.len;
    while (in.len != 0 && (in.p[0] == ' ' || in.p[0] == '\t')) {
        in = bytes_of(in.p + 1, in.len - 1);
    }
    while (in.len != 0 && (in.p[in.len - 1] == ' ' || in.p[in.len - 1] == '\t')) {
        in.len--;
    }
    return in;
}

bool
media_type_is(bytes_t header, const char *type)
{
    bytes_t a = media_type_of(header), b = media_type_of(bytes_str(type));

    return a.len == b.len && a.len != 0 && strncasecmp((const char *) a.p, (const char *) b.p, a.len) == 0;
}

pki_code_t
est_body_decode(pki_arena_t *a, bytes_t body, bytes_t *der, pki_err_t *err)
{
    der_item_t item;
    bytes_t    rest;

    if (body.len > EST_BODY_MAX) {
        return pki_fail(err, PKI_E_TOO_LARGE, NULL, "a body of %zu octets, %d allowed", body.len,
                        EST_BODY_MAX);
    }
    PKI_TRY(base64_parse(a, body, BASE64_SPACE, der, err));
    if (der->len == 0) {
        return pki_fail(err, PKI_E_PARSE, "RFC 8951 3.1", "the body is empty");
    }
    rest = *der;
    PKI_TRY(der_next(&rest, &item, err));
    return der_end(rest, "the body's DER", err);
}

pki_code_t
est_body_encode(bytes_t der, unsigned wrap, pki_buf_t *out, pki_err_t *err)
{
    size_t   len = BASE64_LEN(der.len), lines, at = 0;
    uint8_t *p;

    if (wrap == 0 || len == 0) {
        /* One octet more for the NUL that base64_encode() ends with. */
        p = pki_buf_extend(out, len + 1);
        if (p != NULL) {
            base64_encode(der, (char *) p);
            out->len--;
        }
        return pki_buf_check(out, "a base64 body", err);
    }
    lines = (len + wrap - 1) / wrap;
    p = pki_buf_extend(out, len + 2 * lines + 1);
    if (p != NULL) {
        /* The text goes to the end of the room and its lines move to the front. */
        base64_encode(der, (char *) p + 2 * lines);
        for (size_t i = 0; i < lines; i++) {
            size_t n = len - i * wrap < wrap ? len - i * wrap : wrap;

            memmove(p + at, p + 2 * lines + i * wrap, n);
            memcpy(p + at + n, "\r\n", 2);
            at += n + 2;
        }
        out->len--;
    }
    return pki_buf_check(out, "a base64 body", err);
}

#define BASIC_MAX 1536 /* octets of user, colon and password */

static pki_code_t
basic_split(bytes_t pair, bytes_t *user, bytes_t *password, pki_err_t *err)
{
    const uint8_t *colon = memchr(pair.p, ':', pair.len);

    for (size_t i = 0; i < pair.len; i++) {
        if (pair.p[i] < 0x20 || pair.p[i] == 0x7f) {
            return pki_fail(err, PKI_E_UNAUTHENTICATED, "RFC 7617 2", "control character in credentials");
        }
    }
    if (!utf8_valid(pair)) {
        return pki_fail(err, PKI_E_UNAUTHENTICATED, "RFC 7617 2.1", "the credentials are not UTF-8");
    }
    if (colon == NULL) {
        return pki_fail(err, PKI_E_UNAUTHENTICATED, "RFC 7617 2", "no colon in the credentials");
    }
    *user = bytes_of(pair.p, (size_t) (colon - pair.p));
    *password = bytes_of(colon + 1, pair.len - user->len - 1);
    return PKI_OK;
}

pki_code_t
basic_parse(pki_arena_t *a, bytes_t header, bytes_t *user, bytes_t *password, pki_err_t *err)
{
    uint8_t      octets[BASIC_MAX];
    pki_secret_t secret;
    pki_code_t   rc;
    size_t       len = 0;

    if (header.len < 6 || strncasecmp((const char *) header.p, "Basic ", 6) != 0) {
        return pki_fail(err, PKI_E_UNAUTHENTICATED, "RFC 7617 2", "the Authorization header is not Basic");
    }
    for (header = bytes_of(header.p + 6, header.len - 6); header.len != 0 && header.p[0] == ' ';) {
        header = bytes_of(header.p + 1, header.len - 1);
    }
    rc = base64_decode(header, 0, octets, sizeof(octets), &len, NULL);
    if (rc == PKI_OK) {
        rc = pki_secret_new(a, bytes_of(octets, len), &secret, err);
    } else {
        rc = pki_fail(err, PKI_E_UNAUTHENTICATED, "RFC 7617 2", "not base64, or too long");
    }
    OPENSSL_cleanse(octets, sizeof(octets));
    PKI_TRY(rc);
    return basic_split(pki_secret_bytes(&secret), user, password, err);
}
