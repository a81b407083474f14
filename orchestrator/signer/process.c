/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The signer process: one thread, one loop.  It takes all requests that wait, checks those that ask for a
 * signature and appends them to the journal with one write and one sync, and only then signs and answers.
 * So the cost of a sync is shared by all who waited during the one before.
 */
#include "orchestrator/signer/process.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/rand.h>
#include <openssl/sha.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "orchestrator/signer/journal.h"
#include "orchestrator/signer/keys.h"
#include "orchestrator/signer/message.h"
#include "orchestrator/signer/sandbox.h"
#include "pkiproto/audit/head.h"
#include "pkiproto/base/text.h"

#define BATCH_JOBS     256
#define AT_ONCE        8                       /* messages that one system call takes */
#define SEND_AT_ONCE   32                      /* answers; the caller works while the next ones are signed */
#define BATCH_OCTETS   (JOURNAL_BATCH_MAX / 2) /* of requests; leaves room for the records' frames */
#define CRL_MAX        (1u << 30)              /* octets of a TBSCertList that is signed whole */
#define JOURNAL_AT_ONE 4096                    /* entries of one answer */
#define VERIFY_TRIES   25                      /* while a signer writes the end */
#define VERIFY_PAUSE_US 20000

typedef struct {
    signer_request_t request;
    int              fd;      /* that came with it, or -1 */
    signer_key_t    *key;     /* set when a signature is to be made */
    uint8_t         *whole;   /* malloc: the TBSCertList of an Ed25519 key */
    size_t           whole_len;
    bool             by_digest;
    signer_answer_t  answer;
    pki_err_t        err;
} job_t;

typedef union {
    struct cmsghdr align;
    uint8_t        octets[CMSG_SPACE(sizeof(int))];
} control_t;

typedef struct {
    int          fd;
    uint64_t     epoch;
    keys_t      *keys;
    journal_t   *journal;
    pki_arena_t *arena; /* of one batch */
    job_t        jobs[BATCH_JOBS];
    size_t       count, octets;
    sigset_t     waiting; /* signals while waiting for messages */

    struct mmsghdr headers[AT_ONCE]; /* of messages that come */
    struct iovec   parts[AT_ONCE];
    control_t      controls[AT_ONCE];
    uint8_t        messages[AT_ONCE][SIGNER_MESSAGE_MAX];

    struct iovec out_parts[SEND_AT_ONCE]; /* answers in the arena that are to be sent, as one datagram */
    size_t       out_count, out_octets;
} process_t;

static volatile sig_atomic_t stop_asked;

static void
on_stop(int signal_no)
{
    (void) signal_no;
    stop_asked = 1;
}

/* SIGTERM is only let in while waiting.  Ctrl-C is the master's affair: the orchestrator drains first. */
static void
signals_start(process_t *p)
{
    struct sigaction stop = { .sa_handler = on_stop }, ignore = { .sa_handler = SIG_IGN };
    sigset_t         term;

    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &p->waiting);
    sigdelset(&p->waiting, SIGTERM);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &ignore, NULL);
    sigaction(SIGHUP, &ignore, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

/* All answers that are ready. */
static pki_code_t
answers_send(process_t *p, pki_err_t *err)
{
    struct msghdr m = { .msg_iov = p->out_parts, .msg_iovlen = p->out_count };

    while (p->out_count > 0) {
        if (sendmsg(p->fd, &m, MSG_NOSIGNAL) >= 0) {
            p->out_count = p->out_octets = 0;
        } else if (errno != EINTR || stop_asked) {
            return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "send: %s", strerror(errno));
        }
    }
    return PKI_OK;
}

static pki_code_t
answer_add(process_t *p, signer_answer_t *a, pki_err_t *err)
{
    size_t    len = SIGNER_ANSWER_LEN + a->body.len;
    uint8_t  *octets;
    pki_buf_t b;

    a->epoch = p->epoch;
    a->syncs = journal_syncs(p->journal);
    PKI_TRY(PKI_NEW_N(p->arena, len, &octets, err));
    pki_buf_fixed(&b, octets, len);
    signer_answer_build(a, &b);
    PKI_TRY(pki_buf_check(&b, "an answer", err));
    if (p->out_count == SEND_AT_ONCE || p->out_octets + len > SIGNER_MESSAGE_MAX) {
        PKI_TRY(answers_send(p, err));
    }
    p->out_parts[p->out_count++] = (struct iovec){ b.p, b.len };
    p->out_octets += len;
    return PKI_OK;
}

/* The descriptor that came with a message, or -1.  More than one does not fit the control buffer. */
static int
message_descriptor(struct msghdr *m)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    int             fd = -1;

    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS
        && c->cmsg_len == CMSG_LEN(sizeof(fd)))
    {
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    }
    return fd;
}

/* Messages that are there, at most what the batch has room for.  0: there is none; -1: at the end. */
static int
messages_receive(process_t *p)
{
    size_t room = (BATCH_OCTETS - p->octets) / SIGNER_MESSAGE_MAX + 1, n = BATCH_JOBS - p->count;
    int    got;

    n = n < room ? n : room;
    n = n < AT_ONCE ? n : AT_ONCE;
    for (size_t i = 0; i < n; i++) {
        p->parts[i] = (struct iovec){ p->messages[i], sizeof(p->messages[i]) };
        p->headers[i].msg_hdr = (struct msghdr){
            .msg_iov = &p->parts[i],
            .msg_iovlen = 1,
            .msg_control = p->controls[i].octets,
            .msg_controllen = sizeof(p->controls[i].octets),
        };
    }
    got = recvmmsg(p->fd, p->headers, (unsigned) n, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    return got == 0 || p->headers[0].msg_len == 0 ? -1 : got;
}

/* One message into the batch.  A request that is refused is answered, unless nobody knows who asked. */
static void
batch_add(process_t *p, bytes_t message, int fd)
{
    job_t     *job = &p->jobs[p->count];
    pki_code_t rc;

    *job = (job_t){ .fd = fd };
    rc = pki_bytes_dup(p->arena, message, &message, &job->err);
    if (rc == PKI_OK) {
        rc = signer_request_parse(message, &job->request, &job->err);
    }
    if (rc != PKI_OK) {
        log_failure(LOG_WARN, "signer.message_refused", &job->err);
        job->answer.code = rc;
    }
    if (job->request.op == SIGNER_OP_HELLO || job->request.epoch == p->epoch) {
        p->count++;
        p->octets += message.len;
        return;
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* Wait for a message, then take all that are there.  False at the end. */
static bool
batch_receive(process_t *p)
{
    struct pollfd wait = { .fd = p->fd, .events = POLLIN };
    int           n;

    p->count = p->octets = 0;
    pki_arena_reset(p->arena);
    while (ppoll(&wait, 1, NULL, &p->waiting) < 0) {
        if (errno != EINTR || stop_asked) {
            return false;
        }
    }
    do {
        n = messages_receive(p);
        for (int i = 0; i < n; i++) {
            struct msghdr *m = &p->headers[i].msg_hdr;
            bool           cut = (m->msg_flags & MSG_TRUNC) != 0;

            batch_add(p, bytes_of(p->messages[i], cut ? 0 : p->headers[i].msg_len), message_descriptor(m));
        }
    } while (n > 0 && p->count < BATCH_JOBS && p->octets < BATCH_OCTETS);
    return n >= 0 && !stop_asked;
}

static pki_code_t
job_record(process_t *p, const job_t *job, journal_kind_t kind, bytes_t data, pki_err_t *err)
{
    journal_record_t record = {
        .kind = kind,
        .at = clock_now(),
        .issuer_no = job->request.issuer_no,
        .ref = job->request.ref,
        .name = job->request.name,
        .data = data,
    };

    return journal_add(p->journal, &record, err);
}

static pki_code_t
run_sign_cert(process_t *p, job_t *job, pki_err_t *err)
{
    const signer_request_t *r = &job->request;
    signer_key_t           *key;

    PKI_TRY(keys_find(p->keys, r->ref, &key, err));
    PKI_TRY(signer_tbs_check(r->body, r->name, key_sigalg(key), err));
    PKI_TRY(job_record(p, job, JOURNAL_CERT, r->body, err));
    job->key = key;
    return PKI_OK;
}

/* A copy of the whole file: what is hashed for the journal and what is signed must be the same octets. */
static pki_code_t
whole_read(job_t *job, pki_err_t *err)
{
    struct stat st;

    if (fstat(job->fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > CRL_MAX) {
        return pki_fail(err, PKI_E_INVALID, NULL, "the descriptor is not a list of at most %u octets", CRL_MAX);
    }
    job->whole_len = (size_t) st.st_size;
    job->whole = malloc(job->whole_len);
    if (job->whole == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "no room for a list of %zu octets", job->whole_len);
    }
    if (lseek(job->fd, 0, SEEK_SET) != 0) {
        return pki_fail(err, PKI_E_IO, NULL, "seek: %s", strerror(errno));
    }
    return fd_read_full(job->fd, job->whole, job->whole_len, err);
}

static pki_code_t
run_sign_crl(process_t *p, job_t *job, pki_err_t *err)
{
    const signer_request_t *r = &job->request;
    uint8_t                 digest[SHA256_DIGEST_LENGTH];
    signer_key_t           *key;

    PKI_TRY(keys_find(p->keys, r->ref, &key, err));
    if (key_sigalg(key)->digest != NULL) {
        if (job->fd >= 0 || r->body.len != key_sigalg(key)->digest_len) {
            return pki_fail(err, PKI_E_INVALID, NULL, "this key signs a digest of %zu octets",
                            key_sigalg(key)->digest_len);
        }
        PKI_TRY(job_record(p, job, JOURNAL_CRL, r->body, err));
        job->by_digest = true;
    } else {
        if (job->fd < 0 || r->body.len != 0) {
            return pki_fail(err, PKI_E_INVALID, NULL, "this key signs a whole list, which is to come as a descriptor");
        }
        PKI_TRY(whole_read(job, err));
        SHA256(job->whole, job->whole_len, digest);
        PKI_TRY(job_record(p, job, JOURNAL_CRL, BYTES_ARR(digest), err));
    }
    job->key = key;
    return PKI_OK;
}

/* The signer knows what a head looks like, and whose it is: what else is asked for is not signed. */
static pki_code_t
run_sign_head(process_t *p, job_t *job, pki_err_t *err)
{
    const signer_request_t *r = &job->request;
    audit_head_t            head;
    signer_key_t           *key;

    PKI_TRY(audit_head_parse(r->body, &head, err));
    if (!bytes_eq(BYTES_ARR(head.log), journal_id(p->journal))) {
        return pki_fail(err, PKI_E_INVALID, NULL, "the head names another signer's journal");
    }
    PKI_TRY(keys_find(p->keys, r->ref, &key, err));
    PKI_TRY(job_record(p, job, JOURNAL_HEAD, r->body, err));
    job->key = key;
    return PKI_OK;
}

static pki_code_t
run_hello(process_t *p, job_t *job, pki_err_t *err)
{
    (void) p;
    (void) err;
    /* As a signer that starts says it: to whoever listens. */
    job->request.client = job->request.id = 0;
    return PKI_OK;
}

static pki_code_t
run_key_make(process_t *p, job_t *job, pki_err_t *err)
{
    signer_key_t *key;

    PKI_TRY(keys_make(p->keys, job->request.ref, job->request.name, &key, err));
    log_info("signer.key_made", LOG_S("kind", pki_strndup(p->arena, job->request.name.p, job->request.name.len)),
             LOG_S("ref", pki_strndup(p->arena, job->request.ref.p, job->request.ref.len)));
    job->answer.body = key_spki(key);
    return PKI_OK;
}

static pki_code_t
run_key_public(process_t *p, job_t *job, pki_err_t *err)
{
    signer_key_t *key;

    PKI_TRY(keys_find(p->keys, job->request.ref, &key, err));
    job->answer.body = key_spki(key);
    return PKI_OK;
}

static pki_code_t
run_journal_info(process_t *p, job_t *job, pki_err_t *err)
{
    (void) err;
    job->answer.position = journal_end(p->journal);
    job->answer.body = journal_id(p->journal);
    return PKI_OK;
}

static pki_code_t
run_journal_read(process_t *p, job_t *job, pki_err_t *err)
{
    size_t max = job->request.max < JOURNAL_AT_ONE ? job->request.max : JOURNAL_AT_ONE, count = 0;
    signer_journal_entry_t *entries;
    pki_buf_t               b;

    PKI_TRY(PKI_NEW_N(p->arena, max + 1, &entries, err));
    PKI_TRY(journal_read(p->journal, p->arena, job->request.position, max, SIGNER_TBS_MAX, entries, &count, err));
    pki_buf_init(&b, p->arena, SIGNER_MESSAGE_MAX);
    for (size_t i = 0; i < count; i++) {
        signer_entry_build(&entries[i], &b);
    }
    PKI_TRY(pki_buf_check(&b, "journal entries", err));
    job->answer.count = (uint32_t) count;
    job->answer.body = pki_buf_bytes(&b);
    return PKI_OK;
}

typedef pki_code_t (*run_pt)(process_t *p, job_t *job, pki_err_t *err);

static const run_pt runs[SIGNER_OP_COUNT_] = {
    [SIGNER_OP_HELLO] = run_hello,
    [SIGNER_OP_KEY_MAKE] = run_key_make,
    [SIGNER_OP_KEY_PUBLIC] = run_key_public,
    [SIGNER_OP_SIGN_CERT] = run_sign_cert,
    [SIGNER_OP_SIGN_CRL] = run_sign_crl,
    [SIGNER_OP_SIGN_HEAD] = run_sign_head,
    [SIGNER_OP_JOURNAL_INFO] = run_journal_info,
    [SIGNER_OP_JOURNAL_READ] = run_journal_read,
};

/* The audit's key signs heads, and nothing else does. */
static pki_code_t
key_is_for(const signer_request_t *r, pki_err_t *err)
{
    bool signs = r->op == SIGNER_OP_SIGN_CERT || r->op == SIGNER_OP_SIGN_CRL || r->op == SIGNER_OP_SIGN_HEAD;

    if (signs && (r->op == SIGNER_OP_SIGN_HEAD) != bytes_eq(r->ref, bytes_str(SIGNER_AUDIT_REF))) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%s signs the heads of the audit and nothing else", SIGNER_AUDIT_REF);
    }
    return PKI_OK;
}

static void
job_run(process_t *p, job_t *job)
{
    const signer_request_t *r = &job->request;

    if (job->answer.code == PKI_OK) {
        job->answer.code = key_is_for(r, &job->err);
    }
    if (job->answer.code == PKI_OK) {
        job->answer.code = runs[r->op](p, job, &job->err);
    }
    job->answer.op = r->op;
    job->answer.client = r->client;
    job->answer.id = r->id;
}

static void
job_sign(process_t *p, job_t *job)
{
    uint8_t   *signature;
    size_t     len;
    pki_err_t *err = &job->err;
    pki_code_t rc = PKI_NEW_N(p->arena, SIGNER_SIGNATURE_MAX, &signature, err);

    if (rc == PKI_OK) {
        bytes_t message = job->whole != NULL ? bytes_of(job->whole, job->whole_len) : job->request.body;

        rc = job->by_digest ? key_sign_digest(job->key, message, signature, &len, err)
                            : key_sign_message(job->key, message, signature, &len, err);
    }
    job->answer.code = rc;
    if (rc == PKI_OK) {
        job->answer.body = bytes_of(signature, len);
    }
}

static bool
job_finish(process_t *p, job_t *job)
{
    pki_err_t err;

    if (job->answer.code != PKI_OK) {
        job->answer.body = bytes_str(job->err.text);
    }
    if (job->fd >= 0) {
        close(job->fd);
    }
    free(job->whole);
    if (answer_add(p, &job->answer, &err) != PKI_OK) {
        log_failure(LOG_WARN, "signer.answer_lost", &err);
        return false;
    }
    return true;
}

/* Journal first, then signatures.  False when the process must end. */
static bool
batch_run(process_t *p)
{
    pki_err_t  err;
    pki_code_t rc;
    bool       ok = true;

    for (size_t i = 0; i < p->count; i++) {
        job_run(p, &p->jobs[i]);
    }
    rc = journal_sync(p->journal, &err);
    if (rc != PKI_OK) {
        log_failure(LOG_ERROR, "signer.journal_failed", &err);
        if (rc == PKI_E_INTERNAL) {
            return false;
        }
    }
    for (size_t i = 0; i < p->count; i++) {
        job_t *job = &p->jobs[i];

        if (job->key != NULL && rc == PKI_OK) {
            job_sign(p, job);
        } else if (job->key != NULL) {
            job->err = err;
            job->answer.code = rc;
        }
        ok = job_finish(p, job) && ok;
    }
    if (answers_send(p, &err) != PKI_OK) {
        log_failure(LOG_WARN, "signer.answer_lost", &err);
        ok = false;
    }
    return ok;
}

/* A fault here is no fault yet: it is met again, and told to those who wait, when the segment is needed. */
static void
journal_work_ahead(process_t *p)
{
    pki_err_t err;

    if (journal_prepare(p->journal, &err) != PKI_OK) {
        log_failure(LOG_WARN, "signer.journal_not_prepared", &err);
    }
}

static pki_code_t
process_start(process_t *p, const conf_t *conf, pki_err_t *err)
{
    const char *module = conf->signer.pkcs11_module;
    char        dir[4096], id[2 * JOURNAL_ID_LEN + 1];
    size_t      torn = 0;

    PKI_TRY(sandbox_prepare(err));
    p->arena = pki_arena_new(0);
    if (p->arena == NULL || RAND_bytes((uint8_t *) &p->epoch, sizeof(p->epoch)) != 1 || p->epoch == 0) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "no memory or no random octets");
    }
    PKI_TRY(keys_open(&conf->signer, &p->keys, err));
    snprintf(dir, sizeof(dir), "%s/journal", conf->signer.dir);
    PKI_TRY(journal_open(dir, &p->journal, &torn, err));
    if (torn > 0) {
        log_warn("signer.journal_cut", LOG_I("octets", torn), LOG_I("position", journal_end(p->journal)));
    }
    PKI_TRY(sandbox_enter(conf->signer.dir, module != NULL && module[0] != '\0', err));
    hex_encode(journal_id(p->journal), id);
    log_info("signer.ready", LOG_S("journal", id), LOG_I("position", journal_end(p->journal)));
    PKI_TRY(answer_add(p, &(signer_answer_t){ .op = SIGNER_OP_HELLO }, err));
    return answers_send(p, err);
}

int
signer_process_run(const conf_t *conf, int fd)
{
    process_t  *p = calloc(1, sizeof(*p));
    log_level_t level = LOG_INFO;
    pki_err_t   err;
    bool        ok;

    if (p == NULL) {
        return 1;
    }
    if (conf->log_level != NULL) {
        log_level_parse(conf->log_level, &level);
    }
    log_configure(level, "signer");
    prctl(PR_SET_NAME, "chancery-signer");
    p->fd = fd;
    signals_start(p);
    ok = process_start(p, conf, &err) == PKI_OK;
    if (!ok) {
        log_failure(LOG_ERROR, "signer.start_failed", &err);
    }
    while (ok && batch_receive(p)) {
        ok = batch_run(p);
        journal_work_ahead(p);
    }
    journal_close(p->journal);
    keys_close(p->keys);
    pki_arena_free(p->arena);
    free(p);
    return ok ? 0 : 1;
}

int
signer_journal_verify(const conf_t *conf)
{
    journal_summary_t s;
    pki_err_t         err;
    char              dir[4096], id[2 * JOURNAL_ID_LEN + 1], head[2 * JOURNAL_HASH_LEN + 1];
    int               tries = VERIFY_TRIES;

    snprintf(dir, sizeof(dir), "%s/journal", conf->signer.dir);
    do {
        if (journal_check(dir, &s, &err) != PKI_OK) {
            fprintf(stderr, "journal %s: FAULT: %s\n", dir, err.text);
            return 1;
        }
    } while (s.unfinished > 0 && --tries > 0 && usleep(VERIFY_PAUSE_US) == 0);
    hex_encode(BYTES_ARR(s.id), id);
    hex_encode(BYTES_ARR(s.head), head);
    printf("journal       %s\nid            %s\nsegments      %" PRIu64 "\ncertificates  %" PRIu64 "\nCRLs          %" PRIu64
           "\nheads         %" PRIu64 "\nposition      %" PRIu64 "\nhead          %s\n",
           dir, id, s.segments, s.certs, s.crls, s.heads, s.end, head);
    if (s.torn_files > 0) {
        printf("torn          %" PRIu64 " files with what crashes left behind\n", s.torn_files);
    }
    if (s.unfinished > 0) {
        printf("FAULT: %" PRIu64 " octets at the end are no record: changed, or left by a crash before the signer "
               "starts again\n", s.unfinished);
        return 1;
    }
    printf("verified\n");
    return 0;
}

static void
record_print(const journal_record_t *r, void *arg)
{
    static const char *const kinds[] = { [JOURNAL_CERT] = "certificate", [JOURNAL_CRL] = "crl", [JOURNAL_HEAD] = "head" };
    char    at[RFC3339_LEN + 1], name[2 * (UINT8_MAX + 1) + 1], digest[2 * SHA256_DIGEST_LENGTH + 1];
    uint8_t hash[SHA256_DIGEST_LENGTH];

    (void) arg;
    hex_encode(bytes_of(SHA256(r->data.p, r->data.len, hash), sizeof(hash)), digest);
    rfc3339_print(r->at, at);
    hex_encode(bytes_of(r->name.p, r->name.len <= UINT8_MAX ? r->name.len : UINT8_MAX), name);
    printf("%s %s %" PRIu32 " %s %s %.*s\n", kinds[r->kind], at, r->issuer_no, name, digest,
           (int) r->ref.len, (const char *) r->ref.p);
}

int
signer_journal_list(const conf_t *conf)
{
    journal_summary_t s;
    pki_err_t         err;
    char              dir[4096];

    snprintf(dir, sizeof(dir), "%s/journal", conf->signer.dir);
    if (journal_walk(dir, record_print, NULL, &s, &err) != PKI_OK) {
        fprintf(stderr, "journal %s: FAULT: %s\n", dir, err.text);
        return 1;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
