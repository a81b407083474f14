/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A struct of a field table as octets, for messages between our own processes that are too many for JSON:
 *
 *     record := count(1) { length(4) octets }*      one for each row of the table, in its order
 *
 * Numbers are big endian, an absent member has the length 2^32 - 1, an INT has 8 octets, a STR ends in a NUL that is
 * counted.  Both ends have the same table: the count tells one of another version.  Tables of STR, INT, BASE64 and
 * HEX only, without defaults.
 */
#ifndef PKI_JSON_PACK_H
#define PKI_JSON_PACK_H

#include "pkiproto/json/field.h"

/* F_SECRET members only where they are F_CARRIED. */
void fields_pack(const field_t *table, const void *in, pki_buf_t *out);

/*
 * Strings and octets are borrowed from *in, also secrets: its owner cleanses it.  INVALID for what fields_decode()
 * would refuse: choices, lengths, bounds, what is required, text with a NUL or that is not UTF-8.
 */
pki_code_t fields_unpack(const field_t *table, bytes_t in, void *out, pki_err_t *err);

#endif
