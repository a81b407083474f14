/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What the signer and `signer-journal verify` read of the disk: a record that is taken is built again to the same
 * octets and the same chain, and what is left behind the last record has its end inside the input.
 */
#include "orchestrator/signer/journal_format.h"

#include <stdlib.h>

#include <openssl/sha.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input with a hash behind it that is right, so that more than the hash is looked at. */
static bytes_t
hashed(bytes_t in, const uint8_t chain[JOURNAL_HASH_LEN], uint8_t *memory)
{
    uint8_t both[2 * JOURNAL_HASH_LEN];

    memcpy(memory, in.p, in.len);
    memcpy(both, chain, JOURNAL_HASH_LEN);
    SHA256(in.p, in.len, both + JOURNAL_HASH_LEN);
    SHA256(both, sizeof(both), memory + in.len);
    return bytes_of(memory, in.len + JOURNAL_HASH_LEN);
}

static void
records_take(bytes_t in)
{
    static uint8_t   memory[JOURNAL_BODY_MAX + JOURNAL_FRAME_LEN];
    uint8_t          chain[JOURNAL_HASH_LEN] = { 0 }, again[JOURNAL_HASH_LEN] = { 0 };
    journal_record_t r;
    pki_buf_t        b;

    for (bytes_t left = in; journal_record_take(&left, chain, &r, NULL) == PKI_OK; in = left) {
        pki_buf_fixed(&b, memory, sizeof(memory));
        if (journal_record_build(&r, again, &b, NULL) != PKI_OK || memcmp(chain, again, sizeof(chain)) != 0
            || !bytes_eq(pki_buf_bytes(&b), bytes_of(in.p, in.len - left.len)))
        {
            abort();
        }
    }
    if (journal_tail(in) > in.len) {
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t   memory[JOURNAL_BODY_MAX + JOURNAL_FRAME_LEN];
    static uint8_t   chain[JOURNAL_HASH_LEN];
    journal_header_t h;

    if (journal_header_parse(bytes_of(data, size), &h, NULL) == PKI_OK) {
        records_take(bytes_of(data + JOURNAL_HEADER_LEN, size - JOURNAL_HEADER_LEN));
    }
    records_take(bytes_of(data, size));
    if (size + JOURNAL_HASH_LEN <= sizeof(memory)) {
        records_take(hashed(bytes_of(data, size), chain, memory));
    }
    return 0;
}
