/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Distinguished names and general names (RFC 5280 4.1.2.4, 4.2.1.6; RFC 4514 for text).
 */
#ifndef PKI_X509_NAME_H
#define PKI_X509_NAME_H

#include "pkiproto/base/buf.h"
#include "pkiproto/json/field.h"

/*
 * Check a whole Name: well-formed RDNs, known string types, no NUL or control character, length
 * bounds of RFC 5280 appendix A (CN 64, O 64, OU 64, C 2, ...), no multi-valued RDN.
 */
pki_code_t name_check(bytes_t name, pki_err_t *err);

/* Only the shape, for certificates of other CAs: multi-valued RDNs and odd values pass. */
pki_code_t name_shape_check(bytes_t name, pki_err_t *err);

/* RFC 4514 text in the arena, most specific RDN first as the RFC asks; escapes everything odd. */
pki_code_t name_print(pki_arena_t *a, bytes_t name, const char **out, pki_err_t *err);

/* The first commonName as UTF-8 in the arena, or *out = NULL. */
pki_code_t name_common_name(pki_arena_t *a, bytes_t name, const char **out, pki_err_t *err);

/* All of them; POLICY when there are absurdly many. */
pki_code_t name_common_names(pki_arena_t *a, bytes_t name, str_list_t *out, pki_err_t *err);

/*
 * Build a whole Name from text such as "CN=Issuing CA,O=Example,C=GB" (RFC 4514, also with the order
 * "C=GB,O=..,CN=.." kept as written reversed into encoding order).  C is PrintableString, others UTF8String.
 */
pki_code_t name_build(pki_arena_t *a, const char *text, bytes_t *out, pki_err_t *err);

/* GeneralName kinds that a certificate of ours may carry; the value is the contents octets. */
typedef enum {
    GENERAL_NAME_EMAIL = 1, /* rfc822Name, IA5String */
    GENERAL_NAME_DNS = 2,
    GENERAL_NAME_DIRECTORY = 4,
    GENERAL_NAME_URI = 6,
    GENERAL_NAME_IP = 7, /* 4 or 16 octets */
} general_name_kind_t;

typedef struct {
    unsigned kind;  /* context tag number; kinds not named above are kept but refused by the profile */
    bytes_t  value;
    bytes_t  whole;
} general_name_t;

typedef struct {
    general_name_t *v;
    size_t          count;
} general_names_t;

#define GENERAL_NAMES_MAX 100

/*
 * Parse the contents of extnValue of subjectAltName (whole SEQUENCE).  Empty, over-long, NUL, control,
 * an IP address of another length: error.
 */
pki_code_t general_names_parse(pki_arena_t *a, bytes_t san, general_names_t *out, pki_err_t *err);

/*
 * What a name that is asked for has to be beyond that: a host name of letters, digits and hyphens (and
 * underscores) with at most a whole leftmost label "*", one "@", a URI with a scheme.
 */
pki_code_t general_name_check(const general_name_t *name, pki_err_t *err);

/* "dns:host.example", "ip:192.0.2.1", "email:..", "uri:..", "dirname:..." ; others "other:hex". */
pki_code_t general_name_print(pki_arena_t *a, const general_name_t *name, const char **out, pki_err_t *err);

/* Whether two sets are equal: the same names whatever the order (RFC 7030 4.2.2). */
bool general_names_equal(const general_names_t *a, const general_names_t *b);

#endif
