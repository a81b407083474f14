/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Records of the edge store: the first octet chooses the kind; what is decoded and can be encoded, is
 * the same octets again.
 */
#include <stdlib.h>

#include "pkiproto/edge/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RECORD_AGAIN(type)                                                                        \
    static void type##_again(bytes_t in, pki_buf_t *out)                                          \
    {                                                                                             \
        type##_t v;                                                                               \
        if (type##_decode(in, &v, NULL) == PKI_OK && type##_encode(&v, out, NULL) == PKI_OK       \
            && !bytes_eq(in, pki_buf_bytes(out)))                                                 \
        {                                                                                         \
            abort();                                                                              \
        }                                                                                         \
    }

RECORD_AGAIN(edge_state)
RECORD_AGAIN(edge_issuer)
RECORD_AGAIN(edge_responder)
RECORD_AGAIN(edge_crl)
RECORD_AGAIN(edge_est_label)
RECORD_AGAIN(edge_account)

static void
edge_status_again(bytes_t in, pki_buf_t *out)
{
    edge_status_t v;
    uint8_t       again[EDGE_STATUS_MAX];

    (void) out;
    if (edge_status_decode(in, &v, NULL) == PKI_OK) {
        if (!bytes_eq(in, bytes_of(again, edge_status_encode(&v, again)))) {
            abort();
        }
    }
}

static void (*const kinds[])(bytes_t in, pki_buf_t *out) = {
    edge_state_again, edge_status_again,    edge_issuer_again,  edge_responder_again,
    edge_crl_again,   edge_est_label_again, edge_account_again,
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pki_arena_t *a = pki_arena_new(0);
    pki_buf_t    out;

    pki_buf_init(&out, a, 1 << 22);
    if (size != 0) {
        kinds[data[0] % (sizeof(kinds) / sizeof(kinds[0]))](bytes_of(data + 1, size - 1), &out);
    }
    pki_arena_free(a);
    return 0;
}
