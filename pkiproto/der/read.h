/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Reading DER (X.690) without copying.  A reader is a bytes_t that shrinks from the front.  Only
 * what PKI uses is accepted: single-octet tags, definite and minimal lengths up to 2^32-1.
 */
#ifndef PKI_DER_READ_H
#define PKI_DER_READ_H

#include "pkiproto/base/bytes.h"
#include "pkiproto/base/err.h"

enum {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_NULL = 0x05,
    DER_OID = 0x06,
    DER_ENUMERATED = 0x0a,
    DER_UTF8_STRING = 0x0c,
    DER_PRINTABLE_STRING = 0x13,
    DER_T61_STRING = 0x14,
    DER_IA5_STRING = 0x16,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
    DER_BMP_STRING = 0x1e,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
};
#define DER_CONTEXT(n)             (0x80u | (n)) /* [n] IMPLICIT, primitive */
#define DER_CONTEXT_CONSTRUCTED(n) (0xa0u | (n)) /* [n] EXPLICIT, or IMPLICIT of a constructed type */

typedef struct {
    uint8_t tag;
    bytes_t value; /* contents octets */
    bytes_t whole; /* identifier, length and contents */
} der_item_t;

/* Whether the next element has this tag (false at the end of input). */
static inline bool
der_peek(bytes_t in, uint8_t tag)
{
    return in.len != 0 && in.p[0] == tag;
}

/* Take the next element, whatever its tag. */
pki_code_t der_next(bytes_t *in, der_item_t *out, pki_err_t *err);

/* Take the next element, which must have this tag; what names it in the error text. */
pki_code_t der_take(bytes_t *in, uint8_t tag, const char *what, bytes_t *value, pki_err_t *err);

/* The same, keeping identifier and length octets. */
pki_code_t der_take_whole(bytes_t *in, uint8_t tag, const char *what, bytes_t *whole, pki_err_t *err);

/* Nothing may be left. */
pki_code_t der_end(bytes_t in, const char *what, pki_err_t *err);

/*
 * INTEGER contents: non-empty and minimal (X.690 8.3.2).  The octets stay in two's complement;
 * der_take_uint() also refuses negative numbers and those over max.
 */
pki_code_t der_take_integer(bytes_t *in, const char *what, bytes_t *value, pki_err_t *err);
pki_code_t der_take_uint(bytes_t *in, const char *what, uint64_t max, uint64_t *out, pki_err_t *err);

/* BOOLEAN: 0x00 or 0xff (X.690 11.1).  A missing optional BOOLEAN is the caller's der_peek(). */
pki_code_t der_take_bool(bytes_t *in, const char *what, bool *out, pki_err_t *err);

/* BIT STRING whose length is a whole number of octets; value without the count of unused bits. */
pki_code_t der_take_bits(bytes_t *in, const char *what, bytes_t *value, pki_err_t *err);

/* UTCTime or GeneralizedTime in the forms of RFC 5280 4.1.2.5: seconds present, "Z", no fraction. */
pki_code_t der_take_time(bytes_t *in, const char *what, int64_t *out, pki_err_t *err);

#endif
