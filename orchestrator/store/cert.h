/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Managed certificates and their versions: what the issuance path asks and writes.  Serials are INTEGER
 * contents octets everywhere.  Everything that is returned lives in the arena.
 */
#ifndef ORCHESTRATOR_STORE_CERT_H
#define ORCHESTRATOR_STORE_CERT_H

#include "orchestrator/store/audit.h"

typedef struct {
    int64_t     no;
    const char *id, *name, *source; /* "mc-..", unique name, "API" or "EST" */
    const char *profile_id, *issuer_id;
    int64_t     issuer_no;
    const char *est_label_id, *common_name; /* NULL: none */
    const char *owner_id, *team_id, *environment, *renewal_policy_id; /* NULL: none */
    const char *tags;        /* JSON, an object of strings; NULL: none */
    const char *subject;     /* RFC 4514 */
    bytes_t     subject_der;
    str_list_t  sans;        /* as general_name_print() has them */
    const char *status;      /* "Active", "Revoked", "Expired", "Archived" */
    int64_t     expires_at;
    bytes_t     last_serial;
    int64_t     revoked_at;  /* 0: not revoked */
    int64_t     revocation_reason; /* CRLReason, when revoked */
    int64_t     created_at, updated_at;
} managed_row_t;

typedef struct {
    int64_t     issuer_no, generation;
    const char *issuer_id;
    bytes_t     serial, der;  /* der: the TBSCertificate of an orphan */
    bool        orphan;
    const char *managed_id;   /* NULL: responder certificate or orphan */
    bytes_t     spki_sha256, fingerprint;
    int64_t     not_before, not_after, issued_at;
    const char *state;        /* "good", "revoked", "hold", "released" */
    int64_t     reason;       /* -1: none */
    int64_t     revoked_at, invalidity_at;
} version_row_t;

/*
 * Before a signature, in one statement (shared with calls that come at the same time): what was issued for
 * this transaction key, whether the managed certificate is there, and what is known of the certificate that
 * the client presents (re-enrolment).
 */
typedef struct {
    bytes_t     transaction_key;
    int64_t     window_s;         /* older keys do not count */
    const char *managed_id;
    uint32_t    presented_issuer_no;
    bytes_t     presented_serial; /* absent: nothing presented */
} cert_prior_ask_t;

typedef struct {
    bool        repeated;         /* the key was used: the certificate is below */
    uint32_t    issuer_no;
    bytes_t     serial, der;
    const char *repeated_id;      /* managed certificate of the repeated one */
    const char *managed_status;   /* "Active", "Revoked", "Expired"; NULL: there is none yet */
    const char *managed_name;
    bool        presented_known;  /* we issued it, and not as an orphan */
    const char *presented_id;     /* its managed certificate; NULL: none */
    bytes_t     presented_fingerprint;
    const char *presented_state;  /* "good", "revoked", "hold", "released" */
    int64_t     presented_not_after;
    /* when the next version of its managed certificate was issued; 0: it is the newest */
    int64_t     superseded_at;
} cert_prior_t;
pki_code_t cert_prior(db_t *db, pki_arena_t *a, const cert_prior_ask_t *in, cert_prior_t *out,
                      pki_err_t *err);

/* At most max transaction keys after one, of those younger than the window. */
pki_code_t cert_keys(db_t *db, pki_arena_t *a, bytes_t after, int64_t window_s, size_t max, bytes_t **out, size_t *count,
                     pki_err_t *err);

/*
 * Record a certificate: managed certificate (made, or brought up to date by id), version, transaction key,
 * audit row and change feed row in one statement, durable on return; calls that come at the same time share
 * it.  *won is false, and nothing was written, when another call with the same transaction key came first:
 * ask cert_prior() for its certificate; ours is then an orphan (journal_orphans()).  So it is when the profile, or what
 * it is to belong to, was deleted meanwhile.  CONFLICT when another managed certificate has the name.  One that is there
 * keeps its owner, team, environment, renewal policy and tags; it is not archived any more.
 */
typedef struct {
    managed_row_t managed; /* its members up to sans, but not no and issuer_id */
    const char   *violations; /* that were let through, as violation_t has them; NULL: none */
    bytes_t       serial, der, spki_sha256, fingerprint;
    const char   *key_algorithm; /* as pki_key_algorithm() has it */
    int64_t       key_size;      /* bits */
    int64_t       not_before, not_after;
    bytes_t       transaction_key; /* absent: no idempotency */
    int64_t       window_s;
    uint32_t      generation; /* of the issuing CA */
    bool          exempt;     /* it carries noRevAvail: no edge has to know it */
    audit_t       audit;
} cert_record_t;
pki_code_t cert_record(db_t *db, const cert_record_t *in, bool *won, pki_err_t *err);

/*
 * The same for many in one statement and one commit: items are cert_record_t and bool (won), or cert_prior_ask_t
 * and cert_prior_t in the item's arena.  One that fails does so alone.  In one call, no two certificates may have a
 * managed id or a transaction key in common, and window_s is the same for all.
 */
void cert_prior_many(db_t *db, db_item_t *items, size_t count, int64_t deadline_us);
void cert_record_many(db_t *db, db_item_t *items, size_t count, int64_t deadline_us);

/* "mc-" and 20 hexadecimal digits of SHA-256 over source, label id and subject: one per label and subject. */
#define CERT_MANAGED_ID_LEN 23
void cert_managed_id(const char *source, const char *label_id, bytes_t subject_der,
                     char out[CERT_MANAGED_ID_LEN + 1]);

/*
 * A unique name of bounded length for a certificate that nobody named: "LABEL/CN/0123456789ab";
 * NULL: out of memory.
 */
char *cert_managed_name(pki_arena_t *a, const char *label, const char *common_name, const char *managed_id);

/* NOT_FOUND for an unknown one. */
pki_code_t cert_find(db_t *db, pki_arena_t *a, const char *managed_id, managed_row_t *out, pki_err_t *err);
/* By serial, in any issuer (CERT_ANY_ISSUER; the newest) or in one. */
#define CERT_ANY_ISSUER 0u
pki_code_t cert_version_find(db_t *db, pki_arena_t *a, uint32_t issuer_no, bytes_t serial,
                             version_row_t *out, pki_err_t *err);
/* Newest first, at most max. */
pki_code_t cert_versions(db_t *db, pki_arena_t *a, const char *managed_id, size_t max, version_row_t **out,
                         size_t *count, pki_err_t *err);

#endif
