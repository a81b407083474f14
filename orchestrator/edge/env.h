/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The LMDB environment of the edge store: its folder, its databases, the state record, and whether what
 * lies on the disk may be trusted.  Commits are not synced to the disk (the store is a cache of PostgreSQL), so
 * an environment that an earlier boot left without a clean close is refused and rebuilt.
 */
#ifndef ORCHESTRATOR_EDGE_ENV_H
#define ORCHESTRATOR_EDGE_ENV_H

#include <lmdb.h>
#include <sys/stat.h>

#include "pkiproto/edge/record.h"

typedef enum {
    ENV_META,
    ENV_ISSUER,
    ENV_STATUS,
    ENV_RESPONDER,
    ENV_CRL,
    ENV_PROFILE,
    ENV_ACCOUNT,
} env_db_t;

typedef struct {
    MDB_env *env;
    MDB_dbi  dbi[EDGE_DB_COUNT];
    dev_t    dev; /* of data.mdb: tells whether the folder is still ours */
    ino_t    ino;
    bool     damaged; /* seen by whoever wrote last: only a rebuild cures it */
    char     dir[4096];
} env_t;

/* The state record with its own memory for the boot id. */
typedef struct {
    edge_state_t s;
    uint8_t      boot[16];
} env_state_t;

/* This boot of the machine, from the kernel. */
pki_code_t env_boot_id(uint8_t out[16], pki_err_t *err);

/*
 * env_create() makes an empty environment in dir, which it clears first.  env_open() opens one that can be
 * used as it is; NOT_FOUND when there is none, INVALID when it has to be rebuilt, with the reason.
 */
pki_code_t env_create(const char *dir, env_t **out, pki_err_t *err);
pki_code_t env_open(const char *dir, env_t **out, pki_err_t *err);

/* With clean, sync everything and note that a later boot may use it. */
void env_close(env_t *e, bool clean);

/* Remove the folder; when it holds an environment, tell its readers first that it is retired. */
pki_code_t env_discard(const char *dir, pki_err_t *err);
pki_code_t env_retire(env_t *e, pki_err_t *err);

/* Move it to another folder; what was there takes its former place. */
pki_code_t env_rename(env_t *e, const char *to, pki_err_t *err);

/* Whether dir still holds this environment (an operator may have deleted it). */
bool env_is_at(env_t *e, const char *dir);

/* Whether the file has grown far beyond its contents. */
bool env_is_bloated(env_t *e);

pki_code_t env_state_get(env_t *e, MDB_txn *txn, env_state_t *out, pki_err_t *err);
pki_code_t env_state_put(env_t *e, MDB_txn *txn, const env_state_t *in, pki_err_t *err);

/*
 * What the statuses of this environment were made with, as a text: another text asks for a rebuild.  NOT_FOUND
 * before it was put.
 */
pki_code_t env_made_get(env_t *e, MDB_txn *txn, bytes_t *out, pki_err_t *err);
pki_code_t env_made_put(env_t *e, MDB_txn *txn, bytes_t made, pki_err_t *err);

/* Plain records; env_get() gives NOT_FOUND, value points into the transaction. */
pki_code_t env_put(env_t *e, MDB_txn *txn, env_db_t db, bytes_t key, bytes_t value, pki_err_t *err);
pki_code_t env_get(env_t *e, MDB_txn *txn, env_db_t db, bytes_t key, bytes_t *value, pki_err_t *err);
pki_code_t env_empty(env_t *e, MDB_txn *txn, env_db_t db, pki_err_t *err);
pki_code_t env_copy_db(env_t *from, MDB_txn *from_txn, env_t *to, MDB_txn *to_txn, env_db_t db,
                       pki_err_t *err);

/*
 * The status of one certificate, unless the store has a later revision of it already.  *newer: the store did
 * not have this revision.
 */
pki_code_t env_status_put(env_t *e, MDB_txn *txn, uint32_t authority, bytes_t serial,
                          const edge_status_t *status, bool *newer, pki_err_t *err);
/* The same for sorted bulk loads: keys have to come in order. */
pki_code_t env_status_append(env_t *e, MDB_txn *txn, uint32_t authority, bytes_t serial,
                             const edge_status_t *status, pki_err_t *err);
uint64_t   env_status_count(env_t *e, MDB_txn *txn);

/* An LMDB result code as an error. */
pki_code_t env_fail(env_t *e, int rc, const char *what, pki_err_t *err);

#endif
