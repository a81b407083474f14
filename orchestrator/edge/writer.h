/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The one place that writes the edge store.  Callers that come together share one commit, which one of them
 * makes for all.  It also owns the environment and changes it for another between two commits.
 */
#ifndef ORCHESTRATOR_EDGE_WRITER_H
#define ORCHESTRATOR_EDGE_WRITER_H

#include "orchestrator/edge/env.h"

typedef struct writer writer_t;

pki_code_t writer_open(writer_t **out, pki_err_t *err);

/* Nobody may be inside any more.  Closes the environment; with clean, so that a later boot may use it. */
void writer_close(writer_t *w, bool clean);

/*
 * Run fn in a write transaction; on return it is committed and every reader that begins sees it.  fn may
 * run twice (again alone, when another of its batch failed).  UNAVAILABLE while there is no store.
 */
typedef pki_code_t (*writer_pt)(env_t *env, MDB_txn *txn, void *arg, pki_err_t *err);
pki_code_t writer_run(writer_t *w, writer_pt fn, void *arg, pki_err_t *err);

/*
 * Run fn between two commits, while nothing else writes.  It may put another environment into *env; the one
 * that was there is then its own to close.
 */
typedef pki_code_t (*writer_swap_pt)(env_t **env, void *arg, pki_err_t *err);
pki_code_t writer_swap(writer_t *w, writer_swap_pt fn, void *arg, pki_err_t *err);

bool     writer_damaged(writer_t *w);  /* a commit met damage since the last swap: rebuild */
bool     writer_has_env(writer_t *w);
uint64_t writer_statuses(writer_t *w); /* certificates in the store */

#endif
