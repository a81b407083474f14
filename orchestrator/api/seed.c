/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Issuers out of a file, for an installation that is described by files: what is there already is left alone.
 */
#include "orchestrator/api/chores.h"
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/issuer_make.h"

/* The connector's part of a body, into plan->conf. */
static pki_code_t
config_decode(pki_arena_t *a, const issuer_new_t *in, const json_t *config, issuer_plan_t *plan, pki_err_t *err)
{
    JSON_AUTO none = json_object();
    void     *conf;

    plan->ops = issuer_find(in->type);
    if (plan->ops == NULL) {
        return pki_fail(err, PKI_E_INVALID, NULL, "type: is not a known connector");
    }
    conf = pki_alloc(a, plan->ops->conf_size);
    if (conf == NULL || none == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    plan->conf = conf;
    plan->given = config;
    return fields_decode(a, plan->ops->conf_fields, config != NULL ? config : none, conf, NULL, err);
}

static pki_code_t
seed_issuer(const api_parts_t *parts, pki_arena_t *a, json_t *body, bool *made, pki_err_t *err)
{
    JSON_AUTO      config = json_incref(json_object_get(body, "config"));
    audit_t        audit = { .actor = "chanceryd", .actor_type = "system", .action = "issuer.create", .resource_type = "issuer",
                             .status = 201 };
    issuer_plan_t  plan = { .source = "file" };
    issuer_new_t   in;
    issuer_chain_t there;
    pki_code_t     code;

    (void) json_object_del(body, "config");
    PKI_TRY(fields_decode(a, shape_issuer_new.fields, body, &in, NULL, err));
    if (in.id == NULL || strncmp(in.id, "iss-", 4) != 0) {
        return pki_fail(err, PKI_E_INVALID, NULL, "id: must be given, as iss-NAME");
    }
    PKI_TRY(config_decode(a, &in, config, &plan, err));
    code = issuer_row_find(parts->db, a, in.id, &there, err);
    if (code != PKI_E_NOT_FOUND) {
        return code;
    }
    plan.id = audit.resource_id = in.id;
    plan.name = in.name;
    PKI_TRY(issuer_make(parts, a, &plan, &audit, err));
    *made = true;
    return PKI_OK;
}

pki_code_t
seed_apply(const api_parts_t *parts, pki_arena_t *a, bytes_t text, size_t *made, pki_err_t *err)
{
    JSON_AUTO  list = NULL;
    json_t    *body;
    size_t     i;
    pki_code_t code = PKI_OK;

    PKI_TRY(json_parse(text, &list, err));
    if (!json_is_array(list)) {
        return pki_fail(err, PKI_E_INVALID, NULL, "the seed file is not a list of issuers");
    }
    json_array_foreach(list, i, body) {
        bool fresh = false;

        code = seed_issuer(parts, a, body, &fresh, err);
        *made += fresh;
        if (code != PKI_OK) {
            code = pki_err_context(err, "issuer %zu of the seed file", i + 1);
            break;
        }
    }
    if (*made > 0) {
        PKI_TRY(edge_reconfigure(parts->edge, err));
    }
    return code;
}
