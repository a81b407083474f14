/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The one encoding of an audit event, and the reader of exported lines.  Whether a line is JSON is jansson's to say;
 * where its members begin and end is found here, since what jansson makes of numbers and objects has another text.
 */
#include "pkiproto/audit/event.h"

#include <stdlib.h>

#include <openssl/evp.h>

#include "pkiproto/base/ossl.h"
#include "pkiproto/json/field.h"

const char *const audit_event_names[AUDIT_EVENT_FIELDS] = {
    "id", "at", "actor", "actor_type", "action", "resource_type", "resource_id", "status", "request_id", "source",
    "latency_us", "body_hash", "details",
};

#define DETAILS (AUDIT_EVENT_FIELDS - 1)

void
audit_event_leaf(const audit_event_t *e, merkle_hash_t *out)
{
    static const uint8_t start[] = { 0x00, 0x01 };
    PKI_AUTO(EVP_MD_CTX) ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1
              && EVP_DigestUpdate(ctx, start, sizeof(start)) == 1;

    for (size_t i = 0; i < AUDIT_EVENT_FIELDS; i++) {
        bytes_t  f = e->field[i];
        uint32_t n = f.p != NULL ? (uint32_t) f.len : UINT32_MAX;
        uint8_t  len[4] = { (uint8_t) (n >> 24), (uint8_t) (n >> 16), (uint8_t) (n >> 8), (uint8_t) n };

        ok = ok && EVP_DigestUpdate(ctx, len, sizeof(len)) == 1 && EVP_DigestUpdate(ctx, f.p, f.len) == 1;
    }
    /* Out of memory: a hash that fits nothing. */
    if (!ok || EVP_DigestFinal_ex(ctx, out->h, NULL) != 1) {
        memset(out->h, 0, sizeof(out->h));
    }
}

static void
space_skip(bytes_t *in)
{
    while (in->len > 0 && strchr(" \t\r\n", in->p[0]) != NULL && in->p[0] != '\0') {
        in->p++;
        in->len--;
    }
}

static bool
char_take(bytes_t *in, char c)
{
    space_skip(in);
    if (in->len == 0 || in->p[0] != (uint8_t) c) {
        return false;
    }
    in->p++;
    in->len--;
    return true;
}

/* A string with its quotes, from the first of them. */
static size_t
string_len(bytes_t in)
{
    size_t n = 1;

    while (n < in.len && in.p[n] != '"') {
        n += in.p[n] == '\\' ? 2 : 1;
    }
    return n < in.len ? n + 1 : in.len;
}

/* The text of one value of a line that is JSON. */
static bytes_t
value_take(bytes_t *in)
{
    size_t n = 0, depth = 0;

    space_skip(in);
    while (n < in->len) {
        uint8_t c = in->p[n];

        if (depth == 0 && (c == ',' || c == '}' || c == ' ')) {
            break;
        }
        if (c == '"') {
            n += string_len(bytes_of(in->p + n, in->len - n));
            continue;
        }
        depth += c == '{' || c == '[';
        if (c == '}' || c == ']') {
            depth--;
        }
        n++;
    }
    n = n < in->len ? n : in->len;
    in->p += n;
    in->len -= n;
    return bytes_of(in->p - n, n);
}

static size_t
name_find(bytes_t quoted)
{
    size_t i = 0;

    while (i < AUDIT_EVENT_FIELDS
           && !bytes_eq(bytes_of(quoted.p + 1, quoted.len - 2), bytes_str(audit_event_names[i])))
    {
        i++;
    }
    return i;
}

/* Strings from jansson, numbers and details as they stand, null as NULL. */
static pki_code_t
field_fill(pki_arena_t *a, const json_t *value, size_t i, bytes_t raw, bytes_t *out, pki_err_t *err)
{
    if (json_is_null(value)) {
        return PKI_OK;
    }
    if (i != DETAILS && json_is_string(value)) {
        return pki_bytes_dup(a, bytes_of(json_string_value(value), json_string_length(value)), out, err);
    }
    if (i != DETAILS && !json_is_integer(value)) {
        return pki_fail(err, PKI_E_PARSE, NULL, "%s is no string and no number", audit_event_names[i]);
    }
    return pki_bytes_dup(a, raw, out, err);
}

static pki_code_t
members_take(pki_arena_t *a, const json_t *in, bytes_t line, audit_event_t *out, pki_err_t *err)
{
    unsigned seen = 0;

    if (!char_take(&line, '{')) {
        return pki_fail(err, PKI_E_PARSE, NULL, "not an object");
    }
    while (!char_take(&line, '}')) {
        bytes_t name, raw;
        size_t  i;

        if ((seen != 0 && !char_take(&line, ',')) || (space_skip(&line), line.len == 0) || line.p[0] != '"') {
            return pki_fail(err, PKI_E_PARSE, NULL, "not an event");
        }
        name = bytes_of(line.p, string_len(line));
        line.p += name.len;
        line.len -= name.len;
        i = name_find(name);
        if (i == AUDIT_EVENT_FIELDS || !char_take(&line, ':')) {
            return pki_fail(err, PKI_E_PARSE, NULL, "an event has no member %.*s", (int) (name.len < 40 ? name.len : 40),
                            (const char *) name.p);
        }
        raw = value_take(&line);
        seen |= 1u << i;
        PKI_TRY(field_fill(a, json_object_get(in, audit_event_names[i]), i, raw, &out->field[i], err));
    }
    if (seen != (1u << AUDIT_EVENT_FIELDS) - 1) {
        return pki_fail(err, PKI_E_PARSE, NULL, "an event without all of its members");
    }
    return PKI_OK;
}

pki_code_t
audit_event_parse(pki_arena_t *a, bytes_t line, audit_event_t *out, int64_t *id, pki_err_t *err)
{
    JSON_AUTO in = NULL;

    *out = (audit_event_t){ 0 };
    if (line.len > AUDIT_EVENT_MAX) {
        return pki_fail(err, PKI_E_TOO_LARGE, NULL, "a line of %zu octets", line.len);
    }
    PKI_TRY(json_parse(line, &in, err));
    PKI_TRY(members_take(a, in, line, out, err));
    if (!json_is_integer(json_object_get(in, "id"))) {
        return pki_fail(err, PKI_E_PARSE, NULL, "an event's id is a number");
    }
    *id = json_integer_value(json_object_get(in, "id"));
    return PKI_OK;
}
