/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The part of YAML that a configuration file needs, as a JSON value: one document of mappings, sequences
 * and scalars.  Anchors, aliases, tags and duplicate keys are errors, and so is nesting that no
 * configuration has.  No error text quotes a value.
 */
#include "core/conf.h"

#include <errno.h>
#include <stdlib.h>

#include <yaml.h>

#define YAML_TEXT_MAX  (1u << 20)
#define YAML_DEPTH_MAX 16u

typedef struct {
    yaml_parser_t parser;
    yaml_event_t  event;
    bool          has_event;
    pki_err_t    *err;
} yaml_reader_t;

#define yaml_fail(r, what)                                                                             \
    pki_fail((r)->err, PKI_E_PARSE, "YAML 1.2", "%s (line %zu, column %zu)", (what),                   \
             (r)->event.start_mark.line + 1, (r)->event.start_mark.column + 1)

static pki_code_t yaml_value(yaml_reader_t *r, unsigned depth, json_t **out);

static pki_code_t
yaml_next(yaml_reader_t *r)
{
    if (r->has_event) {
        yaml_event_delete(&r->event);
        r->has_event = false;
    }
    if (!yaml_parser_parse(&r->parser, &r->event)) {
        const yaml_parser_t *p = &r->parser;

        return p->error == YAML_MEMORY_ERROR
                   ? pki_fail(r->err, PKI_E_NOMEM, NULL, "out of memory while parsing YAML")
                   : pki_fail(r->err, PKI_E_PARSE, "YAML 1.2", "%s (line %zu, column %zu)",
                              p->problem != NULL ? p->problem : "not well formed", p->problem_mark.line + 1,
                              p->problem_mark.column + 1);
    }
    r->has_event = true;
    return PKI_OK;
}

static bool
text_is(bytes_t text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (bytes_eq(text, bytes_str(*words))) {
            return true;
        }
    }
    return false;
}

/* A decimal integer without leading zeros: "0644" stays text, since YAML 1.1 and 1.2 differ about it. */
static bool
text_is_integer(bytes_t text)
{
    size_t from = text.len > 0 && text.p[0] == '-';

    if (text.len == from || (text.p[from] == '0' && text.len > from + 1)) {
        return false;
    }
    for (size_t i = from; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') {
            return false;
        }
    }
    return true;
}

static json_t *
plain_value(bytes_t text, bool *overflow)
{
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
    static const char *const trues[] = { "true", "True", "TRUE", NULL };
    static const char *const falses[] = { "false", "False", "FALSE", NULL };

    if (text_is(text, nulls)) {
        return json_null();
    }
    if (text_is(text, trues) || text_is(text, falses)) {
        return json_boolean(text_is(text, trues));
    }
    if (text_is_integer(text)) {
        long long v;

        errno = 0;
        v = strtoll((const char *) text.p, NULL, 10);
        *overflow = errno == ERANGE;
        return *overflow ? NULL : json_integer(v);
    }
    return json_stringn((const char *) text.p, text.len);
}

static pki_code_t
yaml_scalar(yaml_reader_t *r, json_t **out)
{
    bytes_t text = bytes_of(r->event.data.scalar.value, r->event.data.scalar.length);
    bool    overflow = false;

    if (r->event.data.scalar.anchor != NULL || r->event.data.scalar.tag != NULL) {
        return yaml_fail(r, "anchors and tags are not supported");
    }
    *out = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE
               ? plain_value(text, &overflow)
               : json_stringn((const char *) text.p, text.len);
    if (*out == NULL) {
        return yaml_fail(r, overflow ? "an integer is too large" : "a scalar is not acceptable text");
    }
    return PKI_OK;
}

static pki_code_t
yaml_sequence(yaml_reader_t *r, unsigned depth, json_t **out)
{
    if (r->event.data.sequence_start.anchor != NULL || r->event.data.sequence_start.tag != NULL) {
        return yaml_fail(r, "anchors and tags are not supported");
    }
    *out = json_array();
    for (;;) {
        json_t *element;

        PKI_TRY(yaml_next(r));
        if (r->event.type == YAML_SEQUENCE_END_EVENT) {
            return PKI_OK;
        }
        PKI_TRY(yaml_value(r, depth + 1, &element));
        if (json_array_append_new(*out, element) != 0) {
            return pki_fail(r->err, PKI_E_NOMEM, NULL, "out of memory while parsing YAML");
        }
    }
}

static pki_code_t
yaml_member(yaml_reader_t *r, unsigned depth, json_t *object)
{
    const char *text = (const char *) r->event.data.scalar.value;
    size_t      len = r->event.data.scalar.length;
    json_t     *value;
    char        key[256];

    if (r->event.type != YAML_SCALAR_EVENT || r->event.data.scalar.anchor != NULL
        || r->event.data.scalar.tag != NULL)
    {
        return yaml_fail(r, "a key must be a plain name");
    }
    if (len == 0 || len >= sizeof(key) || memchr(text, 0, len) != NULL) {
        return yaml_fail(r, "a key is empty or too long");
    }
    memcpy(key, text, len);
    key[len] = '\0';
    if (json_object_get(object, key) != NULL) {
        return yaml_fail(r, "a key is there twice");
    }
    PKI_TRY(yaml_next(r));
    PKI_TRY(yaml_value(r, depth + 1, &value));
    if (json_object_set_new(object, key, value) != 0) {
        return yaml_fail(r, "a key is not acceptable text");
    }
    return PKI_OK;
}

static pki_code_t
yaml_mapping(yaml_reader_t *r, unsigned depth, json_t **out)
{
    if (r->event.data.mapping_start.anchor != NULL || r->event.data.mapping_start.tag != NULL) {
        return yaml_fail(r, "anchors and tags are not supported");
    }
    *out = json_object();
    for (;;) {
        PKI_TRY(yaml_next(r));
        if (r->event.type == YAML_MAPPING_END_EVENT) {
            return PKI_OK;
        }
        PKI_TRY(yaml_member(r, depth, *out));
    }
}

/* The value that the current event starts.  On failure *out is NULL. */
static pki_code_t
yaml_value(yaml_reader_t *r, unsigned depth, json_t **out)
{
    pki_code_t rc;

    *out = NULL;
    if (depth > YAML_DEPTH_MAX) {
        return yaml_fail(r, "nested too deeply");
    }
    switch (r->event.type) {
    case YAML_SCALAR_EVENT:
        rc = yaml_scalar(r, out);
        break;
    case YAML_SEQUENCE_START_EVENT:
        rc = yaml_sequence(r, depth, out);
        break;
    case YAML_MAPPING_START_EVENT:
        rc = yaml_mapping(r, depth, out);
        break;
    default:
        return yaml_fail(r, "aliases are not supported");
    }
    if (rc != PKI_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return rc;
}

static pki_code_t
yaml_expect(yaml_reader_t *r, yaml_event_type_t type, const char *what)
{
    PKI_TRY(yaml_next(r));
    return r->event.type == type ? PKI_OK : yaml_fail(r, what);
}

/* STREAM-START (DOCUMENT-START value DOCUMENT-END)? STREAM-END; an empty stream is a null. */
static pki_code_t
yaml_document(yaml_reader_t *r, json_t **out)
{
    PKI_TRY(yaml_expect(r, YAML_STREAM_START_EVENT, "not a YAML stream"));
    PKI_TRY(yaml_next(r));
    if (r->event.type == YAML_STREAM_END_EVENT) {
        *out = json_null();
        return PKI_OK;
    }
    PKI_TRY(yaml_next(r));
    PKI_TRY(yaml_value(r, 0, out));
    PKI_TRY(yaml_expect(r, YAML_DOCUMENT_END_EVENT, "the document does not end"));
    return yaml_expect(r, YAML_STREAM_END_EVENT, "a second document");
}

pki_code_t
yaml_parse(bytes_t text, json_t **out, pki_err_t *err)
{
    yaml_reader_t r = { .err = err };
    pki_code_t    rc;

    *out = NULL;
    if (text.len > YAML_TEXT_MAX) {
        return pki_fail(err, PKI_E_TOO_LARGE, NULL, "YAML has more than %u octets", YAML_TEXT_MAX);
    }
    if (!yaml_parser_initialize(&r.parser)) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory while parsing YAML");
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, text.p != NULL ? text.p : (const uint8_t *) "", text.len);
    rc = yaml_document(&r, out);
    if (r.has_event) {
        yaml_event_delete(&r.event);
    }
    yaml_parser_delete(&r.parser);
    if (rc != PKI_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return rc;
}
