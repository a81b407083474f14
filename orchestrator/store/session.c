/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rows of sessions.
 */
#include "orchestrator/store/session.h"

#include "orchestrator/store/verb.h"

pki_code_t
session_insert(db_t *db, const session_row_t *in, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(in->id), DB_B(in->digest), DB_T(in->actor_id), DB_T(in->source),
                                     DB_T(in->user_agent), DB_I(in->lifetime_s) };
    const verb_change_t v = { .q = Q_session_insert, .params = params, .count = 6, .what = "session", .id = in->id,
                              .audit = audit };

    return verb_change(db, &v, err);
}

pki_code_t
session_touch(db_t *db, const char *id, pki_err_t *err)
{
    return verb_read(db, NULL, Q_session_touch, DB_PARAMS(DB_T(id)), NULL, err);
}

pki_code_t
session_revoke(db_t *db, const char *id, const char *actor_id, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(id), DB_T(actor_id) };
    const verb_change_t v = {
        .q = Q_session_revoke, .params = params, .count = 2, .what = "live session", .id = id, .none = PKI_E_NOT_FOUND,
        .audit = audit,
    };

    return verb_change(db, &v, err);
}

pki_code_t
sessions_end(db_conn_t *c, const char *actor_id, const char *but, pki_err_t *err)
{
    return db_query(c, NULL, Q_session_revoke_all, DB_PARAMS(DB_T(actor_id), DB_T(but)), NULL, err);
}

pki_code_t
session_revoke_all(db_t *db, const char *actor_id, const char *but, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(actor_id), DB_T(but) };
    const verb_change_t v = { .q = Q_session_revoke_all, .params = params, .count = 2, .what = "sessions of", .id = actor_id,
                              .audit = audit };

    return verb_change(db, &v, err);
}

pki_code_t
session_prune(db_t *db, int64_t idle_s, pki_err_t *err)
{
    return verb_read(db, NULL, Q_session_prune, DB_PARAMS(DB_I(idle_s)), NULL, err);
}
