/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What issuance needs of the configuration in PostgreSQL, read once and parsed once: issuers with their CA
 * certificates, profiles as policies, rules, EST labels and credentials.  Immutable; shared by reference.
 */
#ifndef ORCHESTRATOR_ISSUE_SNAPSHOT_H
#define ORCHESTRATOR_ISSUE_SNAPSHOT_H

#include "orchestrator/edge/edge.h"
#include "orchestrator/issue/policy.h"
#include "orchestrator/issue/rule.h"
#include "orchestrator/store/est.h"
#include "orchestrator/store/issuer.h"

typedef struct {
    bool                enabled;
    const issuer_ops_t *ops;
    issuer_ca_t         ca;
    bool                revoked;   /* the CA certificate itself */
    bool                cert_hash; /* statuses have the certificate's hash */
    const char         *ocsp_url, *ca_issuers_url, *crl_base;
} snapshot_issuer_t;

typedef struct {
    const est_label_row_t   *row;
    const policy_t          *policy;
    const snapshot_issuer_t *issuer;
} snapshot_label_t;

typedef struct snapshot snapshot_t;

typedef struct snapshot_cache snapshot_cache_t;
pki_code_t snapshot_cache_open(const conf_t *conf, db_t *db, edge_t *edge, snapshot_cache_t **out, pki_err_t *err);
void       snapshot_cache_close(snapshot_cache_t *cache);

/* The present one: read anew when the configuration has changed since.  Give it back with snapshot_put(). */
pki_code_t snapshot_get(snapshot_cache_t *cache, snapshot_t **out, pki_err_t *err);
void       snapshot_put(snapshot_t *s); /* accepts NULL */

/* NULL: there is none, or it cannot be used. */
const snapshot_issuer_t    *snapshot_issuer(const snapshot_t *s, const char *id);
const snapshot_issuer_t    *snapshot_issuer_no(const snapshot_t *s, uint32_t no);
/* By its CA, also of an old generation. */
const snapshot_issuer_t    *snapshot_issuer_named(const snapshot_t *s, bytes_t subject, bytes_t key_id);
const policy_t             *snapshot_policy(const snapshot_t *s, const char *profile_id);
const snapshot_label_t     *snapshot_label(const snapshot_t *s, const char *name);
/* The rules that are enabled: 0 is what most have. */
size_t                      snapshot_rules(const snapshot_t *s, const rule_t **out);
int64_t                     snapshot_window_days(const snapshot_t *s, const char *renewal_policy_id); /* 0: there is none */
const est_credential_row_t *snapshot_credential(const snapshot_t *s, const char *label, const char *user);

#endif
