/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The orchestrator's view of the signer process: thread-safe calls over one SOCK_SEQPACKET pair.
 *
 * Before it signs, the signer appends what it is about to sign to its journal and syncs it (one sync for
 * all requests that wait).  When the signer dies the master starts another on the same socket; requests
 * without an answer are sent again, so that a caller sees a delay and no error.
 */
#ifndef ORCHESTRATOR_SIGNER_SIGNER_H
#define ORCHESTRATOR_SIGNER_SIGNER_H

#include "pkiproto/x509/key.h"

typedef struct signer signer_t;

#define SIGNER_KEY_REF_MAX   256
#define SIGNER_SIGNATURE_MAX 512
#define SIGNER_TBS_MAX       65536

/* Takes fd; starts a thread that reads answers.  Calls wait at most timeout_ms, then UNAVAILABLE. */
pki_code_t signer_open(int fd, int64_t timeout_ms, signer_t **out, pki_err_t *err);
void       signer_close(signer_t *s);

/*
 * Keys are named by reference: "file:NAME" (NAME.key, encrypted PKCS#8 in the signer's keys/ folder,
 * NAME of [A-Za-z0-9._-]) or an RFC 7512 "pkcs11:..." URI.
 */
pki_code_t signer_key_make(signer_t *s, pki_arena_t *a, const char *ref, const char *kind /* "p-256" */,
                           bytes_t *spki, pki_err_t *err); /* CONFLICT when it exists already */
pki_code_t signer_key_public(signer_t *s, pki_arena_t *a, const char *ref, bytes_t *spki, pki_err_t *err);

/* Sign a certificate: the signer journals issuer key, serial and the whole TBSCertificate, and hashes it itself. */
pki_code_t signer_sign_cert(signer_t *s, pki_arena_t *a, const char *ref, uint32_t issuer_no, bytes_t serial,
                            bytes_t tbs, bytes_t *signature, pki_err_t *err);

/*
 * Sign several certificates: all are sent before the first answer is awaited, so that one sync of the journal
 * serves them.  Each order gets its own outcome.
 */
typedef struct {
    const char  *ref;
    uint32_t     issuer_no;
    bytes_t      serial, tbs;
    pki_arena_t *a;         /* for the signature */
    bytes_t      signature;
    pki_code_t   code;
    pki_err_t    err;       /* when code is not OK */
} signer_order_t;
void signer_sign_certs(signer_t *s, signer_order_t *const *orders, size_t count);

/*
 * Sign a CRL: digest for RSA and ECDSA keys; for Ed25519, which has none, message_fd is a memfd with the
 * whole TBSCertList (-1 otherwise).  The journal keeps the digest (SHA-256 of the message for Ed25519).
 */
pki_code_t signer_sign_crl(signer_t *s, pki_arena_t *a, const char *ref, uint32_t issuer_no, bytes_t number,
                           bytes_t digest, int message_fd, bytes_t *signature, pki_err_t *err);

/*
 * Sign a head of the audit's tree (pkiproto/audit/head.h).  One key is for that and for nothing else; the journal keeps
 * the whole head.
 */
#define SIGNER_AUDIT_REF "file:audit"
pki_code_t signer_sign_head(signer_t *s, pki_arena_t *a, bytes_t head, bytes_t *signature, pki_err_t *err);

/* The journal: who it is, where it ends, and its certificate entries from a position on. */
typedef struct {
    uint8_t  id[16];
    uint64_t end; /* position after the last synced record */
} signer_journal_t;

typedef struct {
    uint64_t position, next; /* of this record and the one after */
    int64_t  at;             /* seconds */
    bool     is_cert;        /* otherwise a CRL, or a head of the audit's tree */
    uint32_t issuer_no;
    bytes_t  serial, tbs;    /* certificates */
} signer_journal_entry_t;

pki_code_t signer_journal_info(signer_t *s, signer_journal_t *out, pki_err_t *err);
/* At most max entries into the arena; *count 0 at the end.  Start again at entries[count - 1].next. */
pki_code_t signer_journal_read(signer_t *s, pki_arena_t *a, uint64_t from, size_t max,
                               signer_journal_entry_t **entries, size_t *count, pki_err_t *err);

/* Counters for metrics. */
typedef struct {
    uint64_t signatures, syncs, restarts_seen;
} signer_stats_t;
void signer_stats(signer_t *s, signer_stats_t *out);

#endif
