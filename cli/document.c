/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Looking things up in the document.  The octets are put into the program by the Makefile (ld -b binary).
 */
#include "cli/document.h"

#define REFS_MAX 8

extern const uint8_t _binary_openapi_json_start[], _binary_openapi_json_end[];

bytes_t
document_text(void)
{
    return bytes_of(_binary_openapi_json_start, (uintptr_t) _binary_openapi_json_end - (uintptr_t) _binary_openapi_json_start);
}

const char *
json_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text != NULL ? text : "";
}

const json_t *
document_schema(const json_t *document, const json_t *schema)
{
    static const char prefix[] = "#/components/schemas/";
    static json_t    *nothing;

    for (int i = 0; i < REFS_MAX && json_is_object(schema); i++) {
        const char *ref = json_text(schema, "$ref");

        if (ref[0] == '\0') {
            return schema;
        }
        schema = strncmp(ref, prefix, sizeof(prefix) - 1) == 0
                     ? json_object_get(json_object_get(json_object_get(document, "components"), "schemas"),
                                       ref + sizeof(prefix) - 1)
                     : NULL;
    }
    if (nothing == NULL) {
        nothing = json_object();
    }
    return nothing;
}

const json_t *
document_member(const json_t *document, const json_t *schema, const char *name)
{
    const json_t *found, *any, *each;
    size_t        i;

    schema = document_schema(document, schema);
    found = json_object_get(json_object_get(schema, "properties"), name);
    any = json_object_get(schema, "anyOf");
    if (any == NULL) {
        any = json_object_get(schema, "oneOf");
    }
    json_array_foreach(any, i, each) {
        found = found != NULL ? found : document_member(document, each, name);
    }
    return found != NULL ? document_schema(document, found) : NULL;
}

bool
schema_is(const json_t *schema, const char *type)
{
    const json_t *types = json_object_get(schema, "type"), *each;
    size_t        i;

    if (json_is_string(types)) {
        return strcmp(json_string_value(types), type) == 0;
    }
    json_array_foreach(types, i, each) {
        if (json_is_string(each) && strcmp(json_string_value(each), type) == 0) {
            return true;
        }
    }
    return false;
}
