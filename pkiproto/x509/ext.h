/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Extensions (RFC 5280 4.2), as certificates and requests share them.
 */
#ifndef PKI_X509_EXT_H
#define PKI_X509_EXT_H

#include "pkiproto/base/bytes.h"
#include "pkiproto/base/err.h"

/* Contents octets of an OBJECT IDENTIFIER in static memory: static const bytes_t x = OID_OCTETS("..."); */
#define OID_OCTETS(s) { (const uint8_t *) (s), sizeof(s) - 1 }

typedef enum {
    EXT_OTHER = 0,
    EXT_SKID,
    EXT_KEY_USAGE,
    EXT_SAN,
    EXT_BASIC_CONSTRAINTS,
    EXT_AKID,
    EXT_EKU,
    EXT_NO_REV_AVAIL,
} ext_kind_t;

typedef struct {
    ext_kind_t kind;
    bytes_t    oid;   /* contents octets */
    bytes_t    value; /* contents of extnValue */
    bool       critical;
} ext_t;

#define EXT_MAX 64

/* Call visit for each Extension in the contents of Extensions; duplicates, or over EXT_MAX: INVALID. */
typedef pki_code_t (*ext_visit_pt)(void *arg, const ext_t *ext, pki_err_t *err);
pki_code_t ext_walk(bytes_t extensions, ext_visit_pt visit, void *arg, pki_err_t *err);

pki_code_t ext_key_usage(bytes_t value, uint16_t *out, pki_err_t *err);
pki_code_t ext_basic_constraints(bytes_t value, bool *is_ca, int *path_len, pki_err_t *err);

/* The known usages as a mask (EKU_* of cert.h); the whole syntax is checked. */
pki_code_t ext_eku(bytes_t value, unsigned *out, pki_err_t *err);

/* OID contents of one EKU_* bit; empty for an unknown one. */
bytes_t ext_eku_oid(unsigned bit);

#endif
