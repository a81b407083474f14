/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Who asks for a certificate over EST: HTTP Basic credentials of the label (RFC 7030 3.2.3), or a client
 * certificate that the label trusts (3.3.2).  Trust is per label: its own issuing CA and its trust bundle,
 * nothing else.  Certificates come from the TLS connection only, never from a header.
 */
#include "ngx_module/ngx_http_pki_est.h"

#include <openssl/x509v3.h>

#include "pkiproto/base/ossl.h"
#include "pkiproto/base/text.h"

#define NGX_HTTP_PKI_EST_ACCOUNT_KEY_MAX 511 /* LMDB's own limit */

/* ---- HTTP Basic ---- */

/* The account of a user, in the store; NGX_DECLINED when there is none. */
static ngx_int_t
ngx_http_pki_est_account(ngx_http_request_t *r, const ngx_http_pki_est_t *est, bytes_t user,
                         edge_account_t *account)
{
    ngx_log_t *log = r->connection->log;
    uint8_t    key[NGX_HTTP_PKI_EST_ACCOUNT_KEY_MAX];
    pki_buf_t  b;
    bytes_t    value;
    pki_err_t  err;
    ngx_int_t  rc;

    pki_buf_fixed(&b, key, sizeof(key));
    pki_buf_put(&b, BYTES_LIT("est/"));
    pki_buf_put(&b, est->label->record.label);
    pki_buf_put_u8(&b, '/');
    pki_buf_put(&b, user);
    if (b.failed) {
        return NGX_DECLINED;
    }
    rc = ngx_http_pki_store_get(ngx_http_pki_store(r), NGX_HTTP_PKI_DB_ACCOUNT, pki_buf_bytes(&b), &value,
                                log);
    if (rc == NGX_OK && edge_account_decode(value, account, &err) != PKI_OK) {
        ngx_log_error(NGX_LOG_ERR, log, 0, "pki: %s", err.text);
        return NGX_ERROR;
    }
    return rc;
}

static pki_code_t
ngx_http_pki_est_basic(ngx_http_request_t *r, ngx_http_pki_est_t *est, pki_err_t *err)
{
    ngx_str_t     *header = r->headers_in.authorization != NULL ? &r->headers_in.authorization->value : NULL;
    edge_account_t account = { .kind = EDGE_CREDENTIAL_SHA256 };
    uint8_t        digest[32], nobody[32] = { 0 };
    bytes_t        user, password;
    ngx_int_t      found;

    if (header == NULL) {
        return pki_fail(err, PKI_E_UNAUTHENTICATED, "RFC 7030 3.2.3", "a user name and password are needed");
    }
    PKI_TRY(basic_parse(est->arena, ngx_http_pki_bytes(*header), &user, &password, err));

    /* An unknown user costs the same work and gets the same answer as a wrong password. */
    found = ngx_http_pki_est_account(r, est, user, &account);
    if (EVP_Digest(password.p, password.len, digest, NULL, EVP_sha256(), NULL) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "SHA-256 failed");
    }
    if (account.kind == EDGE_CREDENTIAL_SHA256
        && !(bytes_eq_secret(BYTES_ARR(digest), found == NGX_OK ? account.digest : BYTES_ARR(nobody))
             && found == NGX_OK)) {
        return pki_fail(err, PKI_E_UNAUTHENTICATED, "RFC 7030 3.2.3",
                        "the user name or the password is wrong");
    }
    est->identity_kind = "basic";
    est->identity = pki_strndup(est->arena, user.p, user.len);
    est->password = account.kind == EDGE_CREDENTIAL_ORCHESTRATOR ? (const char *) password.p : NULL;
    return est->identity != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

/* ---- client certificates ---- */

static pki_code_t
ngx_http_pki_est_trust_add(X509_STORE *store, bytes_t der, pki_err_t *err)
{
    const uint8_t *p = der.p;
    PKI_AUTO(X509) anchor = d2i_X509(NULL, &p, (long) der.len);

    if (anchor == NULL || X509_STORE_add_cert(store, anchor) != 1) {
        return pki_fail(err, PKI_E_PARSE, NULL, "a trust anchor of the label cannot be used");
    }
    return PKI_OK;
}

/*
 * The label's anchors, made once for each snapshot.  Anchors need not be self-signed: of the chains of the label's own
 * issuer, one for each generation, only the issuing CA is one, so that its siblings under the same root are not trusted.
 */
static pki_code_t
ngx_http_pki_est_trust(ngx_http_pki_est_t *est, X509_STORE **out, pki_err_t *err)
{
    ngx_http_pki_label_t *label = est->label;
    const edge_issuer_t  *own;
    X509_STORE           *store;
    size_t                i;

    if (label->trust == NULL) {
        store = X509_STORE_new();
        if (store == NULL) {
            return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
        }
        PKI_TRY(pki_arena_own(est->snapshot->arena, store, (pki_free_pt) X509_STORE_free, err));
        X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
        for (i = 0; i < est->snapshot->authority_count; i++) {
            own = &est->snapshot->authorities[i].record;
            if (own->no >> 8 == label->record.issuer_no && own->chain_len != 0 && !own->is_revoked) {
                PKI_TRY(ngx_http_pki_est_trust_add(store, own->chain[0], err));
            }
        }
        for (i = 0; i < label->record.trust_len; i++) {
            PKI_TRY(ngx_http_pki_est_trust_add(store, label->record.trust[i], err));
        }
        label->trust = store;
    }
    *out = label->trust;
    return PKI_OK;
}

static pki_code_t
ngx_http_pki_est_der(pki_arena_t *a, X509 *x, bytes_t *out, pki_err_t *err)
{
    int      len = i2d_X509(x, NULL);
    uint8_t *p, *end;

    if (len <= 0) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "a certificate cannot be encoded");
    }
    PKI_TRY(PKI_NEW_N(a, len, &p, err));
    end = p;
    i2d_X509(x, &end);
    *out = bytes_of(p, (size_t) len);
    return PKI_OK;
}

/* Chain, time and use of the certificate; issuer is the one that signed it, in the arena. */
static pki_code_t
ngx_http_pki_est_verify(ngx_http_request_t *r, ngx_http_pki_est_t *est, X509 *x, bytes_t *issuer,
                        pki_err_t *err)
{
    PKI_AUTO(X509_STORE_CTX) ctx = X509_STORE_CTX_new();
    X509_STORE *trust = NULL;
    uint32_t    eku;

    PKI_TRY(ngx_http_pki_est_trust(est, &trust, err));
    if (ctx == NULL
        || X509_STORE_CTX_init(ctx, trust, x, SSL_get_peer_cert_chain(r->connection->ssl->connection)) != 1) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    if (X509_verify_cert(ctx) != 1 || sk_X509_num(X509_STORE_CTX_get0_chain(ctx)) < 2) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 7030 3.3.2", "the client certificate is not accepted: %s",
                        X509_STORE_CTX_get_error(ctx) != X509_V_OK
                            ? X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx))
                            : "it is a trust anchor itself");
    }
    eku = X509_get_extended_key_usage(x);
    if (eku != UINT32_MAX && !(eku & (XKU_SSL_CLIENT | XKU_ANYEKU))) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 5280 4.2.1.12",
                        "the client certificate is not for clientAuth");
    }
    return ngx_http_pki_est_der(est->arena, sk_X509_value(X509_STORE_CTX_get0_chain(ctx), 1), issuer, err);
}

/* A certificate that one of this edge's issuers made must be in good standing (E-03: also on a resumed
 * session). */
static pki_code_t
ngx_http_pki_est_standing(ngx_http_request_t *r, ngx_http_pki_est_t *est, bytes_t issuer, pki_err_t *err)
{
    ngx_http_pki_snapshot_t *snap = est->snapshot;
    edge_status_t            status;
    bytes_t                  value;
    ngx_int_t                rc;
    size_t                   i;

    for (i = 0; i < snap->authority_count; i++) {
        if (snap->authorities[i].record.chain_len != 0 && bytes_eq(snap->authorities[i].record.chain[0], issuer)) {
            break;
        }
    }
    if (i == snap->authority_count) {
        return PKI_OK;
    }
    PKI_TRY(cert_parse(est->arena, est->certificate, &est->own, err));
    est->is_own = snap->authorities[i].record.no >> 8 == est->label->record.issuer_no;
    if (est->own.no_rev_avail) {
        return PKI_OK; /* the store does not have it; the orchestrator knows it */
    }
    rc = ngx_http_pki_store_status(ngx_http_pki_store(r), snap->authorities[i].record.no, est->own.serial, &value,
                                   r->connection->log);
    if (rc == NGX_ERROR) {
        return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "the edge store cannot be read");
    }
    if (rc != NGX_OK) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 7030 3.3.2",
                        "the client certificate is not one on record");
    }
    PKI_TRY(edge_status_decode(value, &status, err));
    if (status.kind != EDGE_GOOD) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 7030 3.3.2", "the client certificate is %s",
                        status.kind == EDGE_HOLD ? "on hold" : "revoked");
    }
    return PKI_OK;
}

/* NOT_FOUND: the client sent none.  FORBIDDEN: it is no good. */
static pki_code_t
ngx_http_pki_est_certificate(ngx_http_request_t *r, ngx_http_pki_est_t *est, pki_err_t *err)
{
    PKI_AUTO(X509) x = SSL_get1_peer_certificate(r->connection->ssl->connection);
    uint8_t digest[32];
    bytes_t issuer;

    if (x == NULL) {
        return pki_fail(err, PKI_E_NOT_FOUND, "RFC 7030 3.3.2", "a client certificate is needed");
    }
    PKI_TRY(ngx_http_pki_est_der(est->arena, x, &est->certificate, err));
    PKI_TRY(ngx_http_pki_est_verify(r, est, x, &issuer, err));
    PKI_TRY(ngx_http_pki_est_standing(r, est, issuer, err));

    if (EVP_Digest(est->certificate.p, est->certificate.len, digest, NULL, EVP_sha256(), NULL) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "SHA-256 failed");
    }
    est->identity_kind = "certificate";
    est->identity = hex_print(est->arena, BYTES_ARR(digest));
    return est->identity != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

/* ---- which of them ---- */

static pki_code_t
ngx_http_pki_est_reenroll_who(ngx_http_request_t *r, ngx_http_pki_est_t *est, pki_err_t *err)
{
    pki_code_t rc = ngx_http_pki_est_certificate(r, est, err);

    if (rc == PKI_E_NOT_FOUND) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 7030 4.2.2",
                        "simplereenroll needs a TLS connection with the certificate that is to be renewed");
    }
    PKI_TRY(rc);
    if (!est->is_own) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 7030 4.2.2",
                        "the client certificate was not issued by this label's CA");
    }
    return PKI_OK;
}

pki_code_t
ngx_http_pki_est_authenticate(ngx_http_request_t *r, ngx_http_pki_est_t *est, pki_err_t *err)
{
    const edge_est_label_t *label = &est->label->record;
    pki_code_t              rc = PKI_E_NOT_FOUND;

    if (est->op == EST_SIMPLEREENROLL) {
        return ngx_http_pki_est_reenroll_who(r, est, err);
    }
    if (label->auth_certificate) {
        rc = ngx_http_pki_est_certificate(r, est, err);
        if (rc == PKI_OK || (rc != PKI_E_NOT_FOUND && rc != PKI_E_FORBIDDEN)) {
            return rc;
        }
        if (est->own.der.p != NULL) {
            /* One of ours, and revoked or unknown: a password does not make that good. */
            return rc;
        }
    }
    if (label->auth_basic) {
        est->certificate = BYTES_NONE;
        return ngx_http_pki_est_basic(r, est, err);
    }
    if (!label->auth_certificate || rc == PKI_E_NOT_FOUND) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 7030 3.3.2", "this label asks for a client certificate");
    }
    return rc;
}

pki_code_t
ngx_http_pki_est_same_names(const ngx_http_pki_est_t *est, pki_err_t *err)
{
    if (!bytes_eq(est->csr.subject, est->own.subject)) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 7030 4.2.2",
                        "the subject is not that of the certificate to be renewed");
    }
    if (!general_names_equal(&est->csr.names, &est->own.names)) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 7030 4.2.2",
                        "the subject alternative names are not those of the certificate to be renewed");
    }
    return PKI_OK;
}

/* ---- channel binding ---- */

/* tls-unique (RFC 5929 3.1): the first Finished message, which is the server's when the session was resumed.
 */
static size_t
ngx_http_pki_est_tls_unique(SSL *ssl, uint8_t *out, size_t cap)
{
    return SSL_session_reused(ssl) ? SSL_get_finished(ssl, out, cap) : SSL_get_peer_finished(ssl, out, cap);
}

static ngx_uint_t
ngx_http_pki_est_binding_is(bytes_t wanted, const uint8_t *binding, size_t len)
{
    char text[BASE64_LEN(EVP_MAX_MD_SIZE) + 1];

    return len != 0 && len <= EVP_MAX_MD_SIZE
           && bytes_eq_secret(wanted, bytes_of(text, base64_encode(bytes_of(binding, len), text)));
}

pki_code_t
ngx_http_pki_est_linked(ngx_http_request_t *r, const csr_t *csr, pki_err_t *err)
{
    static const char label[] = "EXPORTER-Channel-Binding"; /* RFC 9266 2 */
    SSL              *ssl = r->connection->ssl->connection;
    uint8_t           exporter[32], unique[EVP_MAX_MD_SIZE];
    ngx_uint_t        is_12 = SSL_version(ssl) == TLS1_2_VERSION, ok;
    size_t            len;

    if (csr->challenge_password.p == NULL) {
        return PKI_OK;
    }
    if (is_12 && SSL_get_extms_support(ssl) != 1) {
        return pki_fail(
            err, PKI_E_CSR, "RFC 9266 4.2",
            "challengePassword cannot bind to a TLS 1.2 connection without extended master secret");
    }
    ok = SSL_export_keying_material(ssl, exporter, sizeof(exporter), label, sizeof(label) - 1, (uint8_t *) "",
                                    0, 1) == 1
         && ngx_http_pki_est_binding_is(csr->challenge_password, exporter, sizeof(exporter));
    if (!ok && is_12) {
        len = ngx_http_pki_est_tls_unique(ssl, unique, sizeof(unique));
        ok = ngx_http_pki_est_binding_is(csr->challenge_password, unique, len);
    }
    return ok ? PKI_OK
              : pki_fail(err, PKI_E_CSR, "RFC 7030 3.5",
                         "challengePassword does not match this TLS connection");
}
