/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Secrets out of JSON objects, and back into them.
 */
#include "pkiproto/json/secret.h"

static bool
is_object(const field_t *f, const json_t *value)
{
    return f->type == FIELD_T_OBJECT && json_is_object(value);
}

static bool
is_mask(const field_t *f, const json_t *value)
{
    return f->flags & F_SECRET && json_is_string(value) && strcmp(json_string_value(value), SECRET_MASK) == 0;
}

static pki_code_t
member_set(json_t *object, const char *name, json_t *value, pki_err_t *err)
{
    return json_object_set_new(object, name, value) == 0 ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

/* From *shown, which is a copy of the whole, to *secret. */
static pki_code_t
split_object(const field_t *table, json_t *shown, json_t *secret, pki_err_t *err)
{
    for (const field_t *f = table; f->type != FIELD_T_END; f++) {
        json_t *value = json_object_get(shown, f->name), *inner;

        if (value == NULL || json_is_null(value)) {
            continue;
        }
        if (f->flags & F_SECRET) {
            PKI_TRY(member_set(secret, f->name, json_incref(value), err));
            PKI_TRY(member_set(shown, f->name, json_string(SECRET_MASK), err));
        } else if (is_object(f, value)) {
            inner = json_object();
            PKI_TRY(member_set(secret, f->name, inner, err));
            PKI_TRY(split_object(f->sub, value, inner, err));
            if (json_object_size(inner) == 0) {
                (void) json_object_del(secret, f->name);
            }
        }
    }
    return PKI_OK;
}

pki_code_t
secrets_split(const field_t *table, const json_t *whole, json_t **shown, json_t **secret, pki_err_t *err)
{
    JSON_AUTO open = json_deep_copy(whole);
    JSON_AUTO hidden = json_object();

    if (open == NULL || hidden == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    PKI_TRY(split_object(table, open, hidden, err));
    *shown = json_incref(open);
    *secret = json_incref(hidden);
    return PKI_OK;
}

/* One member of the result; NULL: there is none. */
static pki_code_t
member_merge(const field_t *f, const json_t *shown, const json_t *secret, const json_t *given, json_t **out, pki_err_t *err)
{
    const json_t *kept = f->flags & F_SECRET ? secret : shown;

    *out = NULL;
    if (is_object(f, given) || (given == NULL && is_object(f, shown))) {
        return secrets_merge(f->sub, json_is_object(shown) ? shown : NULL, secret, given, out, err);
    }
    if (given != NULL && !is_mask(f, given)) {
        kept = json_is_null(given) ? NULL : given;
    }
    *out = kept != NULL ? json_deep_copy(kept) : NULL;
    return kept == NULL || *out != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

/* Members that the table does not know are named by whoever decodes the whole. */
static pki_code_t
unknown_copy(const field_t *table, const json_t *given, json_t *whole, pki_err_t *err)
{
    const char *name;
    json_t     *value;

    json_object_foreach((json_t *) (uintptr_t) given, name, value) {
        const field_t *f = table;

        while (f->type != FIELD_T_END && strcmp(f->name, name) != 0) {
            f++;
        }
        if (f->type == FIELD_T_END) {
            PKI_TRY(member_set(whole, name, json_incref(value), err));
        }
    }
    return PKI_OK;
}

pki_code_t
secrets_merge(const field_t *table, const json_t *shown, const json_t *secret, const json_t *given, json_t **whole,
              pki_err_t *err)
{
    JSON_AUTO out = json_object();

    if (out == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    for (const field_t *f = table; f->type != FIELD_T_END; f++) {
        json_t *value;

        PKI_TRY(member_merge(f, json_object_get(shown, f->name), json_object_get(secret, f->name),
                             json_object_get(given, f->name), &value, err));
        if (value != NULL) {
            PKI_TRY(member_set(out, f->name, value, err));
        }
    }
    PKI_TRY(unknown_copy(table, given, out, err));
    *whole = json_incref(out);
    return PKI_OK;
}
