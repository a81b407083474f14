/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Text to JSON by schema.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/input.h"
#include "cli/value.h"
#include "core/clock.h"
#include "pkiproto/base/text.h"

pki_code_t
value_text(pki_arena_t *a, const char *word, const char **out, pki_err_t *err)
{
    bytes_t data;

    *out = word;
    if (word[0] != '@') {
        return PKI_OK;
    }
    if (word[1] == '@') {
        *out = word + 1;
        return PKI_OK;
    }
    PKI_TRY(input_read(a, word + 1, VALUE_FILE_MAX, &data, err));
    if (memchr(data.p, '\0', data.len) != NULL) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%s is not text", word + 1);
    }
    *out = pki_strndup(a, data.p, data.len);
    return *out != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

const json_t *
value_choices(const param_t *p)
{
    const json_t *list = json_object_get(p->kind == VALUE_LIST ? json_object_get(p->schema, "items") : p->schema, "enum");

    return json_array_size(list) > 0 ? list : NULL;
}

const char *
value_shape(pki_arena_t *a, const param_t *p)
{
    static const char *const shapes[] = {
        [VALUE_TEXT] = "TEXT", [VALUE_INT] = "N",    [VALUE_NUMBER] = "N",          [VALUE_BOOL] = "true|false",
        [VALUE_TIME] = "TIME", [VALUE_LIST] = "TEXT", [VALUE_OBJECT] = "NAME=VALUE", [VALUE_OBJECTS] = "JSON",
    };
    const json_t *choices = value_choices(p), *each;
    pki_buf_t     out;
    size_t        i;

    if (choices == NULL) {
        return shapes[p->kind];
    }
    pki_buf_init(&out, a, 65536);
    json_array_foreach(choices, i, each) {
        if (json_is_string(each)) {
            pki_buf_printf(&out, "%s%s", out.len > 0 ? "|" : "", json_string_value(each));
        }
    }
    pki_buf_put_u8(&out, '\0');
    return out.failed ? shapes[p->kind] : (const char *) out.p;
}

/* ---- simple values ---- */

static pki_code_t
text_value(const json_t *schema, const char *word, json_t **out, pki_err_t *err)
{
    const json_t *choices = json_object_get(schema, "enum"), *each;
    bool          fits = json_array_size(choices) == 0;
    char          list[160] = "";
    size_t        i;

    json_array_foreach(choices, i, each) {
        const char *choice = json_is_string(each) ? json_string_value(each) : "";
        size_t      len = strlen(list);

        fits = fits || strcmp(choice, word) == 0;
        snprintf(list + len, sizeof(list) - len, "%s%s", len > 0 ? ", " : "", choice);
    }
    if (!fits) {
        return pki_fail(err, PKI_E_INVALID, NULL, "one of %s", list);
    }
    *out = json_string(word);
    return *out != NULL ? PKI_OK : pki_fail(err, PKI_E_INVALID, NULL, "text in UTF-8");
}

static pki_code_t
int_value(const json_t *schema, const char *word, json_t **out, pki_err_t *err)
{
    const json_t *least = json_object_get(schema, "minimum"), *most = json_object_get(schema, "maximum");
    char         *end;
    long long     n;

    errno = 0;
    n = strtoll(word, &end, 10);
    if (errno != 0 || end == word || *end != '\0') {
        return pki_fail(err, PKI_E_INVALID, NULL, "a whole number");
    }
    if ((json_is_integer(least) && n < json_integer_value(least)) || (json_is_integer(most) && n > json_integer_value(most))) {
        return pki_fail(err, PKI_E_INVALID, NULL, "a number from %lld to %lld", (long long) json_integer_value(least),
                        json_is_integer(most) ? (long long) json_integer_value(most) : INT64_MAX);
    }
    *out = json_integer(n);
    return PKI_OK;
}

static pki_code_t
bool_value(const char *word, json_t **out, pki_err_t *err)
{
    static const struct {
        const char *word;
        bool        value;
    } words[] = { { "true", true }, { "yes", true }, { "false", false }, { "no", false } };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(words[i].word, word) == 0) {
            *out = json_boolean(words[i].value);
            return PKI_OK;
        }
    }
    return pki_fail(err, PKI_E_INVALID, NULL, "true or false");
}

/* "+30d", "-12h", "now". */
static bool
time_relative(const char *word, int64_t *t)
{
    static const struct {
        char    unit;
        int64_t seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };
    char     *end;
    long long n;

    *t = clock_now();
    if (strcmp(word, "now") == 0) {
        return true;
    }
    if ((word[0] != '+' && word[0] != '-') || !isdigit((unsigned char) word[1])) {
        return false;
    }
    n = strtoll(word, &end, 10);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (end[0] == units[i].unit && end[1] == '\0' && llabs(n) < 1000000000) {
            *t += n * units[i].seconds;
            return true;
        }
    }
    return false;
}

static pki_code_t
time_value(const char *word, json_t **out, pki_err_t *err)
{
    char    text[64];
    int64_t t;

    if (strlen(word) == 10) {
        snprintf(text, sizeof(text), "%sT00:00:00Z", word);
        word = text;
    }
    if (time_relative(word, &t)) {
        rfc3339_print(t, text);
        word = text;
    } else if (rfc3339_parse(word, &t, NULL) != PKI_OK) {
        return pki_fail(err, PKI_E_INVALID, NULL, "a time: 2027-01-31T12:00:00Z, 2027-01-31, now, +30d, -12h");
    }
    *out = json_string(word);
    return PKI_OK;
}

static pki_code_t
json_value(const char *word, bool array, json_t **out, pki_err_t *err)
{
    pki_err_t why = { 0 };

    if (json_parse(bytes_str(word), out, &why) != PKI_OK) {
        return pki_fail(err, PKI_E_INVALID, NULL, "JSON: %s", why.text);
    }
    if (array ? !json_is_array(*out) : !json_is_object(*out)) {
        json_decref(*out);
        return pki_fail(err, PKI_E_INVALID, NULL, "a JSON %s", array ? "array" : "object");
    }
    return PKI_OK;
}

static pki_code_t
plain_value(const json_t *schema, value_kind_t kind, const char *word, json_t **out, pki_err_t *err)
{
    char *end;

    switch (kind) {
    case VALUE_INT:
        return int_value(schema, word, out, err);
    case VALUE_BOOL:
        return bool_value(word, out, err);
    case VALUE_TIME:
        return time_value(word, out, err);
    case VALUE_NUMBER:
        *out = json_real(strtod(word, &end));
        return *end == '\0' && end != word ? PKI_OK : pki_fail(err, PKI_E_INVALID, NULL, "a number");
    default:
        return text_value(schema, word, out, err);
    }
}

/* ---- lists and objects ---- */

static value_kind_t
plain_kind(const json_t *schema)
{
    return schema_is(schema, "integer")   ? VALUE_INT
           : schema_is(schema, "number")  ? VALUE_NUMBER
           : schema_is(schema, "boolean") ? VALUE_BOOL
           : strcmp(json_text(schema, "format"), "date-time") == 0 ? VALUE_TIME
                                                                   : VALUE_TEXT;
}

static pki_code_t
list_put(const json_t *items, const char *word, json_t **into, pki_err_t *err)
{
    json_t *one = NULL;

    if (word[0] == '[' || word[0] == '{') {
        PKI_TRY(json_value(word, word[0] == '[', &one, err));
    } else {
        PKI_TRY(plain_value(items, plain_kind(items), word, &one, err));
    }
    if (*into == NULL) {
        *into = json_array();
    }
    if (json_is_array(one)) {
        json_array_extend(*into, one);
        json_decref(one);
    } else {
        json_array_append_new(*into, one);
    }
    return PKI_OK;
}

/* NAME=VALUE */
static pki_code_t
pair_put(pki_arena_t *a, const json_t *document, const json_t *schema, const char *word, json_t *into, pki_err_t *err)
{
    const char   *equals = strchr(word, '='), *name, *text;
    const json_t *member;
    json_t       *value = NULL, *more;

    if (equals == NULL || equals == word) {
        return pki_fail(err, PKI_E_INVALID, NULL, "NAME=VALUE, or a JSON object");
    }
    name = pki_strndup(a, word, (size_t) (equals - word));
    PKI_TRY(value_text(a, equals + 1, &text, err));
    member = document_member(document, schema, name);
    if (member != NULL && schema_is(member, "array")) {
        more = json_incref(json_object_get(into, name));
        PKI_TRY(list_put(document_schema(document, json_object_get(member, "items")), text, &more, err));
        json_object_set_new(into, name, more);
        return PKI_OK;
    }
    if (member != NULL && schema_is(member, "object")) {
        PKI_TRY(json_value(text, false, &value, err));
    } else {
        PKI_TRY(plain_value(member, plain_kind(member), text, &value, err));
    }
    json_object_set_new(into, name, value);
    return PKI_OK;
}

static pki_code_t
object_put(pki_arena_t *a, const json_t *document, const json_t *schema, const char *word, json_t **into, pki_err_t *err)
{
    json_t *one = NULL;

    if (*into == NULL) {
        *into = json_object();
    }
    if (word[0] != '{') {
        return pair_put(a, document, schema, word, *into, err);
    }
    PKI_TRY(json_value(word, false, &one, err));
    json_object_update(*into, one);
    json_decref(one);
    return PKI_OK;
}

pki_code_t
value_put(pki_arena_t *a, const json_t *document, const param_t *p, const char *word, json_t **into, pki_err_t *err)
{
    const char *text;
    json_t     *value = NULL;

    PKI_TRY(value_text(a, word, &text, err));
    if (p->kind == VALUE_LIST || p->kind == VALUE_OBJECTS) {
        return list_put(document_schema(document, json_object_get(p->schema, "items")), text, into, err);
    }
    if (p->kind == VALUE_OBJECT) {
        return object_put(a, document, p->schema, text, into, err);
    }
    PKI_TRY(plain_value(p->schema, p->kind, text, &value, err));
    json_decref(*into);
    *into = value;
    return PKI_OK;
}
