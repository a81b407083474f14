/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Inside of store/ only: calls that come at the same time share one statement and one commit.
 *
 * Who comes while no batch runs leads one; others wait, and the next leader takes all that wait with it.  A
 * leader that expects company, because the last batch had some, lets it gather for a moment.  So a lone call
 * is never delayed, and under load the cost of a statement and of a commit is spread over many.
 */
#ifndef ORCHESTRATOR_STORE_BATCH_H
#define ORCHESTRATOR_STORE_BATCH_H

#include <pthread.h>
#include <semaphore.h>

#include "orchestrator/store/conn.h"

#define BATCH_MAX       32
#define BATCH_GATHER_US 300

typedef enum { BATCH_WAITING, BATCH_LEADING, BATCH_TAKEN } batch_state_t;

typedef struct batch_item {
    struct batch_item *next;
    sem_t              wake;
    batch_state_t      state;
    const void        *in;  /* of the caller, who waits */
    void              *out;
    pki_arena_t       *a;   /* the caller's; may be NULL */
    pki_code_t         rc;  /* filled by run */
    pki_err_t          err;
} batch_item_t;

typedef struct {
    /* Whether an item may be in one batch with those taken already; the first one always is. */
    bool (*fits)(const batch_item_t *const *taken, size_t count, const batch_item_t *item);
    /* One statement for all of them; a failure is that of each. */
    pki_code_t (*run)(db_conn_t *c, batch_item_t **items, size_t count, pki_err_t *err);
} batch_ops_t;

typedef struct {
    pthread_mutex_t lock;
    batch_item_t   *head, **tail; /* waiting */
    size_t          waiting;      /* how many */
    bool            busy;         /* a batch runs or gathers */
    size_t          last;         /* size of the last batch: as many are expected again */
    batch_item_t   *gathering;    /* leader to be woken when they are here */
} batch_t;

typedef enum { BATCH_PRIOR, BATCH_RECORD, BATCH_COUNT } batch_kind_t;
batch_t *db_batch(db_t *db, batch_kind_t kind);

void batch_init(batch_t *b);
void batch_free(batch_t *b);

/* A batch that fails for another reason than that the database is away is repeated item by item. */
pki_code_t batch_call(db_t *db, batch_kind_t kind, const batch_ops_t *ops, const void *in, void *out,
                      pki_arena_t *a, pki_err_t *err);

#endif
