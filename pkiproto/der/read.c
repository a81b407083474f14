/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The DER reader.  X.690 sections 8 and 10: definite form, shortest length, shortest INTEGER.
 */
#include "pkiproto/der/read.h"

#include "pkiproto/base/text.h"

pki_code_t
der_next(bytes_t *in, der_item_t *out, pki_err_t *err)
{
    size_t header = 2, len;

    if (in->len < 2) {
        return pki_fail(err, PKI_E_PARSE, "X.690 8.1", "DER ends inside a header");
    }
    if ((in->p[0] & 0x1f) == 0x1f) {
        return pki_fail(err, PKI_E_PARSE, "X.690 8.1.2.4", "DER has a multi-octet tag");
    }
    len = in->p[1];
    if (len == 0x80) {
        return pki_fail(err, PKI_E_PARSE, "X.690 10.1", "BER indefinite length is not DER");
    }
    if (len > 0x80) {
        size_t octets = len & 0x7f;

        if (octets > 4 || in->len < 2 + octets) {
            return pki_fail(err, PKI_E_PARSE, "X.690 8.1.3.5", "DER length of %zu octets does not fit", octets);
        }
        header += octets;
        len = 0;
        for (size_t i = 0; i < octets; i++) {
            len = len << 8 | in->p[2 + i];
        }
        if (len < 0x80 || len >> 8 * (octets - 1) == 0) {
            return pki_fail(err, PKI_E_PARSE, "X.690 10.1", "DER length is not in its shortest form");
        }
    }
    if (in->len - header < len) {
        return pki_fail(err, PKI_E_PARSE, "X.690 8.1.3", "DER element of %zu octets ends after %zu", len,
                        in->len - header);
    }
    out->tag = in->p[0];
    out->value = bytes_of(in->p + header, len);
    out->whole = bytes_of(in->p, header + len);
    in->p += header + len;
    in->len -= header + len;
    return PKI_OK;
}

static pki_code_t
der_item(bytes_t *in, uint8_t tag, const char *what, der_item_t *item, pki_err_t *err)
{
    if (!der_peek(*in, tag)) {
        return in->len == 0
                   ? pki_fail(err, PKI_E_PARSE, "X.690 8.1", "%s is missing", what)
                   : pki_fail(err, PKI_E_PARSE, "X.690 8.1", "%s has tag 0x%02x, not 0x%02x", what, in->p[0], tag);
    }
    if (der_next(in, item, err) != PKI_OK) {
        return err != NULL ? pki_err_context(err, "%s", what) : PKI_E_PARSE;
    }
    return PKI_OK;
}

pki_code_t
der_take(bytes_t *in, uint8_t tag, const char *what, bytes_t *value, pki_err_t *err)
{
    der_item_t item;

    PKI_TRY(der_item(in, tag, what, &item, err));
    *value = item.value;
    return PKI_OK;
}

pki_code_t
der_take_whole(bytes_t *in, uint8_t tag, const char *what, bytes_t *whole, pki_err_t *err)
{
    der_item_t item;

    PKI_TRY(der_item(in, tag, what, &item, err));
    *whole = item.whole;
    return PKI_OK;
}

pki_code_t
der_end(bytes_t in, const char *what, pki_err_t *err)
{
    return in.len == 0 ? PKI_OK
                       : pki_fail(err, PKI_E_PARSE, "X.690 8.1", "%zu octets too many after %s", in.len, what);
}

pki_code_t
der_take_integer(bytes_t *in, const char *what, bytes_t *value, pki_err_t *err)
{
    bytes_t v;

    PKI_TRY(der_take(in, DER_INTEGER, what, &v, err));
    if (v.len == 0) {
        return pki_fail(err, PKI_E_PARSE, "X.690 8.3.1", "%s is an INTEGER without contents", what);
    }
    if (v.len > 1 && ((v.p[0] == 0 && v.p[1] < 0x80) || (v.p[0] == 0xff && v.p[1] >= 0x80))) {
        return pki_fail(err, PKI_E_PARSE, "X.690 8.3.2", "%s is not in its shortest form", what);
    }
    *value = v;
    return PKI_OK;
}

pki_code_t
der_take_uint(bytes_t *in, const char *what, uint64_t max, uint64_t *out, pki_err_t *err)
{
    bytes_t  v;
    uint64_t n = 0;
    bool     wraps = false;

    PKI_TRY(der_take_integer(in, what, &v, err));
    if (v.p[0] >= 0x80) {
        return pki_fail(err, PKI_E_PARSE, NULL, "%s is negative", what);
    }
    for (size_t i = 0; i < v.len; i++) {
        wraps |= n >> 56 != 0;
        n = n << 8 | v.p[i];
    }
    if (wraps || n > max) {
        return pki_fail(err, PKI_E_PARSE, NULL, "%s is larger than %llu", what, (unsigned long long) max);
    }
    *out = n;
    return PKI_OK;
}

pki_code_t
der_take_bool(bytes_t *in, const char *what, bool *out, pki_err_t *err)
{
    bytes_t v;

    PKI_TRY(der_take(in, DER_BOOLEAN, what, &v, err));
    if (v.len != 1 || (v.p[0] != 0x00 && v.p[0] != 0xff)) {
        return pki_fail(err, PKI_E_PARSE, "X.690 11.1", "%s is not a DER BOOLEAN", what);
    }
    *out = v.p[0] != 0;
    return PKI_OK;
}

pki_code_t
der_take_bits(bytes_t *in, const char *what, bytes_t *value, pki_err_t *err)
{
    bytes_t v;

    PKI_TRY(der_take(in, DER_BIT_STRING, what, &v, err));
    if (v.len == 0 || v.p[0] != 0) {
        return pki_fail(err, PKI_E_PARSE, "X.690 8.6", "%s is not a BIT STRING of whole octets", what);
    }
    *value = bytes_of(v.p + 1, v.len - 1);
    return PKI_OK;
}

static int
two_digits(const uint8_t *p)
{
    return p[0] >= '0' && p[0] <= '9' && p[1] >= '0' && p[1] <= '9' ? (p[0] - '0') * 10 + p[1] - '0' : -1;
}

pki_code_t
der_take_time(bytes_t *in, const char *what, int64_t *out, pki_err_t *err)
{
    der_item_t item;
    civil_t    c;
    bytes_t    v;
    int        century;

    PKI_TRY(der_next(in, &item, err));
    v = item.value;

    if (item.tag == DER_UTC_TIME && v.len == 13) {
        century = two_digits(v.p) >= 50 ? 19 : 20;
    } else if (item.tag == DER_GENERALIZED_TIME && v.len == 15) {
        century = two_digits(v.p);
        v = bytes_of(v.p + 2, 13);
    } else {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 4.1.2.5", "%s is neither UTCTime nor GeneralizedTime in "
                        "the form that certificates use", what);
    }
    c.year = two_digits(v.p);
    c.month = two_digits(v.p + 2);
    c.day = two_digits(v.p + 4);
    c.hour = two_digits(v.p + 6);
    c.minute = two_digits(v.p + 8);
    c.second = two_digits(v.p + 10);
    if (century < 0 || c.year < 0 || v.p[12] != 'Z') {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 4.1.2.5", "%s is not a time ending in Z", what);
    }
    c.year += century * 100;
    if (!civil_to_time(&c, out)) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 4.1.2.5", "%s is not a date that exists", what);
    }
    return PKI_OK;
}
