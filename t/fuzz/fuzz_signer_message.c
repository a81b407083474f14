/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What the signer reads of the orchestrator: a request that parses is built again to the same octets, and its
 * body is looked at as a TBSCertificate.
 */
#include "orchestrator/signer/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t         memory[SIGNER_MESSAGE_MAX];
    const pki_sigalg_t    *alg = pki_key_sigalg(PKI_KEY_P256);
    signer_request_t       r;
    signer_answer_t        a;
    signer_journal_entry_t e;
    pki_buf_t              b;
    bytes_t                in = bytes_of(data, size);

    signer_tbs_check(bytes_of(data, size), BYTES_LIT("\x11\x22"), alg, NULL);
    while (in.len > 0 && signer_answer_take(&in, &a, NULL) == PKI_OK) {
        while (a.body.len > 0 && signer_entry_take(&a.body, &e, NULL) == PKI_OK) {
        }
    }
    if (signer_request_parse(bytes_of(data, size), &r, NULL) != PKI_OK) {
        return 0;
    }
    signer_tbs_check(r.body, r.name, alg, NULL);
    pki_buf_fixed(&b, memory, sizeof(memory));
    signer_request_build(&r, &b);
    if (!bytes_eq(pki_buf_bytes(&b), bytes_of(data, size))) {
        abort();
    }
    return 0;
}
