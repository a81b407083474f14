/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Issuers as they are made, whoever asks for them, and what is kept of their configuration: secrets sealed, the rest to be
 * seen.
 */
#ifndef ORCHESTRATOR_API_ISSUER_MAKE_H
#define ORCHESTRATOR_API_ISSUER_MAKE_H

#include "orchestrator/api/api.h"
#include "orchestrator/issuer/issuer.h"
#include "orchestrator/store/issuer.h"

/* What a body says beside its config, and shape_issuer_new describes. */
typedef struct {
    const char *id, *name, *type;
} issuer_new_t;

/* An issuer about to be made; everything in it has been checked. */
typedef struct {
    const char         *id, *name;
    const char         *source; /* "database", "file" */
    const issuer_ops_t *ops;
    const void         *conf;   /* struct of ops->conf_fields */
    const json_t       *given;  /* the same as it was sent; NULL: it was not */
} issuer_plan_t;

/* Keys, certificates and row; CONFLICT when the id or the name is taken. */
pki_code_t issuer_make(const api_parts_t *parts, pki_arena_t *a, const issuer_plan_t *plan, const audit_t *audit,
                       pki_err_t *err);

/* The certificates of a chain as the database keeps them. */
pki_code_t issuer_chain_fill(pki_arena_t *a, const issuer_local_ca_t *ca, issuer_chain_t *out, pki_err_t *err);

/* A whole configuration into row->config and row->secrets; CONFIG: it has secrets, and there is no master key. */
pki_code_t issuer_config_keep(const api_parts_t *parts, pki_arena_t *a, const issuer_ops_t *ops, const json_t *whole,
                              issuer_row_t *row, pki_err_t *err);

/* What the row keeps, with `given` (may be NULL) over it: a new reference, with the secrets in it. */
pki_code_t issuer_config_merge(const api_parts_t *parts, pki_arena_t *a, const issuer_ops_t *ops, const issuer_row_t *row,
                               const json_t *given, json_t **whole, pki_err_t *err);

#endif
