/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Octets as text: hexadecimal, base64 (RFC 4648), and times (RFC 3339, HTTP dates).  Times are
 * seconds since 1970-01-01T00:00:00Z as int64_t everywhere in this project.
 */
#ifndef PKI_BASE_TEXT_H
#define PKI_BASE_TEXT_H

#include "pkiproto/base/arena.h"

/* Lower case, NUL-terminated; out has room for 2 * in.len + 1. */
void hex_encode(bytes_t in, char *out);
char *hex_print(pki_arena_t *a, bytes_t in); /* in the arena; NULL when out of memory */

/* Either case, even length, nothing else.  cap bounds the output. */
pki_code_t hex_decode(bytes_t in, uint8_t *out, size_t cap, size_t *len, pki_err_t *err);

#define BASE64_LEN(n) (((n) + 2) / 3 * 4)

/* Room for BASE64_LEN(in.len) + 1; no line breaks; returns the length without the NUL. */
size_t base64_encode(bytes_t in, char *out);
char  *base64_print(pki_arena_t *a, bytes_t in);

/*
 * Strict RFC 4648 section 4: padding present and canonical (unused bits zero).  With BASE64_SPACE,
 * CR, LF, SP and TAB are skipped anywhere (RFC 8951 3.1).  in and out may be the same memory.
 */
#define BASE64_SPACE 1u
pki_code_t base64_decode(bytes_t in, unsigned flags, uint8_t *out, size_t cap, size_t *len, pki_err_t *err);
pki_code_t base64_parse(pki_arena_t *a, bytes_t in, unsigned flags, bytes_t *out, pki_err_t *err);

/* "2026-11-20T16:10:00Z": 20 characters and a NUL. */
#define RFC3339_LEN 20
void       rfc3339_print(int64_t t, char out[RFC3339_LEN + 1]);
pki_code_t rfc3339_parse(const char *s, int64_t *out, pki_err_t *err); /* also with an offset */

/* Proleptic Gregorian calendar, UTC.  civil_to_time() returns false for a date that does not exist. */
typedef struct {
    int year, month, day, hour, minute, second;
} civil_t;
civil_t civil_of(int64_t t);
bool    civil_to_time(const civil_t *c, int64_t *out);

#endif
