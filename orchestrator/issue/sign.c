/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The end of the one issuance path: the issuer's signature, one transaction, the edge store; then the answer.
 */
#include <openssl/sha.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/issue/part.h"

pki_code_t
sign_prepare(issue_t *i, pki_arena_t *a, signing_t *s, pki_err_t *err)
{
    (void) i;
    if (!s->issuer->enabled) {
        return pki_fail(err, PKI_E_POLICY, NULL, "issuer %s is disabled", s->issuer->ca.issuer_id);
    }
    PKI_TRY(policy_apply(a, s->policy, &s->csr, &s->issuer->ca.cert, clock_now(), &s->order, err));
    s->order.ocsp_url = s->issuer->ocsp_url;
    s->order.ca_issuers_url = s->issuer->ca_issuers_url;
    s->order.crl_url = s->issuer->crl_url;
    return PKI_OK;
}

/* The names as the lists of the API show them. */
static pki_code_t
record_names(pki_arena_t *a, const signing_t *s, managed_row_t *m, pki_err_t *err)
{
    general_names_t names = { 0 };

    PKI_TRY(name_print(a, s->order.subject, &m->subject, err));
    PKI_TRY(name_common_name(a, s->order.subject, &m->common_name, err));
    if (s->order.san.p != NULL) {
        PKI_TRY(general_names_parse(a, s->order.san, &names, err));
    }
    PKI_TRY(PKI_NEW_N(a, names.count + 1, &m->sans.v, err));
    for (size_t n = 0; n < names.count; n++) {
        PKI_TRY(general_name_print(a, &names.v[n], &m->sans.v[n], err));
    }
    m->sans.count = names.count;
    m->subject_der = s->order.subject;
    return PKI_OK;
}

/* Everything of the row that is known before the signature: what can fail here leaves no orphan. */
static pki_code_t
record_prepare(issue_t *i, pki_arena_t *a, const signing_t *s, cert_record_t *r, pki_err_t *err)
{
    *r = (cert_record_t){
        .managed = { .id = s->managed_id,
                     .name = s->name,
                     .source = s->source,
                     .profile_id = s->policy->row->id,
                     .issuer_no = s->issuer->ca.issuer_no,
                     .est_label_id = s->label_id,
                     .owner = s->owner },
        .transaction_key = s->transaction_key,
        .window_s = i->conf->retry_window_s,
        .audit = s->audit,
    };
    return record_names(a, s, &r->managed, err);
}

static pki_code_t
record_result(pki_arena_t *a, const signing_t *s, const issuer_result_t *cert, cert_record_t *r, pki_err_t *err)
{
    uint8_t *hashes = pki_alloc(a, 2 * SHA256_DIGEST_LENGTH);

    if (hashes == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    r->serial = cert->serial;
    r->der = cert->der;
    r->not_before = cert->not_before;
    r->not_after = cert->not_after;
    r->spki_sha256 = bytes_of(SHA256(s->order.spki.p, s->order.spki.len, hashes), SHA256_DIGEST_LENGTH);
    r->fingerprint =
        bytes_of(SHA256(cert->der.p, cert->der.len, hashes + SHA256_DIGEST_LENGTH), SHA256_DIGEST_LENGTH);
    return PKI_OK;
}

static pki_code_t
sign_and_record(issue_t *i, pki_arena_t *a, signing_t *s, issuer_result_t *out, bool *won, pki_err_t *err)
{
    cert_record_t r;

    PKI_TRY(record_prepare(i, a, s, &r, err));
    PKI_TRY(s->issuer->ops->issue(i->signer, a, &s->issuer->ca, &s->order, out, err));
    PKI_TRY(record_result(a, s, out, &r, err));
    return cert_record(i->db, &r, won, err);
}

/* Lost the race for the transaction key: nobody will ever get this one. */
static pki_code_t
sign_lost(issue_t *i, pki_arena_t *a, const signing_t *s, const issuer_result_t *out, pki_err_t *err)
{
    cert_t cert;

    PKI_TRY(cert_parse(a, out->der, &cert, err));
    return orphan_record(i, a, s->issuer->ca.issuer_no, out->serial, cert.tbs, clock_now(), err);
}

pki_code_t
sign_run(issue_t *i, pki_arena_t *a, signing_t *s, issuer_result_t *out, bool *won, pki_err_t *err)
{
    edge_change_t change;
    pki_code_t    code;

    pthread_rwlock_rdlock(&i->signing);
    code = sign_and_record(i, a, s, out, won, err);
    if (code == PKI_OK && !*won) {
        code = sign_lost(i, a, s, out, err);
    }
    pthread_rwlock_unlock(&i->signing);
    if (code != PKI_OK) {
        reconcile_want(i);
        return code;
    }
    if (!*won) {
        return PKI_OK;
    }
    change = (edge_change_t){ .issuer_no = s->issuer->ca.issuer_no,
                              .serial = out->serial,
                              .status = { .kind = EDGE_GOOD, .reason = -1, .not_after = out->not_after } };
    PKI_TRY(edge_publish(i->edge, &change, 1, err));
    atomic_fetch_add(&i->issued, 1);
    return PKI_OK;
}

pki_code_t
sign_republish(issue_t *i, pki_arena_t *a, uint32_t issuer_no, bytes_t serial, bool *good, pki_err_t *err)
{
    status_row_t  row;
    edge_change_t change;

    PKI_TRY(revocation_status(i->db, a, issuer_no, serial, &row, err));
    change = edge_change_of(&row);
    *good = change.status.kind == EDGE_GOOD;
    return edge_publish(i->edge, &change, 1, err);
}
