/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The sealer: a thread that makes the audit's events leaves of its tree, has the heads signed, and makes the partitions
 * of the months to come.  Of several hosts one seals at a time.
 */
#ifndef ORCHESTRATOR_API_SEALER_H
#define ORCHESTRATOR_API_SEALER_H

#include "orchestrator/api/api.h"

typedef struct sealer sealer_t;

pki_code_t sealer_open(db_t *db, signer_t *signer, sealer_t **out, pki_err_t *err);
void       sealer_close(sealer_t *s); /* accepts NULL */

typedef struct {
    uint64_t sealed, heads; /* by this process */
    bool     strays;        /* events are in the default partition */
} sealer_stats_t;
void sealer_stats(sealer_t *s, sealer_stats_t *out);

/* Walk the whole tree in the database (`chanceryd audit verify`); head: file with a head that was kept, or NULL. */
int api_audit_verify(const conf_t *conf, const char *head);

/* Names of files, NULL when not given. */
typedef struct {
    const char *head, *file, *heads, *key, *proof, *consistency;
} audit_files_t;

/* Whether any is given besides head, which goes with the database, too. */
bool audit_files_given(const audit_files_t *f);

/* Verify out of files alone what they are: an export, the proof of one event, or that a tree continues another. */
int api_audit_verify_files(const audit_files_t *f);

#endif
