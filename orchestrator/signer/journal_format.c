/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The journal's octets: headers, records and the chain of hashes through them.
 */
#include "orchestrator/signer/journal_format.h"

#include <openssl/sha.h>

static const uint8_t journal_magic[8] = { 'C', 'H', 'N', 'C', 'Y', 'J', 'N', '1' };

void
journal_chain_start(const uint8_t id[JOURNAL_ID_LEN], uint8_t chain[JOURNAL_HASH_LEN])
{
    SHA256(id, JOURNAL_ID_LEN, chain);
}

void
journal_header_build(const journal_header_t *h, uint8_t out[JOURNAL_HEADER_LEN])
{
    pki_buf_t b;

    pki_buf_fixed(&b, out, JOURNAL_HEADER_LEN);
    pki_buf_put(&b, BYTES_ARR(journal_magic));
    pki_buf_put(&b, BYTES_ARR(h->id));
    pki_buf_put_be(&b, h->position, 8);
    pki_buf_put(&b, BYTES_ARR(h->chain));
    SHA256(out, b.len, out + b.len);
}

pki_code_t
journal_header_parse(bytes_t in, journal_header_t *out, pki_err_t *err)
{
    bytes_t magic, id, chain, digest, covered = in;
    uint8_t want[JOURNAL_HASH_LEN];

    if (!bytes_take(&in, sizeof(journal_magic), &magic) || !bytes_take(&in, JOURNAL_ID_LEN, &id)
        || !bytes_take_be(&in, 8, &out->position) || !bytes_take(&in, JOURNAL_HASH_LEN, &chain)
        || !bytes_take(&in, JOURNAL_HASH_LEN, &digest))
    {
        return pki_fail(err, PKI_E_PARSE, NULL, "journal segment ends inside its header");
    }
    SHA256(covered.p, JOURNAL_HEADER_LEN - JOURNAL_HASH_LEN, want);
    if (!bytes_eq(magic, BYTES_ARR(journal_magic)) || !bytes_eq(digest, BYTES_ARR(want))) {
        return pki_fail(err, PKI_E_PARSE, NULL, "journal segment has a damaged header");
    }
    memcpy(out->id, id.p, id.len);
    memcpy(out->chain, chain.p, chain.len);
    return PKI_OK;
}

static pki_code_t
record_hash(const uint8_t chain[JOURNAL_HASH_LEN], bytes_t framed, uint8_t out[JOURNAL_HASH_LEN], pki_err_t *err)
{
    uint8_t both[2 * JOURNAL_HASH_LEN];

    memcpy(both, chain, JOURNAL_HASH_LEN);
    if (SHA256(framed.p, framed.len, both + JOURNAL_HASH_LEN) == NULL || SHA256(both, sizeof(both), out) == NULL) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "no SHA-256");
    }
    return PKI_OK;
}

pki_code_t
journal_record_build(const journal_record_t *r, uint8_t chain[JOURNAL_HASH_LEN], pki_buf_t *out, pki_err_t *err)
{
    size_t  at = out->len, body = 8 + 4 + 2 + r->ref.len + 2 + r->name.len + r->data.len;
    uint8_t hash[JOURNAL_HASH_LEN];

    if (body > JOURNAL_BODY_MAX || r->ref.len > UINT16_MAX || r->name.len > UINT16_MAX) {
        return pki_fail(err, PKI_E_TOO_LARGE, NULL, "journal record of %zu octets", body);
    }
    pki_buf_put_be(out, body, 4);
    pki_buf_put_u8(out, (uint8_t) r->kind);
    pki_buf_put_be(out, (uint64_t) r->at, 8);
    pki_buf_put_be(out, r->issuer_no, 4);
    pki_buf_put_be(out, r->ref.len, 2);
    pki_buf_put(out, r->ref);
    pki_buf_put_be(out, r->name.len, 2);
    pki_buf_put(out, r->name);
    pki_buf_put(out, r->data);
    PKI_TRY(pki_buf_check(out, "journal batch", err));
    PKI_TRY(record_hash(chain, bytes_of(out->p + at, out->len - at), hash, err));
    pki_buf_put(out, BYTES_ARR(hash));
    PKI_TRY(pki_buf_check(out, "journal batch", err));
    memcpy(chain, hash, sizeof(hash));
    return PKI_OK;
}

/* The parts of a body; false when it is not as long as it says. */
static bool
body_parse(uint64_t kind, bytes_t body, journal_record_t *out)
{
    uint64_t at, issuer_no, ref, name;

    if (kind < JOURNAL_CERT || kind > JOURNAL_HEAD || !bytes_take_be(&body, 8, &at)
        || !bytes_take_be(&body, 4, &issuer_no) || !bytes_take_be(&body, 2, &ref)
        || !bytes_take(&body, ref, &out->ref) || !bytes_take_be(&body, 2, &name)
        || !bytes_take(&body, name, &out->name))
    {
        return false;
    }
    out->kind = (journal_kind_t) kind;
    out->at = (int64_t) at;
    out->issuer_no = (uint32_t) issuer_no;
    out->data = body;
    return true;
}

pki_code_t
journal_record_take(bytes_t *in, uint8_t chain[JOURNAL_HASH_LEN], journal_record_t *out, pki_err_t *err)
{
    bytes_t  left = *in, body, hash;
    uint64_t len, kind;
    uint8_t  want[JOURNAL_HASH_LEN];

    if (!bytes_take_be(&left, 4, &len) || len == 0 || len > JOURNAL_BODY_MAX || !bytes_take_be(&left, 1, &kind)
        || !bytes_take(&left, len, &body) || !bytes_take(&left, JOURNAL_HASH_LEN, &hash))
    {
        return pki_fail(err, PKI_E_PARSE, NULL, "record is not whole");
    }
    PKI_TRY(record_hash(chain, bytes_of(in->p, 5 + len), want, err));
    if (!bytes_eq(hash, BYTES_ARR(want))) {
        return pki_fail(err, PKI_E_PARSE, NULL, "record does not continue the chain");
    }
    if (!body_parse(kind, body, out)) {
        return pki_fail(err, PKI_E_PARSE, NULL, "record is not as long as it says");
    }
    memcpy(chain, want, sizeof(want));
    *in = left;
    return PKI_OK;
}

size_t
journal_tail(bytes_t in)
{
    static const uint8_t zeros[4096];

    while (in.len >= sizeof(zeros) && memcmp(in.p + in.len - sizeof(zeros), zeros, sizeof(zeros)) == 0) {
        in.len -= sizeof(zeros);
    }
    while (in.len > 0 && in.p[in.len - 1] == 0) {
        in.len--;
    }
    return in.len;
}
