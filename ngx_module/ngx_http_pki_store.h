/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A worker's view of the edge store: LMDB, read only, one transaction that is renewed when something has been
 * committed, and a decoded snapshot of the small records (issuers, responders, CRLs, EST labels).
 *
 * A missing store is not an error: it is looked for once a second, and answers are "try later" until then.
 */
#ifndef NGX_HTTP_PKI_STORE_H
#define NGX_HTTP_PKI_STORE_H

#include <lmdb.h>

#include "ngx_module/ngx_http_pki_glue.h"
#include "ngx_module/ngx_http_pki_metrics.h"
#include "ngx_module/ngx_http_pki_signer.h"
#include "pkiproto/crl/scope.h"
#include "pkiproto/edge/record.h"
#include "pkiproto/ocsp/response.h"

#define NGX_HTTP_PKI_RESPONDERS_MAX 8

/* A delegated OCSP key of an authority. */
typedef struct {
    edge_responder_t       record;
    ngx_http_pki_signer_t *signer; /* NULL: it cannot sign */
    ocsp_responder_t       ocsp;   /* what is the same in its every answer */
} ngx_http_pki_responder_t;

typedef struct {
    crl_scope_t scope;
    edge_crl_t  record;
} ngx_http_pki_crl_t;

/* One generation of an issuer's CA. */
typedef struct {
    edge_issuer_t            record;
    ngx_http_pki_responder_t responders[NGX_HTTP_PKI_RESPONDERS_MAX]; /* the default one first */
    size_t                   responder_count;
    ngx_http_pki_crl_t      *crls; /* published ones */
    size_t                   crl_count, crl_cap;
    ngx_http_pki_slots_t     slots; /* where this worker counts for the issuer */
} ngx_http_pki_authority_t;

typedef struct {
    bytes_t                      name; /* as in the URL; empty for the default label */
    edge_est_label_t             record;
    ngx_http_pki_authority_t    *authority;
    X509_STORE                  *trust; /* made on first use */
    bytes_t cacerts[2];                 /* finished bodies, made on first use: as the label says, in lines */
} ngx_http_pki_label_t;

/* Immutable but for what is made on first use; freed when the last request that looks at it ends. */
typedef struct {
    pki_arena_t              *arena;
    ngx_uint_t                refs;
    uint64_t                  generation;
    ngx_http_pki_authority_t *authorities; /* by issuer id; of one issuer the current one first, then the latest */
    size_t                    authority_count;
    ngx_http_pki_label_t     *labels;      /* sorted by name */
    size_t                    label_count;
} ngx_http_pki_snapshot_t;

typedef struct {
    ngx_str_t                dir; /* the edge folder; NUL-terminated as the two below */
    ngx_str_t                env_dir, data_file;
    MDB_env                 *env; /* NULL: no store */
    MDB_txn                 *txn;
    ngx_event_t              idle; /* ends reading some time after it began */
    ngx_uint_t               is_reading; /* txn holds pages, and shows the commit that it was renewed at */
    MDB_dbi                  dbi[EDGE_DB_COUNT];
    ngx_file_uniq_t          inode;
    time_t                   looked_at; /* when the folder was last looked at */
    edge_state_t             state;     /* as of this request's transaction; its boot id is not kept */
    bytes_t                  changes;   /* of the same transaction; absent: statuses have to be read */
    size_t                   seen;      /* id of the transaction that state was read in; 0: none */
    ngx_http_pki_snapshot_t *snapshot;
    uint64_t                 snapshots; /* that there were: the number of this one */
    uint8_t                  boot_id[16];
    ngx_int_t                reported; /* what was last logged about a store that cannot be used */
} ngx_http_pki_store_t;

/* Indexes of dbi[]. */
typedef enum {
    NGX_HTTP_PKI_DB_META,
    NGX_HTTP_PKI_DB_ISSUER,
    NGX_HTTP_PKI_DB_STATUS,
    NGX_HTTP_PKI_DB_RESPONDER,
    NGX_HTTP_PKI_DB_CRL,
    NGX_HTTP_PKI_DB_PROFILE,
    NGX_HTTP_PKI_DB_ACCOUNT,
} ngx_http_pki_db_t;

ngx_http_pki_store_t *ngx_http_pki_store_new(ngx_pool_t *pool, ngx_str_t *dir);
ngx_int_t             ngx_http_pki_store_init(ngx_http_pki_store_t *s, ngx_log_t *log); /* in the worker */
void                  ngx_http_pki_store_close(ngx_http_pki_store_t *s);

/*
 * Begin reading what has been committed until now.  NGX_OK: state and snapshot are those of one transaction,
 * which lasts until ngx_http_pki_store_end(); records are valid only in between, and nginx's event loop must
 * not be entered. NGX_DECLINED: there is no store to be read.
 */
ngx_int_t ngx_http_pki_store_begin(ngx_http_pki_store_t *s, ngx_log_t *log);
void      ngx_http_pki_store_end(ngx_http_pki_store_t *s);

/* One record.  NGX_DECLINED: there is none; NGX_ERROR is logged. */
ngx_int_t ngx_http_pki_store_get(ngx_http_pki_store_t *s, ngx_http_pki_db_t db, bytes_t key, bytes_t *value,
                                 ngx_log_t *log);

/* The status record of a serial, as it is in the store. */
ngx_int_t ngx_http_pki_store_status(ngx_http_pki_store_t *s, uint32_t authority, bytes_t serial,
                                    bytes_t *value, ngx_log_t *log);

/*
 * What stays the same for as long as the status of a serial does, and is cheaper to look at; NGX_DECLINED: this
 * store does not tell.
 */
ngx_int_t ngx_http_pki_store_unchanged(ngx_http_pki_store_t *s, uint32_t authority, bytes_t serial, uint64_t *count);

/* Memory begins to fetch that, for a serial of 8 octets or more, whoever has issued it. */
void ngx_http_pki_store_expect(ngx_http_pki_store_t *s, bytes_t serial);

/* Where that is in s->changes (edge_changes_get_stripe()); NGX_DECLINED: nowhere. */
ngx_int_t ngx_http_pki_store_stripe(ngx_http_pki_store_t *s, uint32_t authority, bytes_t serial, size_t *stripe);

/* The authorities of an issuer, one after the other; NULL and count 0 when there is none. */
ngx_http_pki_authority_t *ngx_http_pki_authorities_find(ngx_http_pki_snapshot_t *snap, bytes_t id, size_t *count);
ngx_http_pki_authority_t *ngx_http_pki_authority_find_no(ngx_http_pki_snapshot_t *snap, uint32_t no);
ngx_http_pki_crl_t       *ngx_http_pki_crl_find(const ngx_http_pki_authority_t *authority, crl_scope_t scope);

/* NULL when there is none. */
ngx_http_pki_label_t *ngx_http_pki_label_find(ngx_http_pki_snapshot_t *snap, bytes_t name);

/* Decode a new snapshot inside a transaction; old may be NULL and lends keys that are the same. */
ngx_http_pki_snapshot_t *ngx_http_pki_snapshot_new(ngx_http_pki_store_t *s, ngx_http_pki_snapshot_t *old,
                                                   ngx_log_t *log);

/* Keep the snapshot for as long as the request lives. */
ngx_int_t ngx_http_pki_snapshot_hold(ngx_http_request_t *r, ngx_http_pki_snapshot_t *snap);
void      ngx_http_pki_snapshot_release(ngx_http_pki_snapshot_t *snap);

#endif
