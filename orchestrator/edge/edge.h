/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Publishing to this host's edge: the LMDB store, CRL files, OCSP responder certificates.
 *
 * One caller at a time writes the store, for all that wait; each returns when its change is committed, so that
 * every local worker has it when the caller answers.  The feed thread follows PostgreSQL's change feed, and rebuilds
 * the store when it is missing, of another schema, or was not written cleanly in an earlier boot.
 */
#ifndef ORCHESTRATOR_EDGE_EDGE_H
#define ORCHESTRATOR_EDGE_EDGE_H

#include "orchestrator/conf.h"
#include "orchestrator/issuer/issuer.h"
#include "orchestrator/store/crl.h"
#include "orchestrator/store/issuer.h"
#include "orchestrator/store/revocation.h"
#include "pkiproto/edge/record.h"

typedef struct edge edge_t;

pki_code_t edge_open(const conf_t *conf, db_t *db, signer_t *signer, edge_t **out, pki_err_t *err);
void       edge_close(edge_t *e);

/* Write certificate states; returns when they are committed to the store and visible to every worker. */
typedef struct {
    uint32_t      authority; /* edge_authority() */
    bytes_t       serial;
    edge_status_t status;
} edge_change_t;
edge_change_t edge_change_of(const status_row_t *row); /* as the database has it; the serial is borrowed */
pki_code_t edge_publish(edge_t *e, const edge_change_t *changes, size_t count, pki_err_t *err);

/* Re-read issuers, responders, labels and credentials from PostgreSQL, make what is missing (responder
 * certificates, a first CRL), publish; returns when done. */
pki_code_t edge_reconfigure(edge_t *e, pki_err_t *err);

/*
 * A CA as issuer connectors take it, from its rows: the active generation, its certificate parsed.  The store's
 * structs and the connectors' must not know each other.  Slices point into the rows.
 */
pki_code_t edge_ca_of(pki_arena_t *a, const issuer_chain_t *in, issuer_ca_t *out, pki_err_t *err);

/* Grows with every change of configuration that this process made or heard of: what is cached from before is old. */
uint64_t edge_config_version(edge_t *e);

/*
 * Tell, from now on, the transaction keys of certificates that any host has issued, a moment after; without one when some
 * were missed.  From the feed's thread; fn NULL: no more.
 */
typedef void (*edge_heard_pt)(bytes_t transaction_key, void *arg);
void edge_hear(edge_t *e, edge_heard_pt fn, void *arg);

/* Ask for a new CRL that tells of a certificate; returns at once.  Requests that come together make one CRL. */
void edge_crl_request(edge_t *e, uint32_t authority, bytes_t serial);

/* The lists that this host serves, by issuer, generation and scope. */
typedef struct {
    crl_id_t    id;
    const char *issuer_id;
    bool        is_served;  /* otherwise there is none yet */
    bool        is_stale;   /* it should have been replaced, and was not */
    int64_t     number, base_number, this_update, next_update, generated_at, duration_ms, entries, size, gzip_size;
    uint64_t    built, failed; /* by this process; a delta with its full list */
    const char *error;         /* of the last attempt; NULL: it went well */
} edge_crl_info_t;
pki_code_t  edge_crls(edge_t *e, pki_arena_t *a, edge_crl_info_t **out, size_t *count, pki_err_t *err);
const char *edge_host(const edge_t *e); /* what crl_events() calls this host */

typedef struct {
    bool     ready;       /* the store is in step with PostgreSQL */
    int64_t  synced_at;
    uint64_t statuses;    /* certificates in the store */
    uint64_t crls_built, crl_failures, crl_differences, rebuilds, changes_applied;
} edge_health_t;
void edge_health(edge_t *e, edge_health_t *out);

#endif
