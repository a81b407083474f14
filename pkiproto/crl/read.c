/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The CRL reader (RFC 5280 section 5), and the names of the reasons.  Entries are visited in place.
 */
#include "pkiproto/crl/crl.h"

#include "pkiproto/der/read.h"

static pki_code_t
parse_key_id(bytes_t value, crl_view_t *out, pki_err_t *err)
{
    bytes_t akid;

    PKI_TRY(der_take(&value, DER_SEQUENCE, "authorityKeyIdentifier", &akid, err));
    PKI_TRY(der_end(value, "authorityKeyIdentifier", err));
    return der_peek(akid, DER_CONTEXT(0)) ? der_take(&akid, DER_CONTEXT(0), "keyIdentifier", &out->akid, err)
                                          : PKI_OK;
}

static pki_code_t
parse_number(bytes_t value, const char *what, bytes_t *number, pki_err_t *err)
{
    PKI_TRY(der_take_integer(&value, what, number, err));
    PKI_TRY(der_end(value, what, err));
    return number->p[0] < 0x80 ? PKI_OK
                               : pki_fail(err, PKI_E_PARSE, "RFC 5280 5.2.3", "%s is negative", what);
}

static pki_code_t
parse_crl_number(bytes_t value, crl_view_t *out, pki_err_t *err)
{
    return parse_number(value, "cRLNumber", &out->number, err);
}

static pki_code_t
parse_base_number(bytes_t value, crl_view_t *out, pki_err_t *err)
{
    return parse_number(value, "baseCRLNumber", &out->base_number, err);
}

static pki_code_t
parse_idp(bytes_t value, crl_view_t *out, pki_err_t *err)
{
    bytes_t rest = value, idp;

    PKI_TRY(der_take(&rest, DER_SEQUENCE, "issuingDistributionPoint", &idp, err));
    PKI_TRY(der_end(rest, "issuingDistributionPoint", err));
    if (idp.len == 0) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 5.2.5", "issuingDistributionPoint is empty");
    }
    out->idp = value;
    return PKI_OK;
}

/* RFC 5280 5.2.6: only in a complete CRL, which the caller sees by base_number. */
static pki_code_t
parse_freshest(bytes_t value, crl_view_t *out, pki_err_t *err)
{
    bytes_t rest = value, points;

    PKI_TRY(der_take(&rest, DER_SEQUENCE, "freshestCRL", &points, err));
    PKI_TRY(der_end(rest, "freshestCRL", err));
    if (points.len == 0) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 5.2.6", "freshestCRL is empty");
    }
    out->freshest = value;
    return PKI_OK;
}

/* Extensions that may be critical, by the last arc of id-ce; a row's number is its bit in `seen`. */
static const struct {
    uint8_t arc;
    pki_code_t (*parse)(bytes_t value, crl_view_t *out, pki_err_t *err);
} crl_extensions[] = {
    { 35, parse_key_id },
    { 20, parse_crl_number },
    { 27, parse_base_number },
    { 28, parse_idp },
    { 46, parse_freshest },
};
#define CRL_EXTENSIONS (sizeof(crl_extensions) / sizeof(crl_extensions[0]))

/* Extension ::= SEQUENCE { OID, critical, value }; arc is 0 for an OID that is not 2.5.29.arc. */
static pki_code_t
take_extension(bytes_t *list, unsigned *arc, bool *critical, bytes_t *value, pki_err_t *err)
{
    bytes_t extension, oid;

    *critical = false;
    PKI_TRY(der_take(list, DER_SEQUENCE, "extension", &extension, err));
    PKI_TRY(der_take(&extension, DER_OID, "extnID", &oid, err));
    if (der_peek(extension, DER_BOOLEAN)) {
        PKI_TRY(der_take_bool(&extension, "critical", critical, err));
    }
    PKI_TRY(der_take(&extension, DER_OCTET_STRING, "extnValue", value, err));
    *arc = oid.len == 3 && oid.p[0] == 0x55 && oid.p[1] == 0x1d ? oid.p[2] : 0;
    return der_end(extension, "extension", err);
}

static pki_code_t
parse_extension(bytes_t *list, unsigned *seen, crl_view_t *out, pki_err_t *err)
{
    unsigned arc;
    bool     critical;
    bytes_t  value;
    size_t   i;

    PKI_TRY(take_extension(list, &arc, &critical, &value, err));
    for (i = 0; i < CRL_EXTENSIONS && crl_extensions[i].arc != arc; i++) { }
    if (i == CRL_EXTENSIONS) {
        return critical
                   ? pki_fail(err, PKI_E_UNSUPPORTED, "RFC 5280 5.2", "unknown critical extension in a CRL")
                   : PKI_OK;
    }
    if (*seen & 1u << i) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 4.2", "an extension is there twice");
    }
    *seen |= 1u << i;
    return crl_extensions[i].parse(value, out, err);
}

static pki_code_t
parse_extensions(bytes_t *in, crl_view_t *out, pki_err_t *err)
{
    bytes_t  outer, list;
    unsigned seen = 0;

    if (in->len == 0) {
        return PKI_OK;
    }
    PKI_TRY(der_take(in, DER_CONTEXT_CONSTRUCTED(0), "crlExtensions", &outer, err));
    PKI_TRY(der_take(&outer, DER_SEQUENCE, "crlExtensions", &list, err));
    PKI_TRY(der_end(outer, "crlExtensions", err));
    if (list.len == 0) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 5.1.2.7", "crlExtensions is empty");
    }
    while (list.len != 0) {
        PKI_TRY(parse_extension(&list, &seen, out, err));
    }
    return PKI_OK;
}

/* The TBSCertList; algorithm is the one outside of it, which must be the same. */
static pki_code_t
parse_tbs(bytes_t tbs, bytes_t algorithm, crl_view_t *out, pki_err_t *err)
{
    uint64_t version;
    bytes_t  inner;

    PKI_TRY(der_take_uint(&tbs, "version", 1, &version, err));
    if (version != 1) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 5.1.2.1", "version is written, and is not v2");
    }
    PKI_TRY(der_take_whole(&tbs, DER_SEQUENCE, "signature", &inner, err));
    if (!bytes_eq(inner, algorithm)) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 5.1.1.2",
                        "the signature algorithms inside and outside differ");
    }
    PKI_TRY(der_take_whole(&tbs, DER_SEQUENCE, "issuer", &out->issuer, err));
    PKI_TRY(der_take_time(&tbs, "thisUpdate", &out->this_update, err));
    PKI_TRY(der_take_time(&tbs, "nextUpdate", &out->next_update, err));
    if (der_peek(tbs, DER_SEQUENCE)) {
        PKI_TRY(der_take(&tbs, DER_SEQUENCE, "revokedCertificates", &out->entries, err));
        if (out->entries.len == 0) {
            return pki_fail(err, PKI_E_PARSE, "RFC 5280 5.1.2.6", "revokedCertificates is there and empty");
        }
    }
    PKI_TRY(parse_extensions(&tbs, out, err));
    return der_end(tbs, "TBSCertList", err);
}

pki_code_t
crl_parse(bytes_t der, crl_view_t *out, pki_err_t *err)
{
    der_item_t tbs;
    bytes_t    list;

    *out = (crl_view_t){ 0 };
    PKI_TRY(der_take(&der, DER_SEQUENCE, "CertificateList", &list, err));
    PKI_TRY(der_end(der, "CertificateList", err));
    if (!der_peek(list, DER_SEQUENCE)) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 5.1.1", "TBSCertList is missing");
    }
    PKI_TRY(der_next(&list, &tbs, err));
    out->tbs = tbs.whole;
    PKI_TRY(der_take_whole(&list, DER_SEQUENCE, "signatureAlgorithm", &out->algorithm, err));
    PKI_TRY(der_take_bits(&list, "signatureValue", &out->signature, err));
    PKI_TRY(der_end(list, "CertificateList", err));
    return parse_tbs(tbs.value, out->algorithm, out, err);
}

static pki_code_t
parse_reason(bytes_t value, int *reason, pki_err_t *err)
{
    bytes_t v;

    PKI_TRY(der_take(&value, DER_ENUMERATED, "reasonCode", &v, err));
    PKI_TRY(der_end(value, "reasonCode", err));
    if (v.len != 1 || crl_reason_name(v.p[0]) == NULL) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 5.3.1", "reasonCode is not a CRLReason");
    }
    *reason = v.p[0];
    return PKI_OK;
}

static pki_code_t
parse_invalidity(bytes_t value, int64_t *t, pki_err_t *err)
{
    if (!der_peek(value, DER_GENERALIZED_TIME)) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 5.3.2", "invalidityDate is not a GeneralizedTime");
    }
    PKI_TRY(der_take_time(&value, "invalidityDate", t, err));
    return der_end(value, "invalidityDate", err);
}

static pki_code_t
parse_entry_extensions(bytes_t list, crl_entry_t *out, pki_err_t *err)
{
    unsigned arc;
    bool     critical;
    bytes_t  value;

    while (list.len != 0) {
        PKI_TRY(take_extension(&list, &arc, &critical, &value, err));
        if (arc == 21) {
            PKI_TRY(parse_reason(value, &out->reason, err));
        } else if (arc == 24) {
            PKI_TRY(parse_invalidity(value, &out->invalidity_at, err));
        } else if (critical) {
            return pki_fail(err, PKI_E_UNSUPPORTED, "RFC 5280 5.3",
                            "unknown critical extension in a CRL entry");
        }
    }
    return PKI_OK;
}

pki_code_t
crl_entry_next(bytes_t *entries, crl_entry_t *out, pki_err_t *err)
{
    bytes_t entry, list;

    *out = (crl_entry_t){ .reason = -1 };
    if (entries->len == 0) {
        return PKI_OK;
    }
    PKI_TRY(der_take(entries, DER_SEQUENCE, "revoked certificate", &entry, err));
    PKI_TRY(der_take_integer(&entry, "userCertificate", &out->serial, err));
    PKI_TRY(der_take_time(&entry, "revocationDate", &out->revoked_at, err));
    if (entry.len != 0) {
        PKI_TRY(der_take(&entry, DER_SEQUENCE, "crlEntryExtensions", &list, err));
        if (list.len == 0) {
            return pki_fail(err, PKI_E_PARSE, "RFC 5280 5.1.2.6", "crlEntryExtensions is empty");
        }
        PKI_TRY(parse_entry_extensions(list, out, err));
    }
    return der_end(entry, "revoked certificate", err);
}

/* Number 7 is not used (RFC 5280 5.3.1). */
static const char *const reason_names[] = {
    [0] = "unspecified",
    [1] = "keyCompromise",
    [2] = "caCompromise",
    [3] = "affiliationChanged",
    [4] = "superseded",
    [5] = "cessationOfOperation",
    [6] = "certificateHold",
    [8] = "removeFromCRL",
    [9] = "privilegeWithdrawn",
    [10] = "aaCompromise",
};
#define REASONS ((int) (sizeof(reason_names) / sizeof(reason_names[0])))

const char *
crl_reason_name(int reason)
{
    return reason >= 0 && reason < REASONS ? reason_names[reason] : NULL;
}

int
crl_reason_parse(const char *name)
{
    for (int i = 0; i < REASONS; i++) {
        if (reason_names[i] != NULL && strcasecmp(reason_names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}
