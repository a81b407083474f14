/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rows of an issuer to an issuer_ca_t (see edge.h).
 */
#include "orchestrator/edge/edge.h"

pki_code_t
edge_ca_of(pki_arena_t *a, const issuer_chain_t *in, issuer_ca_t *out, pki_err_t *err)
{
    if (in->chain_len == 0) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "issuer %s has no certificate", in->issuer.id);
    }
    *out = (issuer_ca_t){
        .issuer_no = (uint32_t) in->issuer.no,
        .generation = (uint32_t) in->chain[0].generation,
        .issuer_id = in->issuer.id,
        .key_ref = in->chain[0].key_ref,
        .crl_shards = (uint32_t) in->chain[0].crl_shards,
        .chain.count = in->chain_len,
    };
    PKI_TRY(PKI_NEW_N(a, in->chain_len, &out->chain.v, err));
    for (size_t i = 0; i < in->chain_len; i++) {
        out->chain.v[i] = in->chain[i].der;
    }
    if (cert_parse(a, in->chain[0].der, &out->cert, err) != PKI_OK) {
        return pki_err_context(err, "issuer %s", in->issuer.id);
    }
    return PKI_OK;
}
