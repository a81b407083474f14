/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Writing DER forward into a bounded writer.  der_open() leaves one octet for the length and
 * der_close() puts the real one, moving the contents when it needs more.
 */
#ifndef PKI_DER_WRITE_H
#define PKI_DER_WRITE_H

#include "pkiproto/base/buf.h"
#include "pkiproto/der/read.h"

/* size_t at = der_open(b, DER_SEQUENCE); ... der_close(b, at); */
size_t der_open(pki_buf_t *b, uint8_t tag);
void   der_close(pki_buf_t *b, size_t at);

/* Identifier and length octets of an element with len octets of contents; at most 6. */
#define DER_HEADER_MAX 6
size_t der_header(uint8_t tag, size_t len, uint8_t out[DER_HEADER_MAX]);

void der_put(pki_buf_t *b, uint8_t tag, bytes_t value);
void der_put_uint(pki_buf_t *b, uint8_t tag, uint64_t v);      /* INTEGER or ENUMERATED */
void der_put_unsigned(pki_buf_t *b, bytes_t magnitude);        /* INTEGER of unsigned big-endian octets */
void der_put_bool(pki_buf_t *b, bool v);
void der_put_bits(pki_buf_t *b, bytes_t value);                /* BIT STRING, no unused bits */
void der_put_named_bits(pki_buf_t *b, uint16_t bits);          /* bit 0 of the ASN.1 type is 1 << 15; X.690 11.2.2 */
void der_put_time(pki_buf_t *b, int64_t t);                    /* RFC 5280 4.1.2.5: UTCTime until 2049 */
void der_put_generalized_time(pki_buf_t *b, int64_t t);        /* GeneralizedTime always */

#endif
