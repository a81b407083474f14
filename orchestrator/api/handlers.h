/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Handlers and the shapes of their bodies, for routes.inc.  One file per noun holds them.
 */
#ifndef ORCHESTRATOR_API_HANDLERS_H
#define ORCHESTRATOR_API_HANDLERS_H

#include "orchestrator/api/request.h"
#include "orchestrator/issuer/issuer.h"
#include "orchestrator/store/issuer.h"

/* A string with bounds of its own. */
#define FIELD_TEXT(s, m, fl, lo, hi, text) { .name = #m, .type = FIELD_T_STR, .offset = FIELD_CHECK_(s, m, const char *), .flags = (fl), .min = (lo), .max = (hi), .help = (text) }

/* lists.c: every list and every single row, from the resource descriptors of store/list.h */
pki_code_t list_serve(req_t *r, pki_err_t *err);
pki_code_t row_serve(req_t *r, pki_err_t *err);
extern const shape_t shape_list_query, shape_row_query; /* of every list; of every row that row_serve() answers with */

/* What the query of a route looks like, beside a list's filters; NULL: there is none. */
const shape_t *route_query(const route_t *route);

/* The row of the route's resource as it is now: what a change answers with. */
pki_code_t row_answer(req_t *r, const char *id, pki_err_t *err);

/* After a change of issuers, profiles, labels or credentials: this host's edge has it before the answer. */
pki_code_t edge_follow(req_t *r, pki_err_t *err);

/* Of things that people name: 1 to 200 octets, no control characters. */
void check_name(req_t *r, const char *name);

/* A replacement may repeat its id, and not change it. */
pki_code_t check_same_id(req_t *r, const char *given, pki_err_t *err);

/* NOT_FOUND becomes a problem of the field; other errors pass. */
pki_code_t check_found(req_t *r, const char *field, pki_code_t code, pki_err_t *err);

/* system.c */
pki_code_t health_get(req_t *r, pki_err_t *err);
pki_code_t ready_get(req_t *r, pki_err_t *err);
pki_code_t version_get(req_t *r, pki_err_t *err);
pki_code_t metrics_get(req_t *r, pki_err_t *err);
extern const shape_t shape_health, shape_ready, shape_version;

/* issuers.c */
pki_code_t issuer_create(req_t *r, pki_err_t *err);
pki_code_t issuer_chain_get(req_t *r, pki_err_t *err);
extern const shape_t shape_issuer_new, shape_chain_query;

/* The certificates of a chain as the database keeps them. */
pki_code_t issuer_chain_fill(req_t *r, const issuer_local_ca_t *ca, issuer_chain_t *out, pki_err_t *err);

/* generations.c */
pki_code_t issuer_rekey(req_t *r, pki_err_t *err);
pki_code_t issuer_revoke_ca(req_t *r, pki_err_t *err);
pki_code_t revocation_get(req_t *r, pki_err_t *err);
pki_code_t revocation_put(req_t *r, pki_err_t *err);
extern const shape_t shape_rekey, shape_ca_revoke, shape_revocation, shape_revocation_answer;

/* profiles.c */
pki_code_t profile_create(req_t *r, pki_err_t *err);
pki_code_t profile_replace(req_t *r, pki_err_t *err);
pki_code_t profile_remove(req_t *r, pki_err_t *err);
extern const shape_t shape_profile;

/* certificates.c */
pki_code_t certificate_create(req_t *r, pki_err_t *err);
pki_code_t certificate_version_get(req_t *r, pki_err_t *err);
pki_code_t certificate_download(req_t *r, pki_err_t *err);
pki_code_t certificate_revoke(req_t *r, pki_err_t *err);
pki_code_t certificate_release(req_t *r, pki_err_t *err);
extern const shape_t shape_certificate_new, shape_certificate_issued, shape_revoke, shape_release, shape_revoked, shape_format;

/* The query of every download. */
typedef struct {
    const char *format; /* "pem", "der"; NULL: as Accept asks */
} format_query_t;

/* est_labels.c */
pki_code_t est_label_create(req_t *r, pki_err_t *err);
pki_code_t est_label_replace(req_t *r, pki_err_t *err);
pki_code_t est_label_remove(req_t *r, pki_err_t *err);
pki_code_t est_credential_create(req_t *r, pki_err_t *err);
pki_code_t est_credential_remove(req_t *r, pki_err_t *err);
extern const shape_t shape_est_label, shape_est_credential_new, shape_est_credential;

/* api_keys.c */
pki_code_t api_key_create(req_t *r, pki_err_t *err);
pki_code_t api_key_remove(req_t *r, pki_err_t *err);
extern const shape_t shape_api_key_new, shape_api_key;

/* audit.c */
pki_code_t audit_list(req_t *r, pki_err_t *err);

/* crls.c */
pki_code_t crl_cache_get(req_t *r, pki_err_t *err);
pki_code_t crl_metrics_print(req_t *r, pki_buf_t *out, pki_err_t *err);
extern const shape_t shape_crl_cache;

/* hop.c, of the one route without a handler */
extern const shape_t shape_enrol_request, shape_enrol_answer;

#endif
