/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Inside of this folder only: a list that is being made.
 */
#ifndef PKI_CRL_PART_H
#define PKI_CRL_PART_H

#include "pkiproto/base/ossl.h"
#include "pkiproto/crl/crl.h"
#include "pkiproto/der/write.h"

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
    crl_block_t        *blocks;  /* entries that are held here, the newest block first */
    bytes_t            *pieces;  /* all entries in their order: parts of blocks, and runs of the caller's */
    size_t              piece_count, piece_cap;
    size_t              count, entries_len;
    int64_t             latest;  /* revocation date of all entries */
    bool                removes; /* an entry is removeFromCRL */
    pki_arena_t        *arena;   /* of head and tail */
    bytes_t             head, tail; /* of the TBSCertList, around the entries; head absent: not sealed */
    const pki_sigalg_t *sigalg;
};

/* INTEGER contents that are canonical and have no more than max octets (X.690 8.3.2). */
bool crl_is_integer(bytes_t v, size_t max);

#endif
