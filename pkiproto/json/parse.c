/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * JSON text to values (RFC 8259), strictly.  jansson's own error text quotes the input, which may
 * hold a secret: only the place and the kind of the error are told.
 */
#include "pkiproto/json/field.h"

/* The deepest nesting of brackets outside of strings, whether or not they match. */
static size_t
json_depth(bytes_t text)
{
    size_t depth = 0, deepest = 0;
    bool   in_string = false;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.p[i];

        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            deepest = ++depth > deepest ? depth : deepest;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return deepest;
}

static const char *
json_error_kind(const json_error_t *e)
{
    switch (json_error_code(e)) {
    case json_error_premature_end_of_input:
        return "ends too early";
    case json_error_end_of_input_expected:
        return "has something after its end";
    case json_error_duplicate_key:
        return "has a key twice";
    case json_error_invalid_utf8:
        return "is not UTF-8";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "has a NUL character in a string";
    case json_error_numeric_overflow:
        return "has a number that is too large";
    default:
        return "is not well formed";
    }
}

pki_code_t
json_parse(bytes_t text, json_t **out, pki_err_t *err)
{
    json_error_t e;

    *out = NULL;
    if (text.len > JSON_TEXT_MAX) {
        return pki_fail(err, PKI_E_TOO_LARGE, NULL, "JSON has more than %u octets", JSON_TEXT_MAX);
    }
    if (json_depth(text) > JSON_DEPTH_MAX) {
        return pki_fail(err, PKI_E_PARSE, "RFC 8259 9", "JSON is nested more than %u deep", JSON_DEPTH_MAX);
    }
    *out = json_loadb(text.p != NULL ? (const char *) text.p : "", text.len, JSON_REJECT_DUPLICATES, &e);
    if (*out == NULL) {
        return json_error_code(&e) == json_error_out_of_memory
                   ? pki_fail(err, PKI_E_NOMEM, NULL, "out of memory while parsing JSON")
                   : pki_fail(err, PKI_E_PARSE, "RFC 8259 2", "JSON %s (line %d, column %d)",
                              json_error_kind(&e), e.line, e.column);
    }
    return PKI_OK;
}
