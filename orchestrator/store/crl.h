/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * CRLs as the database knows them: numbers, entries, what was published.  The lists themselves are files of the
 * edge; their encoding is pkiproto/crl/crl.h.
 *
 * All hosts take their numbers from one sequence for each scope of an authority (a delta's is that of its full list),
 * and each host publishes lists of its own: a row names the host.
 */
#ifndef ORCHESTRATOR_STORE_CRL_H
#define ORCHESTRATOR_STORE_CRL_H

#include "orchestrator/store/revocation.h"
#include "pkiproto/crl/crl.h"
#include "pkiproto/crl/scope.h"

/* Which list. */
typedef struct {
    uint32_t    issuer_no, generation;
    crl_scope_t scope;
} crl_id_t;

/*
 * The next number: greater than every one before and than `above`, at least the present time in seconds; durable on
 * return.  The snapshot is what every list of this number or a greater one has seen.
 */
typedef struct {
    int64_t     number;
    const char *snapshot;
} crl_number_t;
pki_code_t crl_number_next(db_t *db, pki_arena_t *a, const crl_id_t *id, int64_t above, crl_number_t *out,
                           pki_err_t *err);

/*
 * What has changed since another list was made, in order of serial: an entry that is to be in the list, or
 * (listed false) one that was and is not any more, because it was released or because its certificate ended before
 * `floor`.  Its revoked_at is then that of the hold.  Not usable: there is no such list, it was made of another
 * database (which was restored since), or there are more than CRL_CHANGES_MAX (a delta: CRL_DELTA_MAX).
 */
#define CRL_CHANGES_MAX 20000
#define CRL_DELTA_MAX   100000
typedef struct {
    bool          usable;
    int64_t       number;
    const char   *snapshot; /* of that list */
    crl_change_t *v;
    size_t        count;
} crl_since_t;

/*
 * One consistent look at the database.  `since` is asked for by the number of a list that this scope published;
 * `delta` by a base of deltas, which is the newest list that has expired, or the oldest that is kept: no list that a
 * relying party may still hold is older.  Entries are given, one call each in order of serial, when `since` is not
 * usable or all of them are wanted; an entry lives only during the call.
 */
typedef pki_code_t (*crl_entry_pt)(const crl_entry_t *entry, void *arg, pki_err_t *err);
typedef struct {
    crl_id_t     id;
    int64_t      floor;  /* certificates that ended before it are left out */
    int64_t      since;  /* number; 0: not asked for */
    bool         delta;  /* asked for */
    bool         reread; /* all entries in any case */
    crl_entry_pt entry;  /* NULL: never */
    void        *arg;
} crl_query_t;
typedef struct {
    crl_since_t since, delta;
    bool        read; /* entries were given */
} crl_state_t;
pki_code_t crl_read(db_t *db, pki_arena_t *a, const crl_query_t *q, crl_state_t *out, pki_err_t *err);

/* How many of these serials may be missing in a list: released, or of certificates that ended before `floor`. */
pki_code_t crl_gone(db_t *db, const crl_id_t *id, int64_t floor, const bytes_t *serials, size_t count, size_t *gone,
                    pki_err_t *err);

typedef struct {
    crl_id_t    id;
    const char *host;
    int64_t     number, this_update, next_update;
    const char *file;
    int64_t     size;
    bytes_t     etag;
    int64_t     gzip_size; /* 0: none */
    bytes_t     gzip_etag;
    int64_t     entries, duration_ms, generated_at;
    const char *error;       /* a failed attempt: file and etag absent */
    int64_t     base_number; /* of a delta; 0: none */
    const char *snapshot;    /* NULL: nothing can be made out of this list */
    int64_t     floor;       /* certificates that had ended before are not in it */
} crl_row_t;

/*
 * Published or failed; a published one is announced in the change feed.  CONFLICT when this host has published a list
 * of this scope with this number or a greater one.
 */
pki_code_t crl_published(db_t *db, const crl_row_t *in, pki_err_t *err);
pki_code_t crl_compressed(db_t *db, const crl_row_t *in, pki_err_t *err); /* its gzip_size and gzip_etag */

/* The newest that a host published, or one by its number; NOT_FOUND. */
pki_code_t crl_last(db_t *db, pki_arena_t *a, const crl_id_t *id, const char *host, crl_row_t *out, pki_err_t *err);
pki_code_t crl_find(db_t *db, pki_arena_t *a, const crl_id_t *id, int64_t number, crl_row_t *out, pki_err_t *err);

/* thisUpdate of the newest list that any host published; 0: none. */
pki_code_t crl_published_at(db_t *db, const crl_id_t *id, int64_t *at, pki_err_t *err);

/* What a host published and what failed, newest first. */
pki_code_t crl_events(db_t *db, pki_arena_t *a, const crl_id_t *id, const char *host, size_t max, crl_row_t **out,
                      size_t *count, pki_err_t *err);

/* Whether anything has changed that a list has not seen; also when there is no such list. */
pki_code_t crl_behind(db_t *db, const crl_id_t *id, int64_t number, bool *behind, pki_err_t *err);

/* Forget snapshots that cannot be of this database: it was restored into another cluster. */
pki_code_t crl_snapshots_check(db_t *db, pki_err_t *err);

#endif
