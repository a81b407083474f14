/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Filters of lists: values checked by their type, and the conditions that they become.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "orchestrator/store/list_part.h"
#include "pkiproto/base/text.h"

const list_type_row_t list_types[] = {
    [LIST_TEXT] = { "text", "", "" },
    [LIST_INT] = { "bigint", "", "" },
    [LIST_BOOL] = { "boolean", "", "" },
    [LIST_INSTANT] = { "timestamptz", "to_char(", " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')" },
    [LIST_TIME] = { "timestamptz", "to_char(", " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')" },
    [LIST_DAY] = { "timestamptz", "", "" },
    [LIST_HEX] = { "text", "encode(", ", 'hex')" },
    [LIST_TEXTS] = { "text[]", "", "" },
    [LIST_PEM] = { "text", "E'-----BEGIN CERTIFICATE-----\\n' || regexp_replace(translate(encode(",
                   ", 'base64'), E'\\n', ''), '(.{1,64})', E'\\\\1\\n', 'g')"
                   " || E'-----END CERTIFICATE-----\\n'" },
    [LIST_JSON] = { "jsonb", "", "" },
    [LIST_TAG] = { "jsonb", "", "" },
};

const list_filter_t *
list_filter_of(const list_resource_t *r, const char *name)
{
    for (const list_filter_t *f = r->filters; f->name != NULL; f++) {
        if (strcmp(f->name, name) == 0) {
            return f;
        }
    }
    return NULL;
}

bool
list_has_column(const list_resource_t *r, bytes_t name)
{
    for (const list_column_t *c = r->columns; c->name != NULL; c++) {
        if (bytes_eq(bytes_str(c->name), name)) {
            return true;
        }
    }
    return false;
}

bool
list_fields_next(const char **at, bytes_t *name)
{
    if (*at == NULL) {
        return false;
    }
    *name = bytes_of(*at, strcspn(*at, ","));
    *at = (*at)[name->len] == ',' ? *at + name->len + 1 : NULL;
    return true;
}

static size_t
characters(const char *text)
{
    size_t n = 0;

    for (; *text != '\0'; text++) {
        n += ((uint8_t) *text & 0xc0) != 0x80;
    }
    return n;
}

/* Letters beyond ASCII are the database's business. */
static bool
has_word(const char *text)
{
    while (*text != '\0' && (uint8_t) *text < 0x80 && !isalnum((uint8_t) *text)) {
        text++;
    }
    return *text != '\0';
}

pki_code_t
list_day_parse(const char *value, int64_t *out, pki_err_t *err)
{
    char whole[RFC3339_LEN + 1];

    if (strlen(value) != sizeof("2026-01-01") - 1) {
        return rfc3339_parse(value, out, err);
    }
    snprintf(whole, sizeof(whole), "%sT00:00:00Z", value);
    return rfc3339_parse(whole, out, err);
}

pki_code_t
list_value_check(const list_filter_t *f, const char *value, pki_err_t *err)
{
    if (characters(value) < f->least) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%s: must have at least %zu characters", f->name, f->least);
    }
    if (f->words && !has_word(value)) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%s: must have a letter or a digit", f->name);
    }
    if (f->type == LIST_DAY && list_day_parse(value, &(int64_t){ 0 }, NULL) != PKI_OK) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%s: must be a date, or a time as RFC 3339 has it", f->name);
    }
    if (f->type == LIST_TAG && (*value == '\0' || *value == ':')) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%s: must be key:value, or a key", f->name);
    }
    return PKI_OK;
}

/* A serial as people write it (colons, leading zeros, odd length) to INTEGER contents octets. */
static pki_code_t
hex_value(list_t *l, const char *name, const char *in, const char **out, pki_err_t *err)
{
    char  *digits = pki_alloc(l->a, strlen(in) + 4), *p;
    size_t n = 2;

    if (digits == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    digits[0] = digits[1] = '0';
    for (; *in != '\0'; in++) {
        if (strchr("0123456789abcdefABCDEF", *in) != NULL) {
            digits[n++] = *in >= 'A' && *in <= 'F' ? (char) (*in + 32) : *in;
        } else if (*in != ':') {
            return pki_fail(err, PKI_E_INVALID, NULL, "%s is not hexadecimal", name);
        }
    }
    p = digits + 2 + strspn(digits + 2, "0");
    if (n == 2) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%s is empty", name);
    }
    p -= strlen(p) % 2 + (strlen(p) == 0) * 2;
    *out = strchr("89abcdef", *p) != NULL ? p - 2 : p;
    return PKI_OK;
}

static pki_code_t
choice_check(const list_filter_t *f, const char *value, size_t *at, pki_err_t *err)
{
    *at = 0;
    while (f->choices != NULL && f->choices[*at] != NULL && strcmp(f->choices[*at], value) != 0) {
        (*at)++;
    }
    if (f->choices != NULL && f->choices[*at] == NULL) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%s: \"%.60s\" is not one of its values", f->name, value);
    }
    return PKI_OK;
}

/* {"key": "value"}, or the key alone. */
static pki_code_t
tag_value(list_t *l, const char *in, const char **out, pki_err_t *err)
{
    const char *colon = strchr(in, ':');
    JSON_AUTO   tag = json_object();
    char       *text;

    if (colon == NULL) {
        *out = in;
        return PKI_OK;
    }
    if (json_object_setn_new(tag, in, (size_t) (colon - in), json_string(colon + 1)) != 0
        || (text = json_dumps(tag, JSON_COMPACT)) == NULL) {
        return pki_fail(err, PKI_E_INVALID, NULL, "tag: not UTF-8");
    }
    *out = pki_strdup(l->a, text);
    free(text);
    return *out != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

/* The parameter of a filter, checked; its number is l->count afterwards. */
static pki_code_t
value_add(list_t *l, const list_filter_t *f, const char *value, pki_err_t *err)
{
    db_param_t *p = &l->param[l->count];
    char       *end = NULL;

    PKI_TRY(list_value_check(f, value, err));
    *p = DB_T(value);
    switch (f->type) {
    case LIST_INT:
        *p = DB_I(strtoll(value, &end, 10));
        break;
    case LIST_BOOL:
        if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0) {
            return pki_fail(err, PKI_E_INVALID, NULL, "%s is true or false", f->name);
        }
        break;
    case LIST_TIME:
        PKI_TRY(rfc3339_parse(value, &p->num, err));
        p->type = DB_TIME;
        break;
    case LIST_DAY:
        PKI_TRY(list_day_parse(value, &p->num, err));
        p->type = DB_TIME;
        break;
    case LIST_HEX:
        PKI_TRY(hex_value(l, f->name, value, &p->text, err));
        break;
    case LIST_TAG:
        PKI_TRY(tag_value(l, value, &p->text, err));
        break;
    default:
        break;
    }
    if (end != NULL && (*end != '\0' || *value == '\0')) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%s is not a number", f->name);
    }
    l->count++;
    return PKI_OK;
}

/* A condition with each %s replaced by the newest parameter. */
static void
where_put(list_t *l, const char *cond, const char *cast)
{
    const char *at;

    while ((at = strstr(cond, "%s")) != NULL) {
        pki_buf_put(&l->where, bytes_of(cond, (size_t) (at - cond)));
        pki_buf_printf(&l->where, "$%zu::%s", l->count, cast);
        cond = at + 2;
    }
    pki_buf_put(&l->where, bytes_str(cond));
}

static void
where_add(list_t *l, const char *cond, const char *cast)
{
    pki_buf_put(&l->where, bytes_str(" AND ("));
    where_put(l, cond, cast);
    pki_buf_put(&l->where, bytes_str(")"));
}

static pki_code_t
filter_add(list_t *l, const list_arg_t *arg, pki_err_t *err)
{
    const list_filter_t *f = list_filter_of(l->r, arg->name);
    size_t               choice;

    if (f == NULL) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%s have no filter \"%.60s\"", l->r->name, arg->name);
    }
    if (l->count >= CONN_PARAMS_MAX - 5 - SCOPE_KINDS) {
        return pki_fail(err, PKI_E_INVALID, NULL, "too many filters");
    }
    PKI_TRY(choice_check(f, arg->value, &choice, err));
    l->opened = l->opened || (f->opens != NULL && strcmp(f->opens, arg->value) == 0);
    if (f->conds != NULL) {
        where_add(l, f->conds[choice], "");
        return PKI_OK;
    }
    PKI_TRY(value_add(l, f, arg->value, err));
    if (f->type == LIST_TAG && strchr(arg->value, ':') == NULL) {
        where_add(l, f->bare, "text");
    } else {
        where_add(l, f->cond, list_types[f->type].cast);
    }
    return PKI_OK;
}

/* Rows that belong to one of the scope's issuers, profiles, teams or owners. */
static void
scope_add(list_t *l)
{
    const scope_t *scope = l->q->scope;

    if (scope == NULL || scope->all) {
        return;
    }
    pki_buf_put(&l->where, bytes_str(" AND (false"));
    for (size_t kind = 0; kind < SCOPE_KINDS; kind++) {
        if (scope->ids[kind].count > 0 && l->r->scopes[kind] != NULL) {
            bool whole = strstr(l->r->scopes[kind], "%s") != NULL;

            l->param[l->count++] = DB_TS(&scope->ids[kind]);
            pki_buf_put(&l->where, bytes_str(" OR "));
            where_put(l, l->r->scopes[kind], "text[]");
            if (!whole) {
                pki_buf_printf(&l->where, " = ANY($%zu::text[])", l->count);
            }
        }
    }
    pki_buf_put(&l->where, bytes_str(")"));
}

pki_code_t
list_where_put(list_t *l, bool hiding, pki_err_t *err)
{
    pki_buf_init(&l->where, l->a, LIST_SQL_MAX);
    pki_buf_put(&l->where, bytes_str(" WHERE true"));
    if (l->r->parent != NULL) {
        if (l->q->parent == NULL) {
            return pki_fail(err, PKI_E_INTERNAL, NULL, "%s without a parent", l->r->name);
        }
        l->param[l->count++] = DB_T(l->q->parent);
        where_add(l, l->r->parent, "text");
    }
    for (size_t i = 0; i < l->q->arg_count; i++) {
        PKI_TRY(filter_add(l, &l->q->args[i], err));
    }
    if (hiding && l->r->usually != NULL && !l->opened) {
        where_add(l, l->r->usually, "");
    }
    scope_add(l);
    return pki_buf_check(&l->where, "a list's filters", err);
}

const char *
list_filters_order(const list_t *l)
{
    for (size_t i = 0; i < l->q->arg_count; i++) {
        const list_filter_t *f = list_filter_of(l->r, l->q->args[i].name);
        size_t               choice;

        if (f != NULL && f->orders != NULL && choice_check(f, l->q->args[i].value, &choice, NULL) == PKI_OK
            && f->orders[choice] != NULL) {
            return f->orders[choice];
        }
    }
    return NULL;
}
