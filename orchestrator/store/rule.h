/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Policies of the installation (rules here, since a profile's decision is called policy in issue/), and violations of
 * them.  What types there are, and what their configurations look like, issue/rule.h knows.
 */
#ifndef ORCHESTRATOR_STORE_RULE_H
#define ORCHESTRATOR_STORE_RULE_H

#include "orchestrator/store/audit.h"

typedef struct {
    const char *id, *name, *type;
    const char *config;   /* JSON */
    const char *severity; /* "Warning", "Error", "Critical" */
    bool        enabled;
} rule_row_t;

extern const char *const rule_severities[];

pki_code_t rule_list(db_t *db, pki_arena_t *a, rule_row_t **out, size_t *count, pki_err_t *err);

/* CONFLICT when id or name is taken; PRECONDITION when version (NULL: any) is not the row's. */
pki_code_t rule_insert(db_t *db, const rule_row_t *in, const audit_t *audit, pki_err_t *err);
pki_code_t rule_update(db_t *db, const rule_row_t *in, const char *version, const audit_t *audit, pki_err_t *err);
/* with its violations */
pki_code_t rule_delete(db_t *db, const char *id, const char *version, const audit_t *audit, pki_err_t *err);

/* What a certificate about to be would have violated.  list: JSON, objects of policy_id and message. */
typedef struct {
    const char *list;
    const char *certificate_id; /* NULL: it would have been new */
    const char *actor;
    bool        refused;
} violation_t;
pki_code_t violation_add(db_t *db, const violation_t *in, pki_err_t *err);

/* Inside of another verb's transaction; without a list there is nothing to do. */
pki_code_t violation_write(db_conn_t *c, const violation_t *in, pki_err_t *err);

#endif
