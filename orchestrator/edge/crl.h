/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Inside of this folder only: the lists that this host serves, and making the next ones.
 *
 *   crl_job.c     when: one job for each scope of an authority, requests, deadlines, the threads
 *   crl_list.c    lists as records, those of an earlier process, what is served now
 *   crl_build.c   one turn of a job: number, what is in the list and in its delta
 *   crl_make.c    one list: signature, file, publication
 *   crl_file.c    the files: entries on their way, the finished list, its compressed form
 *   crl_check.c   what a list has to pass before anybody sees it
 */
#ifndef ORCHESTRATOR_EDGE_CRL_H
#define ORCHESTRATOR_EDGE_CRL_H

#include "core/file.h"
#include "orchestrator/edge/part.h"

#define CRL_FILE_MAX 128

/* A list that this host serves; file empty: none. */
typedef struct {
    char    file[CRL_FILE_MAX];
    int64_t number, this_update, next_update, size, entries, duration_ms, generated_at;
    int64_t base_number; /* of a delta */
    int64_t gzip_size;   /* 0: not compressed */
    uint8_t etag[32], gzip_etag[32];
} crl_list_t;

/* What an issuer's settings ask for. */
typedef struct {
    int64_t validity_s, refresh_s;
    int64_t delta_s;        /* 0: none */
    int64_t keep_expired_s; /* 0: one list after their end is enough */
    bool    expired_since, next_publish, aia;
} crl_rules_t;

typedef struct crl_job {
    crl_id_t    id;     /* full, or a shard */
    uint32_t    shards; /* of the authority */
    char        issuer[80];
    crl_rules_t rules;
    crl_list_t  list, delta;
    int64_t     before; /* thisUpdate of the newest list that anybody published; 0: none */

    int64_t  due_us, delta_due_us; /* monotonic: when the next ones are to be made */
    int64_t  reread_us;            /* when all entries were read */
    int64_t  heard_us;             /* when to see whether another host knows more; 0: no reason to */
    int64_t  backoff_us;           /* after a failure; 0: none */
    uint64_t wanted;               /* requests so far: those that come during a build make another one */
    uint64_t done;                 /* requests that a list was made for */
    uint64_t attempts, built, failed;
    bool     reread;               /* all entries have to be read in any case */
    bool     busy, seen, gone;     /* a thread has it; the last configuration had it; to be freed */
    bool     stale;
    char     error[224];           /* of the last attempt; empty: it went well */
    struct crl_job *next;
} crl_job_t;

/* What the configuration says of all lists of an authority. */
typedef struct {
    const char *issuer; /* id */
    uint32_t    shards; /* 0: one list */
    crl_rules_t rules;
} crl_watch_t;

/* crl_job.c: see to it that there is a job; the lists that are served now. */
pki_code_t crl_watch(edge_t *e, pki_arena_t *a, const crl_watch_t *w, const crl_id_t *id, crl_list_t *list,
                     crl_list_t *delta, pki_err_t *err);

/* crl_list.c: what this host served before its process began: job->list, job->delta, job->before. */
pki_code_t crl_adopt(edge_t *e, pki_arena_t *a, crl_job_t *job, pki_err_t *err);

/* One turn of a job, as it was when the turn began. */
typedef struct {
    crl_id_t    id;
    crl_rules_t rules;
    crl_list_t  list, delta;
    int64_t     before;
    bool        full;   /* otherwise only the delta */
    bool        reread;
    uint64_t    wanted;
} crl_order_t;

/* crl_build.c: lists that were published are job->list and job->delta when it returns. */
pki_code_t crl_build(edge_t *e, const crl_order_t *order, pki_err_t *err);

/* crl_job.c, for the builder: the list is the one that is served now.  Whether a newer one has been asked for. */
void crl_serve(edge_t *e, const crl_id_t *id, const crl_list_t *list);
bool crl_is_wanted(edge_t *e, const crl_order_t *order);

/* crl_list.c: the record of a list in the edge store. */
pki_code_t crl_record(const crl_id_t *id, const crl_list_t *list, pki_buf_t *key, pki_buf_t *value, pki_err_t *err);

/* INTEGER contents octets of a positive number. */
#define CRL_NUMBER_OCTETS 9
bytes_t crl_number_put(int64_t number, uint8_t out[CRL_NUMBER_OCTETS]);

/* crl_file.c */

/* A file that is mapped: what has been walked need not stay in memory. */
typedef struct {
    uint8_t *p;
    size_t   len;
} crl_map_t;
pki_code_t crl_map(int fd, size_t len, crl_map_t *out, pki_err_t *err);
pki_code_t crl_map_open(const char *path, crl_map_t *out, pki_err_t *err);
void       crl_map_walked(void *map, bytes_t part); /* a crl_passed_pt */
void       crl_map_close(crl_map_t *map);

/* Encoded entries on their way from the database into a list: a file without a name. */
typedef struct {
    int     fd;
    size_t  len, count, used;
    uint8_t buffer[65536];
} crl_spool_t;
pki_code_t crl_spool_open(const char *dir, crl_spool_t *out, pki_err_t *err);
pki_code_t crl_spool_add(crl_spool_t *s, const crl_entry_t *entry, pki_err_t *err);
pki_code_t crl_spool_end(crl_spool_t *s, crl_map_t *out, pki_err_t *err);
void       crl_spool_close(crl_spool_t *s);

/* Write the list; *etag is SHA-256 of the file.  It has no name before file_commit(). */
pki_code_t crl_file_write(const crl_t *crl, bytes_t signature, const char *path, crl_map_t *source, file_new_t *f,
                          int64_t *size, uint8_t etag[32], pki_err_t *err);

/* PATH.gz beside PATH; UNAVAILABLE when stop() says so. */
typedef bool (*crl_stop_pt)(void *arg);
pki_code_t crl_file_compress(const char *path, crl_stop_pt stop, void *arg, int64_t *size, uint8_t etag[32],
                             pki_err_t *err);

/* crl_check.c */

/* Read back what is in the file, as a relying party and a strict reader would. */
typedef struct {
    const cert_t         *ca;
    const crl_template_t *t;
    size_t                entries;
} crl_wanted_t;
pki_code_t crl_check(int fd, int64_t size, const crl_wanted_t *wanted, pki_err_t *err);

/*
 * The list that is served now against the next one: the same issuer and distribution point, and no entry is
 * missing that may not be.  CONFLICT otherwise.
 */
pki_code_t crl_check_frame(bytes_t now, const crl_wanted_t *next, pki_err_t *err);
pki_code_t crl_check_missing(db_t *db, const crl_id_t *id, int64_t floor, crl_map_t *now_map, bytes_t now,
                             crl_map_t *next_map, bytes_t next, pki_err_t *err);

#endif
