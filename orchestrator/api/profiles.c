/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Certificate profiles.
 */
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/profile.h"

const shape_t shape_profile = SHAPE("ProfileInput", profile_row_t, profile_fields);

pki_code_t
profile_create(req_t *r, pki_err_t *err)
{
    profile_row_t *row = r->in;
    audit_t        audit;

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

    PKI_TRY(check_same_id(r, row->id, err));
    row->id = r->param[0];
    PKI_TRY(profile_update(r->api->parts.db, row, &audit, err));
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
