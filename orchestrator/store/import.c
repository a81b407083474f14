/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Recording what others issued (see import.h).
 */
#include "orchestrator/store/import.h"

#include "orchestrator/store/verb.h"

#define IMPORT_WAIT_MS 30000

typedef struct {
    pki_arena_t         *a;
    import_t            *certs;
    size_t               count;
    const import_care_t *care;
    const audit_t       *call;
} run_t;

/* 0: none. */
static pki_code_t
number_find(db_conn_t *c, run_t *r, db_query_t q, const db_param_t *params, size_t count, const char *column, int64_t *out,
            pki_err_t *err)
{
    db_rows_t *rows;

    PKI_TRY(db_query(c, r->a, q, params, count, &rows, err));
    *out = db_row_count(rows) > 0 ? db_int(rows, 0, column) : 0;
    return PKI_OK;
}

/* One of ours when it says so, otherwise the external one, made when it is the first time. */
static pki_code_t
issuer_take(db_conn_t *c, run_t *r, const import_t *in, bool *is_local, int64_t *no, pki_err_t *err)
{
    const char *name = pki_printf(r->a, "%.150s (%s)", in->issuer, in->issuer_id + strlen("iss-"));

    PKI_TRY(number_find(c, r, Q_import_local_ca, DB_PARAMS(DB_T(in->issuer), DB_B(in->key_id)), "issuer_no", no, err));
    *is_local = *no != 0;
    if (*is_local) {
        return PKI_OK;
    }
    PKI_TRY(number_find(c, r, Q_import_issuer_find, DB_PARAMS(DB_T(in->issuer_id)), "no", no, err));
    if (*no == 0) {
        PKI_TRY(db_query(c, NULL, Q_import_issuer_insert,
                         DB_PARAMS(DB_T(in->issuer_id), DB_T(name), DB_T(in->issuer), DB_B(in->key_id)), NULL, err));
        PKI_TRY(number_find(c, r, Q_import_issuer_find, DB_PARAMS(DB_T(in->issuer_id)), "no", no, err));
    }
    return *no != 0 ? PKI_OK : pki_fail(err, PKI_E_CONFLICT, NULL, "the id %s is another issuer's", in->issuer_id);
}

static pki_code_t
known_judge(db_conn_t *c, run_t *r, import_t *in, bool is_local, int64_t issuer_no, pki_err_t *err)
{
    db_rows_t *rows;

    PKI_TRY(db_query(c, r->a, Q_import_known, DB_PARAMS(DB_I(issuer_no), DB_B(in->serial)), &rows, err));
    in->outcome = IMPORT_NEW;
    if (db_row_count(rows) > 0 && bytes_eq(db_bytes(rows, 0, "fingerprint"), in->fingerprint)) {
        in->outcome = IMPORT_KNOWN;
        in->id = db_text(rows, 0, "id");
    } else if (db_row_count(rows) > 0) {
        in->outcome = IMPORT_REFUSED;
        in->why = "another certificate of its issuer has its serial number";
    } else if (is_local) {
        in->outcome = IMPORT_REFUSED;
        in->why = "it names an issuer of ours, who did not issue it";
    }
    return PKI_OK;
}

static pki_code_t
cert_write(db_conn_t *c, run_t *r, const import_t *in, int64_t issuer_no, pki_err_t *err)
{
    const import_care_t *care = r->care;
    audit_t              audit = *r->call;
    int64_t              managed_no;

    PKI_TRY(number_find(c, r, Q_import_managed,
                        DB_PARAMS(DB_T(in->id), DB_T(in->name), DB_I(issuer_no), DB_T(in->common_name), DB_T(in->subject),
                                  DB_B(in->subject_der), DB_TS(&in->sans), DB_TM(in->not_after), DB_B(in->serial),
                                  DB_T(care->owner_id), DB_T(care->team_id), DB_T(care->environment), DB_T(care->tags),
                                  DB_T(care->renewal_policy_id)),
                        "no", &managed_no, err));
    PKI_TRY(db_query(c, NULL, Q_import_version,
                     DB_PARAMS(DB_I(issuer_no), DB_B(in->serial), DB_I(managed_no), DB_B(in->der), DB_B(in->spki_sha256),
                               DB_B(in->fingerprint), DB_TM(in->not_before), DB_TM(in->not_after),
                               DB_T(in->key_algorithm), DB_I(in->key_size), DB_T(in->weakness)),
                     NULL, err));
    audit.action = "certificate.import";
    audit.resource_type = "certificate";
    audit.resource_id = in->id;
    return audit_write(c, &audit, err);
}

static pki_code_t
import_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    run_t *r = arg;

    conn_patience(c, IMPORT_WAIT_MS);
    for (size_t i = 0; i < r->count; i++) {
        bool    is_local;
        int64_t issuer_no;

        if (r->certs[i].outcome == IMPORT_REFUSED) {
            continue;
        }
        PKI_TRY(issuer_take(c, r, &r->certs[i], &is_local, &issuer_no, err));
        PKI_TRY(known_judge(c, r, &r->certs[i], is_local, issuer_no, err));
        if (r->certs[i].outcome == IMPORT_NEW) {
            PKI_TRY(cert_write(c, r, &r->certs[i], issuer_no, err));
        }
    }
    return PKI_OK;
}

pki_code_t
import_record(db_t *db, pki_arena_t *a, import_t *certs, size_t count, const import_care_t *care, const audit_t *call,
              pki_err_t *err)
{
    run_t r = { a, certs, count, care, call };

    return db_tx(db, import_run, &r, err);
}
