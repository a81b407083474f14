/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Extensions: RFC 5280 4.1.2.9 and 4.2.1, in strict DER (a DEFAULT that is spelled out is not DER).
 */
#include "pkiproto/x509/ext.h"

#include "pkiproto/der/read.h"
#include "pkiproto/x509/cert.h"

static const struct {
    ext_kind_t kind;
    bytes_t    oid;
} ext_oids[] = {
    { EXT_SKID, OID_OCTETS("\x55\x1d\x0e") },
    { EXT_KEY_USAGE, OID_OCTETS("\x55\x1d\x0f") },
    { EXT_SAN, OID_OCTETS("\x55\x1d\x11") },
    { EXT_BASIC_CONSTRAINTS, OID_OCTETS("\x55\x1d\x13") },
    { EXT_AKID, OID_OCTETS("\x55\x1d\x23") },
    { EXT_EKU, OID_OCTETS("\x55\x1d\x25") },
    { EXT_NO_REV_AVAIL, OID_OCTETS("\x55\x1d\x38") },
};

static ext_kind_t
ext_kind(bytes_t oid)
{
    for (size_t i = 0; i < sizeof(ext_oids) / sizeof(ext_oids[0]); i++) {
        if (bytes_eq(ext_oids[i].oid, oid)) {
            return ext_oids[i].kind;
        }
    }
    return EXT_OTHER;
}

static pki_code_t
ext_take(bytes_t *in, ext_t *out, pki_err_t *err)
{
    bytes_t seq;

    out->critical = false;
    PKI_TRY(der_take(in, DER_SEQUENCE, "Extension", &seq, err));
    PKI_TRY(der_take(&seq, DER_OID, "extnID", &out->oid, err));
    if (der_peek(seq, DER_BOOLEAN)) {
        PKI_TRY(der_take_bool(&seq, "critical", &out->critical, err));
        if (!out->critical) {
            return pki_fail(err, PKI_E_PARSE, "X.690 11.5", "critical is FALSE and yet encoded");
        }
    }
    PKI_TRY(der_take(&seq, DER_OCTET_STRING, "extnValue", &out->value, err));
    PKI_TRY(der_end(seq, "extnValue", err));
    out->kind = ext_kind(out->oid);
    return PKI_OK;
}

pki_code_t
ext_walk(bytes_t extensions, ext_visit_pt visit, void *arg, pki_err_t *err)
{
    bytes_t seen[EXT_MAX];
    size_t  count = 0;

    while (extensions.len != 0) {
        ext_t ext;

        PKI_TRY(ext_take(&extensions, &ext, err));
        for (size_t i = 0; i < count; i++) {
            if (bytes_eq(seen[i], ext.oid)) {
                return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.2", "an extension is there twice");
            }
        }
        if (count == EXT_MAX) {
            return pki_fail(err, PKI_E_INVALID, NULL, "there are more than %d extensions", EXT_MAX);
        }
        seen[count++] = ext.oid;
        PKI_TRY(visit(arg, &ext, err));
    }
    return PKI_OK;
}

pki_code_t
ext_key_usage(bytes_t value, uint16_t *out, pki_err_t *err)
{
    bytes_t bits;
    uint8_t spare;

    PKI_TRY(der_take(&value, DER_BIT_STRING, "keyUsage", &bits, err));
    PKI_TRY(der_end(value, "keyUsage", err));
    if (bits.len < 2 || bits.len > 3 || bits.p[0] > 7) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 4.2.1.3", "keyUsage is not 1 to 9 bits");
    }
    spare = bits.p[0];
    *out = (uint16_t) (bits.p[1] << 8 | (bits.len == 3 ? bits.p[2] : 0));
    if ((bits.p[bits.len - 1] & ((1u << (spare + 1)) - 1)) != 1u << spare) {
        return pki_fail(err, PKI_E_PARSE, "X.690 11.2.2", "keyUsage is not in its shortest form");
    }
    return PKI_OK;
}

pki_code_t
ext_basic_constraints(bytes_t value, bool *is_ca, int *path_len, pki_err_t *err)
{
    bytes_t  seq;
    uint64_t n;

    *is_ca = false;
    *path_len = -1;
    PKI_TRY(der_take(&value, DER_SEQUENCE, "basicConstraints", &seq, err));
    PKI_TRY(der_end(value, "basicConstraints", err));
    if (der_peek(seq, DER_BOOLEAN)) {
        PKI_TRY(der_take_bool(&seq, "cA", is_ca, err));
        if (!*is_ca) {
            return pki_fail(err, PKI_E_PARSE, "X.690 11.5", "cA is FALSE and yet encoded");
        }
    }
    if (der_peek(seq, DER_INTEGER)) {
        PKI_TRY(der_take_uint(&seq, "pathLenConstraint", 255, &n, err));
        if (!*is_ca) {
            return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.2.1.9", "pathLenConstraint without CA:TRUE");
        }
        *path_len = (int) n;
    }
    return der_end(seq, "basicConstraints", err);
}

static const struct {
    unsigned    bit;
    const char *name;
    bytes_t     oid;
} eku_rows[] = {
    { EKU_SERVER_AUTH, "serverAuth", OID_OCTETS("\x2b\x06\x01\x05\x05\x07\x03\x01") },
    { EKU_CLIENT_AUTH, "clientAuth", OID_OCTETS("\x2b\x06\x01\x05\x05\x07\x03\x02") },
    { EKU_CODE_SIGNING, "codeSigning", OID_OCTETS("\x2b\x06\x01\x05\x05\x07\x03\x03") },
    { EKU_EMAIL, "emailProtection", OID_OCTETS("\x2b\x06\x01\x05\x05\x07\x03\x04") },
    { EKU_TIMESTAMPING, "timeStamping", OID_OCTETS("\x2b\x06\x01\x05\x05\x07\x03\x08") },
    { EKU_OCSP_SIGNING, "OCSPSigning", OID_OCTETS("\x2b\x06\x01\x05\x05\x07\x03\x09") },
    { EKU_CMC_RA, "cmcRA", OID_OCTETS("\x2b\x06\x01\x05\x05\x07\x03\x1c") },
    { EKU_ANY, "anyExtendedKeyUsage", OID_OCTETS("\x55\x1d\x25\x00") },
};

#define EKU_COUNT (sizeof(eku_rows) / sizeof(eku_rows[0]))

pki_code_t
ext_eku(bytes_t value, unsigned *out, pki_err_t *err)
{
    bytes_t seq, oid;

    *out = 0;
    PKI_TRY(der_take(&value, DER_SEQUENCE, "extKeyUsage", &seq, err));
    PKI_TRY(der_end(value, "extKeyUsage", err));
    if (seq.len == 0) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 4.2.1.12", "extKeyUsage names no purpose");
    }
    while (seq.len != 0) {
        PKI_TRY(der_take(&seq, DER_OID, "KeyPurposeId", &oid, err));
        for (size_t i = 0; i < EKU_COUNT; i++) {
            *out |= bytes_eq(oid, eku_rows[i].oid) ? eku_rows[i].bit : 0;
        }
    }
    return PKI_OK;
}

bytes_t
ext_eku_oid(unsigned bit)
{
    for (size_t i = 0; i < EKU_COUNT; i++) {
        if (eku_rows[i].bit == bit) {
            return eku_rows[i].oid;
        }
    }
    return BYTES_NONE;
}

bool
eku_parse(const char *name, unsigned *bit)
{
    for (size_t i = 0; i < EKU_COUNT; i++) {
        if (strcmp(name, eku_rows[i].name) == 0) {
            *bit = eku_rows[i].bit;
            return true;
        }
    }
    return false;
}

const char *
eku_name(unsigned bit)
{
    for (size_t i = 0; i < EKU_COUNT; i++) {
        if (eku_rows[i].bit == bit) {
            return eku_rows[i].name;
        }
    }
    return NULL;
}
