/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * PreferredSignatureAlgorithms (RFC 6960 4.4.7.1): which of a client's wishes a responder's key can fulfil.
 * What cannot be read in one of them makes it a wish for something that we do not have.
 */
#include "pkiproto/ocsp/response.h"

#include "pkiproto/der/read.h"

bytes_t
ocsp_preferred_list(const ocsp_request_t *r)
{
    bytes_t whole = r->preferred_algorithms, list;

    if (whole.p == NULL || der_take(&whole, DER_SEQUENCE, "preferred algorithms", &list, NULL) != PKI_OK) {
        return BYTES_NONE;
    }
    return list;
}

bool
ocsp_preferred_next(bytes_t *list, ocsp_preferred_t *out)
{
    bytes_t item;

    *out = (ocsp_preferred_t){ BYTES_NONE, BYTES_NONE };
    if (list->len == 0 || der_take(list, DER_SEQUENCE, "preferred algorithm", &item, NULL) != PKI_OK) {
        return false;
    }
    if (der_take(&item, DER_SEQUENCE, "sigIdentifier", &out->signature, NULL) != PKI_OK
        || (item.len != 0 && der_take(&item, DER_SEQUENCE, "pubKeyAlgIdentifier", &out->key, NULL) != PKI_OK)
        || item.len != 0)
    {
        out->signature = BYTES_NONE;
    }
    return true;
}

/* Both are contents of AlgorithmIdentifiers; without parameters the OID says enough. */
static bool
is_asked(bytes_t asked, bytes_t ours)
{
    der_item_t oid;
    bytes_t    rest = ours;

    if (bytes_eq(asked, ours)) {
        return true;
    }
    return der_peek(rest, DER_OID) && der_next(&rest, &oid, NULL) == PKI_OK && bytes_eq(asked, oid.whole);
}

const pki_sigalg_t *
ocsp_preferred_match(const ocsp_preferred_t *preferred, const ocsp_responder_t *r)
{
    const pki_sigalg_t *algorithms;
    bytes_t             whole, ours;
    size_t              count;

    if (preferred->key.p != NULL && !is_asked(preferred->key, r->key_algorithm)) {
        return NULL;
    }
    algorithms = pki_key_sigalgs(r->kind, &count);
    for (size_t i = 0; i < count; i++) {
        whole = algorithms[i].identifier;
        if (der_take(&whole, DER_SEQUENCE, "AlgorithmIdentifier", &ours, NULL) == PKI_OK
            && is_asked(preferred->signature, ours))
        {
            return &algorithms[i];
        }
    }
    return NULL;
}
