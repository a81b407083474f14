/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The edge store's records: what the orchestrator's feeder writes to LMDB and nginx workers read.
 * These encodings are the only definition of that border.  All numbers are big endian; decoded
 * slices point into the record (valid as long as the read transaction).
 *
 * A record starts with an octet that names its version; an unknown version is PKI_E_UNSUPPORTED.
 */
#ifndef PKI_EDGE_RECORD_H
#define PKI_EDGE_RECORD_H

#include "pkiproto/ocsp/request.h"
#include "pkiproto/x509/cert.h"

/* Names of the LMDB databases inside the environment, and of its files' folder below the edge folder. */
#define EDGE_DB_META      "meta"
#define EDGE_DB_ISSUER    "issuer"    /* key: authority number, u32 */
#define EDGE_DB_STATUS    "status"    /* key: authority number, u32, then serial octets */
#define EDGE_DB_RESPONDER "responder" /* key: authority number, u32, then its place, u8: 0 is the default one */
#define EDGE_DB_CRL       "crl"       /* key: authority number, u32, then scope as in pkiproto/crl/scope.h */
#define EDGE_DB_PROFILE   "profile"   /* key: "est/" label name; the default label also as "est/" */
#define EDGE_DB_ACCOUNT   "account"   /* key: "est/" label name "/" user name */
#define EDGE_DB_COUNT     7
#define EDGE_STORE_DIR    "store" /* LMDB environment: store/data.mdb, store/lock.mdb */
#define EDGE_CRL_DIR      "crl"   /* published CRL files */
#define EDGE_KEY_DIR      "responder" /* delegated OCSP responder keys, PEM */
#define EDGE_MAP_SIZE     ((size_t) 64 << 30) /* octets of address space; the file grows as needed */
#define EDGE_MAX_READERS  512

/*
 * An authority is one generation of an issuer's CA, a key with its certificate: relying parties know nothing
 * else of an issuer.  Generations count from 1 to 255.
 */
static inline uint32_t
edge_authority(uint32_t issuer_no, uint32_t generation)
{
    return issuer_no << 8 | generation;
}

/* meta, key "state": the one record that readers look at in every transaction. */
#define EDGE_STATE_KEY "state"
typedef struct {
    uint64_t generation; /* grows with every change to issuer, responder, crl, profile or account; 0: these are not
                          * there yet, and nobody may take that for an issuer or a label that does not exist */
    int64_t  synced_at;  /* time of the last successful synchronisation with PostgreSQL */
    uint64_t xid, seq;   /* applied position of the change feed */
    bool     retired;    /* this environment has been replaced: reopen the folder */
    bytes_t  boot_id;    /* 16 octets: the boot in which it was written without syncing */
} edge_state_t;

/* status */
typedef enum { EDGE_GOOD = 0, EDGE_REVOKED = 1, EDGE_HOLD = 2 } edge_status_kind_t;
typedef struct {
    edge_status_kind_t kind;
    int                reason;        /* CRLReason, -1: none */
    uint32_t           revision;      /* grows with every change of this certificate: older never replaces newer */
    int64_t            revoked_at;    /* 0 when good */
    int64_t            invalidity_at; /* 0: none */
    int64_t            not_after;
    bytes_t            cert_hash; /* 32 octets: SHA-256 of the certificate; absent unless the issuer wants it shown */
} edge_status_t;
#define EDGE_STATUS_HASH 32
#define EDGE_STATUS_LEN  21 /* 1 version+kind, 1 reason, 4 revision, 3 * 5 times */
#define EDGE_STATUS_MAX  (EDGE_STATUS_LEN + EDGE_STATUS_HASH)

#define EDGE_STATUS_KEY_MAX (4 + CERT_SERIAL_MAX)
size_t edge_status_key(uint32_t authority, bytes_t serial, uint8_t out[EDGE_STATUS_KEY_MAX]); /* 0: serial too long */
size_t edge_status_encode(const edge_status_t *in, uint8_t out[EDGE_STATUS_MAX]); /* the record's length */
pki_code_t edge_status_decode(bytes_t in, edge_status_t *out, pki_err_t *err);

/*
 * meta, key "changes": how often statuses have been changed, by stripes of their keys.  Who has read a status and the
 * count of its stripe need not read it again while the count is the same: whoever changes or deletes a status adds
 * to the count in the same transaction.  New statuses are not counted.  The counts of a store begin with a number that
 * no other store's begin with.
 */
#define EDGE_CHANGES_KEY     "changes"
#define EDGE_STRIPES         1024
#define EDGE_CHANGES_AT(i)   (1 + 8 * (i)) /* of a stripe's count in the record */
#define EDGE_CHANGES_LEN     EDGE_CHANGES_AT(EDGE_STRIPES)
#define EDGE_CHANGES_VERSION 1
void edge_changes_init(uint64_t first, uint8_t record[EDGE_CHANGES_LEN]);
void edge_changes_add(uint8_t record[EDGE_CHANGES_LEN], bytes_t status_key);
bool edge_changes_get(bytes_t record, bytes_t status_key, uint64_t *count); /* false: it is not such a record */

/* For who has to remember where the count of a status is. */
size_t edge_changes_stripe(bytes_t status_key);
bool   edge_changes_get_stripe(bytes_t record, size_t stripe, uint64_t *count);

/* issuer */
#define EDGE_CHAIN_MAX 8
typedef struct {
    uint32_t no;                          /* of the authority */
    bytes_t  id;                          /* "iss-local"; the generations of an issuer share it */
    bool     is_current;                  /* the generation that issues */
    bool     is_revoked;                  /* the CA certificate, and by that all that it issued (RFC 6960 2.7) */
    int      reason;                      /* CRLReason of that, -1: none */
    int64_t  revoked_at;
    uint32_t crl_shards;                  /* 0: one list */
    bytes_t  name_hash[OCSP_HASH_COUNT];  /* of the subject Name, whole */
    bytes_t  key_hash[OCSP_HASH_COUNT];   /* of the BIT STRING contents */
    bytes_t  chain[EDGE_CHAIN_MAX];       /* DER: the issuing CA first, its root last */
    size_t   chain_len;
    uint32_t ocsp_validity_s;             /* nextUpdate - thisUpdate */
} edge_issuer_t;

/* responder */
typedef struct {
    bytes_t  certificate; /* DER */
    bytes_t  key_file;    /* name inside EDGE_KEY_DIR */
    uint32_t generation;
    int64_t  not_before, not_after;
} edge_responder_t;

/* crl; the same list compressed is in a file of that name with ".gz" */
#define EDGE_CRL_GZIP ".gz"
typedef struct {
    bytes_t file;   /* name inside EDGE_CRL_DIR */
    bytes_t number; /* INTEGER contents octets */
    bytes_t etag;   /* 32 octets: SHA-256 of the file */
    int64_t this_update, next_update;
    uint64_t size;
    uint64_t gzip_size; /* 0: no such file */
    bytes_t  gzip_etag; /* 32 octets: SHA-256 of it; absent when there is none */
} edge_crl_t;

/* profile: an EST label */
#define EDGE_TRUST_MAX 16
typedef struct {
    bytes_t  label;
    uint32_t issuer_no;       /* of the issuer: its current authority serves the label */
    uint32_t wrap;            /* base64 line length of answers, 0: one line */
    bool     auth_basic, auth_certificate; /* what simpleenroll accepts; either suffices */
    bytes_t  trust[EDGE_TRUST_MAX]; /* DER: anchors for client certificates, besides the label's own issuer */
    size_t   trust_len;
} edge_est_label_t;

/* account */
typedef enum {
    EDGE_CREDENTIAL_SHA256 = 1, /* generated: the module compares SHA-256 of the password */
    EDGE_CREDENTIAL_ORCHESTRATOR = 2, /* chosen by a person: the orchestrator checks (scrypt) */
} edge_credential_kind_t;
typedef struct {
    edge_credential_kind_t kind;
    bytes_t                digest; /* 32 octets for SHA256, empty otherwise */
} edge_account_t;

pki_code_t edge_state_encode(const edge_state_t *in, pki_buf_t *out, pki_err_t *err);
pki_code_t edge_state_decode(bytes_t in, edge_state_t *out, pki_err_t *err);
pki_code_t edge_issuer_encode(const edge_issuer_t *in, pki_buf_t *out, pki_err_t *err);
pki_code_t edge_issuer_decode(bytes_t in, edge_issuer_t *out, pki_err_t *err);
pki_code_t edge_responder_encode(const edge_responder_t *in, pki_buf_t *out, pki_err_t *err);
pki_code_t edge_responder_decode(bytes_t in, edge_responder_t *out, pki_err_t *err);
pki_code_t edge_crl_encode(const edge_crl_t *in, pki_buf_t *out, pki_err_t *err);
pki_code_t edge_crl_decode(bytes_t in, edge_crl_t *out, pki_err_t *err);
pki_code_t edge_est_label_encode(const edge_est_label_t *in, pki_buf_t *out, pki_err_t *err);
pki_code_t edge_est_label_decode(bytes_t in, edge_est_label_t *out, pki_err_t *err);
pki_code_t edge_account_encode(const edge_account_t *in, pki_buf_t *out, pki_err_t *err);
pki_code_t edge_account_decode(bytes_t in, edge_account_t *out, pki_err_t *err);

/* The hashes of an issuer record from its certificate; out is in the arena. */
pki_code_t edge_issuer_hashes(pki_arena_t *a, const cert_t *ca, edge_issuer_t *out, pki_err_t *err);

#endif
