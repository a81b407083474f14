/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Certificate profiles.
 */
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/profile.h"

#define EXEMPT_VALIDITY_MAX_S 3600 /* so short that no revocation would be heard of in time */

const shape_t shape_profile = SHAPE("ProfileInput", profile_row_t, profile_fields);

/* What the field table cannot say. */
static void
profile_check(req_t *r, const profile_row_t *row)
{
    const struct {
        const char       *field, *kind;
        const str_list_t *patterns;
    } rows[] = { { "dns_patterns", "dns", &row->dns_patterns },
                 { "ip_patterns", "ip", &row->ip_patterns },
                 { "email_patterns", "email", &row->email_patterns },
                 { "uri_patterns", "uri", &row->uri_patterns } };

    check_name(r, row->name);
    if (row->revocation_exempt && row->validity_s > EXEMPT_VALIDITY_MAX_S) {
        check_problem(r, "revocation_exempt", "is for lifetimes of at most %d seconds", EXEMPT_VALIDITY_MAX_S);
    }
    if (row->must_staple && row->revocation_exempt) {
        check_problem(r, "must_staple", "needs OCSP, which certificates that are exempt do not have");
    }
    if (row->key_kinds.count == 0) {
        check_problem(r, "key_kinds", "must name at least one kind of key");
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool accepted = false;

        for (size_t k = 0; k < row->name_kinds.count; k++) {
            accepted = accepted || strcmp(row->name_kinds.v[k], rows[i].kind) == 0;
        }
        if (rows[i].patterns->count > 0 && !accepted) {
            check_problem(r, rows[i].field, "has patterns, but name_kinds does not have %s", rows[i].kind);
        }
    }
}

pki_code_t
profile_create(req_t *r, pki_err_t *err)
{
    profile_row_t *row = r->in;
    audit_t        audit;

    profile_check(r, row);
    row->id = id_choose(r, "prof", row->id, row->name);
    PKI_TRY(check_done(r, err));
    audit = audit_of(r, 201);
    PKI_TRY(profile_insert(r->api->parts.db, row, &audit, err));
    audit_kept(r, &audit);
    PKI_TRY(edge_follow(r, err));
    return row_answer(r, row->id, err);
}

pki_code_t
profile_replace(req_t *r, pki_err_t *err)
{
    profile_row_t *row = r->in;
    audit_t        audit = audit_of(r, 200);

    profile_check(r, row);
    PKI_TRY(check_same_id(r, row->id, err));
    row->id = r->param[0];
    PKI_TRY(profile_update(r->api->parts.db, row, r->if_match, &audit, err));
    audit_kept(r, &audit);
    PKI_TRY(edge_follow(r, err));
    return row_answer(r, row->id, err);
}

pki_code_t
profile_remove(req_t *r, pki_err_t *err)
{
    audit_t audit = audit_of(r, 204);

    PKI_TRY(profile_delete(r->api->parts.db, r->param[0], &audit, err));
    audit_kept(r, &audit);
    return edge_follow(r, err);
}
