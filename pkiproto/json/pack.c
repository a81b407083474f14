/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Field tables as octets (see pack.h).  No text of an error holds a value, since a value may be a secret.
 */
#include "pkiproto/json/pack.h"

#include "pkiproto/base/utf8.h"

#define PACK_ABSENT UINT32_MAX
#define PACK_INT    8

static uint8_t
table_count(const field_t *table)
{
    uint8_t count = 0;

    for (; table->type != FIELD_T_END; table++) {
        count++;
    }
    return count;
}

static void
octets_pack(bytes_t octets, pki_buf_t *out)
{
    pki_buf_put_be(out, octets.p != NULL ? octets.len : PACK_ABSENT, 4);
    if (octets.len > 0) {
        pki_buf_put(out, octets);
    }
}

static void
string_pack(const char *text, pki_buf_t *out)
{
    octets_pack(text != NULL ? bytes_of(text, strlen(text) + 1) : BYTES_NONE, out);
}

void
fields_pack(const field_t *table, const void *in, pki_buf_t *out)
{
    pki_buf_put_u8(out, table_count(table));
    for (const field_t *f = table; f->type != FIELD_T_END; f++) {
        const void *member = (const uint8_t *) in + f->offset;

        switch (f->type) {
        case FIELD_T_STR:
            string_pack((f->flags & F_SECRET) == 0 || f->flags & F_CARRIED ? *(const char *const *) member : NULL, out);
            break;
        case FIELD_T_INT:
            pki_buf_put_be(out, PACK_INT, 4);
            pki_buf_put_be(out, (uint64_t) *(const int64_t *) member, PACK_INT);
            break;
        default:
            octets_pack(*(const bytes_t *) member, out);
        }
    }
}

static pki_code_t
problem(const field_t *f, const char *text, pki_err_t *err)
{
    return pki_fail(err, PKI_E_INVALID, NULL, "%s: %s", f->name, text);
}

static bool
choice_allowed(const char *const *choices, const char *text)
{
    for (; choices != NULL && *choices != NULL; choices++) {
        if (strcmp(*choices, text) == 0) {
            return true;
        }
    }
    return choices == NULL;
}

static pki_code_t
string_unpack(const field_t *f, bytes_t octets, const char **out, pki_err_t *err)
{
    size_t most = f->max > 0 ? (size_t) f->max : FIELD_STR_MAX, len = octets.len - 1;

    if (octets.len == 0 || memchr(octets.p, 0, octets.len) != octets.p + len) {
        return problem(f, "must end in its only NUL character", err);
    }
    if (len < (size_t) f->min || len > most) {
        return problem(f, "is too short or too long", err);
    }
    if (!utf8_valid(bytes_of(octets.p, len))) {
        return problem(f, "must be UTF-8", err);
    }
    if (!choice_allowed(f->choices, (const char *) octets.p)) {
        return problem(f, "is none of its values", err);
    }
    *out = (const char *) octets.p;
    return PKI_OK;
}

static pki_code_t
int_unpack(const field_t *f, bytes_t octets, int64_t *out, pki_err_t *err)
{
    bool     bounded = f->min != 0 || f->max != 0;
    uint64_t v = 0;

    if (octets.len != PACK_INT || !bytes_take_be(&octets, PACK_INT, &v)) {
        return problem(f, "must be a number of 8 octets", err);
    }
    *out = (int64_t) v;
    if (bounded && (*out < f->min || (f->max >= f->min && *out > f->max))) {
        return problem(f, "is out of its bounds", err);
    }
    return PKI_OK;
}

static pki_code_t
member_unpack(const field_t *f, bytes_t octets, void *member, pki_err_t *err)
{
    switch (f->type) {
    case FIELD_T_STR:
        return string_unpack(f, octets, member, err);
    case FIELD_T_INT:
        return int_unpack(f, octets, member, err);
    default:
        *(bytes_t *) member = octets;
        return PKI_OK;
    }
}

static void
member_clear(const field_t *f, void *member)
{
    if (f->type == FIELD_T_STR) {
        *(const char **) member = NULL;
    } else if (f->type == FIELD_T_INT) {
        *(int64_t *) member = 0;
    } else {
        *(bytes_t *) member = BYTES_NONE;
    }
}

pki_code_t
fields_unpack(const field_t *table, bytes_t in, void *out, pki_err_t *err)
{
    uint64_t count = 0, len = 0;
    bytes_t  octets;

    for (const field_t *f = table; f->type != FIELD_T_END; f++) {
        member_clear(f, (uint8_t *) out + f->offset);
    }
    if (!bytes_take_be(&in, 1, &count) || count != table_count(table)) {
        return pki_fail(err, PKI_E_INVALID, NULL, "a record of another version, with %u members", (unsigned) count);
    }
    for (const field_t *f = table; f->type != FIELD_T_END; f++) {
        if (!bytes_take_be(&in, 4, &len)) {
            return problem(f, "is cut off", err);
        }
        if (len == PACK_ABSENT && f->flags & F_REQUIRED) {
            return problem(f, "is required", err);
        }
        if (len == PACK_ABSENT) {
            continue;
        }
        if (!bytes_take(&in, (size_t) len, &octets)) {
            return problem(f, "is cut off", err);
        }
        PKI_TRY(member_unpack(f, octets, (uint8_t *) out + f->offset, err));
    }
    return in.len == 0 ? PKI_OK : pki_fail(err, PKI_E_INVALID, NULL, "octets behind the record");
}
