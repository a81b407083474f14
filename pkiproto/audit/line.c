/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Reading a line.  A leaf has numbers and details as PostgreSQL printed them, so these are taken as they stand there; what
 * is JSON is told by the JSON parser, before anything is looked for.
 */
#include "pkiproto/audit/line.h"

#include <errno.h>
#include <stdlib.h>

#include "pkiproto/base/text.h"
#include "pkiproto/json/field.h"

#define LEAF_FIELDS 2

/* Fields of an event that stand there as they are in the leaf; all others are strings. */
static const char *const raw_names[] = { "id", "status", "latency_us", "details" };

static bool
name_is_raw(const char *name)
{
    for (size_t i = 0; i < sizeof(raw_names) / sizeof(raw_names[0]); i++) {
        if (strcmp(raw_names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- members as they stand there; the text is JSON ---- */

static size_t
space_len(bytes_t in)
{
    size_t n = 0;

    while (n < in.len && strchr(" \t\r\n", in.p[n]) != NULL && in.p[n] != '\0') {
        n++;
    }
    return n;
}

/* With its quotes. */
static size_t
string_len(bytes_t in)
{
    size_t n = 1;

    while (n < in.len && in.p[n] != '"') {
        n += in.p[n] == '\\' ? 2 : 1;
    }
    return n < in.len ? n + 1 : in.len;
}

static size_t
value_len(bytes_t in)
{
    size_t n = 0, depth = 0;

    while (n < in.len) {
        uint8_t c = in.p[n];

        if (depth == 0 && (c == ',' || c == '}')) {
            break;
        }
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        n += c == '"' ? string_len(bytes_of(in.p + n, in.len - n)) : 1;
    }
    while (n > 0 && space_len(bytes_of(in.p + n - 1, 1)) == 1) {
        n--;
    }
    return n;
}

static void
skip(bytes_t *in, size_t n)
{
    n = n < in->len ? n : in->len;
    in->p += n;
    in->len -= n;
}

/* The next member of an object behind its brace or a comma; false at its end. */
static bool
member_next(bytes_t *in, bytes_t *name, bytes_t *value)
{
    size_t n;

    skip(in, space_len(*in));
    if (in->len == 0 || *in->p != '"') {
        return false;
    }
    n = string_len(*in);
    if (n < 2) {
        return false;
    }
    *name = bytes_of(in->p + 1, n - 2);
    skip(in, n);
    skip(in, space_len(*in));
    skip(in, 1); /* the colon */
    skip(in, space_len(*in));
    n = value_len(*in);
    *value = bytes_of(in->p, n);
    skip(in, n);
    skip(in, space_len(*in));
    skip(in, 1); /* a comma, or the end */
    return true;
}

static bool
member_find(bytes_t line, const char *want, bytes_t *value)
{
    bytes_t name;

    skip(&line, space_len(line));
    skip(&line, 1); /* the brace */
    while (member_next(&line, &name, value)) {
        if (bytes_eq(name, bytes_str(want))) {
            return true;
        }
    }
    return false;
}

/* ---- what they are ---- */

static pki_code_t
field_take(bytes_t line, const json_t *in, const char *name, bytes_t *out, pki_err_t *err)
{
    const json_t *value = json_object_get(in, name);

    *out = BYTES_NONE;
    if (value == NULL) {
        return pki_fail(err, PKI_E_PARSE, NULL, "there is no \"%s\"", name);
    }
    if (json_is_null(value)) {
        return PKI_OK;
    }
    if (name_is_raw(name)) {
        return member_find(line, name, out) ? PKI_OK : pki_fail(err, PKI_E_PARSE, NULL, "\"%s\" is spelt otherwise", name);
    }
    if (!json_is_string(value)) {
        return pki_fail(err, PKI_E_PARSE, NULL, "\"%s\" is no text", name);
    }
    *out = bytes_of(json_string_value(value), json_string_length(value));
    return PKI_OK;
}

static pki_code_t
leaf_take(const json_t *in, audit_line_t *out, pki_err_t *err)
{
    const json_t *index = json_object_get(in, "leaf_index"), *hash = json_object_get(in, "leaf_hash");
    size_t        len = 0;

    out->alone = json_object_size(in) == AUDIT_EVENT_FIELDS;
    if (out->alone || (json_is_null(index) && json_is_null(hash))) {
        return PKI_OK;
    }
    if (!json_is_integer(index) || json_integer_value(index) < 0 || json_integer_value(index) >= INT64_MAX / 2) {
        return pki_fail(err, PKI_E_PARSE, NULL, "\"leaf_index\" is no place in a tree");
    }
    if (!json_is_string(hash)
        || hex_decode(bytes_of(json_string_value(hash), json_string_length(hash)), out->leaf_hash.h, MERKLE_HASH_LEN, &len,
                      NULL) != PKI_OK
        || len != MERKLE_HASH_LEN)
    {
        return pki_fail(err, PKI_E_PARSE, NULL, "\"leaf_hash\" is no hash");
    }
    out->sealed = true;
    out->leaf_index = (uint64_t) json_integer_value(index);
    return PKI_OK;
}

pki_code_t
audit_line_parse(pki_arena_t *a, bytes_t line, audit_line_t *out, pki_err_t *err)
{
    json_t *in = NULL;

    memset(out, 0, sizeof(*out));
    if (line.len > AUDIT_LINE_MAX) {
        return pki_fail(err, PKI_E_TOO_LARGE, NULL, "a line has more than %u octets", AUDIT_LINE_MAX);
    }
    PKI_TRY(json_parse(line, &in, err));
    PKI_TRY(pki_arena_own(a, in, (pki_free_pt) json_decref, err));
    if (!json_is_object(in)
        || (json_object_size(in) != AUDIT_EVENT_FIELDS && json_object_size(in) != AUDIT_EVENT_FIELDS + LEAF_FIELDS))
    {
        return pki_fail(err, PKI_E_PARSE, NULL, "not an event, alone or with its leaf");
    }
    for (size_t i = 0; i < AUDIT_EVENT_FIELDS; i++) {
        PKI_TRY(field_take(line, in, audit_event_names[i], &out->event.field[i], err));
    }
    if (!json_is_integer(json_object_get(in, "id"))) {
        return pki_fail(err, PKI_E_PARSE, NULL, "\"id\" is no number");
    }
    out->id = json_integer_value(json_object_get(in, "id"));
    return leaf_take(in, out, err);
}
