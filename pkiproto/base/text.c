/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Hexadecimal, base64 and times.
 */
#include "pkiproto/base/text.h"

static const char hex_digits[] = "0123456789abcdef";

void
hex_encode(bytes_t in, char *out)
{
    for (size_t i = 0; i < in.len; i++) {
        *out++ = hex_digits[in.p[i] >> 4];
        *out++ = hex_digits[in.p[i] & 15];
    }
    *out = '\0';
}

char *
hex_print(pki_arena_t *a, bytes_t in)
{
    char *out = pki_alloc(a, in.len * 2 + 1);

    if (out != NULL) {
        hex_encode(in, out);
    }
    return out;
}

static int
hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

pki_code_t
hex_decode(bytes_t in, uint8_t *out, size_t cap, size_t *len, pki_err_t *err)
{
    if (in.len % 2 != 0) {
        return pki_fail(err, PKI_E_PARSE, NULL, "hexadecimal text has an odd number of digits (%zu)", in.len);
    }
    if (in.len / 2 > cap) {
        return pki_fail(err, PKI_E_TOO_LARGE, NULL, "hexadecimal text has %zu digits, %zu allowed", in.len,
                        cap * 2);
    }
    for (size_t i = 0; i < in.len; i += 2) {
        int hi = hex_value(in.p[i]), lo = hex_value(in.p[i + 1]);

        if (hi < 0 || lo < 0) {
            return pki_fail(err, PKI_E_PARSE, NULL, "not a hexadecimal digit at offset %zu", i + (hi >= 0));
        }
        out[i / 2] = (uint8_t) (hi << 4 | lo);
    }
    *len = in.len / 2;
    return PKI_OK;
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t
base64_encode(bytes_t in, char *out)
{
    const char *start = out;
    size_t      i;

    for (i = 0; i + 3 <= in.len; i += 3) {
        uint32_t v = (uint32_t) in.p[i] << 16 | (uint32_t) in.p[i + 1] << 8 | in.p[i + 2];

        *out++ = base64_digits[v >> 18];
        *out++ = base64_digits[v >> 12 & 63];
        *out++ = base64_digits[v >> 6 & 63];
        *out++ = base64_digits[v & 63];
    }
    if (i < in.len) {
        bool     two = in.len - i == 2;
        uint32_t v = (uint32_t) in.p[i] << 16 | (two ? (uint32_t) in.p[i + 1] << 8 : 0);

        *out++ = base64_digits[v >> 18];
        *out++ = base64_digits[v >> 12 & 63];
        *out++ = two ? base64_digits[v >> 6 & 63] : '=';
        *out++ = '=';
    }
    *out = '\0';
    return (size_t) (out - start);
}

char *
base64_print(pki_arena_t *a, bytes_t in)
{
    char *out = pki_alloc(a, BASE64_LEN(in.len) + 1);

    if (out != NULL) {
        base64_encode(in, out);
    }
    return out;
}

static int
base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool
base64_is_space(uint8_t c)
{
    return c == '\r' || c == '\n' || c == ' ' || c == '\t';
}

pki_code_t
base64_decode(bytes_t in, unsigned flags, uint8_t *out, size_t cap, size_t *len, pki_err_t *err)
{
    uint32_t v = 0;
    unsigned digits = 0, pads = 0;
    size_t   n = 0;

    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.p[i];
        int     d;

        if ((flags & BASE64_SPACE) && base64_is_space(c)) {
            continue;
        }
        if (c == '=' && digits >= 2 && digits + pads < 4) {
            pads++;
            continue;
        }
        d = base64_value(c);
        if (d < 0 || pads != 0) {
            return pki_fail(err, PKI_E_PARSE, "RFC 4648 4", "base64: unexpected octet 0x%02x at offset %zu", c, i);
        }
        v = v << 6 | (uint32_t) d;
        if (++digits == 4) {
            if (cap - n < 3) {
                return pki_fail(err, PKI_E_TOO_LARGE, NULL, "base64: more than %zu octets", cap);
            }
            out[n++] = (uint8_t) (v >> 16);
            out[n++] = (uint8_t) (v >> 8);
            out[n++] = (uint8_t) v;
            v = 0;
            digits = 0;
        }
    }
    if (digits + pads != 0 && digits + pads != 4) {
        return pki_fail(err, PKI_E_PARSE, "RFC 4648 4", "base64: wrong padding");
    }
    if (digits != 0) {
        unsigned spare = digits == 2 ? 4 : 2;

        if (v & ((1u << spare) - 1)) {
            return pki_fail(err, PKI_E_PARSE, "RFC 4648 3.5", "base64: unused bits are not zero");
        }
        v >>= spare;
        if (cap - n < digits - 1) {
            return pki_fail(err, PKI_E_TOO_LARGE, NULL, "base64: more than %zu octets", cap);
        }
        if (digits == 3) {
            out[n++] = (uint8_t) (v >> 8);
        }
        out[n++] = (uint8_t) v;
    }
    *len = n;
    return PKI_OK;
}

pki_code_t
base64_parse(pki_arena_t *a, bytes_t in, unsigned flags, bytes_t *out, pki_err_t *err)
{
    size_t   cap = in.len / 4 * 3 + 3;
    uint8_t *p;

    PKI_TRY(PKI_NEW_N(a, cap, &p, err));
    out->p = p;
    return base64_decode(in, flags, p, cap, &out->len, err);
}

/* Days since 1970-01-01 of a date, counting years from March so that leap days come last. */
static int64_t
days_of(int64_t y, int m, int d)
{
    int64_t era, yoe, doy;

    y -= m <= 2;
    era = (y >= 0 ? y : y - 399) / 400;
    yoe = y - era * 400;
    doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

civil_t
civil_of(int64_t t)
{
    int64_t days = t / 86400, rest = t % 86400, era, doe, yoe, doy, mp;
    civil_t c;

    if (rest < 0) {
        rest += 86400;
        days--;
    }
    days += 719468;
    era = (days >= 0 ? days : days - 146096) / 146097;
    doe = days - era * 146097;
    yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    mp = (5 * doy + 2) / 153;
    c.day = (int) (doy - (153 * mp + 2) / 5 + 1);
    c.month = (int) (mp < 10 ? mp + 3 : mp - 9);
    c.year = (int) (yoe + era * 400 + (c.month <= 2));
    c.hour = (int) (rest / 3600);
    c.minute = (int) (rest / 60 % 60);
    c.second = (int) (rest % 60);
    return c;
}

bool
civil_to_time(const civil_t *c, int64_t *out)
{
    static const int days_in[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = c->year % 4 == 0 && (c->year % 100 != 0 || c->year % 400 == 0);

    if (c->month < 1 || c->month > 12 || c->day < 1
        || c->day > days_in[c->month - 1] + (c->month == 2 && leap) || c->hour < 0 || c->hour > 23
        || c->minute < 0 || c->minute > 59 || c->second < 0 || c->second > 59)
    {
        return false;
    }
    *out = days_of(c->year, c->month, c->day) * 86400 + c->hour * 3600 + c->minute * 60 + c->second;
    return true;
}

/* The last digits of v, as many as there is room for. */
static void
digits_print(unsigned v, size_t width, char *out)
{
    for (; width-- > 0; v /= 10) {
        out[width] = (char) ('0' + v % 10);
    }
}

void
rfc3339_print(int64_t t, char out[RFC3339_LEN + 1])
{
    civil_t c = civil_of(t);
    const struct {
        unsigned value;
        size_t   width;
        char     after;
    } parts[] = { { (unsigned) c.year, 4, '-' }, { (unsigned) c.month, 2, '-' },  { (unsigned) c.day, 2, 'T' },
                  { (unsigned) c.hour, 2, ':' }, { (unsigned) c.minute, 2, ':' }, { (unsigned) c.second, 2, 'Z' } };

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        digits_print(parts[i].value, parts[i].width, out);
        out += parts[i].width;
        *out++ = parts[i].after;
    }
    *out = '\0';
}

/* The number in exactly width digits at *s, or -1. */
static int
digits_take(const char **s, int width, char after)
{
    int v = 0;

    for (int i = 0; i < width; i++, (*s)++) {
        if (**s < '0' || **s > '9') {
            return -1;
        }
        v = v * 10 + (**s - '0');
    }
    if (after != '\0' && *(*s)++ != after) {
        return -1;
    }
    return v;
}

pki_code_t
rfc3339_parse(const char *s, int64_t *out, pki_err_t *err)
{
    const char *at = s;
    civil_t     c;
    int64_t     offset_s = 0;
    bool        ok = strlen(s) >= RFC3339_LEN && strlen(s) <= 40;

    ok = ok && (c.year = digits_take(&at, 4, '-')) >= 0;
    ok = ok && (c.month = digits_take(&at, 2, '-')) >= 0;
    ok = ok && (c.day = digits_take(&at, 2, '\0')) >= 0;
    ok = ok && (*at == 'T' || *at == 't' || *at == ' ');
    at += ok;
    ok = ok && (c.hour = digits_take(&at, 2, ':')) >= 0;
    ok = ok && (c.minute = digits_take(&at, 2, ':')) >= 0;
    ok = ok && (c.second = digits_take(&at, 2, '\0')) >= 0;
    if (ok && *at == '.') {
        for (at++; *at >= '0' && *at <= '9'; at++) { }
    }
    if (ok && (*at == '+' || *at == '-')) {
        int sign = *at++ == '-' ? 1 : -1, h = digits_take(&at, 2, ':'), m = -1;

        ok = h >= 0 && h < 24 && (m = digits_take(&at, 2, '\0')) >= 0 && m < 60;
        offset_s = sign * (h * 3600 + m * 60);
    } else if (ok) {
        ok = *at == 'Z' || *at == 'z';
        at += ok;
    }
    if (!ok || *at != '\0' || !civil_to_time(&c, out)) {
        return pki_fail(err, PKI_E_INVALID, "RFC 3339 5.6", "not a time like 2026-01-31T23:59:59Z");
    }
    *out += offset_s;
    return PKI_OK;
}
