/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Distinguished names: reading, checking and printing.  RFC 5280 4.1.2.4 and appendix A for shape
 * and lengths, RFC 4514 for text.  Building from text is in name_build.c.
 */
#include "pkiproto/x509/name.h"

#include <strings.h>

#include "pkiproto/base/utf8.h"
#include "pkiproto/der/read.h"
#include "pkiproto/x509/attribute.h"

#define NAME_RDN_MAX 64

/* Attribute types: RFC 4514 name, OID contents, most characters, string type when built. */
static const attribute_row_t attribute_rows[] = {
    { "CN", OID_OCTETS("\x55\x04\x03"), 64, DER_UTF8_STRING },
    { "SN", OID_OCTETS("\x55\x04\x04"), 64, DER_UTF8_STRING },
    { "serialNumber", OID_OCTETS("\x55\x04\x05"), 64, DER_PRINTABLE_STRING },
    { "C", OID_OCTETS("\x55\x04\x06"), 2, DER_PRINTABLE_STRING },
    { "L", OID_OCTETS("\x55\x04\x07"), 128, DER_UTF8_STRING },
    { "ST", OID_OCTETS("\x55\x04\x08"), 128, DER_UTF8_STRING },
    { "street", OID_OCTETS("\x55\x04\x09"), 128, DER_UTF8_STRING },
    { "O", OID_OCTETS("\x55\x04\x0a"), 64, DER_UTF8_STRING },
    { "OU", OID_OCTETS("\x55\x04\x0b"), 64, DER_UTF8_STRING },
    { "title", OID_OCTETS("\x55\x04\x0c"), 64, DER_UTF8_STRING },
    { "postalCode", OID_OCTETS("\x55\x04\x11"), 40, DER_UTF8_STRING },
    { "name", OID_OCTETS("\x55\x04\x29"), 128, DER_UTF8_STRING },
    { "GN", OID_OCTETS("\x55\x04\x2a"), 64, DER_UTF8_STRING },
    { "initials", OID_OCTETS("\x55\x04\x2b"), 64, DER_UTF8_STRING },
    { "dnQualifier", OID_OCTETS("\x55\x04\x2e"), 64, DER_PRINTABLE_STRING },
    { "pseudonym", OID_OCTETS("\x55\x04\x41"), 128, DER_UTF8_STRING },
    { "organizationIdentifier", OID_OCTETS("\x55\x04\x61"), 256, DER_UTF8_STRING },
    { "DC", OID_OCTETS("\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19"), 63, DER_IA5_STRING },
    { "UID", OID_OCTETS("\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01"), 256, DER_UTF8_STRING },
    { "emailAddress", OID_OCTETS("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01"), 255, DER_IA5_STRING },
    { "unstructuredName", OID_OCTETS("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x02"), 255, DER_UTF8_STRING },
};

#define ATTRIBUTE_COUNT     (sizeof(attribute_rows) / sizeof(attribute_rows[0]))
#define ATTRIBUTE_CHARS_MAX 1024 /* of a type that is not in the table */

const attribute_row_t *
attribute_by_oid(bytes_t oid)
{
    for (size_t i = 0; i < ATTRIBUTE_COUNT; i++) {
        if (bytes_eq(attribute_rows[i].oid, oid)) {
            return &attribute_rows[i];
        }
    }
    return NULL;
}

const attribute_row_t *
attribute_by_name(bytes_t name)
{
    for (size_t i = 0; i < ATTRIBUTE_COUNT; i++) {
        const char *row = attribute_rows[i].name;

        if (strlen(row) == name.len && strncasecmp(row, (const char *) name.p, name.len) == 0) {
            return &attribute_rows[i];
        }
    }
    return NULL;
}

static bool
is_printable_string(uint32_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c != 0 && c < 0x80 && strchr(" '()+,-./:=?", (int) c) != NULL);
}

/* The next character of a string of the given type; false when there is none that the type allows. */
static bool
string_take(uint8_t tag, bytes_t *in, uint32_t *out)
{
    if (tag == DER_UTF8_STRING) {
        return utf8_take(in, out);
    }
    if (tag == DER_BMP_STRING) {
        if (in->len < 2) {
            return false;
        }
        *out = (uint32_t) in->p[0] << 8 | in->p[1];
        *in = bytes_of(in->p + 2, in->len - 2);
        return *out < 0xd800 || *out > 0xdfff;
    }
    *out = in->p[0];
    *in = bytes_of(in->p + 1, in->len - 1);
    return tag == DER_T61_STRING || (tag == DER_IA5_STRING && *out < 0x80)
           || (tag == DER_PRINTABLE_STRING && is_printable_string(*out));
}

static bool
is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

typedef struct {
    bytes_t    oid;
    der_item_t value;
} attribute_t;

static pki_code_t
attribute_take(bytes_t *in, attribute_t *out, pki_err_t *err)
{
    bytes_t seq;

    PKI_TRY(der_take(in, DER_SEQUENCE, "AttributeTypeAndValue", &seq, err));
    PKI_TRY(der_take(&seq, DER_OID, "attribute type", &out->oid, err));
    PKI_TRY(der_next(&seq, &out->value, err));
    if (out->oid.len == 0) {
        return pki_fail(err, PKI_E_PARSE, "X.690 8.19", "an attribute type is empty");
    }
    return der_end(seq, "attribute value", err);
}

static bool
is_string_tag(uint8_t tag)
{
    return tag == DER_UTF8_STRING || tag == DER_PRINTABLE_STRING || tag == DER_IA5_STRING
           || tag == DER_T61_STRING || tag == DER_BMP_STRING;
}

/* Whether a value is a string of a known type, and how many characters it has. */
static bool
attribute_is_string(const attribute_t *attribute, size_t *chars, bool *control)
{
    bytes_t  rest = attribute->value.value;
    uint32_t c;

    *control = false;
    for (*chars = 0; rest.len != 0; ++*chars) {
        if (!string_take(attribute->value.tag, &rest, &c)) {
            return false;
        }
        *control |= is_control(c);
    }
    return is_string_tag(attribute->value.tag);
}

static pki_code_t
attribute_check(const attribute_t *attribute, pki_err_t *err)
{
    const attribute_row_t *row = attribute_by_oid(attribute->oid);
    const char            *name = row != NULL ? row->name : "an attribute of another type";
    size_t                 chars, most = row != NULL ? row->max : ATTRIBUTE_CHARS_MAX;
    bool                   control;

    if (!attribute_is_string(attribute, &chars, &control)) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.1.2.4", "%s is not a string of its type (tag 0x%02x)",
                        name, attribute->value.tag);
    }
    if (control) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.1.2.4", "%s has a control character", name);
    }
    if (chars == 0 || chars > most) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 A.1", "%s has %zu characters, not 1 to %zu", name,
                        chars, most);
    }
    if (most == 2 && chars != 2) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 A.1", "%s has %zu characters, not 2", name, chars);
    }
    return PKI_OK;
}

/* Certificates of others may hold BIT, Numeric, Visible and UniversalString and GeneralizedTime, too. */
static pki_code_t
attribute_shape_check(const attribute_t *attribute, pki_err_t *err)
{
    static const uint8_t others[] = { DER_BIT_STRING, 0x12, 0x1a, 0x1c, DER_GENERALIZED_TIME };
    size_t               chars;
    bool                 control;

    if (memchr(others, attribute->value.tag, sizeof(others)) == NULL
        && !attribute_is_string(attribute, &chars, &control))
    {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.1.2.4", "a name's value is not a string of its type");
    }
    return PKI_OK;
}

static pki_code_t
rdn_check(bytes_t set, bool strict, pki_err_t *err)
{
    attribute_t attribute;

    do {
        PKI_TRY(attribute_take(&set, &attribute, err));
        if (strict && set.len != 0) {
            return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.1.2.4", "a name has a multi-valued RDN");
        }
        PKI_TRY(strict ? attribute_check(&attribute, err) : attribute_shape_check(&attribute, err));
    } while (set.len != 0);
    return PKI_OK;
}

static pki_code_t
name_walk(bytes_t name, bool strict, pki_err_t *err)
{
    bytes_t seq, set;
    size_t  count = 0;

    PKI_TRY(der_take(&name, DER_SEQUENCE, "Name", &seq, err));
    PKI_TRY(der_end(name, "Name", err));
    while (seq.len != 0) {
        PKI_TRY(der_take(&seq, DER_SET, "RelativeDistinguishedName", &set, err));
        PKI_TRY(rdn_check(set, strict, err));
        if (++count > NAME_RDN_MAX) {
            return pki_fail(err, PKI_E_INVALID, NULL, "a name has more than %d RDNs", NAME_RDN_MAX);
        }
    }
    return PKI_OK;
}

pki_code_t
name_check(bytes_t name, pki_err_t *err)
{
    return name_walk(name, true, err);
}

pki_code_t
name_shape_check(bytes_t name, pki_err_t *err)
{
    return name_walk(name, false, err);
}

/* Characters that would mislead a reader or a log: controls, and what changes the direction of text. */
static bool
is_misleading(uint32_t c)
{
    return is_control(c) || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e)
           || (c >= 0x2060 && c <= 0x2069) || c == 0xfeff;
}

/* RFC 4514 2.4: hexadecimal pairs of the UTF-8 octets for what must not be shown as it is. */
static void
print_hex_pairs(pki_buf_t *out, uint32_t c)
{
    uint8_t   octets[4];
    pki_buf_t utf8;

    pki_buf_fixed(&utf8, octets, sizeof(octets));
    utf8_put(&utf8, c);
    for (size_t i = 0; i < utf8.len; i++) {
        pki_buf_printf(out, "\\%02X", octets[i]);
    }
}

static void
print_value(pki_buf_t *out, const attribute_t *attribute)
{
    bytes_t  rest = attribute->value.value;
    bool     first = true;
    uint32_t c;

    while (rest.len != 0 && string_take(attribute->value.tag, &rest, &c)) {
        bool space = c == ' ' && (first || rest.len == 0);

        if (is_misleading(c)) {
            print_hex_pairs(out, c);
        } else {
            if (space || (c == '#' && first) || (c < 0x80 && strchr(",+\"\\<>;", (int) c) != NULL)) {
                pki_buf_put_u8(out, '\\');
            }
            utf8_put(out, c);
        }
        first = false;
    }
}

static void
print_oid(pki_buf_t *out, bytes_t oid)
{
    uint64_t arc = 0;
    bool     first = true;

    for (size_t i = 0; i < oid.len; i++) {
        arc = arc << 7 | (oid.p[i] & 0x7f);
        if (oid.p[i] & 0x80) {
            continue;
        }
        if (first) {
            unsigned top = arc < 40 ? 0 : arc < 80 ? 1 : 2;

            pki_buf_printf(out, "%u.%llu", top, (unsigned long long) (arc - 40 * top));
            first = false;
        } else {
            pki_buf_printf(out, ".%llu", (unsigned long long) arc);
        }
        arc = 0;
    }
}

/* Of other characters than its attribute has there is no text that builds it (RFC 4514 2.4). */
static bool
attribute_has_text(const attribute_row_t *row, const attribute_t *attribute)
{
    bytes_t  rest = attribute->value.value;
    uint32_t c;

    while (is_string_tag(attribute->value.tag) && rest.len != 0) {
        if (!string_take(attribute->value.tag, &rest, &c) || (row->tag == DER_PRINTABLE_STRING && !is_printable_string(c))
            || (row->tag == DER_IA5_STRING && c >= 0x80))
        {
            return false;
        }
    }
    return is_string_tag(attribute->value.tag);
}

static void
print_attribute(pki_buf_t *out, const attribute_t *attribute)
{
    const attribute_row_t *row = attribute_by_oid(attribute->oid);

    if (row != NULL && attribute_has_text(row, attribute)) {
        pki_buf_printf(out, "%s=", row->name);
        print_value(out, attribute);
        return;
    }
    if (row != NULL) {
        pki_buf_printf(out, "%s=#", row->name);
    } else {
        print_oid(out, attribute->oid);
        pki_buf_put(out, BYTES_LIT("=#"));
    }
    for (size_t i = 0; i < attribute->value.whole.len; i++) {
        pki_buf_printf(out, "%02X", attribute->value.whole.p[i]);
    }
}

#define NAME_COMMON_MAX 8
#define NAME_TEXT_MAX 65536

pki_code_t
name_print(pki_arena_t *a, bytes_t name, const char **out, pki_err_t *err)
{
    bytes_t     seq, set, rdn[NAME_RDN_MAX];
    size_t      count = 0;
    pki_buf_t   text;
    attribute_t attribute;

    PKI_TRY(der_take(&name, DER_SEQUENCE, "Name", &seq, err));
    PKI_TRY(der_end(name, "Name", err));
    for (; seq.len != 0; count++) {
        if (count == NAME_RDN_MAX) {
            return pki_fail(err, PKI_E_INVALID, NULL, "a name has more than %d RDNs", NAME_RDN_MAX);
        }
        PKI_TRY(der_take(&seq, DER_SET, "RelativeDistinguishedName", &rdn[count], err));
    }
    pki_buf_init(&text, a, NAME_TEXT_MAX);
    for (size_t i = count; i-- > 0;) {
        for (set = rdn[i]; set.len != 0;) {
            PKI_TRY(attribute_take(&set, &attribute, err));
            print_attribute(&text, &attribute);
            if (set.len != 0) {
                pki_buf_put_u8(&text, '+');
            }
        }
        if (i != 0) {
            pki_buf_put_u8(&text, ',');
        }
    }
    pki_buf_put_u8(&text, 0);
    PKI_TRY(pki_buf_check(&text, "a name as text", err));
    *out = (const char *) text.p;
    return PKI_OK;
}

static pki_code_t
attribute_text(pki_arena_t *a, const attribute_t *attribute, const char **out, pki_err_t *err)
{
    pki_buf_t text;

    pki_buf_init(&text, a, NAME_TEXT_MAX);
    for (bytes_t rest = attribute->value.value; rest.len != 0;) {
        uint32_t c = 0;

        (void) string_take(attribute->value.tag, &rest, &c);
        utf8_put(&text, c);
    }
    pki_buf_put_u8(&text, 0);
    PKI_TRY(pki_buf_check(&text, "a common name", err));
    *out = (const char *) text.p;
    return PKI_OK;
}

/* Up to max common names in their order. */
static pki_code_t
common_names_take(pki_arena_t *a, bytes_t name, const char **out, size_t max, size_t *count, pki_err_t *err)
{
    bytes_t     seq, set;
    attribute_t attribute;
    size_t      chars;
    bool        control;

    *count = 0;
    PKI_TRY(der_take(&name, DER_SEQUENCE, "Name", &seq, err));
    PKI_TRY(der_end(name, "Name", err));
    while (seq.len != 0) {
        PKI_TRY(der_take(&seq, DER_SET, "RelativeDistinguishedName", &set, err));
        while (set.len != 0) {
            PKI_TRY(attribute_take(&set, &attribute, err));
            if (!bytes_eq(attribute.oid, attribute_rows[0].oid)
                || !attribute_is_string(&attribute, &chars, &control) || control)
            {
                continue;
            }
            PKI_TRY(attribute_text(a, &attribute, &out[(*count)++], err));
            if (*count == max) {
                return PKI_OK;
            }
        }
    }
    return PKI_OK;
}

pki_code_t
name_common_name(pki_arena_t *a, bytes_t name, const char **out, pki_err_t *err)
{
    size_t count;

    *out = NULL;
    return common_names_take(a, name, out, 1, &count, err);
}

pki_code_t
name_common_names(pki_arena_t *a, bytes_t name, str_list_t *out, pki_err_t *err)
{
    PKI_TRY(PKI_NEW_N(a, NAME_COMMON_MAX, &out->v, err));
    PKI_TRY(common_names_take(a, name, out->v, NAME_COMMON_MAX, &out->count, err));
    return out->count < NAME_COMMON_MAX
               ? PKI_OK
               : pki_fail(err, PKI_E_POLICY, NULL, "a subject with %d common names or more", NAME_COMMON_MAX);
}
