/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * An EST request on its way: shared by the module's files.
 */
#ifndef NGX_HTTP_PKI_EST_H
#define NGX_HTTP_PKI_EST_H

#include "ngx_module/ngx_http_pki_module.h"
#include "pkiproto/est/transfer.h"
#include "pkiproto/x509/csr.h"

typedef struct {
    pki_arena_t             *arena;    /* the request's */
    ngx_http_pki_snapshot_t *snapshot; /* held for the request */
    ngx_http_pki_label_t    *label;
    ngx_http_pki_watch_t    *watch; /* counts when the request ends */
    est_op_t                 op;

    /* Who asks; filled by ngx_http_pki_est_authenticate(). */
    const char *identity_kind, *identity;
    const char *password;    /* only when the orchestrator has to check it */
    bytes_t     certificate; /* DER; absent for basic */
    cert_t      own;         /* it, parsed, when an issuer of this edge made it */
    ngx_uint_t  is_own;      /* the label's own issuer made it */

    csr_t csr;
} ngx_http_pki_est_t;

/*
 * Inside the store's transaction.  UNAUTHENTICATED: HTTP credentials could help; FORBIDDEN: they could not.
 */
pki_code_t ngx_http_pki_est_authenticate(ngx_http_request_t *r, ngx_http_pki_est_t *est, pki_err_t *err);

/* What simplereenroll asks of the request beside the certificate it came with (RFC 7030 4.2.2). */
pki_code_t ngx_http_pki_est_same_names(const ngx_http_pki_est_t *est, pki_err_t *err);

/* A challengePassword binds the request to this TLS connection (RFC 7030 3.5). */
pki_code_t ngx_http_pki_est_linked(ngx_http_request_t *r, const csr_t *csr, pki_err_t *err);

#endif
