/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Token buckets: one for each source and one for all of them together, in memory of a fixed size that
 * several processes may share.  A bucket holds what comes in within a second, one token at least; a source
 * that is new begins with a full one.  Where there is no room the source that has been quiet longest is forgotten,
 * so that the total is what bounds somebody with many addresses.
 */
#ifndef PKI_BASE_LIMIT_H
#define PKI_BASE_LIMIT_H

#include "pkiproto/base/bytes.h"

/* Millionths of a token per millisecond; 0: no such limit. */
typedef struct {
    uint64_t source, total;
} limit_rates_t;

/* "100r/s", "30r/m": from 1 to 1000000.  False: it is neither. */
bool limit_rate_parse(bytes_t text, uint64_t *rate);

/*
 * An address as a source: the 4 octets of IPv4 whole, of the 16 of IPv6 the first 64 bits, which is what one customer
 * has; IPv4 in IPv6 (::ffff:0:0/96) is IPv4.  Other lengths are one source, 0.
 */
uint64_t limit_source(bytes_t address);

typedef struct limit_table limit_table_t;

/* A table in size octets at mem, aligned as malloc does; NULL when that is too little.  The seed is a secret. */
limit_table_t *limit_table_make(void *mem, size_t size, uint64_t seed);

/*
 * Take one token from the source's bucket and from the total: both, or neither.  0: taken; else milliseconds
 * after which there may be one.  The clock only goes forward, and the caller keeps others out.
 */
uint64_t limit_take(limit_table_t *t, const limit_rates_t *rates, uint64_t source, uint64_t now_ms);

#endif
