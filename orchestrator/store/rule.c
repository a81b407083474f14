/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rows of the installation's policies and of their violations.
 */
#include "orchestrator/store/rule.h"

#include "orchestrator/store/verb.h"

const char *const rule_severities[] = { "Warning", "Error", "Critical", NULL };

static pki_code_t
rule_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    (void) a;
    (void) err;
    *(rule_row_t *) out = (rule_row_t){
        .id = db_text(r, row, "id"),
        .name = db_text(r, row, "name"),
        .type = db_text(r, row, "type"),
        .config = db_text(r, row, "config"),
        .severity = db_text(r, row, "severity"),
        .enabled = db_bool(r, row, "enabled"),
    };
    return PKI_OK;
}

pki_code_t
rule_list(db_t *db, pki_arena_t *a, rule_row_t **out, size_t *count, pki_err_t *err)
{
    return verb_list(db, a, Q_rule_list, NULL, 0, rule_read, sizeof(**out), (void **) out, count, err);
}

static pki_code_t
rule_write(db_t *db, db_query_t q, const rule_row_t *p, const char *version, const audit_t *audit, pki_err_t *err)
{
    const db_param_t params[] = { DB_T(p->id),     DB_T(p->name),     DB_T(p->type),
                                  DB_T(p->config), DB_T(p->severity), DB_F(p->enabled) };
    const verb_change_t v = {
        .q = q, .params = params, .count = sizeof(params) / sizeof(params[0]), .what = "policy", .id = p->id,
        .none = PKI_E_NOT_FOUND, .announce = true, .table = "policy", .version = version, .audit = audit,
    };

    return verb_change(db, &v, err);
}

pki_code_t
rule_insert(db_t *db, const rule_row_t *in, const audit_t *audit, pki_err_t *err)
{
    return rule_write(db, Q_rule_insert, in, NULL, audit, err);
}

pki_code_t
rule_update(db_t *db, const rule_row_t *in, const char *version, const audit_t *audit, pki_err_t *err)
{
    return rule_write(db, Q_rule_update, in, version, audit, err);
}

pki_code_t
rule_delete(db_t *db, const char *id, const char *version, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(id) };
    const verb_change_t v = {
        .q = Q_rule_delete, .params = params, .count = 1, .what = "policy", .id = id, .none = PKI_E_NOT_FOUND,
        .announce = true, .table = "policy", .version = version, .audit = audit,
    };

    return verb_change(db, &v, err);
}

pki_code_t
violation_write(db_conn_t *c, const violation_t *in, pki_err_t *err)
{
    if (in->list == NULL) {
        return PKI_OK;
    }
    return db_query(c, NULL, Q_violation_insert,
                    DB_PARAMS(DB_T(in->list), DB_T(in->certificate_id), DB_F(in->refused), DB_T(in->actor)), NULL, err);
}

static pki_code_t
violation_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    return violation_write(c, arg, err);
}

pki_code_t
violation_add(db_t *db, const violation_t *in, pki_err_t *err)
{
    return db_run(db, violation_run, (void *) in, err);
}
