/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * General names (RFC 5280 4.2.1.6).  Kinds that this project never issues are read for their shape
 * and kept, so that a profile can refuse them by name.
 */
#include "pkiproto/x509/name.h"

#include <arpa/inet.h>

#include "pkiproto/base/text.h"
#include "pkiproto/der/read.h"

/* By context tag number: whether the tag is constructed, most octets, and its text prefix. */
typedef struct {
    bool        constructed, text;
    size_t      max;
    const char *prefix; /* NULL: "other" */
} kind_row_t;

#define GENERAL_NAME_KINDS 9
#define OTHER_MAX          4096

static const kind_row_t kind_rows[GENERAL_NAME_KINDS] = {
    [0] = { true, false, OTHER_MAX, NULL }, /* otherName */
    [GENERAL_NAME_EMAIL] = { false, true, 320, "email" },
    [GENERAL_NAME_DNS] = { false, true, 253, "dns" },
    [3] = { true, false, OTHER_MAX, NULL }, /* x400Address */
    [GENERAL_NAME_DIRECTORY] = { true, false, OTHER_MAX, "dirname" },
    [5] = { true, false, OTHER_MAX, NULL }, /* ediPartyName */
    [GENERAL_NAME_URI] = { false, true, 2048, "uri" },
    [GENERAL_NAME_IP] = { false, false, 16, "ip" },
    [8] = { false, false, 128, NULL }, /* registeredID */
};

static pki_code_t
text_check(const general_name_t *name, pki_err_t *err)
{
    for (size_t i = 0; i < name->value.len; i++) {
        if (name->value.p[i] <= ' ' || name->value.p[i] >= 0x7f) {
            return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.2.1.6",
                            "a %s name has octet 0x%02x, which is not a visible ASCII character",
                            kind_rows[name->kind].prefix, name->value.p[i]);
        }
    }
    return PKI_OK;
}

static pki_code_t
shape_check(const general_name_t *name, pki_err_t *err)
{
    bytes_t value = name->value, part;

    if (kind_rows[name->kind].text) {
        return text_check(name, err);
    }
    switch (name->kind) {
    case 0:
        PKI_TRY(der_take(&value, DER_OID, "otherName type", &part, err));
        PKI_TRY(der_take(&value, DER_CONTEXT_CONSTRUCTED(0), "otherName value", &part, err));
        return der_end(value, "otherName", err);
    case GENERAL_NAME_DIRECTORY:
        return name_check(value, err);
    case GENERAL_NAME_IP:
        return value.len == 4 || value.len == 16
                   ? PKI_OK
                   : pki_fail(err, PKI_E_INVALID, "RFC 5280 4.2.1.6", "an IP address has %zu octets",
                              value.len);
    default:
        return PKI_OK;
    }
}

static pki_code_t
general_name_take(bytes_t *in, general_name_t *out, pki_err_t *err)
{
    der_item_t item;
    unsigned   kind;

    PKI_TRY(der_next(in, &item, err));
    kind = item.tag & 0x1f;
    if ((item.tag & 0xc0) != 0x80 || kind >= GENERAL_NAME_KINDS
        || ((item.tag & 0x20) != 0) != kind_rows[kind].constructed)
    {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 4.2.1.6", "tag 0x%02x is no GeneralName", item.tag);
    }
    if (item.value.len == 0 || item.value.len > kind_rows[kind].max) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.2.1.6", "a general name of kind %u has %zu octets, "
                        "not 1 to %zu", kind, item.value.len, kind_rows[kind].max);
    }
    *out = (general_name_t){ kind, item.value, item.whole };
    return shape_check(out, err);
}

pki_code_t
general_names_parse(pki_arena_t *a, bytes_t san, general_names_t *out, pki_err_t *err)
{
    bytes_t        seq, count;
    general_name_t name;
    size_t         n = 0;

    PKI_TRY(der_take(&san, DER_SEQUENCE, "subjectAltName", &seq, err));
    PKI_TRY(der_end(san, "subjectAltName", err));
    for (count = seq; count.len != 0; n++) {
        if (n == GENERAL_NAMES_MAX) {
            return pki_fail(err, PKI_E_INVALID, NULL, "there are more than %d names", GENERAL_NAMES_MAX);
        }
        PKI_TRY(general_name_take(&count, &name, err));
    }
    if (n == 0) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.2.1.6", "subjectAltName has no names");
    }
    PKI_TRY(PKI_NEW_N(a, n, &out->v, err));
    for (out->count = 0; out->count < n; out->count++) {
        PKI_TRY(general_name_take(&seq, &out->v[out->count], err));
    }
    return PKI_OK;
}

static bool
is_label_char(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

/* RFC 1034 3.5 with underscores, and a wildcard as RFC 6125 6.4.3 has it. */
static bool
is_host_name(bytes_t name)
{
    size_t at = 0, label = 0;

    if (name.len > 2 && name.p[0] == '*' && name.p[1] == '.') {
        at = 2;
    }
    for (; at < name.len; at++) {
        uint8_t c = name.p[at];

        if (c == '.' ? label == 0 || name.p[at - 1] == '-'
                     : !is_label_char(c) || (c == '-' && label == 0) || label == 63)
        {
            return false;
        }
        label = c == '.' ? 0 : label + 1;
    }
    return label != 0 && name.p[name.len - 1] != '-';
}

static bool
is_mailbox(bytes_t name)
{
    const uint8_t *sign = memchr(name.p, '@', name.len);
    size_t         local = sign != NULL ? (size_t) (sign - name.p) : 0;

    return local != 0 && is_host_name(bytes_of(sign + 1, name.len - local - 1)) && sign[1] != '*';
}

static bool
is_uri(bytes_t name)
{
    const uint8_t *colon = memchr(name.p, ':', name.len);

    if (colon == NULL || colon == name.p || colon == name.p + name.len - 1) {
        return false;
    }
    for (const uint8_t *p = name.p; p < colon; p++) {
        bool letter = (*p | 0x20) >= 'a' && (*p | 0x20) <= 'z';

        if (!letter && (p == name.p || !((*p >= '0' && *p <= '9') || *p == '+' || *p == '-' || *p == '.'))) {
            return false;
        }
    }
    return true;
}

pki_code_t
general_name_check(const general_name_t *name, pki_err_t *err)
{
    bool ok = (name->kind != GENERAL_NAME_DNS || is_host_name(name->value))
              && (name->kind != GENERAL_NAME_EMAIL || is_mailbox(name->value))
              && (name->kind != GENERAL_NAME_URI || is_uri(name->value));

    return ok ? PKI_OK
              : pki_fail(err, PKI_E_INVALID, "RFC 5280 4.2.1.6", "a %s name is not well formed",
                         kind_rows[name->kind].prefix);
}

pki_code_t
general_name_print(pki_arena_t *a, const general_name_t *name, const char **out, pki_err_t *err)
{
    char        address[INET6_ADDRSTRLEN], *hex;
    const char *text = NULL, *prefix = name->kind < GENERAL_NAME_KINDS ? kind_rows[name->kind].prefix : NULL;

    *out = NULL;
    if (name->kind == GENERAL_NAME_DIRECTORY) {
        PKI_TRY(name_print(a, name->value, &text, err));
        *out = pki_printf(a, "dirname:%s", text);
    } else if (name->kind == GENERAL_NAME_IP && (name->value.len == 4 || name->value.len == 16)) {
        text = inet_ntop(name->value.len == 4 ? AF_INET : AF_INET6, name->value.p, address, sizeof(address));
        *out = pki_printf(a, "ip:%s", text);
    } else if (prefix != NULL && kind_rows[name->kind].text) {
        *out = pki_printf(a, "%s:%.*s", prefix, (int) name->value.len, (const char *) name->value.p);
    } else {
        hex = hex_print(a, name->whole);
        *out = hex != NULL ? pki_printf(a, "other:%s", hex) : NULL;
    }
    return *out != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "no room for a name's text");
}

static bool
names_include(const general_names_t *set, const general_names_t *subset)
{
    for (size_t i = 0; i < subset->count; i++) {
        size_t j = 0;

        while (j < set->count && !bytes_eq(set->v[j].whole, subset->v[i].whole)) {
            j++;
        }
        if (j == set->count) {
            return false;
        }
    }
    return true;
}

bool
general_names_equal(const general_names_t *a, const general_names_t *b)
{
    return names_include(a, b) && names_include(b, a);
}
