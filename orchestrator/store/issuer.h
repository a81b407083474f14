/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Issuers and the CA certificates of their generations.  (The connectors' contract is orchestrator/issuer/.)
 * Everything that is returned lives in the arena.
 */
#ifndef ORCHESTRATOR_STORE_ISSUER_H
#define ORCHESTRATOR_STORE_ISSUER_H

#include "orchestrator/store/audit.h"

typedef struct {
    int64_t     no;
    const char *id, *name, *type; /* "iss-local", "local", "local" */
    bool        enabled;
    const char *config;           /* JSON text, without secrets */
    const char *settings;         /* JSON text: see issuer_settings_t */
    const char *source;           /* who made it: "database" (the API; also NULL), "file" */
    bytes_t     secrets;          /* members of the configuration that are secret, sealed; absent: none */
    int64_t     retired_at;       /* 0: not */
    int64_t     created_at, updated_at;
} issuer_row_t;

/* One certificate of an issuer's chain: position 0 issues, the last one is the root. */
typedef struct {
    int64_t     generation, position;
    bytes_t     der, serial, skid;
    const char *subject;  /* RFC 4514 */
    const char *key_ref;  /* of the signer; NULL: the key is not ours */
    const char *key_kind; /* "p-256", "rsa-3072" */
    int64_t     not_before, not_after;
    bool        active;            /* of the generation that issues */
    int64_t     crl_shards;        /* of position 0, fixed when the generation is made; 0: one list */
    int64_t     revoked_at;        /* the CA certificate itself; 0: not */
    int64_t     revocation_reason; /* CRLReason, -1: none */
} ca_row_t;

typedef struct {
    issuer_row_t issuer;
    ca_row_t    *chain; /* of one generation, the active one unless said otherwise, by position */
    size_t       chain_len;
} issuer_chain_t;

/* All issuers with their active chains, by number. */
pki_code_t issuer_row_list(db_t *db, pki_arena_t *a, issuer_chain_t **out, size_t *count, pki_err_t *err);

/* NOT_FOUND for an unknown one. */
pki_code_t issuer_row_find(db_t *db, pki_arena_t *a, const char *id, issuer_chain_t *out, pki_err_t *err);

/* One generation, whether it lives or not; NOT_FOUND. */
pki_code_t issuer_row_find_generation(db_t *db, pki_arena_t *a, uint32_t no, uint32_t generation, issuer_chain_t *out,
                                      pki_err_t *err);

/*
 * The generations that live, of one issuer or of all (id NULL), by number and generation: the active ones, and older
 * ones until the last certificate under them has ended and CRLs were made since.
 */
pki_code_t issuer_generations(db_t *db, pki_arena_t *a, const char *id, issuer_chain_t **out, size_t *count,
                              pki_err_t *err);

/* Find out when the certificates of retired generations end, of those that were retired settled_s ago or earlier. */
pki_code_t issuer_generations_settle(db_t *db, int64_t settled_s, pki_err_t *err);

/* A number for an issuer that is about to be made (its certificates are signed before the row is written). */
pki_code_t issuer_no_next(db_t *db, uint32_t *no, pki_err_t *err);

/*
 * Write issuer, its first chain (generation 1, active) and a configuration change; CONFLICT when id
 * or name is taken.
 */
pki_code_t issuer_row_insert(db_t *db, const issuer_chain_t *in, const audit_t *audit, pki_err_t *err);

/*
 * Write the next generation of an issuer, chain[0].generation being its number, and make it the active one; CONFLICT
 * when it is there already.
 */
pki_code_t issuer_row_rekey(db_t *db, const issuer_chain_t *in, const audit_t *audit, pki_err_t *err);

/* Note that a generation's CA certificate is revoked; CONFLICT when it is so already, or when there is none. */
pki_code_t issuer_row_revoke_ca(db_t *db, const char *id, uint32_t generation, int reason, const audit_t *audit,
                                pki_err_t *err);

/* Name, enabled, config and secrets of a row; NOT_FOUND, also when a retired one is to be enabled. */
pki_code_t issuer_row_update(db_t *db, const issuer_row_t *in, const char *version, const audit_t *audit, pki_err_t *err);

/* It issues no more, for good.  CONFLICT while EST labels use it; NOT_FOUND, also when it is retired already. */
pki_code_t issuer_row_retire(db_t *db, const char *id, const char *version, const audit_t *audit, pki_err_t *err);

/* What a test of it found; NULL: nothing wrong. */
pki_code_t issuer_row_tested(db_t *db, const char *id, const char *error, const audit_t *audit, pki_err_t *err);

pki_code_t issuer_row_enable(db_t *db, const char *id, bool enabled, const audit_t *audit, pki_err_t *err);

/* How an issuer's revocations are told; for all of its generations, but for crl_shards. */
typedef struct {
    int64_t    ocsp_validity_s;
    str_list_t ocsp_keys;          /* "p-256", "rsa-2048", "rsa-3072", "ed25519": the first is the default responder */
    bool       ocsp_cert_hash;     /* the edge store has the certificates' hashes */
    int64_t    crl_validity_s, crl_refresh_s;
    int64_t    crl_delta_s;        /* 0: no deltas */
    int64_t    crl_shards;         /* of the next generation; a generation's own is ca_row_t.crl_shards */
    int64_t    crl_keep_expired_s; /* 0: they drop after one list (RFC 5280 3.3) */
    bool       crl_expired_since, crl_next_publish, crl_aia;
    bool       inherit_ca_revocation;
    bool       webpki;             /* the CA/Browser Forum's rules for reasons, lifetimes and lists */
} issuer_settings_t;
extern const field_t issuer_settings_fields[];

/* As they were set (0, empty: not), and with the defaults of the configuration in place of what was not. */
pki_code_t issuer_settings_read(pki_arena_t *a, const issuer_row_t *row, issuer_settings_t *out, pki_err_t *err);
pki_code_t issuer_settings_of(pki_arena_t *a, const issuer_row_t *row, const conf_t *conf, issuer_settings_t *out,
                              pki_err_t *err);
void       issuer_settings_default(const conf_t *conf, issuer_settings_t *out);
pki_code_t issuer_settings_put(db_t *db, const char *id, const issuer_settings_t *in, const audit_t *audit,
                               pki_err_t *err);

#endif
