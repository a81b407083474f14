/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Handlers and the shapes of their bodies, for routes.inc.  One file per noun holds them.
 */
#ifndef ORCHESTRATOR_API_HANDLERS_H
#define ORCHESTRATOR_API_HANDLERS_H

#include "orchestrator/api/request.h"
#include "orchestrator/issue/issue.h"
#include "orchestrator/issuer/issuer.h"
#include "orchestrator/store/cert.h"
#include "orchestrator/store/issuer.h"

/* A string with bounds of its own. */
#define FIELD_TEXT(s, m, fl, lo, hi, text) { .name = #m, .type = FIELD_T_STR, .offset = FIELD_CHECK_(s, m, const char *), .flags = (fl), .min = (lo), .max = (hi), .help = (text) }

/* lists.c: every list and every single row, from the resource descriptors of store/list.h */
pki_code_t list_serve(req_t *r, pki_err_t *err);
pki_code_t row_serve(req_t *r, pki_err_t *err);
pki_code_t filters_check(req_t *r, const list_resource_t *resource, pki_err_t *err); /* names each wrong value */

/* row_serve() for many calls of one route: those with codes[i] PKI_OK, which get a code of their own. */
void rows_serve(req_t *const *r, size_t count, pki_code_t *codes, pki_err_t *errs);

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
pki_code_t issuer_update(req_t *r, pki_err_t *err);
pki_code_t issuer_retire(req_t *r, pki_err_t *err);
pki_code_t issuer_test(req_t *r, pki_err_t *err);
pki_code_t issuer_chain_get(req_t *r, pki_err_t *err);
extern const shape_t shape_issuer_new, shape_issuer_update, shape_chain_query;
extern const shape_t shape_nothing; /* a body without members */

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

/* The newest version of a certificate and what is above it, of the generation that signed it. */
typedef struct {
    version_row_t version;
    cert_list_t   list; /* itself, the CAs, the root */
} chain_t;
pki_code_t chain_newest(req_t *r, const char *managed_id, chain_t *out, pki_err_t *err);
pki_code_t chain_of(req_t *r, const version_row_t *version, chain_t *out, pki_err_t *err);

/* How many of the list go with it where the root does not: all, when there is nothing but a root above it. */
size_t chain_sent(const chain_t *chain);

/* The query of every download. */
typedef struct {
    const char *format; /* "pem", "der"; NULL: as Accept asks */
} format_query_t;

/* jobs.c */
pki_code_t certificates_bulk_revoke(req_t *r, pki_err_t *err);
pki_code_t certificates_bulk_renew(req_t *r, pki_err_t *err);
pki_code_t est_bulk_revoke(req_t *r, pki_err_t *err);
pki_code_t certificate_renew(req_t *r, pki_err_t *err);
pki_code_t job_cancel_serve(req_t *r, pki_err_t *err);
extern const shape_t shape_bulk_revoke, shape_bulk_renew, shape_bulk_revoked, shape_bulk_renewed, shape_renew,
    shape_renew_query, shape_job_cancel;

/* import.c */
pki_code_t certificates_import(req_t *r, pki_err_t *err);
extern const shape_t shape_import, shape_imported;

/* stats.c */
pki_code_t stats_summary(req_t *r, pki_err_t *err);
pki_code_t stats_by_status(req_t *r, pki_err_t *err);
pki_code_t stats_timeline(req_t *r, pki_err_t *err);
pki_code_t stats_job_trends(req_t *r, pki_err_t *err);
pki_code_t stats_issuance(req_t *r, pki_err_t *err);
pki_code_t report_expiry(req_t *r, pki_err_t *err);
pki_code_t report_risk(req_t *r, pki_err_t *err);
pki_code_t report_compliance(req_t *r, pki_err_t *err);
pki_code_t metrics_json_get(req_t *r, pki_err_t *err);
void       job_metrics_print(req_t *r, pki_buf_t *out);
extern const shape_t shape_days, shape_summary, shape_by_status, shape_timeline, shape_job_trends, shape_issuance,
    shape_expiry, shape_risk, shape_compliance, shape_metrics_json;

/* managed.c */
pki_code_t certificate_replace(req_t *r, pki_err_t *err);
pki_code_t certificate_archive(req_t *r, pki_err_t *err);
pki_code_t certificates_reassign(req_t *r, pki_err_t *err);
extern const shape_t shape_certificate_change, shape_reassign, shape_reassigned;

/* No control characters; NULL passes. */
void check_text(req_t *r, const char *field, const char *text);

/* What is said of a certificate names things that exist; otherwise problems of the fields of those names. */
pki_code_t check_meta(req_t *r, const issue_meta_t *meta, pki_err_t *err);

/* exports.c */
pki_code_t export_pem(req_t *r, pki_err_t *err);
pki_code_t export_p7b(req_t *r, pki_err_t *err);
pki_code_t export_pkcs12(req_t *r, pki_err_t *err);
extern const shape_t shape_export_query, shape_export_pem, shape_export_p7b_query, shape_export_pkcs12;

/* teams.c */
pki_code_t team_create(req_t *r, pki_err_t *err);
pki_code_t team_replace(req_t *r, pki_err_t *err);
pki_code_t team_remove(req_t *r, pki_err_t *err);
pki_code_t owner_create(req_t *r, pki_err_t *err);
pki_code_t owner_replace(req_t *r, pki_err_t *err);
pki_code_t owner_remove(req_t *r, pki_err_t *err);
extern const shape_t shape_team, shape_owner;

/* renewal_policies.c */
pki_code_t renewal_policy_create(req_t *r, pki_err_t *err);
pki_code_t renewal_policy_replace(req_t *r, pki_err_t *err);
pki_code_t renewal_policy_remove(req_t *r, pki_err_t *err);
extern const shape_t shape_renewal_policy;

/* policies.c */
pki_code_t policy_create(req_t *r, pki_err_t *err);
pki_code_t policy_replace(req_t *r, pki_err_t *err);
pki_code_t policy_remove(req_t *r, pki_err_t *err);
extern const shape_t shape_policy;

/* est_labels.c */
pki_code_t est_label_create(req_t *r, pki_err_t *err);
pki_code_t est_label_replace(req_t *r, pki_err_t *err);
pki_code_t est_label_remove(req_t *r, pki_err_t *err);
pki_code_t est_credential_create(req_t *r, pki_err_t *err);
pki_code_t est_credential_remove(req_t *r, pki_err_t *err);
extern const shape_t shape_est_label, shape_est_credential_new, shape_est_credential;

/* api_keys.c */
pki_code_t api_key_create(req_t *r, pki_err_t *err);
pki_code_t api_key_replace(req_t *r, pki_err_t *err);
pki_code_t api_key_renew(req_t *r, pki_err_t *err);
pki_code_t api_key_remove(req_t *r, pki_err_t *err);
extern const shape_t shape_api_key_new, shape_api_key_change, shape_api_key_rotate, shape_api_key;

/* Of everything that may end. */
void check_end(req_t *r, int64_t expires_at);

#define ALLOWED_NAMES_HELP "names that it may ask certificates for: patterns, * being any run of characters; empty: any"

/* scope_down.c */
pki_code_t scope_down_get(req_t *r, pki_err_t *err);
pki_code_t scope_down_apply(req_t *r, pki_err_t *err);
extern const shape_t shape_scope_down_input, shape_scope_down;

/* grants.c */
pki_code_t grant_create(req_t *r, pki_err_t *err);
pki_code_t grant_remove(req_t *r, pki_err_t *err);
extern const shape_t shape_grant_new, shape_grant_query, shape_grant;

/* roles.c */
pki_code_t permission_list(req_t *r, pki_err_t *err);
pki_code_t role_create(req_t *r, pki_err_t *err);
pki_code_t role_replace(req_t *r, pki_err_t *err);
pki_code_t role_remove(req_t *r, pki_err_t *err);
pki_code_t role_permissions_add(req_t *r, pki_err_t *err);
pki_code_t role_permission_remove(req_t *r, pki_err_t *err);
extern const shape_t shape_role, shape_role_permissions, shape_permissions;

/* accounts.c */
pki_code_t account_create(req_t *r, pki_err_t *err);
pki_code_t account_replace(req_t *r, pki_err_t *err);
pki_code_t account_remove(req_t *r, pki_err_t *err);
pki_code_t account_release(req_t *r, pki_err_t *err);
pki_code_t certificate_identity_create(req_t *r, pki_err_t *err);
pki_code_t certificate_identity_remove(req_t *r, pki_err_t *err);
extern const shape_t shape_account_new, shape_account_change, shape_certificate_identity;

/* sessions.c */
pki_code_t session_create(req_t *r, pki_err_t *err);
pki_code_t session_end(req_t *r, pki_err_t *err);
pki_code_t session_list(req_t *r, pki_err_t *err);
pki_code_t session_remove(req_t *r, pki_err_t *err);
pki_code_t session_remove_others(req_t *r, pki_err_t *err);
extern const shape_t shape_login, shape_logged_in, shape_empty; /* empty: a POST that says nothing */

/* whoami.c */
pki_code_t auth_info_get(req_t *r, pki_err_t *err);
pki_code_t auth_check_get(req_t *r, pki_err_t *err);
pki_code_t me_get(req_t *r, pki_err_t *err);
extern const shape_t shape_auth_info, shape_auth_check, shape_me;

/* bootstrap.c */
pki_code_t bootstrap_get(req_t *r, pki_err_t *err);
pki_code_t bootstrap_create(req_t *r, pki_err_t *err);
extern const shape_t shape_bootstrap_state, shape_bootstrap_claim, shape_bootstrap_made;

/* events.c */
pki_code_t events_stream(req_t *r, pki_err_t *err);
extern const shape_t shape_events_query;

/* audit.c */
pki_code_t audit_list(req_t *r, pki_err_t *err);
pki_code_t audit_read(req_t *r, pki_err_t *err);
pki_code_t audit_head_get(req_t *r, pki_err_t *err);
pki_code_t audit_proof_get(req_t *r, pki_err_t *err);
pki_code_t audit_consistency_get(req_t *r, pki_err_t *err);
pki_code_t audit_key_get(req_t *r, pki_err_t *err);
extern const shape_t shape_audit_head, shape_audit_proof, shape_audit_consistency, shape_audit_sizes;

/* audit_export.c */
pki_code_t audit_export(req_t *r, pki_err_t *err);
extern const shape_t shape_audit_export;

/* crls.c */
pki_code_t crl_cache_get(req_t *r, pki_err_t *err);
pki_code_t crl_metrics_print(req_t *r, pki_buf_t *out, pki_err_t *err);
extern const shape_t shape_crl_cache;

/* hop.c, of the one route without a handler */
extern const shape_t shape_enrol_request, shape_enrol_answer;

#endif
