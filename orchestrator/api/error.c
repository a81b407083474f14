/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The error body of the API: one shape for every refusal, all wrong fields at once.
 */
#include "orchestrator/api/error.h"

#include <ctype.h>
#include <stdlib.h>

typedef struct {
    const char *field, *text;
} error_field_t;

typedef struct {
    const char   *code, *message, *request_id, *clause;
    object_list_t fields;
} error_object_t;

typedef struct {
    error_object_t error;
} error_t;

/* clang-format off */
static const field_t error_field_fields[] = {
    FIELD_STR(error_field_t, field, F_REQUIRED, NULL, "path of the member in the body, or name of the query parameter"),
    FIELD_STR(error_field_t, text,  F_REQUIRED, NULL, "what is wrong with it"),
    FIELD_END };

static const field_t error_object_fields[] = {
    FIELD_STR(error_object_t, code,       F_REQUIRED, NULL, "stable name of the kind of error: invalid, not_found, conflict, ..."),
    FIELD_STR(error_object_t, message,    F_REQUIRED, NULL, "what went wrong, for people"),
    FIELD_STR(error_object_t, request_id, F_REQUIRED, NULL, "names this request in logs and in the audit"),
    FIELD_STR(error_object_t, clause,     0,          NULL, "clause of the standard that the input violates"),
    FIELD_OBJECTS(error_object_t, fields, 0, error_field_fields, sizeof(error_field_t), "every wrong field; empty when none is to blame"),
    FIELD_END };

const field_t error_fields[] = {
    FIELD_OBJECT(error_t, error, F_REQUIRED, error_object_fields, "why the request was refused"),
    FIELD_END };
/* clang-format on */

const char *
error_name(pki_code_t code, char out[ERROR_NAME_MAX])
{
    const char *name = pki_code_name(code);
    size_t      i;

    for (i = 0; name[i] != '\0' && i < ERROR_NAME_MAX - 1; i++) {
        out[i] = (char) tolower((unsigned char) name[i]);
    }
    out[i] = '\0';
    return out;
}

static bool
fields_take(pki_arena_t *a, const field_problems_t *problems, object_list_t *out)
{
    error_field_t *v;

    if (problems == NULL || problems->count == 0) {
        return true;
    }
    v = pki_alloc(a, (problems->count + 1) * sizeof(*v));
    if (v == NULL) {
        return false;
    }
    for (size_t i = 0; i < problems->count; i++) {
        v[i].field = problems->item[i].field;
        v[i].text = problems->item[i].text;
    }
    out->v = v;
    out->count = problems->count;
    if (problems->more > 0) {
        v[out->count].field = "";
        v[out->count++].text = pki_printf(a, "and %zu more problems", problems->more);
    }
    return true;
}

bytes_t
error_body(pki_arena_t *a, pki_code_t code, const pki_err_t *err, const char *request_id,
           const field_problems_t *problems)
{
    char    name[ERROR_NAME_MAX];
    bool    inside = pki_code_http(code) == 500, told = err != NULL && err->code == code && err->text[0] != '\0';
    error_t e = { .error = { .code = error_name(code, name),
                             .message = told && !inside ? err->text : pki_code_text(code),
                             .clause = told && !inside ? err->clause : NULL,
                             .request_id = request_id } };
    char   *text, *copy;

    if (!fields_take(a, problems, &e.error.fields)) {
        return BYTES_NONE;
    }
    json_t *out = fields_encode(error_fields, &e);

    if (out == NULL) {
        /* A text cut inside a character is not UTF-8: say what is sure. */
        e.error.message = pki_code_text(code);
        out = fields_encode(error_fields, &e);
    }
    text = out != NULL ? json_dumps(out, JSON_COMPACT) : NULL;
    copy = text != NULL ? pki_strdup(a, text) : NULL;
    free(text);
    json_decref(out);
    return copy != NULL ? bytes_str(copy) : BYTES_NONE;
}
