/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Managed certificates and their versions: the two statements of the issuance path, and look-ups.
 */
#include "orchestrator/store/cert.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "orchestrator/store/batch.h"
#include "orchestrator/store/rule.h"
#include "orchestrator/store/verb.h"
#include "pkiproto/base/ossl.h"
#include "pkiproto/base/text.h"

#define NAME_CN_MAX   64

/* A value of a batch's result, which belongs to the batch, for the caller that asked. */
static pki_code_t
bytes_keep(pki_arena_t *a, bytes_t in, bytes_t *out, pki_err_t *err)
{
    *out = BYTES_NONE;
    return in.p != NULL ? pki_bytes_dup(a, in, out, err) : PKI_OK;
}

static pki_code_t
text_keep(pki_arena_t *a, const char *in, const char **out, pki_err_t *err)
{
    *out = in != NULL ? pki_strdup(a, in) : NULL;
    return in == NULL || *out != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

static pki_code_t
prior_read(const db_rows_t *r, size_t row, pki_arena_t *a, cert_prior_t *out, pki_err_t *err)
{
    *out = (cert_prior_t){
        .repeated = !db_null(r, row, "der"),
        .issuer_no = (uint32_t) db_int(r, row, "issuer_no"),
        .presented_known = !db_null(r, row, "presented_not_after"),
        .presented_not_after = db_time(r, row, "presented_not_after"),
        .superseded_at = db_time(r, row, "superseded_at"),
    };
    PKI_TRY(bytes_keep(a, db_bytes(r, row, "serial"), &out->serial, err));
    PKI_TRY(bytes_keep(a, db_bytes(r, row, "der"), &out->der, err));
    PKI_TRY(bytes_keep(a, db_bytes(r, row, "presented_fingerprint"), &out->presented_fingerprint, err));
    PKI_TRY(text_keep(a, db_text(r, row, "repeated_id"), &out->repeated_id, err));
    PKI_TRY(text_keep(a, db_text(r, row, "managed_status"), &out->managed_status, err));
    PKI_TRY(text_keep(a, db_text(r, row, "managed_name"), &out->managed_name, err));
    PKI_TRY(text_keep(a, db_text(r, row, "presented_id"), &out->presented_id, err));
    return text_keep(a, db_text(r, row, "presented_state"), &out->presented_state, err);
}

/* Columns of a batch as parameters; each has a row of `width` values for each item. */
static void
columns_fill(const db_param_t *values, const db_type_t *types, size_t width, size_t count, db_param_t *out)
{
    for (size_t i = 0; i < width; i++) {
        out[i] = (db_param_t){ .type = DB_ARRAY, .items = &values[i], .stride = width, .elem = types[i],
                               .num = (int64_t) count };
    }
}

#define PRIOR_WIDTH 5

static pki_code_t
prior_ask(db_conn_t *c, pki_arena_t *a, db_item_t *items, size_t count, pki_err_t *err)
{
    static const db_type_t types[PRIOR_WIDTH] = { DB_BYTES, DB_INT, DB_TEXT, DB_INT, DB_BYTES };
    db_param_t             column[PRIOR_WIDTH], *value;
    db_rows_t             *rows;

    PKI_TRY(PKI_NEW_N(a, count * PRIOR_WIDTH, &value, err));
    for (size_t i = 0; i < count; i++) {
        const cert_prior_ask_t *in = items[i].in;
        const db_param_t        row[PRIOR_WIDTH] = { DB_B(in->transaction_key), DB_I(in->window_s),
                                                     DB_T(in->managed_id), DB_I(in->presented_issuer_no),
                                                     DB_B(in->presented_serial) };

        memcpy(&value[i * PRIOR_WIDTH], row, sizeof(row));
    }
    columns_fill(value, types, PRIOR_WIDTH, count, column);
    PKI_TRY(db_query(c, a, Q_cert_prior, column, PRIOR_WIDTH, &rows, err));
    for (size_t i = 0; i < db_row_count(rows); i++) {
        const db_item_t *item = &items[db_int(rows, i, "place") - 1];

        PKI_TRY(prior_read(rows, i, item->a, item->out, err));
    }
    return PKI_OK;
}

static pki_code_t
prior_run(db_conn_t *c, db_item_t *items, size_t count, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    pki_code_t   rc;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = prior_ask(c, a, items, count, err);
    pki_arena_free(a);
    return rc;
}

void
cert_prior_many(db_t *db, db_item_t *items, size_t count, int64_t deadline_us)
{
    batch_run(db, deadline_us, prior_run, items, count);
}

/* One of its own. */
static pki_code_t
item_outcome(const db_item_t *item, pki_err_t *err)
{
    if (item->code != PKI_OK && err != NULL) {
        *err = item->err;
    }
    return item->code;
}

pki_code_t
cert_prior(db_t *db, pki_arena_t *a, const cert_prior_ask_t *in, cert_prior_t *out, pki_err_t *err)
{
    db_item_t item = { .in = in, .out = out, .a = a };

    cert_prior_many(db, &item, 1, db_deadline(db));
    return item_outcome(&item, err);
}

static pki_code_t
key_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    (void) a;
    (void) err;
    *(bytes_t *) out = db_bytes(r, row, "txn_key");
    return PKI_OK;
}

pki_code_t
cert_keys(db_t *db, pki_arena_t *a, bytes_t after, int64_t window_s, size_t max, bytes_t **out, size_t *count,
          pki_err_t *err)
{
    return verb_list(db, a, Q_cert_keys, DB_PARAMS(DB_B(after), DB_I(window_s), DB_I((int64_t) max)), key_read,
                    sizeof(**out), (void **) out, count, err);
}

#define RECORD_WIDTH 37

static const db_type_t record_types[RECORD_WIDTH] = {
    DB_BYTES, DB_INT, DB_BYTES, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT,
    DB_TEXT, DB_BYTES, DB_TEXT, DB_TIME, DB_BYTES, DB_BYTES, DB_BYTES, DB_TIME, DB_TEXT, DB_TEXT,
    DB_TEXT, DB_TEXT, DB_TEXT, DB_INT, DB_TEXT, DB_TEXT, DB_INT, DB_TEXT, DB_INT, DB_INT,
    DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_INT,
};

/* Names as one text: they hold no control characters. */
static pki_code_t
sans_join(pki_arena_t *a, const str_list_t *sans, const char **out, pki_err_t *err)
{
    pki_buf_t b;

    pki_buf_init(&b, a, (size_t) 4 << 20);
    for (size_t i = 0; i < sans->count; i++) {
        pki_buf_put(&b, bytes_str(i > 0 ? "\x1f" : ""));
        pki_buf_put(&b, bytes_str(sans->v[i]));
    }
    pki_buf_put_u8(&b, '\0');
    *out = (const char *) b.p;
    return pki_buf_check(&b, "alternative names", err);
}

/* The columns of `input` in cert_record. */
static pki_code_t
record_row(pki_arena_t *a, const cert_record_t *in, db_param_t *out, pki_err_t *err)
{
    const managed_row_t *m = &in->managed;
    const audit_t       *e = &in->audit;
    const char          *sans;

    PKI_TRY(sans_join(a, &m->sans, &sans, err));

    const db_param_t row[RECORD_WIDTH] = {
        DB_B(in->transaction_key), DB_I(m->issuer_no), DB_B(in->serial), DB_T(m->id), DB_T(m->name),
        DB_T(m->source), DB_T(m->profile_id), DB_T(m->est_label_id), DB_T(m->owner_id), DB_T(m->common_name),
        DB_T(m->subject), DB_B(m->subject_der), DB_T(sans), DB_TM(in->not_after), DB_B(in->der),
        DB_B(in->spki_sha256), DB_B(in->fingerprint), DB_TM(in->not_before), DB_T(e->actor),
        DB_T(e->actor_type), DB_T(e->action), DB_T(e->resource_type), DB_T(e->resource_id), DB_I(e->status),
        DB_T(e->request_id), DB_T(e->source), e->latency_us != 0 ? DB_I(e->latency_us) : DB_T(NULL),
        DB_T(e->details), DB_I(in->generation), DB_I(in->exempt), DB_T(e->body_hash), DB_T(m->team_id),
        DB_T(m->environment), DB_T(m->renewal_policy_id), DB_T(m->tags), DB_T(in->key_algorithm),
        DB_I(in->key_size),
    };

    memcpy(out, row, sizeof(row));
    return PKI_OK;
}

static pki_code_t
record_send(db_conn_t *c, pki_arena_t *a, const db_item_t *items, size_t count, db_rows_t **rows,
            pki_err_t *err)
{
    db_param_t column[RECORD_WIDTH + 1], *value;

    PKI_TRY(PKI_NEW_N(a, count * RECORD_WIDTH, &value, err));
    for (size_t i = 0; i < count; i++) {
        PKI_TRY(record_row(a, items[i].in, &value[i * RECORD_WIDTH], err));
    }
    columns_fill(value, record_types, RECORD_WIDTH, count, column);
    column[RECORD_WIDTH] = DB_I(((const cert_record_t *) items[0].in)->window_s);
    return db_query(c, a, Q_cert_record, column, RECORD_WIDTH + 1, rows, err);
}

/* The rows are those that were recorded. */
static void
record_note(const db_rows_t *rows, const db_item_t *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        *(bool *) items[i].out = false;
    }
    for (size_t n = 0; n < db_row_count(rows); n++) {
        const char *id = db_text(rows, n, "id");

        for (size_t i = 0; i < count; i++) {
            const cert_record_t *in = items[i].in;

            if (strcmp(id, in->managed.id) == 0) {
                *(bool *) items[i].out = true;
                break;
            }
        }
    }
}

typedef struct {
    db_item_t *items;
    size_t     count;
} record_t;

static pki_code_t
violations_write(db_conn_t *c, const record_t *x, pki_err_t *err)
{
    for (size_t i = 0; i < x->count; i++) {
        const cert_record_t *in = x->items[i].in;
        const violation_t    v = { .list = in->violations, .certificate_id = in->managed.id, .actor = in->audit.actor };

        if (*(const bool *) x->items[i].out) {
            PKI_TRY(violation_write(c, &v, err));
        }
    }
    return PKI_OK;
}

static pki_code_t
record_all(db_conn_t *c, void *arg, pki_err_t *err)
{
    const record_t *x = arg;
    pki_arena_t    *a = pki_arena_new(0);
    db_rows_t      *rows;
    pki_code_t      rc;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = record_send(c, a, x->items, x->count, &rows, err);
    if (rc == PKI_OK) {
        record_note(rows, x->items, x->count);
    }
    if (rc == PKI_E_CONFLICT && x->count == 1) {
        rc = pki_fail(err, PKI_E_CONFLICT, NULL, "the name %s, or the serial, is another certificate's",
                      ((const cert_record_t *) x->items[0].in)->managed.name);
    }
    pki_arena_free(a);
    return rc == PKI_OK ? violations_write(c, x, err) : rc;
}

/* One statement commits by itself; violations, which few have, make a transaction of it. */
static pki_code_t
record_run(db_conn_t *c, db_item_t *items, size_t count, pki_err_t *err)
{
    record_t x = { items, count };

    for (size_t i = 0; i < count; i++) {
        if (((const cert_record_t *) items[i].in)->violations != NULL) {
            return conn_tx(c, record_all, &x, err);
        }
    }
    return record_all(c, &x, err);
}

void
cert_record_many(db_t *db, db_item_t *items, size_t count, int64_t deadline_us)
{
    batch_run(db, deadline_us, record_run, items, count);
}

pki_code_t
cert_record(db_t *db, const cert_record_t *in, bool *won, pki_err_t *err)
{
    db_item_t item = { .in = in, .out = won };

    cert_record_many(db, &item, 1, db_deadline(db));
    return item_outcome(&item, err);
}

void
cert_managed_id(const char *source, const char *label_id, bytes_t subject_der,
                char out[CERT_MANAGED_ID_LEN + 1])
{
    PKI_AUTO(EVP_MD_CTX) md = EVP_MD_CTX_new();
    uint8_t  hash[32] = { 0 };
    unsigned len;

    /* Text fields with their NUL: no two inputs run together. */
    if (md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1) {
        EVP_DigestUpdate(md, source, strlen(source) + 1);
        EVP_DigestUpdate(md, label_id, strlen(label_id) + 1);
        EVP_DigestUpdate(md, subject_der.p, subject_der.len);
        EVP_DigestFinal_ex(md, hash, &len);
    }
    memcpy(out, "mc-", 3);
    hex_encode(bytes_of(hash, 10), out + 3);
}

char *
cert_managed_name(pki_arena_t *a, const char *label, const char *common_name, const char *managed_id)
{
    const char *cn = common_name != NULL && *common_name != '\0' ? common_name : "unnamed";
    size_t      len = strlen(cn);

    /* Cut before a continuation octet, so that the text stays UTF-8. */
    if (len > NAME_CN_MAX) {
        for (len = NAME_CN_MAX; len > 0 && ((uint8_t) cn[len] & 0xc0) == 0x80; len--) {
        }
    }
    return pki_printf(a, "%s/%.*s/%.12s", label, (int) len, cn, managed_id + 3);
}

static pki_code_t
managed_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    managed_row_t *m = out;

    *m = (managed_row_t){
        .no = db_int(r, row, "no"),
        .id = db_text(r, row, "id"),
        .name = db_text(r, row, "name"),
        .source = db_text(r, row, "source"),
        .profile_id = db_text(r, row, "profile_id"),
        .issuer_id = db_text(r, row, "issuer_id"),
        .issuer_no = db_int(r, row, "issuer_no"),
        .est_label_id = db_text(r, row, "est_label_id"),
        .owner_id = db_text(r, row, "owner_id"),
        .team_id = db_text(r, row, "team_id"),
        .environment = db_text(r, row, "environment"),
        .renewal_policy_id = db_text(r, row, "renewal_policy_id"),
        .tags = db_text(r, row, "tags"),
        .common_name = db_text(r, row, "common_name"),
        .subject = db_text(r, row, "subject"),
        .subject_der = db_bytes(r, row, "subject_der"),
        .status = db_text(r, row, "status"),
        .expires_at = db_time(r, row, "expires_at"),
        .last_serial = db_bytes(r, row, "last_serial"),
        .revoked_at = db_time(r, row, "revoked_at"),
        .revocation_reason = db_int(r, row, "revocation_reason"),
        .created_at = db_time(r, row, "created_at"),
        .updated_at = db_time(r, row, "updated_at"),
    };
    return db_texts(r, row, "sans", a, &m->sans, err);
}

pki_code_t
cert_find(db_t *db, pki_arena_t *a, const char *managed_id, managed_row_t *out, pki_err_t *err)
{
    return verb_find(db, a, Q_cert_find, DB_PARAMS(DB_T(managed_id)), managed_read, out,
                     "certificate", managed_id, err);
}

static pki_code_t
version_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    (void) a;
    (void) err;
    *(version_row_t *) out = (version_row_t){
        .issuer_no = db_int(r, row, "issuer_no"),
        .generation = db_int(r, row, "generation"),
        .issuer_id = db_text(r, row, "issuer_id"),
        .serial = db_bytes(r, row, "serial"),
        .der = db_bytes(r, row, "der"),
        .orphan = db_bool(r, row, "orphan"),
        .managed_id = db_text(r, row, "managed_id"),
        .spki_sha256 = db_bytes(r, row, "spki_sha256"),
        .fingerprint = db_bytes(r, row, "fingerprint"),
        .not_before = db_time(r, row, "not_before"),
        .not_after = db_time(r, row, "not_after"),
        .issued_at = db_time(r, row, "issued_at"),
        .state = db_text(r, row, "state"),
        .reason = db_null(r, row, "reason") ? -1 : db_int(r, row, "reason"),
        .revoked_at = db_time(r, row, "revoked_at"),
        .invalidity_at = db_time(r, row, "invalidity_at"),
    };
    return PKI_OK;
}

pki_code_t
cert_version_find(db_t *db, pki_arena_t *a, uint32_t issuer_no, bytes_t serial, version_row_t *out,
                  pki_err_t *err)
{
    return verb_find(db, a, Q_cert_version_find, DB_PARAMS(DB_I(issuer_no), DB_B(serial)), version_read, out,
                     "certificate with", "this serial", err);
}

pki_code_t
cert_versions(db_t *db, pki_arena_t *a, const char *managed_id, size_t max, version_row_t **out,
              size_t *count, pki_err_t *err)
{
    return verb_list(db, a, Q_cert_versions, DB_PARAMS(DB_T(managed_id), DB_I(max)), version_read,
                     sizeof(**out), (void **) out, count, err);
}
