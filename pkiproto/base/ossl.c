/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * See ossl.h.
 */
#include "pkiproto/base/ossl.h"

#include <stdatomic.h>

const EVP_MD *
ossl_sha256(void)
{
    static EVP_MD *_Atomic kept;
    EVP_MD                *md = atomic_load(&kept), *other = NULL;

    if (md != NULL) {
        return md;
    }
    md = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (md == NULL) {
        return EVP_sha256();
    }
    if (!atomic_compare_exchange_strong(&kept, &other, md)) {
        EVP_MD_free(md); /* another thread was quicker */
        md = other;
    }
    return md;
}
