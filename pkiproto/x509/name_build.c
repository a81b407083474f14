/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Distinguished names from text (RFC 4514 section 3), leniently about spaces around separators and
 * the case of attribute types.  The first RDN of the text becomes the last one of the encoding.
 */
#include "pkiproto/base/text.h"
#include "pkiproto/der/write.h"
#include "pkiproto/x509/attribute.h"
#include "pkiproto/x509/name.h"

#define NAME_BUILD_RDNS 32
#define NAME_BUILD_MAX  8192

static pki_code_t
text_fail(pki_err_t *err, const char *why)
{
    return pki_fail(err, PKI_E_INVALID, "RFC 4514 3", "a name's text is wrong: %s", why);
}

/* "2.5.4.3" to OID contents in out. */
static pki_code_t
oid_parse(bytes_t text, pki_buf_t *out, pki_err_t *err)
{
    uint64_t arcs[20] = { 0 }, v = 0;
    size_t   count = 0;
    bool     digit = false;

    for (size_t i = 0; i <= text.len; i++) {
        uint8_t c = i < text.len ? text.p[i] : '.';

        if (c == '.' && digit && count < sizeof(arcs) / sizeof(arcs[0])) {
            arcs[count++] = v;
            v = 0;
            digit = false;
        } else if (c >= '0' && c <= '9' && v < UINT32_MAX) {
            v = v * 10 + (c - '0');
            digit = true;
        } else {
            return text_fail(err, "an attribute type is neither known nor an OID");
        }
    }
    if (count < 2 || arcs[0] > 2 || (arcs[0] < 2 && arcs[1] > 39)) {
        return text_fail(err, "an attribute type is not a valid OID");
    }
    arcs[1] += arcs[0] * 40;
    for (size_t i = 1; i < count; i++) {
        int shift = 63;

        while (shift > 0 && arcs[i] >> shift == 0) {
            shift -= 7;
        }
        for (; shift >= 0; shift -= 7) {
            pki_buf_put_u8(out, (uint8_t) ((arcs[i] >> shift & 0x7f) | (shift != 0 ? 0x80 : 0)));
        }
    }
    return PKI_OK;
}

static int
hex_pair(bytes_t at)
{
    uint8_t octet;
    size_t  len;

    return at.len >= 2 && hex_decode(bytes_of(at.p, 2), &octet, 1, &len, NULL) == PKI_OK ? octet : -1;
}

/* The characters of a value up to an unescaped separator, without escapes and outer spaces. */
static pki_code_t
value_take(bytes_t *in, pki_buf_t *out, pki_err_t *err)
{
    size_t keep = 0; /* trailing spaces beyond it were not escaped */

    while (in->len != 0 && in->p[0] != ',' && in->p[0] != ';') {
        uint8_t c = in->p[0];
        bool    escaped = c == '\\';

        if (escaped) {
            int octet;

            *in = bytes_of(in->p + 1, in->len - 1);
            octet = hex_pair(*in);
            if (octet >= 0) {
                c = (uint8_t) octet;
                *in = bytes_of(in->p + 1, in->len - 1);
            } else if (in->len != 0 && strchr(" \"#+,;<=>\\", in->p[0]) != NULL && in->p[0] != 0) {
                c = in->p[0];
            } else {
                return text_fail(err, "a backslash before something that needs none");
            }
        } else if (strchr("\"+<>", c) != NULL) {
            return c == '+' ? text_fail(err, "multi-valued RDNs are not built")
                            : text_fail(err, "a special character is not escaped");
        }
        *in = bytes_of(in->p + 1, in->len - 1);
        pki_buf_put_u8(out, c);
        keep = escaped || c != ' ' ? out->len : keep;
    }
    out->len = out->failed ? out->len : keep;
    return PKI_OK;
}

static bytes_t
skip_spaces(bytes_t in)
{
    while (in.len != 0 && in.p[0] == ' ') {
        in = bytes_of(in.p + 1, in.len - 1);
    }
    return in;
}

static pki_code_t
type_take(bytes_t *in, bytes_t *out, pki_err_t *err)
{
    const uint8_t *equals;

    *in = skip_spaces(*in);
    equals = memchr(in->p, '=', in->len);
    if (equals == NULL) {
        return text_fail(err, "an attribute has no \"=\"");
    }
    *out = bytes_of(in->p, (size_t) (equals - in->p));
    *in = skip_spaces(bytes_of(equals + 1, in->len - out->len - 1));
    while (out->len != 0 && out->p[out->len - 1] == ' ') {
        out->len--;
    }
    return PKI_OK;
}

/* A value as "#" and the hexadecimal DER of it (RFC 4514 2.4). */
static pki_code_t
hex_value_put(pki_arena_t *a, bytes_t text, pki_buf_t *out, pki_err_t *err)
{
    der_item_t item;
    uint8_t   *octets;
    bytes_t    der;

    PKI_TRY(PKI_NEW_N(a, text.len / 2 + 1, &octets, err));
    if (hex_decode(text, octets, text.len / 2, &der.len, NULL) != PKI_OK) {
        return text_fail(err, "\"#\" is not followed by hexadecimal digits");
    }
    der.p = octets;
    PKI_TRY(der_next(&der, &item, err));
    PKI_TRY(der_end(der, "a value in hexadecimal", err));
    pki_buf_put(out, item.whole);
    return PKI_OK;
}

/* One RDN of the text as a whole SET. */
static pki_code_t
rdn_build(pki_arena_t *a, bytes_t *in, pki_buf_t *out, pki_err_t *err)
{
    const attribute_row_t *row;
    pki_buf_t              value, oid;
    bytes_t                type;
    size_t                 set, seq;
    bool                   hex;

    pki_buf_init(&value, a, NAME_BUILD_MAX);
    pki_buf_init(&oid, a, 128);
    PKI_TRY(type_take(in, &type, err));
    hex = in->len != 0 && in->p[0] == '#';
    row = attribute_by_name(type);
    if (row == NULL) {
        PKI_TRY(oid_parse(type, &oid, err));
        PKI_TRY(pki_buf_check(&oid, "an attribute type", err));
        row = attribute_by_oid(pki_buf_bytes(&oid));
    }
    PKI_TRY(value_take(in, &value, err));
    PKI_TRY(pki_buf_check(&value, "an attribute value", err));
    set = der_open(out, DER_SET);
    seq = der_open(out, DER_SEQUENCE);
    der_put(out, DER_OID, row != NULL ? row->oid : pki_buf_bytes(&oid));
    if (hex) {
        PKI_TRY(hex_value_put(a, bytes_of(value.p + 1, value.len - 1), out, err));
    } else {
        der_put(out, row != NULL ? row->tag : DER_UTF8_STRING, pki_buf_bytes(&value));
    }
    der_close(out, seq);
    der_close(out, set);
    return pki_buf_check(out, "a name", err);
}

pki_code_t
name_build(pki_arena_t *a, const char *text, bytes_t *out, pki_err_t *err)
{
    bytes_t   in = skip_spaces(bytes_str(text));
    pki_buf_t rdns[NAME_BUILD_RDNS], name;
    size_t    count = 0, seq;

    while (in.len != 0) {
        if (count == NAME_BUILD_RDNS) {
            return text_fail(err, "too many RDNs");
        }
        pki_buf_init(&rdns[count], a, NAME_BUILD_MAX);
        PKI_TRY(rdn_build(a, &in, &rdns[count++], err));
        if (in.len != 0) {
            in = skip_spaces(bytes_of(in.p + 1, in.len - 1));
            if (in.len == 0) {
                return text_fail(err, "it ends with a separator");
            }
        }
    }
    pki_buf_init(&name, a, NAME_BUILD_MAX);
    seq = der_open(&name, DER_SEQUENCE);
    while (count > 0) {
        pki_buf_put(&name, pki_buf_bytes(&rdns[--count]));
    }
    der_close(&name, seq);
    PKI_TRY(pki_buf_check(&name, "a name", err));
    *out = pki_buf_bytes(&name);
    return name_check(*out, err);
}
