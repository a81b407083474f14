/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A delegated OCSP key in a worker: loaded once, with everything prepared that a signature needs.
 */
#ifndef NGX_HTTP_PKI_SIGNER_H
#define NGX_HTTP_PKI_SIGNER_H

#include "ngx_module/ngx_http_pki_glue.h"

#define NGX_HTTP_PKI_SIGNATURE_MAX 512 /* RSA-4096 */

/* One algorithm of a key. */
typedef struct {
    const pki_sigalg_t *sigalg;
    EVP_PKEY_CTX       *key_ctx; /* ready to sign digests; NULL for keys that sign the message itself */
    EVP_MD             *md;
} ngx_http_pki_signer_way_t;

typedef struct {
    ngx_uint_t                refs;
    EVP_PKEY                 *key;
    EVP_MD_CTX               *md_ctx;
    ngx_http_pki_signer_way_t ways[PKI_SIGALGS_MAX];
    size_t                    way_count;
    uint8_t                   certificate[32]; /* SHA-256 of it: which responder this is */
} ngx_http_pki_signer_t;

/* From a PEM file, which must hold the certificate's key.  Errors say what is wrong with the file, never
 * more. */
pki_code_t ngx_http_pki_signer_new(const char *file, const cert_t *certificate, ngx_http_pki_signer_t **out,
                                   pki_err_t *err);

ngx_http_pki_signer_t *ngx_http_pki_signer_hold(ngx_http_pki_signer_t *s);
void                   ngx_http_pki_signer_release(void *s);

/* sigalg: one of pki_key_sigalgs() for the key.  sig has room for NGX_HTTP_PKI_SIGNATURE_MAX octets. */
pki_code_t ngx_http_pki_signer_sign(ngx_http_pki_signer_t *s, const pki_sigalg_t *sigalg, bytes_t message,
                                    uint8_t *sig, size_t *len, pki_err_t *err);

#endif
