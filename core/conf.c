/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Configuration through one field table: the file, the environment over it, and the manual.  The
 * environment is put into the JSON value before that is decoded, so that a required key may come from
 * either and every problem is reported at once.
 */
#include "core/conf.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/file.h"

#define CONF_FILE_MAX (1u << 20)
#define CONF_WIDTH    100 /* of the manual's comments */

typedef struct {
    pki_arena_t       *a;
    const char        *prefix;
    const char *const *ignore;
    pki_err_t         *err;
} environment_t;

/* What of rest is left after "_NAME", name in capitals; NULL when it does not start so. */
static const char *
name_skip(const char *rest, const char *name)
{
    if (*rest != '_') {
        return NULL;
    }
    for (rest++; *name != '\0'; rest++, name++) {
        if (*rest != toupper((unsigned char) *name)) {
            return NULL;
        }
    }
    return rest;
}

/* The text as the JSON type that the field wants, or as a string: then decoding says what is wrong. */
static json_t *
text_to_json(pki_arena_t *a, const field_t *f, const char *text)
{
    field_t table[2] = { *f, FIELD_END };
    json_t *object, *value = NULL;
    void   *scratch;

    table[0].offset = 0;
    table[0].flags = 0;
    scratch = pki_alloc(a, f->sub_size + 64);
    if (f->type != FIELD_T_STR && scratch != NULL
        && field_from_text(a, table, text, scratch, NULL) == PKI_OK)
    {
        object = fields_encode(table, scratch);
        value = json_incref(json_object_get(object, f->name));
        json_decref(object);
    }
    return value != NULL ? value : json_string(text);
}

/* Walk the table along _SECTION_KEY; *taken when the variable names a key of it. */
static pki_code_t
variable_apply(const environment_t *e, const field_t *table, const char *rest, const char *text, json_t *into,
               bool *taken)
{
    for (const field_t *f = table; f->type != FIELD_T_END && !*taken; f++) {
        const char *left = name_skip(rest, f->name);

        if (left == NULL) {
            continue;
        }
        if (*left == '\0') {
            *taken = true;
            if (json_object_set_new(into, f->name, text_to_json(e->a, f, text)) != 0) {
                return pki_fail(e->err, PKI_E_CONFIG, NULL, "environment: %s%s is not UTF-8", e->prefix,
                                rest);
            }
        } else if (f->type == FIELD_T_OBJECT && *left == '_') {
            json_t *section = json_object_get(into, f->name);

            if (!json_is_object(section)) {
                section = json_object();
                json_object_set_new(into, f->name, section);
            }
            PKI_TRY(variable_apply(e, f->sub, left, text, section, taken));
        }
    }
    return PKI_OK;
}

static bool
name_listed(const char *const *list, const char *name, size_t len)
{
    for (; list != NULL && *list != NULL; list++) {
        if (strlen(*list) == len && memcmp(*list, name, len) == 0) {
            return true;
        }
    }
    return false;
}

static pki_code_t
environment_apply(const environment_t *e, const field_t *table, json_t *into)
{
    size_t prefix_len = strlen(e->prefix);

    for (char **v = environ; v != NULL && *v != NULL; v++) {
        const char *equals = strchr(*v, '=');
        bool        taken = false;
        char       *rest;

        if (equals == NULL || strncmp(*v, e->prefix, prefix_len) != 0 || (*v)[prefix_len] != '_'
            || name_listed(e->ignore, *v, (size_t) (equals - *v)))
        {
            continue;
        }
        rest = pki_strndup(e->a, *v + prefix_len, (size_t) (equals - *v) - prefix_len);
        if (rest == NULL) {
            return pki_fail(e->err, PKI_E_NOMEM, NULL, "out of memory");
        }
        PKI_TRY(variable_apply(e, table, rest, equals + 1, into, &taken));
        if (!taken) {
            return pki_fail(e->err, PKI_E_CONFIG, NULL, "environment: %s%.64s is not a known variable",
                            e->prefix, rest);
        }
    }
    return PKI_OK;
}

static pki_code_t
file_parse(pki_arena_t *a, const char *path, json_t **out, pki_err_t *err)
{
    bytes_t    text;
    pki_code_t rc;

    PKI_TRY(file_read(a, path, CONF_FILE_MAX, &text, err));
    rc = yaml_parse(text, out, err);
    if (rc != PKI_OK) {
        return err != NULL ? pki_err_context(err, "%s", path) : rc;
    }
    if (json_is_null(*out)) {
        *out = json_object();
    }
    return json_is_object(*out) ? PKI_OK : pki_fail(err, PKI_E_CONFIG, NULL, "%s is not a mapping", path);
}

pki_code_t
conf_load(pki_arena_t *a, const field_t *table, const char *path, const char *env_prefix,
          const char *const *ignore, void *out, field_problems_t *problems, pki_err_t *err)
{
    environment_t e = { a, env_prefix, ignore, err };
    JSON_AUTO     in = NULL;

    if (problems != NULL) {
        problems->count = 0;
        problems->more = 0;
    }
    if (path == NULL) {
        in = json_object();
    } else {
        PKI_TRY(file_parse(a, path, &in, err));
    }
    if (env_prefix != NULL) {
        PKI_TRY(environment_apply(&e, table, in));
    }
    return fields_decode(a, table, in, out, problems, err);
}

/* Words of text behind "# ", broken before CONF_WIDTH columns. */
static void
manual_comment(pki_buf_t *out, unsigned indent, const char *text)
{
    size_t column = 0; /* 0: nothing was put yet */

    while (*text != '\0') {
        size_t len = strcspn(text, " ");

        if (column == 0 || column + 1 + len > CONF_WIDTH) {
            pki_buf_printf(out, "%s%*s#", column == 0 ? "" : "\n", (int) indent, "");
            column = indent + 1;
        }
        pki_buf_printf(out, " %.*s", (int) len, text);
        column += 1 + len;
        text += len;
        text += strspn(text, " ");
    }
    pki_buf_put_u8(out, '\n');
}

/* What may be written there, in words. */
static void
manual_bounds(const field_t *f, pki_buf_t *out)
{
    if (f->choices != NULL) {
        pki_buf_printf(out, " One of:");
        for (const char *const *c = f->choices; *c != NULL; c++) {
            pki_buf_printf(out, " %s%s", *c, c[1] != NULL ? "," : ".");
        }
    } else if (f->type == FIELD_T_INT && f->max > f->min) {
        pki_buf_printf(out, " From %lld to %lld.", (long long) f->min, (long long) f->max);
    }
    if (f->flags & F_REQUIRED) {
        pki_buf_printf(out, " Must be given.");
    }
    if (f->flags & F_RESTART) {
        pki_buf_printf(out, " A reload does not change it.");
    }
}

static pki_code_t
manual_text(const field_t *f, unsigned indent, pki_buf_t *out, pki_err_t *err)
{
    char      text[1024];
    pki_buf_t b;
    size_t    len = strlen(f->help);

    pki_buf_fixed(&b, text, sizeof(text) - 1);
    pki_buf_printf(&b, "%c%s%s", toupper((unsigned char) f->help[0]), f->help + 1,
                   len > 0 && f->help[len - 1] == '.' ? "" : ".");
    manual_bounds(f, &b);
    PKI_TRY(pki_buf_check(&b, f->name, err));
    text[b.len] = '\0';
    manual_comment(out, indent, text);
    return PKI_OK;
}

/* A key with a default is written as it would be set; one without stands as a comment. */
static pki_code_t
manual_key(const field_t *f, unsigned indent, pki_buf_t *out, pki_err_t *err)
{
    bool  quoted = f->type != FIELD_T_INT && f->type != FIELD_T_BOOL && f->type != FIELD_T_STRS;
    char *text;

    if (f->def == NULL) {
        pki_buf_printf(out, "%*s#%s:\n", (int) indent, "", f->name);
        return PKI_OK;
    }
    if (quoted) {
        JSON_AUTO value = json_string(f->def);

        text = json_dumps(value, JSON_ENCODE_ANY);
        if (text == NULL) {
            return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
        }
        pki_buf_printf(out, "%*s%s: %s\n", (int) indent, "", f->name, text);
        free(text);
    } else {
        pki_buf_printf(out, "%*s%s: %s\n", (int) indent, "", f->name, f->def);
    }
    return PKI_OK;
}

static pki_code_t
manual_table(const field_t *table, unsigned indent, pki_buf_t *out, pki_err_t *err)
{
    for (const field_t *f = table; f->type != FIELD_T_END; f++) {
        if (f->flags & F_READONLY) {
            continue;
        }
        pki_buf_put(out, BYTES_LIT("\n"));
        PKI_TRY(manual_text(f, indent, out, err));
        if (f->type == FIELD_T_OBJECT && f->def == NULL) {
            pki_buf_printf(out, "%*s%s:\n", (int) indent, "", f->name);
            PKI_TRY(manual_table(f->sub, indent + 2, out, err));
        } else {
            PKI_TRY(manual_key(f, indent, out, err));
        }
    }
    return PKI_OK;
}

pki_code_t
conf_manual(const field_t *table, pki_buf_t *out, pki_err_t *err)
{
    pki_buf_put(out, BYTES_LIT("# Every key with its default.  Keys that are left out keep it; unknown ones are errors.\n"));
    PKI_TRY(manual_table(table, 0, out, err));
    return pki_buf_check(out, "the manual", err);
}
