/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The sealer (see sealer.h), and the command that verifies what it made.
 */
#include "orchestrator/api/sealer.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "orchestrator/store/seal.h"
#include "pkiproto/base/text.h"

#define PAUSE_S             1
#define PARTITIONS_US       86400000000 /* a day */
#define PARTITIONS_AGAIN_US 60000000    /* after a failure */
#define HEAD_FILE_MAX       65536

struct sealer {
    db_t           *db;
    signer_t       *signer;
    pthread_t       thread;
    pthread_mutex_t lock;
    pthread_cond_t  wake;
    bool            closing;
    sealer_stats_t  stats;
    seal_signer_t   by;
    char            key_id[AUDIT_KEY_ID_LEN + 1];
    merkle_front_t  front;
    int64_t         partitions_us; /* when they are looked at again */
};

static pki_code_t
head_sign(void *arg, pki_arena_t *a, bytes_t head, bytes_t *signature, pki_err_t *err)
{
    return signer_sign_head(arg, a, head, signature, err);
}

/* The key of this host's signer, made when it is missing. */
static pki_code_t
key_ensure(sealer_t *s, pki_arena_t *a, pki_err_t *err)
{
    signer_journal_t journal;
    bytes_t          spki;
    pki_code_t       rc;

    if (s->by.key_id != NULL) {
        return PKI_OK;
    }
    rc = signer_key_public(s->signer, a, SIGNER_AUDIT_REF, &spki, err);
    if (rc == PKI_E_NOT_FOUND) {
        rc = signer_key_make(s->signer, a, SIGNER_AUDIT_REF, "p-256", &spki, err);
    }
    PKI_TRY(rc);
    PKI_TRY(signer_journal_info(s->signer, &journal, err));
    audit_key_id(spki, s->key_id);
    memcpy(s->by.log, journal.id, sizeof(s->by.log));
    PKI_TRY(seal_key_note(s->db, s->key_id, spki, s->by.log, err));
    s->by.sign = head_sign;
    s->by.arg = s->signer;
    s->by.key_id = s->key_id;
    return PKI_OK;
}

/* A failure is no reason not to seal: events are written without their month's partition, too. */
static void
partitions_ensure(sealer_t *s)
{
    pki_err_t err = { 0 };
    int64_t   made;
    bool      strays;

    if (clock_mono_us() < s->partitions_us) {
        return;
    }
    if (seal_partitions(s->db, &made, &strays, &err) != PKI_OK) {
        log_failure(LOG_WARN, "audit.partitions_failed", &err);
        s->partitions_us = clock_mono_us() + PARTITIONS_AGAIN_US;
        return;
    }
    s->partitions_us = clock_mono_us() + PARTITIONS_US;
    if (strays) {
        log_error("audit.strays", LOG_S("text", "events are in the default partition: no month was there for them"));
    }
    pthread_mutex_lock(&s->lock);
    s->stats.strays = strays;
    pthread_mutex_unlock(&s->lock);
}

static pki_code_t
sealer_turn(sealer_t *s, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    size_t       sealed = SEAL_BATCH;
    pki_code_t   rc = a != NULL ? key_ensure(s, a, err) : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");

    pki_arena_free(a);
    PKI_TRY(rc);
    partitions_ensure(s);
    while (sealed == SEAL_BATCH) {
        PKI_TRY(seal_next(s->db, &s->by, &s->front, &sealed, err));
        pthread_mutex_lock(&s->lock);
        s->stats.sealed += sealed;
        s->stats.heads += sealed > 0;
        pthread_mutex_unlock(&s->lock);
    }
    return PKI_OK;
}

/* False at the end. */
static bool
sealer_pause(sealer_t *s)
{
    struct timespec until;
    bool            closing;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PAUSE_S;
    pthread_mutex_lock(&s->lock);
    while (!s->closing && pthread_cond_timedwait(&s->wake, &s->lock, &until) == 0) {
    }
    closing = s->closing;
    pthread_mutex_unlock(&s->lock);
    return !closing;
}

static void *
sealer_thread(void *arg)
{
    sealer_t  *s = arg;
    pki_code_t failing = PKI_OK;

    while (sealer_pause(s)) {
        pki_err_t  err = { 0 };
        pki_code_t code = sealer_turn(s, &err);

        if (code != PKI_OK && code != failing) {
            log_failure(code == PKI_E_UNAVAILABLE ? LOG_WARN : LOG_ERROR, "audit.seal_failed", &err);
        }
        failing = code;
    }
    return NULL;
}

pki_code_t
sealer_open(db_t *db, signer_t *signer, sealer_t **out, pki_err_t *err)
{
    sealer_t          *s = calloc(1, sizeof(*s));
    pthread_condattr_t attr;

    if (s == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    s->db = db;
    s->signer = signer;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&s->thread, NULL, sealer_thread, s) != 0) {
        pthread_cond_destroy(&s->wake);
        pthread_mutex_destroy(&s->lock);
        free(s);
        return pki_fail(err, PKI_E_INTERNAL, NULL, "the sealer of the audit does not start");
    }
    *out = s;
    return PKI_OK;
}

void
sealer_close(sealer_t *s)
{
    if (s == NULL) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void
sealer_stats(sealer_t *s, sealer_stats_t *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->stats;
    pthread_mutex_unlock(&s->lock);
}

/* ---- from the command line ---- */

static void
fault_print(void *arg, int64_t event_id, const char *what)
{
    (void) arg;
    if (event_id != 0) {
        printf("FAULT: event %" PRId64 " %s\n", event_id, what);
    } else {
        printf("FAULT: %s\n", what);
    }
}

static void
progress_print(void *arg, uint64_t leaves)
{
    (void) arg;
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r%" PRIu64 " events", leaves);
    }
}

static pki_code_t
kept_read(pki_arena_t *a, const char *path, audit_signed_head_t *out, pki_err_t *err)
{
    JSON_AUTO in = NULL;
    bytes_t   text;

    PKI_TRY(file_read(a, path, HEAD_FILE_MAX, &text, err));
    PKI_TRY(json_parse(text, &in, err));
    return fields_decode(a, audit_signed_head_fields, in, out, NULL, err);
}

static void
keys_print(db_t *db, pki_arena_t *a)
{
    bytes_t *spki;
    size_t   count = 0;

    if (seal_keys(db, a, &spki, &count, NULL) != PKI_OK) {
        count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        char id[AUDIT_KEY_ID_LEN + 1];

        audit_key_id(spki[i], id);
        printf("key           %s\n", id);
    }
}

static pki_code_t
audit_verify(const conf_t *conf, const char *path, pki_arena_t *a, seal_verify_t *v, pki_err_t *err)
{
    audit_signed_head_t *kept;
    db_t                *db = NULL;
    pki_code_t           rc;

    if (path != NULL) {
        PKI_TRY(PKI_NEW(a, &kept, err));
        PKI_TRY(kept_read(a, path, kept, err));
        v->kept = kept;
    }
    PKI_TRY(db_open(&conf->database, &db, err));
    rc = seal_verify(db, v, err);
    keys_print(db, a);
    db_close(db);
    return rc;
}

int
api_audit_verify(const conf_t *conf, const char *head)
{
    pki_arena_t  *a = pki_arena_new(0);
    seal_verify_t v = { .fault = fault_print, .progress = progress_print };
    pki_err_t     err = { 0 };
    pki_code_t    rc = a != NULL ? audit_verify(conf, head, a, &v, &err) : pki_fail(&err, PKI_E_NOMEM, NULL, "out of memory");
    char          before[RFC3339_LEN + 1];

    pki_arena_free(a);
    progress_print(NULL, v.leaves);
    if (rc != PKI_OK) {
        printf("FAULT: %s\n", err.text);
    }
    printf("events        %" PRIu64 "\nheads         %" PRIu64 "\n", v.leaves, v.heads);
    if (v.pruned_before != 0) {
        rfc3339_print(v.pruned_before, before);
        printf("pruned        %" PRIu64 " events, up to %s\n", v.pruned, before);
    }
    printf("%s\n", rc == PKI_OK && v.faults == 0 ? "verified" : "NOT verified");
    return fflush(stdout) == 0 && rc == PKI_OK && v.faults == 0 ? 0 : 1;
}
