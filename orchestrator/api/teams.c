/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Teams and owners: who answers for certificates.
 */
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/team.h"

#define EMAIL_MAX 254 /* RFC 5321 4.5.3.1.3 */

const shape_t shape_team = SHAPE("TeamInput", team_row_t, team_fields);
const shape_t shape_owner = SHAPE("OwnerInput", owner_row_t, owner_fields);

pki_code_t
team_create(req_t *r, pki_err_t *err)
{
    team_row_t *row = r->in;
    audit_t     audit;

    check_name(r, row->name);
    row->id = id_choose(r, "team", row->id, row->name);
    PKI_TRY(check_done(r, err));
    audit = audit_of(r, 201);
    PKI_TRY(team_insert(r->api->parts.db, row, &audit, err));
    audit_kept(r, &audit);
    return row_answer(r, row->id, err);
}

pki_code_t
team_replace(req_t *r, pki_err_t *err)
{
    team_row_t *row = r->in;
    audit_t     audit = audit_of(r, 200);

    check_name(r, row->name);
    PKI_TRY(check_same_id(r, row->id, err));
    row->id = r->param[0];
    PKI_TRY(team_update(r->api->parts.db, row, r->if_match, &audit, err));
    audit_kept(r, &audit);
    return row_answer(r, row->id, err);
}

pki_code_t
team_remove(req_t *r, pki_err_t *err)
{
    audit_t audit = audit_of(r, 204);

    PKI_TRY(team_delete(r->api->parts.db, r->param[0], r->if_match, &audit, err));
    audit_kept(r, &audit);
    return PKI_OK;
}

/* Something before the last @, something after it, nothing that a header of a mail would break at. */
static void
email_check(req_t *r, const char *email)
{
    const char *at = email != NULL ? strrchr(email, '@') : NULL;

    if (email == NULL) {
        return;
    }
    if (at == NULL || at == email || at[1] == '\0' || strlen(email) > EMAIL_MAX || strpbrk(email, " \t\r\n,;<>") != NULL) {
        check_problem(r, "email", "is not a mail address");
    }
}

static pki_code_t
owner_check(req_t *r, const owner_row_t *row, pki_err_t *err)
{
    team_row_t team;

    check_name(r, row->name);
    email_check(r, row->email);
    if (row->team_id != NULL) {
        PKI_TRY(check_found(r, "team_id", team_find(r->api->parts.db, r->a, row->team_id, &team, err), err));
    }
    return PKI_OK;
}

pki_code_t
owner_create(req_t *r, pki_err_t *err)
{
    owner_row_t *row = r->in;
    audit_t      audit;

    PKI_TRY(owner_check(r, row, err));
    row->id = id_choose(r, "owner", row->id, row->name);
    PKI_TRY(check_done(r, err));
    PKI_TRY(reach_check(r, &(scope_of_t){ { [SCOPE_TEAM] = row->team_id } }, err));
    audit = audit_of(r, 201);
    PKI_TRY(owner_insert(r->api->parts.db, row, &audit, err));
    audit_kept(r, &audit);
    return row_answer(r, row->id, err);
}

pki_code_t
owner_replace(req_t *r, pki_err_t *err)
{
    owner_row_t *row = r->in;
    audit_t      audit = audit_of(r, 200);

    PKI_TRY(owner_check(r, row, err));
    PKI_TRY(check_same_id(r, row->id, err));
    row->id = r->param[0];
    PKI_TRY(owner_update(r->api->parts.db, row, r->if_match, &audit, err));
    audit_kept(r, &audit);
    return row_answer(r, row->id, err);
}

pki_code_t
owner_remove(req_t *r, pki_err_t *err)
{
    audit_t audit = audit_of(r, 204);

    PKI_TRY(owner_delete(r->api->parts.db, r->param[0], r->if_match, &audit, err));
    audit_kept(r, &audit);
    return PKI_OK;
}
