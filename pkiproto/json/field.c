/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Field tables, inwards: JSON objects and text to struct members.  All problems of an object are
 * reported in one go.  No problem's text ever holds a value, since a value may be a secret.
 */
#include "pkiproto/json/field.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "pkiproto/base/secret.h"
#include "pkiproto/base/text.h"

/* Where a value is: a member of an object, or (name NULL) an element of an array. */
typedef struct path {
    const struct path *up;
    const char        *name;
    size_t             index;
} path_t;

typedef struct {
    pki_arena_t      *a;
    field_problems_t *problems; /* may be NULL */
    pki_err_t        *err;
    bool              merge;
    pki_code_t        code;
} decoder_t;

static void decode_object(decoder_t *d, const path_t *up, const field_t *table, const json_t *in, void *out);

static void *
member_of(void *out, const field_t *f)
{
    return (uint8_t *) out + f->offset;
}

static void
path_print(const path_t *path, pki_buf_t *out)
{
    if (path->up != NULL) {
        path_print(path->up, out);
        pki_buf_put_u8(out, '.');
    }
    if (path->name != NULL) {
        pki_buf_printf(out, "%.64s", path->name);
    } else {
        pki_buf_printf(out, "%zu", path->index);
    }
}

static void
decode_nomem(decoder_t *d)
{
    d->code = pki_fail(d->err, PKI_E_NOMEM, NULL, "out of memory while decoding");
}

static void decode_problem(decoder_t *d, const path_t *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void
decode_problem(decoder_t *d, const path_t *path, const char *fmt, ...)
{
    char      where[256], text[192];
    pki_buf_t buf;
    va_list   ap;

    pki_buf_fixed(&buf, where, sizeof(where) - 1);
    path_print(path, &buf);
    where[buf.len] = '\0';
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);

    if (d->code == PKI_OK) {
        d->code = pki_fail(d->err, PKI_E_INVALID, NULL, "%s: %s", where, text);
    }
    if (d->problems == NULL || d->code == PKI_E_NOMEM) {
        return;
    }
    if (d->problems->count == sizeof(d->problems->item) / sizeof(d->problems->item[0])) {
        d->problems->more++;
        return;
    }
    const char *field = pki_strdup(d->a, where), *why = pki_strdup(d->a, text);

    if (field == NULL || why == NULL) {
        decode_nomem(d);
        return;
    }
    d->problems->item[d->problems->count].field = field;
    d->problems->item[d->problems->count++].text = why;
}

static bool
choice_allowed(const char *const *choices, const char *value)
{
    for (; choices != NULL && *choices != NULL; choices++) {
        if (strcmp(*choices, value) == 0) {
            return true;
        }
    }
    return choices == NULL;
}

static void
choices_problem(decoder_t *d, const path_t *path, const char *const *choices)
{
    char      text[160];
    pki_buf_t buf;

    pki_buf_fixed(&buf, text, sizeof(text) - 1);
    for (const char *const *c = choices; *c != NULL; c++) {
        pki_buf_printf(&buf, "%s%s", c == choices ? "" : ", ", *c);
    }
    text[buf.len] = '\0';
    decode_problem(d, path, "must be one of: %s", text);
}

/* The checks that all kinds of strings share.  Lengths are those of the text. */
static bool
string_check(decoder_t *d, const path_t *path, const field_t *f, bytes_t text)
{
    bool   chars = f->type == FIELD_T_STR || f->type == FIELD_T_STRS || f->type == FIELD_T_MAP;
    size_t most = f->max > 0 ? (size_t) f->max : chars ? FIELD_STR_MAX : SIZE_MAX;

    if (memchr(text.p, 0, text.len) != NULL) {
        decode_problem(d, path, "must not contain a NUL character");
    } else if (f->min > 0 && text.len < (size_t) f->min) {
        decode_problem(d, path, "must have at least %lld characters", (long long) f->min);
    } else if (text.len > most) {
        decode_problem(d, path, "must have at most %zu characters", most);
    } else if (!choice_allowed(f->choices, (const char *) text.p)) {
        choices_problem(d, path, f->choices);
    } else {
        return true;
    }
    return false;
}

static void
string_store(decoder_t *d, const path_t *path, const field_t *f, bytes_t text, const char **out)
{
    pki_secret_t secret;

    if (!string_check(d, path, f, text)) {
        return;
    }
    if (f->flags & F_SECRET) {
        if (pki_secret_new(d->a, text, &secret, NULL) != PKI_OK) {
            decode_nomem(d);
            return;
        }
        *out = (const char *) secret.p;
        return;
    }
    *out = pki_strndup(d->a, text.p, text.len);
    if (*out == NULL) {
        decode_nomem(d);
    }
}

static void
octets_store(decoder_t *d, const path_t *path, const field_t *f, bytes_t text, bytes_t *out)
{
    size_t   cap = text.len / 4 * 3 + 3;
    uint8_t *p;
    bool     ok;

    if (!string_check(d, path, f, text)) {
        return;
    }
    p = pki_alloc(d->a, cap);
    if (p == NULL) {
        decode_nomem(d);
        return;
    }
    out->p = p;
    ok = f->type == FIELD_T_HEX ? hex_decode(text, p, cap, &out->len, NULL) == PKI_OK
                                : base64_decode(text, 0, p, cap, &out->len, NULL) == PKI_OK;
    if (!ok) {
        decode_problem(d, path, "is not %s", f->type == FIELD_T_HEX ? "hexadecimal" : "base64");
    }
}

static void
int_store(decoder_t *d, const path_t *path, const field_t *f, int64_t v, int64_t *out)
{
    bool bounded = f->min != 0 || f->max != 0;

    if (bounded && v < f->min) {
        decode_problem(d, path, "must be at least %lld", (long long) f->min);
    } else if (bounded && f->max >= f->min && v > f->max) {
        decode_problem(d, path, "must be at most %lld", (long long) f->max);
    } else {
        *out = v;
    }
}

static void
time_store(decoder_t *d, const path_t *path, const char *text, int64_t *out)
{
    if (rfc3339_parse(text, out, NULL) != PKI_OK) {
        decode_problem(d, path, "must be a time like 2026-01-31T23:59:59Z");
    }
}

static bool
list_check(decoder_t *d, const path_t *path, const field_t *f, size_t count)
{
    size_t most = f->max > 0 && f->type == FIELD_T_OBJECTS ? (size_t) f->max : FIELD_LIST_MAX;

    if (count > most) {
        decode_problem(d, path, "must have at most %zu elements", most);
        return false;
    }
    return true;
}

static void
decode_strs(decoder_t *d, const path_t *path, const field_t *f, const json_t *in, str_list_t *out)
{
    size_t count = json_array_size(in);

    if (!list_check(d, path, f, count)) {
        return;
    }
    out->v = pki_alloc(d->a, count * sizeof(*out->v));
    if (out->v == NULL) {
        decode_nomem(d);
        return;
    }
    out->count = count;
    for (size_t i = 0; i < count && d->code != PKI_E_NOMEM; i++) {
        const json_t *e = json_array_get(in, i);
        path_t        at = { path, NULL, i };

        if (!json_is_string(e)) {
            decode_problem(d, &at, "must be a string");
            continue;
        }
        string_store(d, &at, f, bytes_of(json_string_value(e), json_string_length(e)), &out->v[i]);
    }
}

static void
decode_ints(decoder_t *d, const path_t *path, const field_t *f, const json_t *in, int_list_t *out)
{
    size_t count = json_array_size(in);

    if (!list_check(d, path, f, count)) {
        return;
    }
    out->v = pki_alloc(d->a, count * sizeof(*out->v));
    if (out->v == NULL) {
        decode_nomem(d);
        return;
    }
    out->count = count;
    for (size_t i = 0; i < count; i++) {
        const json_t *e = json_array_get(in, i);
        path_t        at = { path, NULL, i };

        if (!json_is_integer(e)) {
            decode_problem(d, &at, "must be an integer");
            continue;
        }
        int_store(d, &at, f, json_integer_value(e), &out->v[i]);
    }
}

static void
map_put(decoder_t *d, const path_t *path, const field_t *f, const char *name, const json_t *in, str_map_t *out)
{
    path_t at = { path, name, 0 };

    if (*name == '\0' || strlen(name) > FIELD_NAME_MAX) {
        decode_problem(d, &at, "a name must have 1 to %d characters", FIELD_NAME_MAX);
        return;
    }
    if (!json_is_string(in)) {
        decode_problem(d, &at, "must be a string");
        return;
    }
    out->names[out->count] = pki_strdup(d->a, name);
    if (out->names[out->count] == NULL) {
        decode_nomem(d);
        return;
    }
    string_store(d, &at, f, bytes_of(json_string_value(in), json_string_length(in)), &out->values[out->count++]);
}

static void
decode_map(decoder_t *d, const path_t *path, const field_t *f, const json_t *in, str_map_t *out)
{
    size_t      count = json_object_size(in);
    const char *name;
    json_t     *value;

    if (count > FIELD_MAP_MAX) {
        decode_problem(d, path, "must have at most %d members", FIELD_MAP_MAX);
        return;
    }
    out->names = pki_alloc(d->a, count * sizeof(*out->names));
    out->values = pki_alloc(d->a, count * sizeof(*out->values));
    if (out->names == NULL || out->values == NULL) {
        decode_nomem(d);
        return;
    }
    json_object_foreach((json_t *) in, name, value) {
        map_put(d, path, f, name, value, out);
    }
}

static void
decode_objects(decoder_t *d, const path_t *path, const field_t *f, const json_t *in, object_list_t *out)
{
    size_t count = json_array_size(in);
    bool   merge = d->merge;

    if (!list_check(d, path, f, count)) {
        return;
    }
    out->v = pki_alloc(d->a, count * f->sub_size);
    if (out->v == NULL) {
        decode_nomem(d);
        return;
    }
    out->count = count;
    /* The elements of a list are new even where the object around it is merged. */
    d->merge = false;
    for (size_t i = 0; i < count && d->code != PKI_E_NOMEM; i++) {
        path_t at = { path, NULL, i };

        decode_object(d, &at, f->sub, json_array_get(in, i), (uint8_t *) out->v + i * f->sub_size);
    }
    d->merge = merge;
}

typedef struct {
    size_t      size; /* of the C member; 0: field_t.sub_size */
    json_type   json;
    const char *must;
} type_row_t;

static const type_row_t type_rows[] = {
    [FIELD_T_STR] = { sizeof(const char *), JSON_STRING, "must be a string" },
    [FIELD_T_INT] = { sizeof(int64_t), JSON_INTEGER, "must be an integer" },
    [FIELD_T_BOOL] = { sizeof(bool), JSON_TRUE, "must be true or false" },
    [FIELD_T_TIME] = { sizeof(int64_t), JSON_STRING, "must be a time like 2026-01-31T23:59:59Z" },
    [FIELD_T_BASE64] = { sizeof(bytes_t), JSON_STRING, "must be a string of base64" },
    [FIELD_T_HEX] = { sizeof(bytes_t), JSON_STRING, "must be a string of hexadecimal digits" },
    [FIELD_T_STRS] = { sizeof(str_list_t), JSON_ARRAY, "must be an array of strings" },
    [FIELD_T_INTS] = { sizeof(int_list_t), JSON_ARRAY, "must be an array of integers" },
    [FIELD_T_MAP] = { sizeof(str_map_t), JSON_OBJECT, "must be an object of strings" },
    [FIELD_T_OBJECT] = { 0, JSON_OBJECT, "must be an object" },
    [FIELD_T_OBJECTS] = { sizeof(object_list_t), JSON_ARRAY, "must be an array of objects" },
};

static size_t
member_size(const field_t *f)
{
    return type_rows[f->type].size != 0 ? type_rows[f->type].size : f->sub_size;
}

static void
decode_value(decoder_t *d, const path_t *path, const field_t *f, const json_t *in, void *member)
{
    bytes_t   text = BYTES_NONE;
    json_type type = json_is_false(in) ? JSON_TRUE : json_typeof(in);

    if (type != type_rows[f->type].json) {
        decode_problem(d, path, "%s", type_rows[f->type].must);
        return;
    }
    if (type == JSON_STRING) {
        text = bytes_of(json_string_value(in), json_string_length(in));
    }
    switch (f->type) {
    case FIELD_T_STR:
        string_store(d, path, f, text, member);
        break;
    case FIELD_T_INT:
        int_store(d, path, f, json_integer_value(in), member);
        break;
    case FIELD_T_BOOL:
        *(bool *) member = json_is_true(in);
        break;
    case FIELD_T_TIME:
        time_store(d, path, (const char *) text.p, member);
        break;
    case FIELD_T_BASE64:
    case FIELD_T_HEX:
        octets_store(d, path, f, text, member);
        break;
    case FIELD_T_STRS:
        decode_strs(d, path, f, in, member);
        break;
    case FIELD_T_INTS:
        decode_ints(d, path, f, in, member);
        break;
    case FIELD_T_MAP:
        decode_map(d, path, f, in, member);
        break;
    case FIELD_T_OBJECT:
        decode_object(d, path, f->sub, in, member);
        break;
    case FIELD_T_OBJECTS:
        decode_objects(d, path, f, in, member);
        break;
    case FIELD_T_END:
        break;
    }
}

/* The scalar kinds from text; false when the text is none of this kind. */
static bool
text_to_bool(const char *text, bool *out)
{
    static const char *const words[] = { "false", "true", "f", "t", "no", "yes", "off", "on", "0", "1" };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = i % 2 != 0;
            return true;
        }
    }
    return false;
}

static bool
text_to_int(const char *text, int64_t *out)
{
    char     *end;
    long long v;

    errno = 0;
    v = strtoll(text, &end, 10);
    *out = v;
    return errno == 0 && end != text && *end == '\0' && (*text == '-' || (*text >= '0' && *text <= '9'));
}

/* "a, b,c": elements without the spaces around them; an empty text is an empty list. */
static void
text_to_strs(decoder_t *d, const path_t *path, const field_t *f, const char *text, str_list_t *out)
{
    size_t most = 1;

    for (const char *p = text; *p != '\0'; p++) {
        most += *p == ',';
    }
    out->v = pki_alloc(d->a, most * sizeof(*out->v));
    if (out->v == NULL) {
        decode_nomem(d);
        return;
    }
    for (const char *p = text; *p != '\0' && d->code != PKI_E_NOMEM;) {
        size_t len = strcspn(p, ","), from = strspn(p, " "), to = len;
        path_t at = { path, NULL, out->count };

        while (to > from && p[to - 1] == ' ') {
            to--;
        }
        if (to > from) {
            char *element = pki_strndup(d->a, p + from, to - from);

            if (element == NULL) {
                decode_nomem(d);
                return;
            }
            string_store(d, &at, f, bytes_str(element), &out->v[out->count++]);
        }
        p += len + (p[len] == ',');
    }
}

static void
text_to_json(decoder_t *d, const path_t *path, const field_t *f, const char *text, void *member)
{
    JSON_AUTO in = NULL;

    if (json_parse(bytes_str(text), &in, NULL) != PKI_OK) {
        decode_problem(d, path, "is not JSON");
        return;
    }
    decode_value(d, path, f, in, member);
}

static void
decode_text(decoder_t *d, const path_t *path, const field_t *f, const char *text, void *member)
{
    bool    is_json = f->type >= FIELD_T_INTS; /* it, and maps and objects, have no other form */
    int64_t v;

    if (is_json || (f->type == FIELD_T_STRS && *text == '[')) {
        text_to_json(d, path, f, text, member);
        return;
    }
    switch (f->type) {
    case FIELD_T_STR:
        string_store(d, path, f, bytes_str(text), member);
        break;
    case FIELD_T_INT:
        if (text_to_int(text, &v)) {
            int_store(d, path, f, v, member);
        } else {
            decode_problem(d, path, "%s", type_rows[f->type].must);
        }
        break;
    case FIELD_T_BOOL:
        if (!text_to_bool(text, member)) {
            decode_problem(d, path, "%s", type_rows[f->type].must);
        }
        break;
    case FIELD_T_TIME:
        if (!text_to_int(text, member)) {
            time_store(d, path, text, member);
        }
        break;
    case FIELD_T_STRS:
        text_to_strs(d, path, f, text, member);
        break;
    default:
        octets_store(d, path, f, bytes_str(text), member);
    }
}

/* Zero, then the default; of a nested object the defaults of its members. */
static void
decode_default(decoder_t *d, const path_t *path, const field_t *f, void *member)
{
    memset(member, 0, member_size(f));
    if (f->def != NULL) {
        decode_text(d, path, f, f->def, member);
    } else if (f->type == FIELD_T_OBJECT) {
        for (const field_t *s = f->sub; s->type != FIELD_T_END; s++) {
            path_t at = { path, s->name, 0 };

            decode_default(d, &at, s, member_of(member, s));
        }
    }
}

static void
decode_member(decoder_t *d, const path_t *up, const field_t *f, const json_t *in, void *member)
{
    path_t path = { up, f->name, 0 };
    bool   absent = in == NULL || json_is_null(in);

    if (in != NULL && (f->flags & F_READONLY)) {
        decode_problem(d, &path, "cannot be set");
        return;
    }
    if (in == NULL && d->merge) {
        return;
    }
    /* Of a nested object that is merged, the members not named stay as they are. */
    if (absent || !d->merge || f->type != FIELD_T_OBJECT) {
        decode_default(d, &path, f, member);
    }
    if (absent) {
        if (f->flags & F_REQUIRED) {
            decode_problem(d, &path, in == NULL ? "is missing" : "must not be null");
        }
        return;
    }
    if (f->type != FIELD_T_OBJECT) {
        memset(member, 0, member_size(f));
    }
    decode_value(d, &path, f, in, member);
}

static const field_t *
field_find(const field_t *table, const char *name)
{
    for (; table->type != FIELD_T_END; table++) {
        if (strcmp(table->name, name) == 0) {
            return table;
        }
    }
    return NULL;
}

static void
decode_object(decoder_t *d, const path_t *up, const field_t *table, const json_t *in, void *out)
{
    const char *key;
    json_t     *value;

    if (!json_is_object(in)) {
        decode_problem(d, up, "must be an object");
        return;
    }
    for (const field_t *f = table; f->type != FIELD_T_END && d->code != PKI_E_NOMEM; f++) {
        decode_member(d, up, f, json_object_get(in, f->name), member_of(out, f));
    }
    json_object_foreach((json_t *) in, key, value) {
        if (field_find(table, key) == NULL) {
            path_t path = { up, key, 0 };

            decode_problem(d, &path, "is not a known field");
        }
    }
}

static pki_code_t
decode_top(pki_arena_t *a, const field_t *table, const json_t *in, void *out, bool merge,
           field_problems_t *problems, pki_err_t *err)
{
    decoder_t d = { a, problems, err, merge, PKI_OK };

    if (problems != NULL) {
        problems->count = 0;
        problems->more = 0;
    }
    if (!json_is_object(in)) {
        return pki_fail(err, PKI_E_INVALID, NULL, "not a JSON object");
    }
    decode_object(&d, NULL, table, in, out);
    return d.code;
}

pki_code_t
fields_decode(pki_arena_t *a, const field_t *table, const json_t *in, void *out, field_problems_t *problems,
              pki_err_t *err)
{
    return decode_top(a, table, in, out, false, problems, err);
}

pki_code_t
fields_merge(pki_arena_t *a, const field_t *table, const json_t *in, void *out, field_problems_t *problems,
             pki_err_t *err)
{
    return decode_top(a, table, in, out, true, problems, err);
}

pki_code_t
field_from_text(pki_arena_t *a, const field_t *f, const char *text, void *out, pki_err_t *err)
{
    decoder_t d = { a, NULL, err, false, PKI_OK };
    path_t    path = { NULL, f->name, 0 };
    void     *member = member_of(out, f);

    memset(member, 0, member_size(f));
    decode_text(&d, &path, f, text, member);
    return d.code;
}

static bool
field_nests(const field_t *f)
{
    return f->type == FIELD_T_OBJECT || f->type == FIELD_T_OBJECTS;
}

bool
fields_secret(const field_t *table)
{
    for (const field_t *f = table; f->type != FIELD_T_END; f++) {
        if (f->flags & F_SECRET || (field_nests(f) && fields_secret(f->sub))) {
            return true;
        }
    }
    return false;
}

bool
fields_secret_given(const field_t *table, const json_t *in)
{
    const json_t *element;
    size_t        i;

    for (const field_t *f = table; f->type != FIELD_T_END; f++) {
        const json_t *given = json_object_get(in, f->name);

        if (given == NULL || json_is_null(given)) {
            continue;
        }
        if (f->flags & F_SECRET || (field_nests(f) && json_is_object(given) && fields_secret_given(f->sub, given))) {
            return true;
        }
        json_array_foreach((json_t *) (uintptr_t) given, i, element) {
            if (field_nests(f) && fields_secret_given(f->sub, element)) {
                return true;
            }
        }
    }
    return false;
}
