/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The CRL writer.  Entries are encoded when they come, into blocks; the header and the extensions
 * around them are made when the list is sealed, since only then the lengths are known.
 */
#include "pkiproto/crl/crl.h"

#include <stdlib.h>

#include "pkiproto/base/ossl.h"
#include "pkiproto/der/write.h"

#define CRL_BLOCK_FIRST (4u << 10)
#define CRL_BLOCK_LAST  (1u << 20)
#define CRL_ENTRY_MAX   96 /* serial 22, time 17, reason 12, invalidity date 26, two headers 4 */
#define CRL_FRAME_MAX   CERT_MAX

#define CRL_NUMBER_MAX  20 /* RFC 5280 5.2.3 */
#define REMOVE_FROM_CRL 8

typedef struct crl_block {
    struct crl_block *next;
    size_t            cap;
    size_t            len;
    uint8_t           data[];
} crl_block_t;

struct crl {
    crl_block_t        *first, *last;
    size_t              count, entries_len;
    int64_t             latest;  /* revocation date of all entries */
    bool                removes; /* an entry is removeFromCRL */
    pki_arena_t        *arena;   /* of head and tail */
    bytes_t             head, tail; /* of the TBSCertList, around the entries; head absent: not sealed */
    const pki_sigalg_t *sigalg;
};

crl_t *
crl_new(void)
{
    crl_t *crl = calloc(1, sizeof(*crl));

    if (crl == NULL) {
        return NULL;
    }
    crl->arena = pki_arena_new(0);
    if (crl->arena == NULL) {
        free(crl);
        return NULL;
    }
    crl->latest = INT64_MIN;
    return crl;
}

void
crl_free(crl_t *crl)
{
    crl_block_t *b, *next;

    if (crl == NULL) {
        return;
    }
    for (b = crl->first; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    pki_arena_free(crl->arena);
    free(crl);
}

size_t
crl_count(const crl_t *crl)
{
    return crl->count;
}

/* A block with room for one more entry, or NULL.  Blocks double up to a bound. */
static crl_block_t *
crl_room(crl_t *crl)
{
    crl_block_t *b = crl->last;
    size_t       cap;

    if (b != NULL && b->cap - b->len >= CRL_ENTRY_MAX) {
        return b;
    }
    cap = b == NULL ? CRL_BLOCK_FIRST : b->cap < CRL_BLOCK_LAST ? b->cap * 2 : CRL_BLOCK_LAST;
    b = malloc(sizeof(*b) + cap);
    if (b == NULL) {
        return NULL;
    }
    *b = (crl_block_t){ .cap = cap };
    *(crl->last != NULL ? &crl->last->next : &crl->first) = b;
    crl->last = b;
    return b;
}

/* INTEGER contents that are canonical and have no more than max octets (X.690 8.3.2). */
static bool
is_integer(bytes_t v, size_t max)
{
    return v.len >= 1 && v.len <= max
           && !(v.len > 1 && ((v.p[0] == 0 && v.p[1] < 0x80) || (v.p[0] == 0xff && v.p[1] >= 0x80)));
}

static pki_code_t
check_entry(const crl_entry_t *e, pki_err_t *err)
{
    if (!is_integer(e->serial, CERT_SERIAL_MAX)) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.1.2.2",
                        "an entry's serial has %zu octets or is not in its shortest form", e->serial.len);
    }
    if (e->reason != -1 && crl_reason_name(e->reason) == NULL) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 5.3.1", "%d is not a CRLReason", e->reason);
    }
    if (e->invalidity_at != 0 && e->invalidity_at > e->revoked_at) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 5.3.2", "the invalidity date of an entry is after its "
                        "revocation date");
    }
    return PKI_OK;
}

/* Both extensions of an entry, not critical; DER writes TRUE only.  All lengths are below 128. */
static void
put_entry_extensions(pki_buf_t *b, const crl_entry_t *e)
{
    static const uint8_t reason[] = { 0x30, 10, 0x06, 3, 0x55, 0x1d, 0x15, 0x04, 3, 0x0a, 1 };
    static const uint8_t invalidity[] = { 0x30, 24, 0x06, 3, 0x55, 0x1d, 0x18, 0x04, 17 };
    size_t               list;

    if (e->reason <= 0 && e->invalidity_at == 0) {
        return;
    }
    list = der_open(b, DER_SEQUENCE);
    if (e->reason > 0) {
        pki_buf_put(b, BYTES_ARR(reason));
        pki_buf_put_u8(b, (uint8_t) e->reason);
    }
    if (e->invalidity_at != 0) {
        pki_buf_put(b, BYTES_ARR(invalidity));
        der_put_generalized_time(b, e->invalidity_at);
    }
    der_close(b, list);
}

pki_code_t
crl_add(crl_t *crl, const crl_entry_t *e, pki_err_t *err)
{
    crl_block_t *block;
    pki_buf_t    b;
    size_t       entry;

    if (crl->head.p != NULL) {
        return pki_fail(err, PKI_E_INTERNAL, NULL, "an entry was added to a sealed CRL");
    }
    PKI_TRY(check_entry(e, err));
    block = crl_room(crl);
    if (block == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "no room for %zu CRL entries", crl->count + 1);
    }
    pki_buf_fixed(&b, block->data + block->len, CRL_ENTRY_MAX);
    entry = der_open(&b, DER_SEQUENCE);
    der_put(&b, DER_INTEGER, e->serial);
    der_put_time(&b, e->revoked_at);
    put_entry_extensions(&b, e);
    der_close(&b, entry);
    if (b.failed) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.1.2.5",
                        "a date of an entry is outside the years 0 to 9999");
    }
    block->len += b.len;
    crl->entries_len += b.len;
    crl->count++;
    crl->latest = e->revoked_at > crl->latest ? e->revoked_at : crl->latest;
    crl->removes = crl->removes || e->reason == REMOVE_FROM_CRL;
    return PKI_OK;
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
    if (!is_integer(t->number, CRL_NUMBER_MAX) || t->number.p[0] >= 0x80) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 5.2.3",
                        "the CRL number is negative, too long or not canonical");
    }
    if (delta && (!is_integer(t->base_number, CRL_NUMBER_MAX) || t->base_number.p[0] >= 0x80)) {
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

/* CRLDistributionPoints with one point: fullName with one URI. */
static void
put_freshest(pki_buf_t *b, const char *url)
{
    static const uint8_t tags[] = { DER_SEQUENCE, DER_SEQUENCE, DER_CONTEXT_CONSTRUCTED(0),
                                    DER_CONTEXT_CONSTRUCTED(0) };
    size_t               close[2], at[sizeof(tags)];

    open_extension(b, 46, false, close);
    for (size_t i = 0; i < sizeof(tags); i++) {
        at[i] = der_open(b, tags[i]);
    }
    der_put(b, DER_CONTEXT(6), bytes_str(url));
    for (size_t i = sizeof(tags); i-- > 0;) {
        der_close(b, at[i]);
    }
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

size_t
crl_tbs_size(const crl_t *crl)
{
    return crl->head.len + crl->entries_len + crl->tail.len;
}

pki_code_t
crl_tbs_write(const crl_t *crl, crl_sink_pt sink, void *arg, pki_err_t *err)
{
    if (crl->head.p == NULL) {
        return pki_fail(err, PKI_E_INTERNAL, NULL, "a CRL is written before it is sealed");
    }
    PKI_TRY(sink(arg, crl->head, err));
    for (const crl_block_t *b = crl->first; b != NULL; b = b->next) {
        PKI_TRY(sink(arg, bytes_of(b->data, b->len), err));
    }
    return sink(arg, crl->tail, err);
}

pki_code_t
crl_write(const crl_t *crl, bytes_t signature, crl_sink_pt sink, void *arg, pki_err_t *err)
{
    uint8_t   mem[2 * DER_HEADER_MAX + 512 + 64]; /* an RSA-4096 signature and its AlgorithmIdentifier */
    uint8_t   header[DER_HEADER_MAX];
    pki_buf_t end;

    if (crl->head.p == NULL) {
        return pki_fail(err, PKI_E_INTERNAL, NULL, "a CRL is written before it is sealed");
    }
    pki_buf_fixed(&end, mem, sizeof(mem));
    pki_buf_put(&end, crl->sigalg->identifier);
    der_put_bits(&end, signature);
    PKI_TRY(pki_buf_check(&end, "CRL signature", err));

    PKI_TRY(sink(arg, bytes_of(header, der_header(DER_SEQUENCE, crl_tbs_size(crl) + end.len, header)), err));
    PKI_TRY(crl_tbs_write(crl, sink, arg, err));
    return sink(arg, pki_buf_bytes(&end), err);
}

static pki_code_t
digest_sink(void *arg, bytes_t data, pki_err_t *err)
{
    return EVP_DigestUpdate(arg, data.p, data.len) == 1
               ? PKI_OK
               : pki_fail(err, PKI_E_CRYPTO, NULL, "cannot hash %zu octets of a CRL", data.len);
}

pki_code_t
crl_digest(const crl_t *crl, uint8_t *out, size_t cap, size_t *len, pki_err_t *err)
{
    PKI_AUTO(EVP_MD_CTX) ctx = NULL;
    unsigned n;

    if (crl->head.p == NULL) {
        return pki_fail(err, PKI_E_INTERNAL, NULL, "a CRL is hashed before it is sealed");
    }
    if (crl->sigalg->digest == NULL) {
        return pki_fail(err, PKI_E_UNSUPPORTED, "RFC 8410 6",
                        "this key signs the CRL itself, not a digest of it");
    }
    if (crl->sigalg->digest_len > cap) {
        return pki_fail(err, PKI_E_TOO_LARGE, NULL, "no room for a digest of %zu octets",
                        crl->sigalg->digest_len);
    }
    ctx = EVP_MD_CTX_new();
    if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_get_digestbyname(crl->sigalg->digest), NULL) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "cannot hash with %s", crl->sigalg->digest);
    }
    PKI_TRY(crl_tbs_write(crl, digest_sink, ctx, err));
    if (EVP_DigestFinal_ex(ctx, out, &n) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "cannot end a hash with %s", crl->sigalg->digest);
    }
    *len = n;
    return PKI_OK;
}
