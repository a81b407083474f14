/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The contract of issuer connectors.  A connector is one file ending in one const issuer_ops_t and
 * one line in list.inc.  Connectors hold no threads and no timers and never touch the store: what
 * they need of an issuer is handed to them.
 */
#ifndef ORCHESTRATOR_ISSUER_ISSUER_H
#define ORCHESTRATOR_ISSUER_ISSUER_H

#include "orchestrator/signer/signer.h"
#include "pkiproto/x509/cert.h"
#include "pkiproto/x509/csr.h"

/* A CA certificate with its key, as the issuer's current generation has it. */
typedef struct {
    uint32_t    issuer_no, generation;
    const char *issuer_id;
    cert_t      cert;      /* of the issuing CA */
    cert_list_t chain;     /* issuing CA first, root last */
    const char *key_ref;
    uint32_t    crl_shards; /* 0: one list */
} issuer_ca_t;

/* What a certificate is to be, decided by the profile; nothing of it is copied blindly from a request. */
typedef struct {
    bytes_t  subject; /* whole Name */
    bytes_t  san;     /* whole GeneralNames; absent when none */
    bytes_t  spki;
    pki_key_kind_t key_kind;
    int64_t  not_before, not_after; /* already clamped to the CA's */
    uint16_t key_usage;
    unsigned eku;
    bool     ocsp_nocheck;
    bool     no_rev_avail; /* RFC 9608: then none of the first two below */
    bool     must_staple;  /* RFC 7633 */
    const char *crl_base;  /* base URL of the CRL, whose name can depend on the serial; NULL: none */
    const char *ocsp_url, *ca_issuers_url; /* NULL: none */
} issuer_order_t;

typedef struct {
    bytes_t der, serial;
    int64_t not_before, not_after;
} issuer_result_t;

/* One of several orders that are served together, with its own outcome. */
typedef struct {
    pki_arena_t          *a; /* where the result lives */
    const issuer_ca_t    *ca;
    const issuer_order_t *order;
    issuer_result_t       result;
    pki_code_t            code;
    pki_err_t             err;
} issuer_job_t;

#define ISSUER_JOBS_MAX 64

typedef struct {
    const char    *type, *title;
    size_t         conf_size;
    const field_t *conf_fields; /* body of POST /api/v1/issuers beside id, name, type */
    void         (*issue)(signer_t *signer, issuer_job_t *jobs, size_t count); /* at most ISSUER_JOBS_MAX */
    /* Whether it could issue now; an error says what is wrong. */
    pki_code_t   (*check)(signer_t *signer, pki_arena_t *a, const issuer_ca_t *ca, pki_err_t *err);
} issuer_ops_t;

/* One order alone. */
pki_code_t issuer_issue(const issuer_ops_t *ops, signer_t *signer, pki_arena_t *a, const issuer_ca_t *ca,
                        const issuer_order_t *order, issuer_result_t *out, pki_err_t *err);

const issuer_ops_t *issuer_find(const char *type); /* NULL for an unknown one */
const issuer_ops_t *issuer_at(size_t i);           /* walks the table; NULL at its end */

/* The local CA (local.c): how `create` and `load` make a generation. */
typedef struct {
    const char *subject;       /* "CN=Example Issuing CA,O=Example" */
    const char *key;           /* "p-256", "rsa-3072", ... */
    int64_t     validity_s;    /* of the issuing CA; clamped to the root's */
    const char *root_subject;  /* absent: subject with " Root" after its CN */
    const char *root_key;
    int64_t     root_validity_s;
    const char *key_ref;       /* load: an existing key of the signer; otherwise absent */
    const char *root_key_ref;
    const char *certificates;  /* load: PEM, issuing CA first, root last; absent: create both */
} issuer_local_conf_t;

typedef struct {
    cert_list_t chain;
    const char *key_ref;
    const char *root_key_ref; /* NULL when loaded */
} issuer_local_ca_t;

/* Make keys and certificates (create), or check what is given (load): CA:TRUE, keyCertSign and cRLSign, the key
 * matches, the chain verifies up to a self-signed root, still valid. */
pki_code_t issuer_local_create(signer_t *signer, pki_arena_t *a, const char *issuer_id, uint32_t issuer_no,
                               const issuer_local_conf_t *conf, issuer_local_ca_t *out, pki_err_t *err);

/* A re-key: the next generation, of the same name.  Made, the CA above it is that of the present one. */
typedef struct {
    const char *key;          /* as in issuer_local_conf_t; NULL: the kind of the present one */
    int64_t     validity_s;
    const char *key_ref;      /* load */
    const char *certificates; /* load; absent: make */
} issuer_local_rekey_t;
extern const field_t issuer_local_rekey_fields[];

/* above_key_ref: of the certificate above the present one, NULL when the key is not ours.  CONFLICT: the key is not new. */
pki_code_t issuer_local_rekey(signer_t *signer, pki_arena_t *a, const issuer_ca_t *present, const char *above_key_ref,
                              uint32_t generation, const issuer_local_rekey_t *conf, issuer_local_ca_t *out,
                              pki_err_t *err);

#endif
