/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The CRL writer: entries, and the finished list as a stream.  Entries are encoded when they come, into blocks, or are
 * taken over encoded; what is around them (frame.c) is made when the list is sealed, since only then the lengths
 * are known.
 */
#include <stdlib.h>

#include "pkiproto/crl/part.h"

#define CRL_BLOCK_FIRST (4u << 10)
#define CRL_BLOCK_LAST  (1u << 20)

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
    for (b = crl->blocks; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    free(crl->pieces);
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
    crl_block_t *b = crl->blocks;
    size_t       cap;

    if (b != NULL && b->cap - b->len >= CRL_ENTRY_MAX) {
        return b;
    }
    cap = b == NULL ? CRL_BLOCK_FIRST : b->cap < CRL_BLOCK_LAST ? b->cap * 2 : CRL_BLOCK_LAST;
    b = malloc(sizeof(*b) + cap);
    if (b == NULL) {
        return NULL;
    }
    *b = (crl_block_t){ .next = crl->blocks, .cap = cap };
    crl->blocks = b;
    return b;
}

/* Encoded entries at the end of the list; those that lie behind one another are one piece. */
static pki_code_t
crl_append(crl_t *crl, bytes_t octets, size_t count, pki_err_t *err)
{
    bytes_t *last = crl->piece_count != 0 ? &crl->pieces[crl->piece_count - 1] : NULL;
    size_t   cap = crl->piece_cap == 0 ? 64 : 2 * crl->piece_cap;

    if (last != NULL && last->p + last->len == octets.p) {
        last->len += octets.len;
    } else {
        if (crl->piece_count == crl->piece_cap) {
            bytes_t *grown = realloc(crl->pieces, cap * sizeof(*grown));

            if (grown == NULL) {
                return pki_fail(err, PKI_E_NOMEM, NULL, "no room for %zu CRL entries", crl->count + count);
            }
            crl->pieces = grown;
            crl->piece_cap = cap;
        }
        crl->pieces[crl->piece_count++] = octets;
    }
    crl->entries_len += octets.len;
    crl->count += count;
    return PKI_OK;
}

static pki_code_t
check_entry(const crl_entry_t *e, pki_err_t *err)
{
    if (!crl_is_integer(e->serial, CERT_SERIAL_MAX)) {
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
crl_entry_encode(const crl_entry_t *e, uint8_t out[CRL_ENTRY_MAX], size_t *len, pki_err_t *err)
{
    pki_buf_t b;
    size_t    entry;

    PKI_TRY(check_entry(e, err));
    pki_buf_fixed(&b, out, CRL_ENTRY_MAX);
    entry = der_open(&b, DER_SEQUENCE);
    der_put(&b, DER_INTEGER, e->serial);
    der_put_time(&b, e->revoked_at);
    put_entry_extensions(&b, e);
    der_close(&b, entry);
    if (b.failed) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.1.2.5",
                        "a date of an entry is outside the years 0 to 9999");
    }
    *len = b.len;
    return PKI_OK;
}

pki_code_t
crl_add(crl_t *crl, const crl_entry_t *e, pki_err_t *err)
{
    crl_block_t *block;
    size_t       len;

    if (crl->head.p != NULL) {
        return pki_fail(err, PKI_E_INTERNAL, NULL, "an entry was added to a sealed CRL");
    }
    block = crl_room(crl);
    if (block == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "no room for %zu CRL entries", crl->count + 1);
    }
    PKI_TRY(crl_entry_encode(e, block->data + block->len, &len, err));
    PKI_TRY(crl_append(crl, bytes_of(block->data + block->len, len), 1, err));
    block->len += len;
    crl->latest = e->revoked_at > crl->latest ? e->revoked_at : crl->latest;
    crl->removes = crl->removes || e->reason == REMOVE_FROM_CRL;
    return PKI_OK;
}

pki_code_t
crl_add_run(crl_t *crl, bytes_t run, size_t count, int64_t latest, pki_err_t *err)
{
    if (crl->head.p != NULL) {
        return pki_fail(err, PKI_E_INTERNAL, NULL, "entries were added to a sealed CRL");
    }
    if (count == 0) {
        return PKI_OK;
    }
    PKI_TRY(crl_append(crl, run, count, err));
    crl->latest = latest > crl->latest ? latest : crl->latest;
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
    for (size_t i = 0; i < crl->piece_count; i++) {
        bytes_t rest = crl->pieces[i], part;

        while (rest.len != 0) {
            (void) bytes_take(&rest, rest.len < CRL_SINK_MAX ? rest.len : CRL_SINK_MAX, &part);
            PKI_TRY(sink(arg, part, err));
        }
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

typedef struct {
    EVP_MD_CTX   *ctx;
    crl_passed_pt passed;
    void         *arg;
} digest_t;

static pki_code_t
digest_sink(void *arg, bytes_t data, pki_err_t *err)
{
    digest_t *d = arg;

    if (EVP_DigestUpdate(d->ctx, data.p, data.len) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "cannot hash %zu octets of a CRL", data.len);
    }
    if (d->passed != NULL) {
        d->passed(d->arg, data);
    }
    return PKI_OK;
}

static pki_code_t
digest_check(const crl_t *crl, size_t cap, pki_err_t *err)
{
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
    return PKI_OK;
}

pki_code_t
crl_digest(const crl_t *crl, crl_passed_pt passed, void *arg, uint8_t *out, size_t cap, size_t *len, pki_err_t *err)
{
    PKI_AUTO(EVP_MD_CTX) ctx = NULL;
    digest_t d;
    unsigned n;

    PKI_TRY(digest_check(crl, cap, err));
    ctx = EVP_MD_CTX_new();
    if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_get_digestbyname(crl->sigalg->digest), NULL) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "cannot hash with %s", crl->sigalg->digest);
    }
    d = (digest_t){ ctx, passed, arg };
    PKI_TRY(crl_tbs_write(crl, digest_sink, &d, err));
    if (EVP_DigestFinal_ex(ctx, out, &n) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "cannot end a hash with %s", crl->sigalg->digest);
    }
    *len = n;
    return PKI_OK;
}
