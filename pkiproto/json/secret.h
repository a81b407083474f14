/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * JSON objects that have secrets in them, by their field table: taken apart into what can be shown, with "***" in place
 * of the secrets, and the secrets, which are kept elsewhere; and put together again with what somebody changed.
 * Secrets are members with F_SECRET, also in objects inside; not in lists of objects, whose elements have no names.
 */
#ifndef PKI_JSON_SECRET_H
#define PKI_JSON_SECRET_H

#include "pkiproto/json/field.h"

#define SECRET_MASK "***"

/* New references; *secret is an object without members when there are none. */
pki_code_t secrets_split(const field_t *table, const json_t *whole, json_t **shown, json_t **secret, pki_err_t *err);

/*
 * What `whole` is after a change: the members of `given` over those that are kept, objects inside likewise; null takes
 * a member away, and a secret that says "***" stays as it was.  shown and secret may be NULL: nothing is kept.
 */
pki_code_t secrets_merge(const field_t *table, const json_t *shown, const json_t *secret, const json_t *given,
                         json_t **whole, pki_err_t *err);

#endif
