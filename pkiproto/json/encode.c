/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Field tables, outwards: struct members to JSON, and the JSON Schema of a table.
 */
#include "pkiproto/base/text.h"
#include "pkiproto/json/field.h"

#include <stdlib.h>

static const void *
member_of(const void *in, const field_t *f)
{
    return (const uint8_t *) in + f->offset;
}

static json_t *
encode_octets(const field_t *f, bytes_t in)
{
    size_t  cap = f->type == FIELD_T_HEX ? in.len * 2 + 1 : BASE64_LEN(in.len) + 1;
    char   *text = malloc(cap);
    json_t *out = NULL;

    if (text == NULL) {
        return NULL;
    }
    if (f->type == FIELD_T_HEX) {
        hex_encode(in, text);
    } else {
        base64_encode(in, text);
    }
    out = json_stringn_nocheck(text, cap - 1);
    free(text);
    return out;
}

static json_t *
encode_time(int64_t t)
{
    char text[RFC3339_LEN + 1];

    rfc3339_print(t, text);
    return json_string_nocheck(text);
}

/* NULL when a part of it is: json_array_append_new() takes the element either way. */
static json_t *
encode_strs(const str_list_t *in)
{
    json_t *out = json_array();

    for (size_t i = 0; i < in->count; i++) {
        if (json_array_append_new(out, json_string(in->v[i])) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static json_t *
encode_ints(const int_list_t *in)
{
    json_t *out = json_array();

    for (size_t i = 0; i < in->count; i++) {
        if (json_array_append_new(out, json_integer(in->v[i])) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static json_t *
encode_map(const str_map_t *in)
{
    json_t *out = json_object();

    for (size_t i = 0; i < in->count; i++) {
        if (json_object_set_new(out, in->names[i], json_string(in->values[i])) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static json_t *
encode_objects(const field_t *f, const object_list_t *in)
{
    json_t *out = json_array();

    for (size_t i = 0; i < in->count; i++) {
        const uint8_t *element = (const uint8_t *) in->v + i * f->sub_size;

        if (json_array_append_new(out, fields_encode(f->sub, element)) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static json_t *
encode_value(const field_t *f, const void *member)
{
    switch (f->type) {
    case FIELD_T_STR:
        return json_string(*(const char *const *) member);
    case FIELD_T_INT:
        return json_integer(*(const int64_t *) member);
    case FIELD_T_BOOL:
        return json_boolean(*(const bool *) member);
    case FIELD_T_TIME:
        return encode_time(*(const int64_t *) member);
    case FIELD_T_BASE64:
    case FIELD_T_HEX:
        return encode_octets(f, *(const bytes_t *) member);
    case FIELD_T_STRS:
        return encode_strs(member);
    case FIELD_T_INTS:
        return encode_ints(member);
    case FIELD_T_MAP:
        return encode_map(member);
    case FIELD_T_OBJECT:
        return fields_encode(f->sub, member);
    case FIELD_T_OBJECTS:
        return encode_objects(f, member);
    case FIELD_T_END:
        break;
    }
    return NULL;
}

/* Numbers, booleans and lists are never absent; an object is when all of its members are zero. */
static bool
member_absent(const field_t *f, const void *member)
{
    const uint8_t *p = member;

    switch (f->type) {
    case FIELD_T_STR:
        return *(const char *const *) member == NULL;
    case FIELD_T_TIME:
        return *(const int64_t *) member == 0;
    case FIELD_T_BASE64:
    case FIELD_T_HEX:
        return ((const bytes_t *) member)->p == NULL;
    case FIELD_T_OBJECT:
        return f->sub_size == 0 || (p[0] == 0 && memcmp(p, p + 1, f->sub_size - 1) == 0);
    default:
        return false;
    }
}

json_t *
fields_encode(const field_t *table, const void *in)
{
    json_t *out = json_object();

    for (const field_t *f = table; f->type != FIELD_T_END; f++) {
        const void *member = member_of(in, f);
        json_t     *value;

        if (f->flags & F_WRITEONLY) {
            continue;
        }
        if (member_absent(f, member)) {
            if (!(f->flags & F_NULLABLE)) {
                continue;
            }
            value = json_null();
        } else if ((f->flags & (F_SECRET | F_CARRIED)) == F_SECRET) {
            value = json_string("***");
        } else {
            value = encode_value(f, member);
        }
        if (json_object_set_new(out, f->name, value) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

pki_code_t
fields_print(pki_arena_t *a, const field_t *table, const char *name, const void *in, const char **out, pki_err_t *err)
{
    JSON_AUTO     all = fields_encode(table, in);
    const json_t *part = name != NULL ? json_object_get(all, name) : all;
    char         *text = part != NULL ? json_dumps(part, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

    if (text == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory while encoding");
    }
    *out = text;
    return pki_arena_own(a, text, free, err);
}

/* The keywords of one kind of field, without those that come from its flags and bounds. */
static json_t *
schema_of_type(const field_t *f, bool for_input)
{
    switch (f->type) {
    case FIELD_T_INT:
        return json_pack("{ss}", "type", "integer");
    case FIELD_T_BOOL:
        return json_pack("{ss}", "type", "boolean");
    case FIELD_T_TIME:
        return json_pack("{ssss}", "type", "string", "format", "date-time");
    case FIELD_T_BASE64:
        return json_pack("{ssss}", "type", "string", "contentEncoding", "base64");
    case FIELD_T_HEX:
        return json_pack("{ssss}", "type", "string", "pattern", "^([0-9a-fA-F]{2})*$");
    case FIELD_T_STRS:
        return json_pack("{sss{ss}}", "type", "array", "items", "type", "string");
    case FIELD_T_INTS:
        return json_pack("{sss{ss}}", "type", "array", "items", "type", "integer");
    case FIELD_T_MAP:
        return json_pack("{sss{ss}sis{sisi}}", "type", "object", "additionalProperties", "type", "string", "maxProperties",
                         FIELD_MAP_MAX, "propertyNames", "minLength", 1, "maxLength", FIELD_NAME_MAX);
    case FIELD_T_OBJECT:
        return fields_schema(f->sub, for_input);
    case FIELD_T_OBJECTS:
        return json_pack("{ssso}", "type", "array", "items", fields_schema(f->sub, for_input));
    default:
        return json_pack("{ss}", "type", "string");
    }
}

/* Of lists and maps the elements are bounded. */
static json_t *
schema_bounded(const field_t *f, json_t *schema)
{
    return f->type == FIELD_T_STRS || f->type == FIELD_T_INTS ? json_object_get(schema, "items")
           : f->type == FIELD_T_MAP                           ? json_object_get(schema, "additionalProperties")
                                                              : schema;
}

static void
schema_bounds(const field_t *f, json_t *schema)
{
    json_t *out = schema_bounded(f, schema);
    bool    text = f->type == FIELD_T_STR || f->type == FIELD_T_BASE64 || f->type == FIELD_T_HEX || f->type == FIELD_T_MAP;
    bool    number = f->type == FIELD_T_INT || f->type == FIELD_T_INTS;

    if (number && (f->min != 0 || f->max != 0)) {
        json_object_set_new(out, "minimum", json_integer(f->min));
        if (f->max >= f->min) {
            json_object_set_new(out, "maximum", json_integer(f->max));
        }
    }
    if (text && f->min > 0) {
        json_object_set_new(out, "minLength", json_integer(f->min));
    }
    if (text && (f->max > 0 || f->type == FIELD_T_STR || f->type == FIELD_T_MAP) && f->choices == NULL) {
        json_object_set_new(out, "maxLength", json_integer(f->max > 0 ? f->max : FIELD_STR_MAX));
    }
}

static void
schema_choices(const field_t *f, json_t *out)
{
    json_t *list = json_array();

    for (const char *const *c = f->choices; *c != NULL; c++) {
        json_array_append_new(list, json_string(*c));
    }
    if ((f->flags & F_NULLABLE) && f->type == FIELD_T_STR) {
        json_array_append_new(list, json_null());
    }
    json_object_set_new(schema_bounded(f, out), "enum", list);
}

static json_t *
schema_default(const field_t *f)
{
    switch (f->type) {
    case FIELD_T_INT:
        return json_integer(strtoll(f->def, NULL, 10));
    case FIELD_T_BOOL:
        return json_boolean(strcmp(f->def, "true") == 0);
    case FIELD_T_STRS:
    case FIELD_T_INTS:
    case FIELD_T_MAP:
    case FIELD_T_OBJECT:
    case FIELD_T_OBJECTS:
        return json_loads(f->def, 0, NULL);
    default:
        return json_string(f->def);
    }
}

static json_t *
schema_of_field(const field_t *f, bool for_input)
{
    json_t *out = schema_of_type(f, for_input);

    schema_bounds(f, out);
    if (f->choices != NULL) {
        schema_choices(f, out);
    }
    if ((f->flags & F_NULLABLE) && json_is_string(json_object_get(out, "type"))) {
        json_object_set_new(out, "type", json_pack("[Os]", json_object_get(out, "type"), "null"));
    }
    json_object_set_new(out, "description", json_string(f->help));
    if (for_input && f->def != NULL) {
        json_object_set_new(out, "default", schema_default(f));
    }
    return out;
}

/* What an answer always has: what may not be absent, and what member_absent() never calls so. */
static bool
field_always_present(const field_t *f)
{
    return (f->flags & (F_REQUIRED | F_NULLABLE)) || f->type == FIELD_T_INT || f->type == FIELD_T_BOOL
           || f->type == FIELD_T_STRS || f->type == FIELD_T_INTS || f->type == FIELD_T_MAP || f->type == FIELD_T_OBJECTS;
}

json_t *
fields_schema(const field_t *table, bool for_input)
{
    json_t *properties = json_object(), *required = json_array();

    for (const field_t *f = table; f->type != FIELD_T_END; f++) {
        if (f->flags & (for_input ? F_READONLY : F_WRITEONLY)) {
            continue;
        }
        json_object_set_new(properties, f->name, schema_of_field(f, for_input));
        if (for_input ? (f->flags & F_REQUIRED) != 0 : field_always_present(f)) {
            json_array_append_new(required, json_string(f->name));
        }
    }
    return json_pack("{sssosbso}", "type", "object", "properties", properties, "additionalProperties", 0,
                     "required", required);
}
