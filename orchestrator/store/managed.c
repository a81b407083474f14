/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What operators do to managed certificates: each a transaction with its audit row.
 */
#include "orchestrator/store/managed.h"

#include "orchestrator/store/rule.h"
#include "orchestrator/store/search.h"
#include "orchestrator/store/verb.h"

#define REASSIGN_WAIT_MS 60000 /* a filter may fit a million */

typedef struct {
    const managed_change_t *in;
    const verb_change_t    *v;
} update_t;

static pki_code_t
update_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    const update_t   *x = arg;
    const violation_t violation = { .list = x->in->violations, .certificate_id = x->in->id, .actor = x->v->audit->actor };

    PKI_TRY(verb_apply(c, x->v, err));
    PKI_TRY(search_update(c, x->in->id, err));
    PKI_TRY(violation_write(c, &violation, err));
    return audit_write(c, x->v->audit, err);
}

pki_code_t
managed_update(db_t *db, const managed_change_t *in, const char *version, const audit_t *audit, pki_err_t *err)
{
    const db_param_t params[] = { DB_T(in->id),          DB_T(in->name),        DB_T(in->owner_id),
                                  DB_T(in->team_id),     DB_T(in->environment), DB_T(in->renewal_policy_id),
                                  DB_T(in->tags) };
    const verb_change_t v = {
        .q = Q_managed_update, .params = params, .count = sizeof(params) / sizeof(params[0]), .what = "certificate",
        .id = in->id, .none = PKI_E_NOT_FOUND, .table = "managed_certificate", .version = version, .audit = audit,
    };
    update_t x = { in, &v };

    return db_tx(db, update_run, &x, err);
}

pki_code_t
managed_archive(db_t *db, const char *id, const char *version, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(id) };
    const verb_change_t v = {
        .q = Q_managed_archive, .params = params, .count = 1, .what = "certificate that is not archived:", .id = id,
        .none = PKI_E_CONFLICT, .table = "managed_certificate", .version = version, .audit = audit,
    };

    return verb_change(db, &v, err);
}

typedef struct {
    pki_arena_t      *a;
    const reassign_t *in;
    const audit_t    *audit;
    reassigned_t     *out;
} reassign_run_t;

static pki_code_t
reassign_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    reassign_run_t   *x = arg;
    const reassign_t *in = x->in;
    const scope_t    *s = in->scope;
    audit_t           audit = *x->audit;
    db_rows_t        *rows;

    conn_patience(c, REASSIGN_WAIT_MS);
    PKI_TRY(db_query(c, x->a, Q_managed_reassign,
                     DB_PARAMS(DB_T(in->owner_id), DB_T(in->team_id), in->ids != NULL ? DB_TS(in->ids) : DB_T(NULL),
                               DB_T(in->profile_id), DB_T(in->issuer_id), DB_T(in->from_owner_id),
                               DB_T(in->from_team_id), DB_T(in->environment), DB_F(s->all), DB_TS(&s->ids[SCOPE_ISSUER]),
                               DB_TS(&s->ids[SCOPE_PROFILE]), DB_TS(&s->ids[SCOPE_TEAM]), DB_TS(&s->ids[SCOPE_OWNER])),
                     &rows, err));
    *x->out = (reassigned_t){
        .matched = db_int(rows, 0, "matched"),
        .reassigned = db_int(rows, 0, "reassigned"),
        .skipped = db_int(rows, 0, "skipped"),
    };
    PKI_TRY(db_texts(rows, 0, "missing", x->a, &x->out->missing, err));
    audit.details = pki_printf(x->a, "{\"matched\": %lld, \"reassigned\": %lld}", (long long) x->out->matched,
                               (long long) x->out->reassigned);
    return audit_write(c, &audit, err);
}

pki_code_t
managed_reassign(db_t *db, pki_arena_t *a, const reassign_t *in, const audit_t *audit, reassigned_t *out, pki_err_t *err)
{
    reassign_run_t x = { a, in, audit, out };

    return db_tx(db, reassign_run, &x, err);
}
