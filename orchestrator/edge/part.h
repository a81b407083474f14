/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this folder share: edge_t and the work that its threads do.
 *
 *   edge.c       opening, closing, publishing, health
 *   feed.c       the feed thread: change feed, periodic work, rebuilds when they are needed
 *   rebuild.c    a new store from PostgreSQL
 *   config.c     issuers, labels, credentials, responders and CRLs as records
 *   responder.c  delegated OCSP responder certificates and their keys
 *   crl_*.c      CRLs (see crl.h)
 *   upkeep.c     the upkeep thread: what takes longer than the feed may wait
 *   sweep.c      files that nothing refers to any more
 */
#ifndef ORCHESTRATOR_EDGE_PART_H
#define ORCHESTRATOR_EDGE_PART_H

#include <pthread.h>
#include <stdatomic.h>

#include "orchestrator/edge/edge.h"
#include "orchestrator/edge/sweep.h"
#include "orchestrator/edge/writer.h"
#include "orchestrator/store/change.h"
#include "orchestrator/store/crl.h"
#include "orchestrator/store/est.h"
#include "orchestrator/store/issuer.h"
#include "orchestrator/store/responder.h"

#define EDGE_PATH_MAX    3072
#define EDGE_HOST_MAX    (EDGE_PATH_MAX + 256)
#define EDGE_CRL_THREADS 2

/* Statuses that were published while a rebuild ran: the new store gets them before it takes over. */
typedef struct {
    bool     on, overflow;
    size_t   count, cap;
    struct {
        uint32_t      authority;
        uint8_t       serial[CERT_SERIAL_MAX], serial_len, hash[EDGE_STATUS_HASH];
        edge_status_t status; /* its cert_hash has only a length: the octets are in hash */
    } *v;
} edge_tee_t;

struct edge {
    const conf_t   *conf;
    db_t           *db;
    signer_t       *signer;
    char            host[EDGE_HOST_MAX]; /* whose lists are whose, in PostgreSQL: host name and folder */
    int             lock_fd; /* the edge folder, locked: one feeder a host */
    char            store_dir[EDGE_PATH_MAX], build_dir[EDGE_PATH_MAX], crl_dir[EDGE_PATH_MAX],
                    key_dir[EDGE_PATH_MAX];
    writer_t       *writer;

    pthread_t       feed_thread, upkeep_thread, crl_threads[EDGE_CRL_THREADS];
    pthread_mutex_t lock;    /* stopping and the CRL jobs */
    pthread_cond_t  wake;    /* monotonic clock; broadcast: all threads and waiters for a first CRL */
    bool            stopping, upkeep_wanted;
    struct crl_job *crl;
    bool            crl_checked; /* config_lock's: snapshots of another cluster are forgotten */

    pthread_mutex_t config_lock; /* one reconfiguration at a time */
    pthread_mutex_t responder_lock; /* the same for the making of responders, which takes longer */
    uint8_t         config_hash[32];
    bool            config_known;

    pthread_mutex_t heard_lock; /* held while heard is called */
    edge_heard_pt   heard;
    void           *heard_arg;

    edge_tee_t        tee;      /* the writer's */
    change_position_t position; /* the feed thread's */
    sweep_t           crl_sweep, key_sweep; /* the feed thread's */

    atomic_ullong config_version;
    atomic_llong  synced_at;
    atomic_bool   in_step, configured, kept_up;
    atomic_ullong crls_built, crl_failures, crl_differences, rebuilds, changes_applied;
};

/* "DIR/NAME" in the arena; NULL when out of memory. */
#define edge_path(a, dir, name) pki_printf((a), "%s/%s", (dir), (name))

/* Wait on e->wake until a monotonic time or until woken; called with e->lock held. */
void edge_wait_until(edge_t *e, int64_t due_us);
bool edge_stopping(edge_t *e);

/* feed.c, upkeep.c, crl_job.c: the threads. */
void *feed_thread(void *edge);
void *upkeep_thread(void *edge);
void *crl_thread(void *edge);

/* rebuild.c: e->position is where the feed carries on.  *stale: the statuses were made with other settings than there
 * are now, so that the store has to be made anew. */
pki_code_t rebuild_run(edge_t *e, const char *why, pki_err_t *err);
pki_code_t rebuild_due(edge_t *e, bool *stale, pki_err_t *err);

/* upkeep.c: look soon whether a responder is missing. */
void upkeep_want(edge_t *e);

/* config.c: read, publish when anything changed. */
pki_code_t config_publish(edge_t *e, pki_err_t *err);

/*
 * responder.c.  responders_ensure() makes those that are missing or worn out, for every authority, and adds to *made how
 * many; that can take a second for each RSA key, so that no lock is held that others wait for.  responder_of() finds the
 * one of a kind of key that this host can use; NOT_FOUND: none.
 */
pki_code_t responders_ensure(edge_t *e, size_t *made, pki_err_t *err);
pki_code_t responder_of(edge_t *e, pki_arena_t *a, const issuer_ca_t *ca, const char *key_kind, responder_row_t *row,
                        pki_err_t *err);

/* crl_job.c: a new list soon, of the authority and the shard that a certificate is in. */
void crl_want(edge_t *e, uint32_t authority, bytes_t serial);
void crl_heard(edge_t *e, uint32_t issuer_no); /* somebody has published one: see whether he knows more */
void crl_wait(edge_t *e, uint32_t issuer_no, int64_t timeout_ms); /* until there are all, or they failed */

/*
 * crl_job.c, crl_list.c: keep all lists of an authority fresh from now on, and add the records of those that are there;
 * between crl_watch_begin() and crl_watch_end(), after which lists of other authorities than those given are no
 * longer made.  With config_lock held.
 */
typedef pki_code_t (*crl_add_pt)(void *arg, bytes_t key, const pki_buf_t *value, pki_err_t *err);
pki_code_t crl_watch_begin(edge_t *e, pki_err_t *err);
pki_code_t crl_watch_authority(edge_t *e, pki_arena_t *a, const issuer_chain_t *issuer, crl_add_pt add, void *arg,
                               pki_err_t *err);
void       crl_watch_end(edge_t *e, const issuer_chain_t *issuers, size_t count);

void       crl_jobs_free(edge_t *e);

/* crl_list.c: names of the files that are served, in the arena. */
pki_code_t crl_files(edge_t *e, pki_arena_t *a, str_list_t *out, pki_err_t *err);

#endif
