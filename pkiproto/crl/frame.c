/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What is around the entries of a CRL: the fields before them and the extensions after them (RFC 5280 5.1.2, 5.2).
 */
#include "pkiproto/crl/part.h"

bool
crl_is_integer(bytes_t v, size_t max)
{
    return v.len >= 1 && v.len <= max
           && !(v.len > 1 && ((v.p[0] == 0 && v.p[1] < 0x80) || (v.p[0] == 0xff && v.p[1] >= 0x80)));
}

static pki_code_t
check_template(const crl_t *crl, const crl_template_t *t, pki_err_t *err)
{
    bool delta = t->base_number.p != NULL;

    if (t->next_update <= t->this_update) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 5.1.2.5", "nextUpdate is not after thisUpdate");
    }
    if (crl->latest > t->this_update) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 5.1.2.6", "an entry was revoked after thisUpdate");
    }
    if (!crl_is_integer(t->number, CRL_NUMBER_MAX) || t->number.p[0] >= 0x80) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 5.2.3",
                        "the CRL number is negative, too long or not canonical");
    }
    if (delta && (!crl_is_integer(t->base_number, CRL_NUMBER_MAX) || t->base_number.p[0] >= 0x80)) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 5.2.4", "the base CRL number is not a CRL number");
    }
    if (crl->removes && !delta) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 5.3.1", "removeFromCRL in a CRL that is not a delta");
    }
    if (delta && t->freshest_url != NULL) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 5.2.6", "freshestCRL in a delta CRL");
    }
    if (t->idp.p != NULL && (t->idp.len <= 2 || t->idp.p[0] != DER_SEQUENCE)) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 5.2.5", "the issuing distribution point is empty");
    }
    if (t->akid.len == 0 || !der_peek(t->issuer, DER_SEQUENCE)) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 5.2.1",
                        "a CRL needs its issuer's name and key identifier");
    }
    return PKI_OK;
}

/* An extension under id-ce: OID 2.5.29.arc, open until der_close(close[1]), der_close(close[0]). */
static void
open_extension(pki_buf_t *b, uint8_t arc, bool critical, size_t close[2])
{
    const uint8_t oid[] = { 0x55, 0x1d, arc };

    close[0] = der_open(b, DER_SEQUENCE);
    der_put(b, DER_OID, BYTES_ARR(oid));
    if (critical) {
        der_put_bool(b, true);
    }
    close[1] = der_open(b, DER_OCTET_STRING);
}

static void
close_extension(pki_buf_t *b, const size_t close[2])
{
    der_close(b, close[1]);
    der_close(b, close[0]);
}

static void
put_akid(pki_buf_t *b, bytes_t akid)
{
    size_t close[2], value;

    open_extension(b, 35, false, close);
    value = der_open(b, DER_SEQUENCE);
    der_put(b, DER_CONTEXT(0), akid);
    der_close(b, value);
    close_extension(b, close);
}

static void
put_number(pki_buf_t *b, uint8_t arc, bool critical, bytes_t number)
{
    size_t close[2];

    open_extension(b, arc, critical, close);
    der_put(b, DER_INTEGER, number);
    close_extension(b, close);
}

static void
put_idp(pki_buf_t *b, bytes_t idp)
{
    size_t close[2];

    open_extension(b, 28, true, close);
    pki_buf_put(b, idp);
    close_extension(b, close);
}

/* DistributionPointName with one URI: what certificates (CDP), IDP and freshestCRL have in common. */
static void
put_point_name(pki_buf_t *b, const char *url)
{
    size_t name = der_open(b, DER_CONTEXT_CONSTRUCTED(0)), full = der_open(b, DER_CONTEXT_CONSTRUCTED(0));

    der_put(b, DER_CONTEXT(6), bytes_str(url));
    der_close(b, full);
    der_close(b, name);
}

void
crl_idp_put(pki_buf_t *b, const char *url)
{
    size_t idp = der_open(b, DER_SEQUENCE);

    put_point_name(b, url);
    der_close(b, idp);
}

/* CRLDistributionPoints with one point. */
static void
put_freshest(pki_buf_t *b, const char *url)
{
    size_t close[2], list, point;

    open_extension(b, 46, false, close);
    list = der_open(b, DER_SEQUENCE);
    point = der_open(b, DER_SEQUENCE);
    put_point_name(b, url);
    der_close(b, point);
    der_close(b, list);
    close_extension(b, close);
}

/* An extension with another OID than id-ce's. */
static void
open_other(pki_buf_t *b, bytes_t oid, size_t close[2])
{
    close[0] = der_open(b, DER_SEQUENCE);
    der_put(b, DER_OID, oid);
    close[1] = der_open(b, DER_OCTET_STRING);
}

/* Authority information access (RFC 5280 5.2.7): caIssuers only. */
static void
put_ca_issuers(pki_buf_t *b, const char *url)
{
    static const uint8_t oid[] = { 0x2b, 6, 1, 5, 5, 7, 1, 1 }, method[] = { 0x2b, 6, 1, 5, 5, 7, 0x30, 2 };
    size_t               close[2], list, one;

    open_other(b, BYTES_ARR(oid), close);
    list = der_open(b, DER_SEQUENCE);
    one = der_open(b, DER_SEQUENCE);
    der_put(b, DER_OID, BYTES_ARR(method));
    der_put(b, DER_CONTEXT(6), bytes_str(url));
    der_close(b, one);
    der_close(b, list);
    close_extension(b, close);
}

/* Microsoft's szOID_CRL_NEXT_PUBLISH: when the next list is planned, for those that fetch ahead. */
static void
put_next_publish(pki_buf_t *b, int64_t t)
{
    static const uint8_t oid[] = { 0x2b, 6, 1, 4, 1, 0x82, 0x37, 0x15, 4 };
    size_t               close[2];

    open_other(b, BYTES_ARR(oid), close);
    der_put_time(b, t);
    close_extension(b, close);
}

/* expiredCertsOnCRL (X.509 9.5.2.8): certificates that ended at this time or later are in the list's scope. */
static void
put_expired_since(pki_buf_t *b, int64_t t)
{
    size_t close[2];

    open_extension(b, 60, false, close);
    der_put_generalized_time(b, t);
    close_extension(b, close);
}

static void
put_tail(pki_buf_t *b, const crl_template_t *t)
{
    size_t outer, list;

    outer = der_open(b, DER_CONTEXT_CONSTRUCTED(0));
    list = der_open(b, DER_SEQUENCE);
    put_akid(b, t->akid);
    put_number(b, 20, false, t->number);
    if (t->base_number.p != NULL) {
        put_number(b, 27, true, t->base_number);
    }
    if (t->idp.p != NULL) {
        put_idp(b, t->idp);
    }
    if (t->freshest_url != NULL) {
        put_freshest(b, t->freshest_url);
    }
    if (t->ca_issuers_url != NULL) {
        put_ca_issuers(b, t->ca_issuers_url);
    }
    if (t->next_publish != 0) {
        put_next_publish(b, t->next_publish);
    }
    if (t->expired_since != 0) {
        put_expired_since(b, t->expired_since);
    }
    der_close(b, list);
    der_close(b, outer);
}

static void
put_header(pki_buf_t *b, uint8_t tag, size_t len)
{
    uint8_t header[DER_HEADER_MAX];

    pki_buf_put(b, bytes_of(header, der_header(tag, len, header)));
}

/* What is between the header of the TBSCertList and the first entry. */
static void
put_fields(pki_buf_t *b, const crl_t *crl, const crl_template_t *t)
{
    der_put_uint(b, DER_INTEGER, 1); /* v2 */
    pki_buf_put(b, t->sigalg->identifier);
    pki_buf_put(b, t->issuer);
    der_put_time(b, t->this_update);
    der_put_time(b, t->next_update);
    if (crl->count != 0) {
        put_header(b, DER_SEQUENCE, crl->entries_len); /* left out rather than empty: RFC 5280 5.1.2.6 */
    }
}

pki_code_t
crl_seal(crl_t *crl, const crl_template_t *t, pki_err_t *err)
{
    pki_buf_t fields, head, tail;
    size_t    len;

    PKI_TRY(check_template(crl, t, err));
    pki_arena_reset(crl->arena);
    crl->head = BYTES_NONE;
    crl->sigalg = t->sigalg;

    pki_buf_init(&tail, crl->arena, CRL_FRAME_MAX);
    put_tail(&tail, t);
    PKI_TRY(pki_buf_check(&tail, "CRL extensions", err));
    pki_buf_init(&fields, crl->arena, CRL_FRAME_MAX);
    put_fields(&fields, crl, t);
    PKI_TRY(pki_buf_check(&fields, "CRL header", err));

    len = fields.len + crl->entries_len + tail.len;
    if (len > UINT32_MAX - CRL_FRAME_MAX) {
        return pki_fail(err, PKI_E_TOO_LARGE, NULL, "a CRL of %zu entries has no DER length", crl->count);
    }
    pki_buf_init(&head, crl->arena, CRL_FRAME_MAX + DER_HEADER_MAX);
    put_header(&head, DER_SEQUENCE, len);
    pki_buf_put(&head, pki_buf_bytes(&fields));
    PKI_TRY(pki_buf_check(&head, "CRL header", err));
    crl->head = pki_buf_bytes(&head);
    crl->tail = pki_buf_bytes(&tail);
    return PKI_OK;
}
