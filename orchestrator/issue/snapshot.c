/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The configuration snapshot of issuance (see snapshot.h).  A part that cannot be used (an issuer of an unknown
 * type, a profile with an unknown word) is logged and left out.
 */
#include "orchestrator/issue/snapshot.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/log.h"
#include "orchestrator/store/renewal_policy.h"
#include "pkiproto/crl/scope.h"

struct snapshot {
    atomic_uint           users;
    uint64_t              version;
    pki_arena_t          *arena;
    snapshot_issuer_t    *issuers;
    size_t                issuer_count;
    struct snapshot_past {
        bytes_t  subject, skid;
        uint32_t issuer_no;
    }                    *past; /* generations that live, and do not issue */
    size_t                past_count;
    policy_t             *policies;
    size_t                policy_count;
    rule_t               *rules;
    size_t                rule_count;
    renewal_window_t     *windows;
    size_t                window_count;
    snapshot_label_t     *labels;
    size_t                label_count;
    est_credential_row_t *credentials; /* sorted by label name and user name */
    size_t                credential_count;
};

struct snapshot_cache {
    const conf_t   *conf;
    db_t           *db;
    edge_t         *edge;
    pthread_mutex_t lock;
    snapshot_t     *present; /* NULL before the first use */
};

static pki_code_t
issuer_urls(pki_arena_t *a, const char *base, snapshot_issuer_t *i, pki_err_t *err)
{
    crl_name_t name = { .issuer = bytes_str(i->ca.issuer_id), .generation = i->ca.generation };
    char       file[CRL_NAME_MAX];
    size_t     len = strlen(base);

    while (len > 0 && base[len - 1] == '/') {
        len--;
    }
    i->crl_base = base;
    i->ocsp_url = pki_printf(a, "%.*s/ocsp/%s", (int) len, base, i->ca.issuer_id);
    i->ca_issuers_url =
        crl_name_format(&name, ".crt", file) ? pki_printf(a, "%.*s/ca/%s", (int) len, base, file) : NULL;
    return i->ocsp_url != NULL && i->ca_issuers_url != NULL ? PKI_OK
                                                            : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

static pki_code_t
issuer_load(pki_arena_t *a, const char *public_url, const issuer_chain_t *row, snapshot_issuer_t *out, pki_err_t *err)
{
    issuer_settings_t settings;

    *out = (snapshot_issuer_t){ .enabled = row->issuer.enabled, .ops = issuer_find(row->issuer.type) };
    if (out->ops == NULL) {
        return pki_fail(err, PKI_E_CONFIG, NULL, "issuer %s: type %s is unknown", row->issuer.id, row->issuer.type);
    }
    PKI_TRY(edge_ca_of(a, row, &out->ca, err));
    PKI_TRY(issuer_settings_read(a, &row->issuer, &settings, err));
    out->revoked = row->chain[0].revoked_at != 0;
    out->cert_hash = settings.ocsp_cert_hash;
    return issuer_urls(a, public_url, out, err);
}

static pki_code_t
past_load(snapshot_t *s, const issuer_chain_t *row, pki_err_t *err)
{
    cert_t cert;

    PKI_TRY(cert_parse(s->arena, row->chain[0].der, &cert, err));
    s->past[s->past_count++] = (struct snapshot_past){ cert.subject, cert.skid, (uint32_t) row->issuer.no };
    return PKI_OK;
}

static pki_code_t
issuers_load(snapshot_t *s, db_t *db, const char *public_url, pki_err_t *err)
{
    issuer_chain_t *rows;
    size_t          count;

    PKI_TRY(issuer_generations(db, s->arena, NULL, &rows, &count, err));
    PKI_TRY(PKI_NEW_N(s->arena, count + 1, &s->issuers, err));
    PKI_TRY(PKI_NEW_N(s->arena, count + 1, &s->past, err));
    for (size_t i = 0; i < count; i++) {
        pki_err_t why = { 0 };

        if (!rows[i].chain[0].active) {
            PKI_TRY(past_load(s, &rows[i], err));
            continue;
        }
        if (issuer_load(s->arena, public_url, &rows[i], &s->issuers[s->issuer_count], &why) == PKI_OK) {
            s->issuer_count++;
        } else {
            log_failure(LOG_ERROR, "issue.issuer_unusable", &why);
        }
    }
    return PKI_OK;
}

static pki_code_t
policies_load(snapshot_t *s, db_t *db, pki_err_t *err)
{
    profile_row_t *rows;
    size_t         count;

    PKI_TRY(profile_list(db, s->arena, &rows, &count, err));
    PKI_TRY(PKI_NEW_N(s->arena, count + 1, &s->policies, err));
    for (size_t i = 0; i < count; i++) {
        pki_err_t why = { 0 };

        if (policy_compile(&rows[i], &s->policies[s->policy_count], &why) == PKI_OK) {
            s->policy_count++;
        } else {
            (void) pki_err_context(&why, "profile %s", rows[i].id);
            log_failure(LOG_ERROR, "issue.profile_unusable", &why);
        }
    }
    return PKI_OK;
}

/* A rule that cannot be read would be one that is not kept: nothing is issued until it can. */
static pki_code_t
rules_load(snapshot_t *s, db_t *db, pki_err_t *err)
{
    rule_row_t *rows;
    size_t      count;
    pki_err_t   why = { 0 };

    PKI_TRY(rule_list(db, s->arena, &rows, &count, err));
    PKI_TRY(PKI_NEW_N(s->arena, count + 1, &s->rules, err));
    for (size_t i = 0; i < count; i++) {
        if (rows[i].enabled && rule_compile(s->arena, &rows[i], &s->rules[s->rule_count++], &why) != PKI_OK) {
            return pki_fail(err, PKI_E_CONFIG, NULL, "policy %s: %s", rows[i].id, why.text);
        }
    }
    return renewal_policy_windows(db, s->arena, &s->windows, &s->window_count, err);
}

static pki_code_t
labels_load(snapshot_t *s, db_t *db, pki_err_t *err)
{
    est_label_row_t *rows;
    size_t           count;

    PKI_TRY(est_label_list(db, s->arena, &rows, &count, err));
    PKI_TRY(PKI_NEW_N(s->arena, count + 1, &s->labels, err));
    for (size_t i = 0; i < count; i++) {
        snapshot_label_t label = { .row = &rows[i],
                                   .policy = snapshot_policy(s, rows[i].profile_id),
                                   .issuer = snapshot_issuer_no(s, (uint32_t) rows[i].issuer_no) };

        if (rows[i].enabled && label.policy != NULL && label.issuer != NULL) {
            s->labels[s->label_count++] = label;
        }
    }
    return PKI_OK;
}

static int
credential_cmp(const void *a, const void *b)
{
    const est_credential_row_t *x = a, *y = b;
    int                         order = strcmp(x->label_name, y->label_name);

    return order != 0 ? order : strcmp(x->user_name, y->user_name);
}

static pki_code_t
snapshot_load(snapshot_t *s, const snapshot_cache_t *cache, pki_err_t *err)
{
    PKI_TRY(issuers_load(s, cache->db, cache->conf->edge.public_url, err));
    PKI_TRY(policies_load(s, cache->db, err));
    PKI_TRY(rules_load(s, cache->db, err));
    PKI_TRY(labels_load(s, cache->db, err));
    PKI_TRY(est_credential_list(cache->db, s->arena, NULL, &s->credentials, &s->credential_count, err));
    if (s->credential_count != 0) {
        qsort(s->credentials, s->credential_count, sizeof(*s->credentials), credential_cmp);
    }
    return PKI_OK;
}

void
snapshot_put(snapshot_t *s)
{
    if (s != NULL && atomic_fetch_sub(&s->users, 1) == 1) {
        pki_arena_free(s->arena);
        free(s);
    }
}

/* Called with the lock held: one caller reads, the others wait for what it reads. */
static pki_code_t
cache_refresh(snapshot_cache_t *cache, uint64_t version, pki_err_t *err)
{
    snapshot_t *s = calloc(1, sizeof(*s));
    pki_code_t  code;

    if (s == NULL || (s->arena = pki_arena_new(0)) == NULL) {
        free(s);
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    atomic_init(&s->users, 1);
    s->version = version;
    code = snapshot_load(s, cache, err);
    if (code != PKI_OK) {
        snapshot_put(s);
        return code;
    }
    snapshot_put(cache->present);
    cache->present = s;
    return PKI_OK;
}

pki_code_t
snapshot_get(snapshot_cache_t *cache, snapshot_t **out, pki_err_t *err)
{
    pki_code_t code = PKI_OK;
    uint64_t   version;

    pthread_mutex_lock(&cache->lock);
    version = edge_config_version(cache->edge);
    if (cache->present == NULL || cache->present->version != version) {
        code = cache_refresh(cache, version, err);
    }
    if (code == PKI_OK) {
        atomic_fetch_add(&cache->present->users, 1);
        *out = cache->present;
    }
    pthread_mutex_unlock(&cache->lock);
    return code;
}

pki_code_t
snapshot_cache_open(const conf_t *conf, db_t *db, edge_t *edge, snapshot_cache_t **out, pki_err_t *err)
{
    snapshot_cache_t *cache = calloc(1, sizeof(*cache));

    if (cache == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    cache->conf = conf;
    cache->db = db;
    cache->edge = edge;
    pthread_mutex_init(&cache->lock, NULL);
    *out = cache;
    return PKI_OK;
}

void
snapshot_cache_close(snapshot_cache_t *cache)
{
    if (cache != NULL) {
        snapshot_put(cache->present);
        pthread_mutex_destroy(&cache->lock);
        free(cache);
    }
}

/* Looking things up */

const snapshot_issuer_t *
snapshot_issuer(const snapshot_t *s, const char *id)
{
    for (size_t i = 0; i < s->issuer_count; i++) {
        if (strcmp(s->issuers[i].ca.issuer_id, id) == 0) {
            return &s->issuers[i];
        }
    }
    return NULL;
}

const snapshot_issuer_t *
snapshot_issuer_no(const snapshot_t *s, uint32_t no)
{
    for (size_t i = 0; i < s->issuer_count; i++) {
        if (s->issuers[i].ca.issuer_no == no) {
            return &s->issuers[i];
        }
    }
    return NULL;
}

const snapshot_issuer_t *
snapshot_issuer_named(const snapshot_t *s, bytes_t subject, bytes_t key_id)
{
    for (size_t i = 0; i < s->issuer_count; i++) {
        const cert_t *ca = &s->issuers[i].ca.cert;

        if (bytes_eq(ca->subject, subject) && (key_id.p == NULL || bytes_eq(ca->skid, key_id))) {
            return &s->issuers[i];
        }
    }
    for (size_t i = 0; i < s->past_count; i++) {
        if (bytes_eq(s->past[i].subject, subject) && bytes_eq(s->past[i].skid, key_id)) {
            return snapshot_issuer_no(s, s->past[i].issuer_no);
        }
    }
    return NULL;
}

const policy_t *
snapshot_policy(const snapshot_t *s, const char *profile_id)
{
    for (size_t i = 0; i < s->policy_count; i++) {
        if (strcmp(s->policies[i].row->id, profile_id) == 0) {
            return &s->policies[i];
        }
    }
    return NULL;
}

size_t
snapshot_rules(const snapshot_t *s, const rule_t **out)
{
    *out = s->rules;
    return s->rule_count;
}

int64_t
snapshot_window_days(const snapshot_t *s, const char *renewal_policy_id)
{
    for (size_t i = 0; i < s->window_count && renewal_policy_id != NULL; i++) {
        if (strcmp(s->windows[i].id, renewal_policy_id) == 0) {
            return s->windows[i].renewal_window_days;
        }
    }
    return 0;
}

const snapshot_label_t *
snapshot_label(const snapshot_t *s, const char *name)
{
    for (size_t i = 0; i < s->label_count; i++) {
        if (strcmp(s->labels[i].row->name, name) == 0) {
            return &s->labels[i];
        }
    }
    return NULL;
}

const est_credential_row_t *
snapshot_credential(const snapshot_t *s, const char *label, const char *user)
{
    est_credential_row_t wanted = { .label_name = label, .user_name = user };

    return s->credential_count == 0
               ? NULL
               : bsearch(&wanted, s->credentials, s->credential_count, sizeof(*s->credentials), credential_cmp);
}
