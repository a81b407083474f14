/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * An OCSP request being answered: shared by the module's files.
 */
#ifndef NGX_HTTP_PKI_OCSP_H
#define NGX_HTTP_PKI_OCSP_H

#include "ngx_module/ngx_http_pki_cache.h"
#include "ngx_module/ngx_http_pki_limit.h"
#include "ngx_module/ngx_http_pki_module.h"

extern ngx_module_t ngx_http_pki_ocsp_module;

typedef struct ngx_http_pki_ocsp_had_s ngx_http_pki_ocsp_had_t;

typedef struct {
    ngx_shm_zone_t *cache; /* NULL: every answer is signed */
    ngx_http_pki_ocsp_had_t *had; /* of this worker; NULL: nothing has been remembered */
    ngx_shm_zone_t *nonce_limit, *sign_limit; /* NULL: no limit */
} ngx_http_pki_ocsp_main_conf_t;

/* What is answered for a serial that the authority has not issued (RFC 6960 2.2, RFC 9919 3.2.3). */
enum {
    NGX_HTTP_PKI_OCSP_UNISSUED_UNAUTHORIZED, /* unsigned */
    NGX_HTTP_PKI_OCSP_UNISSUED_UNKNOWN,
    NGX_HTTP_PKI_OCSP_UNISSUED_REVOKED, /* the extended definition of RFC 6960 4.4.8 */
};

#define NGX_HTTP_PKI_OCSP_MAX_TARGET 8192
#define NGX_HTTP_PKI_OCSP_MAX_AGE 3600 /* seconds that HTTP caches may keep an answer, unless configured */

/* A location's directives, pki_ocsp_ before each name. */
typedef struct {
    ngx_uint_t      by_name;        /* responder_id */
    ngx_uint_t      unissued;       /* NGX_HTTP_PKI_OCSP_UNISSUED_* */
    ngx_flag_t      nonce;          /* off: nonces are ignored */
    ngx_uint_t      require_signed; /* signed_requests */
    X509_STORE     *client_trust;   /* NULL: none */
    time_t          archive_cutoff; /* how long expired certificates are answered; 0: off */
    ngx_str_t       crl_reference;  /* URL of the folder of lists, or "off" */
    ngx_flag_t      cert_hash;
    ngx_int_t       max_ids;
    time_t          max_age;
    size_t          max_target;     /* octets of a GET's request target */
    ngx_flag_t      dual_cert_id;
    uint64_t        variant;        /* of these, what shows in the signed part of an answer */
} ngx_http_pki_ocsp_loc_conf_t;

#define NGX_HTTP_PKI_OCSP_TAG (2 + 2 * 32) /* octets of an entity tag */

/* What a client asks: a request, or a certificate by its serial (INTEGER contents octets). */
typedef struct {
    bytes_t der, serial; /* one of them may be absent */
} ngx_http_pki_ocsp_question_t;

/* Lives within one call, inside the store's transaction. */
typedef struct {
    ngx_http_request_t       *r;
    ngx_http_pki_store_t     *store;
    ngx_http_pki_authority_t *authorities; /* of the issuer in the path */
    size_t                    authority_count;
    ocsp_request_t            request;
    ngx_http_pki_slot_t      *slot;  /* where it is counted */
    uint64_t                  began; /* ngx_http_pki_metrics_clock() */
    ngx_shm_zone_t           *cache; /* where an answer to this may be; NULL: nowhere */
    ngx_http_pki_cache_key_t  key;
    bytes_t                   guess; /* the serial that key has been begun with; absent: none */

    /* Filled by ngx_http_pki_ocsp_answer(). */
    ngx_http_pki_ocsp_loc_conf_t *conf;
    ngx_http_pki_authority_t     *authority;
    ngx_http_pki_responder_t     *responder;
    const pki_sigalg_t           *sigalg;               /* that it signs with */
    bytes_t                       status[OCSP_IDS_MAX]; /* records, in the store or below; absent: not issued */
    edge_status_t                 record[OCSP_IDS_MAX]; /* the same, decoded; not those that are absent */
    uint8_t                       kept_status[EDGE_STATUS_MAX]; /* a record that the cache had */
    ngx_uint_t                    has_unissued;
    bytes_t                       nonce; /* to be given back; absent: none */
    int64_t                       now, this_update, next_update;
    bytes_t                       answer;      /* in the request's pool; absent when the client has it */
    ngx_uint_t                    can_be_kept; /* by anybody: it is the same for all who ask */
    ngx_uint_t                    is_first;    /* the certificate has had no other status before */
    uint8_t                       etag[32];    /* SHA-256 of the answer, if it can be kept */
    u_char                        tag[NGX_HTTP_PKI_OCSP_TAG]; /* the same as an entity tag */
    uint8_t                       last_octet;  /* of the serial: what spreads the answers' times */
    ngx_int_t                     outcome;     /* of an answer, for the counters */
    ngx_int_t                     retry_after; /* seconds; 0: no budget was overdrawn */
} ngx_http_pki_ocsp_t;

/* The answer, or the status that is the answer. */
ocsp_response_status_t ngx_http_pki_ocsp_answer(ngx_http_pki_ocsp_t *o);

/* ---- ngx_http_pki_ocsp_data.c ---- */

/* What is signed, from the records and the times of o: in the request's pool. */
pki_code_t ngx_http_pki_ocsp_data(const ngx_http_pki_ocsp_t *o, bytes_t *tbs, pki_err_t *err);

/* Do answers refer to CRLs?  What they depend on is known only with the record then. */
ngx_uint_t ngx_http_pki_ocsp_refers(const ngx_http_pki_ocsp_t *o);

/*
 * All that an answer to one CertID depends on, but for the authority's number, the CertID, its record and the
 * times: configuration, who signs and how, a CA that was revoked, the list that is referred to.
 */
uint64_t ngx_http_pki_ocsp_variant(const ngx_http_pki_ocsp_t *o);

ngx_int_t ngx_http_pki_ocsp_outcome(const ngx_http_pki_ocsp_t *o); /* the least good status in an answer */

/* ---- ngx_http_pki_ocsp_signed.c: OCSP_SUCCESSFUL when somebody who is trusted signed the request ---- */

ocsp_response_status_t ngx_http_pki_ocsp_signed(const ngx_http_pki_ocsp_t *o);

/* ---- ngx_http_pki_ocsp_get.c ---- */

/* From what follows the issuer in the raw request target.  NGX_OK, or the HTTP status that says what is wrong. */
ngx_int_t ngx_http_pki_ocsp_question(ngx_http_request_t *r, bytes_t raw, ngx_http_pki_ocsp_question_t *out);

/* Fill o->request for a serial, inside the store's transaction. */
pki_code_t ngx_http_pki_ocsp_request_of(ngx_http_pki_ocsp_t *o, bytes_t serial);

/* ---- ngx_http_pki_ocsp_reuse.c ---- */

/*
 * Memory begins to fetch what may be kept for a request: before it is parsed for what it looks like, then for what it is,
 * and goes on some work later.
 */
void ngx_http_pki_ocsp_guess(ngx_http_pki_ocsp_t *o, bytes_t der);
void ngx_http_pki_ocsp_expect(ngx_http_pki_ocsp_t *o);
void ngx_http_pki_ocsp_expect_more(ngx_http_pki_ocsp_t *o);

/*
 * The kept answer.  The first: when the store says that the status it was made of has not changed; o has no
 * status and no record yet.  The second: when it was made of the status that has been read; NGX_DECLINED may also
 * mean that this worker is to make another.  The third, when it could not: after the second.
 */
ngx_int_t ngx_http_pki_ocsp_recall_unchanged(ngx_http_pki_ocsp_t *o);
ngx_int_t ngx_http_pki_ocsp_recall(ngx_http_pki_ocsp_t *o);
ngx_int_t ngx_http_pki_ocsp_recall_due(ngx_http_pki_ocsp_t *o);

/*
 * Fill status[0], for an answer that cannot be kept, from one that is: when the store says that the status which that
 * was made of has not changed.
 */
ngx_int_t ngx_http_pki_ocsp_recall_status(ngx_http_pki_ocsp_t *o);

/* A signed answer: fill its validators; keep it. */
void ngx_http_pki_ocsp_validate(ngx_http_pki_ocsp_t *o);
void ngx_http_pki_ocsp_keep(ngx_http_pki_ocsp_t *o);

int64_t ngx_http_pki_ocsp_max_age(const ngx_http_pki_ocsp_t *o);

/* ---- ngx_http_pki_ocsp_had.c ---- */

/*
 * A GET whose client has the answer, as this worker has found lately: NGX_OK, and o is ready to be sent.  Memory begins
 * to fetch it with the first, which gives the number that the second wants; 0: there is nothing to be found.  The
 * third: it is found now, inside the store's transaction, under this count of changes; good until refresh_at.
 */
uint64_t  ngx_http_pki_ocsp_had_expect(ngx_http_request_t *r);
ngx_int_t ngx_http_pki_ocsp_had(ngx_http_pki_ocsp_t *o, uint64_t hash);
void      ngx_http_pki_ocsp_had_insert(ngx_http_pki_ocsp_t *o, uint64_t changes, int64_t refresh_at);

/* ---- ngx_http_pki_ocsp_http.c ---- */

/* Fill the validator: the digest, and its form as an entity tag. */
void ngx_http_pki_ocsp_tag(ngx_http_pki_ocsp_t *o, const uint8_t etag[32]);

/* Has the client this answer already, by what its conditions say? */
ngx_uint_t ngx_http_pki_ocsp_is_current(const ngx_http_pki_ocsp_t *o);

/* Send the answer, or 304. */
ngx_int_t ngx_http_pki_ocsp_send(ngx_http_pki_ocsp_t *o);
ngx_int_t ngx_http_pki_ocsp_send_error(ngx_http_request_t *r, ocsp_response_status_t status);
ngx_int_t ngx_http_pki_ocsp_no_store(ngx_http_request_t *r);

/*
 * May one more answer be signed?  Those that can be kept, and those that cannot (a nonce, several CertIDs),
 * have budgets of their own (N-07, O-37).  If not, retry_after is set, and the answer is tryLater.
 */
ngx_int_t ngx_http_pki_ocsp_afford(ngx_http_pki_ocsp_t *o, ngx_uint_t can_be_kept);

/* Retry-After, of an answer that says "not now". */
ngx_int_t ngx_http_pki_ocsp_not_now(ngx_http_request_t *r, ngx_int_t seconds);

/* Setters of directives. */
char *ngx_http_pki_ocsp_nonce_limit(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_pki_ocsp_sign_limit(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_pki_ocsp_error(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* ngx_http_pki_ocsp_conf.c: for the table of directives. */
extern ngx_conf_enum_t       ngx_http_pki_ocsp_responder_ids[];
extern ngx_conf_enum_t       ngx_http_pki_ocsp_unissued[];
extern ngx_conf_enum_t       ngx_http_pki_ocsp_signed_requests[];
extern ngx_conf_num_bounds_t ngx_http_pki_ocsp_max_ids;

void *ngx_http_pki_ocsp_create_loc_conf(ngx_conf_t *cf);
char *ngx_http_pki_ocsp_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
char *ngx_http_pki_ocsp_archive_cutoff(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_pki_ocsp_crl_reference(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_pki_ocsp_client_trust(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

#endif
