/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Policies of the installation: rules that every certificate is held against.  The field table of the type is the shape
 * of the body's config.
 */
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"
#include "orchestrator/issue/rule.h"

/* clang-format off */
static const field_t policy_fields[] = {
    FIELD_STR (rule_row_t, id,       0,          NULL,                  "identifier, pol-...; made from the name when absent"),
    FIELD_STR (rule_row_t, name,     F_REQUIRED, NULL,                  "unique name"),
    FIELD_ENUM(rule_row_t, type,     F_REQUIRED, NULL, rule_type_names, "what it looks at; config is of this type"),
    FIELD_ENUM(rule_row_t, severity, 0, "Error", rule_severities,       "Warning: what violates it is written down; Error and Critical: it is refused, too"),
    FIELD_BOOL(rule_row_t, enabled,  0, "true",                         "whether certificates are held against it"),
    FIELD_END };
/* clang-format on */

static bool
config_at(size_t i, shape_t *out)
{
    const rule_type_t *type = rule_type_at(i);

    if (type != NULL) {
        *out = (shape_t){ .name = rule_type_name(type), .fields = rule_type_fields(type), .size = sizeof(rule_conf_t) };
    }
    return type != NULL;
}

static bool
config_open(const void *in, shape_t *out)
{
    const rule_row_t  *row = in;
    const rule_type_t *type = row->type != NULL ? rule_type_find(row->type) : NULL;

    if (type == NULL) {
        return false;
    }
    *out = (shape_t){ .name = row->type, .fields = rule_type_fields(type), .size = sizeof(rule_conf_t) };
    return true;
}

const shape_t shape_policy = { .name = "PolicyInput", .fields = policy_fields, .size = sizeof(rule_row_t),
                               .open = "config", .open_shape = config_open, .open_at = config_at };

/* A type that has lists does nothing when all of them are empty. */
static void
config_check(req_t *r, const field_t *fields)
{
    size_t lists = 0, words = 0;

    for (const field_t *f = fields; f->type != FIELD_T_END; f++) {
        if (f->type == FIELD_T_STRS) {
            lists++;
            words += ((const str_list_t *) (const void *) ((const char *) r->open + f->offset))->count;
        }
    }
    if (lists > 0 && words == 0) {
        check_problem(r, "config", "must name at least one");
    }
}

static pki_code_t
policy_check(req_t *r, rule_row_t *row, pki_err_t *err)
{
    const field_t *fields = rule_type_fields(rule_type_find(row->type));

    check_name(r, row->name);
    config_check(r, fields);
    PKI_TRY(check_done(r, err));
    return fields_print(r->a, fields, NULL, r->open, &row->config, err);
}

pki_code_t
policy_create(req_t *r, pki_err_t *err)
{
    rule_row_t *row = r->in;
    audit_t     audit;

    row->id = id_choose(r, "pol", row->id, row->name);
    PKI_TRY(policy_check(r, row, err));
    audit = audit_of(r, 201);
    PKI_TRY(rule_insert(r->api->parts.db, row, &audit, err));
    audit_kept(r, &audit);
    PKI_TRY(edge_follow(r, err));
    return row_answer(r, row->id, err);
}

pki_code_t
policy_replace(req_t *r, pki_err_t *err)
{
    rule_row_t *row = r->in;
    audit_t     audit = audit_of(r, 200);

    PKI_TRY(check_same_id(r, row->id, err));
    row->id = r->param[0];
    PKI_TRY(policy_check(r, row, err));
    PKI_TRY(rule_update(r->api->parts.db, row, r->if_match, &audit, err));
    audit_kept(r, &audit);
    PKI_TRY(edge_follow(r, err));
    return row_answer(r, row->id, err);
}

pki_code_t
policy_remove(req_t *r, pki_err_t *err)
{
    audit_t audit = audit_of(r, 204);

    PKI_TRY(rule_delete(r->api->parts.db, r->param[0], r->if_match, &audit, err));
    audit_kept(r, &audit);
    return edge_follow(r, err);
}
