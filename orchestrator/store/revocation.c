/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Revocation: which state may follow which, and the rows that say so.
 */
#include "orchestrator/store/revocation.h"

#include "orchestrator/store/revocation_rule.h"
#include "orchestrator/store/verb.h"
#include "pkiproto/base/text.h"

/*
 * What an order does to a version in a state, by (state, wanted): 'r', 'h' or 'l' is its new state, '=' it is
 * there already, '!' it cannot go there (RFC 5280 5.3.1: only a hold can be lifted).
 */
static const struct {
    char from, revoke, hold, release;
} transitions[] = {
    { 'g', 'r', 'h', '!' },
    { 'l', 'r', 'h', '!' },
    { 'h', 'r', '=', 'l' },
    { 'r', '=', '!', '!' },
};

typedef struct {
    const revocation_order_t *in;
    pki_arena_t              *a;
    str_list_t                named; /* serials in hexadecimal */
    int64_t                   managed_no;
    db_rows_t                *versions;
    status_row_t             *changed;
    size_t                    count;
} apply_t;

char
revocation_next(char from, int reason)
{
    for (size_t i = 0; i < sizeof(transitions) / sizeof(transitions[0]); i++) {
        if (transitions[i].from == from) {
            return reason == REASON_HOLD      ? transitions[i].hold
                   : reason == REASON_RELEASE ? transitions[i].release
                                              : transitions[i].revoke;
        }
    }
    return '!';
}

const char *
revocation_state_name(char state)
{
    return state == 'r' ? "revoked" : state == 'h' ? "hold" : state == 'l' ? "released" : "good";
}

static pki_code_t
serials_print(apply_t *x, pki_err_t *err)
{
    const revocation_order_t *in = x->in;

    PKI_TRY(PKI_NEW_N(x->a, in->serial_count + 1, &x->named.v, err));
    for (; x->named.count < in->serial_count; x->named.count++) {
        x->named.v[x->named.count] = hex_print(x->a, in->serials[x->named.count]);
        if (x->named.v[x->named.count] == NULL) {
            return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
        }
    }
    return PKI_OK;
}

static pki_code_t
versions_lock(db_conn_t *c, apply_t *x, pki_err_t *err)
{
    db_rows_t *rows;

    PKI_TRY(db_query(c, x->a, Q_revocation_lock, DB_PARAMS(DB_T(x->in->managed_id)), &rows, err));
    if (db_row_count(rows) == 0) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "there is no certificate %s", x->in->managed_id);
    }
    x->managed_no = db_int(rows, 0, "no");
    PKI_TRY(db_query(c, x->a, Q_revocation_versions, DB_PARAMS(DB_I(x->managed_no), DB_TS(&x->named)),
                     &x->versions, err));
    return PKI_NEW_N(x->a, db_row_count(x->versions) + 1, &x->changed, err);
}

static bool
is_named(const apply_t *x, bytes_t serial)
{
    for (size_t i = 0; i < x->in->serial_count; i++) {
        if (bytes_eq(x->in->serials[i], serial)) {
            return true;
        }
    }
    return false;
}

/* Every named serial is a version of this certificate. */
static pki_code_t
named_check(const apply_t *x, pki_err_t *err)
{
    for (size_t i = 0; i < x->in->serial_count; i++) {
        bool found = false;

        for (size_t row = 0; row < db_row_count(x->versions) && !found; row++) {
            found = bytes_eq(x->in->serials[i], db_bytes(x->versions, row, "serial"));
        }
        if (!found) {
            return pki_fail(err, PKI_E_NOT_FOUND, NULL, "certificate %s has no version %s", x->in->managed_id,
                            x->named.v[i]);
        }
    }
    return PKI_OK;
}

static pki_code_t
status_change(db_conn_t *c, apply_t *x, const status_row_t *was, char to, pki_err_t *err)
{
    db_rows_t *rows;

    PKI_TRY(db_query(c, x->a, Q_revocation_put,
                     DB_PARAMS(DB_I(was->issuer_no), DB_B(was->serial), DB_T(revocation_state_name(to)),
                               DB_I(x->in->reason), DB_TM(x->in->invalidity_at), DB_TM(was->not_after),
                               DB_I(was->generation)),
                     &rows, err));
    status_read(rows, 0, &x->changed[x->count++]);
    return change_write(c, "status", (uint32_t) was->issuer_no, was->serial, err);
}

bool
revocation_is_webpki(int reason)
{
    static const int allowed[] = { 0, 1, 3, 4, 5, 9, REASON_RELEASE };

    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        if (allowed[i] == reason) {
            return true;
        }
    }
    return false;
}

static pki_code_t
version_apply(db_conn_t *c, apply_t *x, size_t row, pki_err_t *err)
{
    status_row_t was;
    bool         expired = db_bool(x->versions, row, "expired");
    char         to;

    status_read(x->versions, row, &was);
    to = expired ? '!' : revocation_next(was.state, x->in->reason);
    if (to == '!' || to == '=') {
        if (x->in->serial_count == 0) {
            return PKI_OK;
        }
        return pki_fail(err, PKI_E_CONFLICT, "RFC 5280 5.3.1", "version %s of %s is %s",
                        hex_print(x->a, was.serial), x->in->managed_id,
                        expired ? "expired" : revocation_state_name(was.state));
    }
    if (db_bool(x->versions, row, "external")) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "%s was issued by somebody else, who alone can revoke it",
                        x->in->managed_id);
    }
    if (db_bool(x->versions, row, "webpki") && !revocation_is_webpki(x->in->reason)) {
        return pki_fail(err, PKI_E_INVALID, x->in->reason == REASON_HOLD ? "CA/B BR 4.9.13" : "CA/B BR 7.2.2",
                        "reason %d is none that this issuer may give", x->in->reason);
    }
    return status_change(c, x, &was, to, err);
}

static pki_code_t
apply_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    apply_t *x = arg;

    x->count = 0;
    PKI_TRY(versions_lock(c, x, err));
    PKI_TRY(named_check(x, err));
    for (size_t row = 0; row < db_row_count(x->versions); row++) {
        if (x->in->serial_count == 0 || is_named(x, db_bytes(x->versions, row, "serial"))) {
            PKI_TRY(version_apply(c, x, row, err));
        }
    }
    if (x->count == 0) {
        return pki_fail(err, PKI_E_CONFLICT, "RFC 5280 5.3.1", "certificate %s has no unexpired version %s",
                        x->in->managed_id,
                        x->in->reason == REASON_RELEASE ? "on hold"
                                                        : "that is not revoked or on hold already");
    }
    PKI_TRY(db_query(c, NULL, Q_revocation_follow, DB_PARAMS(DB_I(x->managed_no), DB_I(x->in->reason)), NULL,
                     err));
    return audit_write(c, x->in->audit, err);
}

pki_code_t
revocation_apply(db_t *db, pki_arena_t *a, const revocation_order_t *in, status_row_t **changed,
                 size_t *count, pki_err_t *err)
{
    apply_t x = { .in = in, .a = a };

    *count = 0;
    if (in->reason < 0 || in->reason > 10 || in->reason == 7) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 5.3.1", "%d is not a CRLReason", in->reason);
    }
    PKI_TRY(serials_print(&x, err));
    PKI_TRY(db_tx(db, apply_run, &x, err));
    *changed = x.changed;
    *count = x.count;
    return PKI_OK;
}

static pki_code_t
one_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    (void) a;
    (void) err;
    status_read(r, row, out);
    ((status_row_t *) out)->exempt = db_bool(r, row, "exempt");
    return PKI_OK;
}

pki_code_t
revocation_status(db_t *db, pki_arena_t *a, uint32_t issuer_no, bytes_t serial, status_row_t *out,
                  pki_err_t *err)
{
    return verb_find(db, a, Q_revocation_status, DB_PARAMS(DB_I(issuer_no), DB_B(serial)), one_read, out,
                     "certificate with", "this serial", err);
}
