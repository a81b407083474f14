/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The journal's octets.
 *
 * A journal is a folder of segments "NNNNNNNNNNNNNNNN.journal", named in hexadecimal by the position
 * of their first record.  A position counts the octets of all records before it; segment headers do
 * not count.  All numbers are big endian.
 *
 *     segment  = "CHNCYJN1", id[16], position[8], chain[32], digest[32], record..., zeros
 *                id: random, the same in every segment; chain: hash of the last record before this segment,
 *                SHA-256(id) in the first; digest: SHA-256 of the 64 octets before it
 *                zeros: to the end of the file, which is made of 16 MiB of zeros before its first record
 *     record   = length[4], kind[1], body[length], hash[32]
 *                kind: 1 certificate, 2 CRL, 3 head of the audit;
 *                hash: SHA-256(hash of the record before, SHA-256(length, kind, body))
 *     body     = time[8] (seconds since 1970), issuer number[4], n[2], key reference[n],
 *                n[2], serial or CRL number[n] (INTEGER contents octets; none for a head),
 *                data (the rest): the whole TBSCertificate, the digest of the TBSCertList, or the whole head
 *
 * The records of a segment end where a length is zero, or the file is over; nothing but zeros is there, except
 * behind the last record of the last segment after a crash.
 *
 * Whoever changes, removes or inserts a record breaks the chain at that place.  Who could rewrite
 * everything after it too is found out by comparing the head hash that `signer-journal verify` prints with one
 * noted earlier.
 */
#ifndef ORCHESTRATOR_SIGNER_JOURNAL_FORMAT_H
#define ORCHESTRATOR_SIGNER_JOURNAL_FORMAT_H

#include "orchestrator/signer/journal.h"
#include "pkiproto/base/buf.h"

#define JOURNAL_SUFFIX     ".journal"
#define JOURNAL_HEADER_LEN (8 + JOURNAL_ID_LEN + 8 + 2 * JOURNAL_HASH_LEN)
#define JOURNAL_SEGMENT_LEN (16u << 20)
#define JOURNAL_BODY_MAX   (SIGNER_TBS_MAX + 1024)
#define JOURNAL_FRAME_LEN  (4 + 1 + JOURNAL_HASH_LEN) /* of a record around its body */

typedef struct {
    uint8_t  id[JOURNAL_ID_LEN], chain[JOURNAL_HASH_LEN];
    uint64_t position;
} journal_header_t;

void       journal_header_build(const journal_header_t *h, uint8_t out[JOURNAL_HEADER_LEN]);
pki_code_t journal_header_parse(bytes_t in, journal_header_t *out, pki_err_t *err);
void       journal_chain_start(const uint8_t id[JOURNAL_ID_LEN], uint8_t chain[JOURNAL_HASH_LEN]);

/* Append a record to out and move chain on to its hash. */
pki_code_t journal_record_build(const journal_record_t *r, uint8_t chain[JOURNAL_HASH_LEN], pki_buf_t *out,
                                pki_err_t *err);

/*
 * Take the next record (borrowed from the input) and move chain on.  *in and chain stay as they were on PARSE,
 * which is also the answer to a record that is not all there, and to zeros.
 */
pki_code_t journal_record_take(bytes_t *in, uint8_t chain[JOURNAL_HASH_LEN], journal_record_t *out,
                               pki_err_t *err);

/* How many octets there are up to the last that is not zero. */
size_t journal_tail(bytes_t in);

#endif
