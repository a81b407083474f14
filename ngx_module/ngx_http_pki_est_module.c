/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Enrolment over Secure Transport (RFC 7030, RFC 8951).
 *
 *     pki_est unix:PATH;      location; {location}[/label]/{operation}; enrolments go to the orchestrator's socket
 *
 * The module authenticates, parses and checks; what is left is one enrolment request, passed to the
 * orchestrator.  cacerts needs nobody but the edge store.
 */
#include "ngx_module/ngx_http_pki_est.h"

#include <ngx_http_ssl_module.h>

#include "ngx_module/ngx_http_pki_hop.h"
#include "pkiproto/cms/certs_only.h"
#include "pkiproto/edge/enrol.h"
#include "pkiproto/json/pack.h"

#define NGX_HTTP_PKI_EST_ARENA_MAX (1 << 20)
#define NGX_HTTP_PKI_EST_LINE      64 /* what libest wants */
#define NGX_HTTP_PKI_EST_RECORD    768 /* room in an enrolment request for all that is short */
#define NGX_HTTP_PKI_EST_TIMEOUT   1500 /* ms; down or slow: the client gets 503 within two seconds */

#define NGX_HTTP_PKI_EST_OPTIONAL_NO_CA 3 /* of ssl_verify_client */

typedef struct {
    ngx_http_pki_hop_t *hop;
} ngx_http_pki_est_loc_conf_t;

typedef struct {
    ngx_flag_t used; /* a location of this server has pki_est */
} ngx_http_pki_est_srv_conf_t;

static ngx_int_t ngx_http_pki_est_postconfiguration(ngx_conf_t *cf);
static void     *ngx_http_pki_est_create_srv_conf(ngx_conf_t *cf);
static void     *ngx_http_pki_est_create_loc_conf(ngx_conf_t *cf);
static char     *ngx_http_pki_est(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_http_pki_est_handler(ngx_http_request_t *r);
static void      ngx_http_pki_est_body(ngx_http_request_t *r, ngx_int_t rc, bytes_t body);

static ngx_command_t ngx_http_pki_est_commands[] = {

    { ngx_string("pki_est"),
      NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1,
      ngx_http_pki_est,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    ngx_null_command
};

static ngx_http_module_t ngx_http_pki_est_module_ctx = {
    NULL,                               /* preconfiguration */
    ngx_http_pki_est_postconfiguration, /* postconfiguration */

    NULL,                               /* create main configuration */
    NULL,                               /* init main configuration */

    ngx_http_pki_est_create_srv_conf,   /* create server configuration */
    NULL,                               /* merge server configuration */

    ngx_http_pki_est_create_loc_conf,   /* create location configuration */
    NULL                                /* merge location configuration */
};

ngx_module_t ngx_http_pki_est_module = {
    NGX_MODULE_V1,
    &ngx_http_pki_est_module_ctx, /* module context */
    ngx_http_pki_est_commands,    /* module directives */
    NGX_HTTP_MODULE,              /* module type */
    NULL,                         /* init master */
    NULL,                         /* init module */
    NULL,                         /* init process */
    NULL,                         /* init thread */
    NULL,                         /* exit thread */
    NULL,                         /* exit process */
    NULL,                         /* exit master */
    NGX_MODULE_V1_PADDING
};

/* ---- answers ---- */

static ngx_int_t
ngx_http_pki_est_challenge(ngx_http_request_t *r, const ngx_http_pki_est_t *est)
{
    ngx_str_t value;
    bytes_t   label = est->label->record.label;
    u_char   *p;

    value.len = sizeof("Basic realm=\"EST \"") - 1 + label.len;
    value.data = ngx_pnalloc(r->pool, value.len);
    if (value.data == NULL) {
        return NGX_ERROR;
    }
    p = ngx_cpymem(value.data, "Basic realm=\"EST ", sizeof("Basic realm=\"EST ") - 1);
    p = ngx_cpymem(p, label.p, label.len);
    *p = '"';
    return ngx_http_pki_header(r, "WWW-Authenticate", value);
}

static ngx_int_t
ngx_http_pki_est_error(ngx_http_request_t *r, const ngx_http_pki_est_t *est, const pki_err_t *err)
{
    if (err->code == PKI_E_UNAUTHENTICATED && ngx_http_pki_est_challenge(r, est) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return ngx_http_pki_send_error(r, err);
}

/* Orchestrator down, slow, or not understood: clients come back at different times. */
static ngx_int_t
ngx_http_pki_est_unavailable(ngx_http_request_t *r)
{
    return ngx_http_pki_send_unavailable(r, "enrolment is not available at the moment", 1 + ngx_random() % 5);
}

static ngx_uint_t
ngx_http_pki_est_is_libest(ngx_http_request_t *r)
{
    ngx_table_elt_t *agent = r->headers_in.user_agent;

    return agent != NULL && agent->value.len >= 6
           && ngx_strncasecmp(agent->value.data, (u_char *) "libest", 6) == 0;
}

/* Certificates as EST sends them: certs-only, base64 in lines of wrap characters (0: one line). */
static pki_code_t
ngx_http_pki_est_encode(pki_arena_t *a, const cert_list_t *certs, unsigned wrap, bytes_t *out, pki_err_t *err)
{
    pki_buf_t cms, body;

    pki_buf_init(&cms, a, NGX_HTTP_PKI_EST_ARENA_MAX);
    pki_buf_init(&body, a, 2 * NGX_HTTP_PKI_EST_ARENA_MAX);
    PKI_TRY(certs_only_build(certs, &cms, err));
    PKI_TRY(est_body_encode(pki_buf_bytes(&cms), wrap, &body, err));
    *out = pki_buf_bytes(&body);
    return PKI_OK;
}

static ngx_int_t
ngx_http_pki_est_success(ngx_http_request_t *r, est_op_t op, bytes_t body)
{
    const char *name = est_op_info(op)->response_type;
    ngx_str_t   type = { ngx_strlen(name), (u_char *) name };

    return ngx_http_pki_send(r, NGX_HTTP_OK, &type, body);
}

/* ---- cacerts ---- */

static ngx_int_t
ngx_http_pki_est_cacerts(ngx_http_request_t *r, ngx_http_pki_est_t *est)
{
    ngx_uint_t   lines = ngx_http_pki_est_is_libest(r);
    bytes_t     *body = &est->label->cacerts[lines];
    edge_issuer_t record = est->label->authority->record;
    cert_list_t  chain = { record.chain, record.chain_len };
    pki_err_t    err;

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }
    if (body->p == NULL && ngx_http_pki_est_encode(est->snapshot->arena, &chain,
                                                   lines ? NGX_HTTP_PKI_EST_LINE : est->label->record.wrap,
                                                   body, &err) != PKI_OK) {
        *body = BYTES_NONE;
        return ngx_http_pki_est_error(r, est, &err);
    }
    return ngx_http_pki_est_success(r, EST_CACERTS, *body);
}

/* ---- enrolment: to the orchestrator ---- */

static void
ngx_http_pki_est_cleanse(void *data)
{
    ngx_str_t *s = data;

    OPENSSL_cleanse(s->data, s->len);
}

/* The enrolment request as octets, which are cleansed with the request's pool: there may be a password in them. */
static ngx_int_t
ngx_http_pki_est_record(ngx_http_request_t *r, const enrol_request_t *in, ngx_str_t *out)
{
    ngx_pool_cleanup_t *cln;
    pki_buf_t           b;

    out->len = NGX_HTTP_PKI_EST_RECORD + in->csr.len + in->certificate.len + ngx_strlen(in->identity)
               + (in->password != NULL ? ngx_strlen(in->password) : 0);
    out->data = ngx_pnalloc(r->pool, out->len);
    cln = out->data != NULL ? ngx_pool_cleanup_add(r->pool, sizeof(*out)) : NULL;
    if (cln == NULL) {
        return NGX_ERROR;
    }
    pki_buf_fixed(&b, out->data, out->len);
    fields_pack(enrol_request_fields, in, &b);
    out->len = b.len;
    cln->handler = ngx_http_pki_est_cleanse;
    ngx_memcpy(cln->data, out, sizeof(*out));
    return b.failed ? NGX_ERROR : NGX_OK;
}

static char *
ngx_http_pki_est_string(pki_arena_t *a, ngx_str_t s)
{
    return pki_strndup(a, s.data, s.len);
}

static ngx_int_t
ngx_http_pki_est_request(ngx_http_request_t *r, ngx_http_pki_est_t *est, ngx_str_t *out)
{
    bytes_t         label = est->label->record.label;
    uint8_t         key[32];
    enrol_request_t request = {
        .protocol = "est",
        .operation = est_op_info(est->op)->name,
        .label = pki_strndup(est->arena, label.p, label.len),
        .identity_kind = est->identity_kind,
        .identity = est->identity,
        .password = est->password,
        .certificate = est->certificate,
        .csr = est->csr.der,
        .source = ngx_http_pki_est_string(est->arena, r->connection->addr_text),
        .request_id = ngx_http_pki_est_string(est->arena, ngx_http_pki_request_id(r)),
    };

    if (request.label == NULL || request.source == NULL || request.request_id == NULL
        || !enrol_transaction_key(&request, key)) {
        return NGX_ERROR;
    }
    request.transaction_key = BYTES_ARR(key);
    return ngx_http_pki_est_record(r, &request, out);
}

/* ---- enrolment: from the orchestrator ---- */

static pki_code_t
ngx_http_pki_est_answer(bytes_t octets, enrol_answer_t *answer, pki_err_t *err)
{
    if (octets.len == 0) {
        return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "the orchestrator %s",
                        octets.p == NULL ? "did not answer" : "could not serve");
    }
    PKI_TRY(fields_unpack(enrol_answer_fields, octets, answer, err));
    if (ngx_strcmp(answer->status, "issued") == 0 && answer->certificate.len == 0) {
        return pki_fail(err, PKI_E_INVALID, NULL,
                        "the orchestrator answered \"issued\" without a certificate");
    }
    return PKI_OK;
}

static ngx_int_t
ngx_http_pki_est_issued(ngx_http_request_t *r, ngx_http_pki_est_t *est, enrol_answer_t *answer)
{
    unsigned    wrap = ngx_http_pki_est_is_libest(r) ? NGX_HTTP_PKI_EST_LINE : est->label->record.wrap;
    cert_list_t only = { &answer->certificate, 1 };
    bytes_t     body;
    pki_err_t   err;

    if (ngx_http_pki_est_encode(est->arena, &only, wrap, &body, &err) != PKI_OK) {
        return ngx_http_pki_est_error(r, est, &err);
    }
    return ngx_http_pki_est_success(r, est->op, body);
}

static ngx_int_t
ngx_http_pki_est_pending(ngx_http_request_t *r, enrol_answer_t *answer)
{
    ngx_str_t value;

    value.data = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (value.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    value.len = ngx_sprintf(value.data, "%L", ngx_max(answer->retry_after_s, 1)) - value.data;
    if (ngx_http_pki_header(r, "Retry-After", value) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return ngx_http_pki_send_text(r, NGX_HTTP_ACCEPTED,
                                  "the request is being processed: send it again later");
}

static ngx_int_t
ngx_http_pki_est_rejected(ngx_http_request_t *r, ngx_http_pki_est_t *est, enrol_answer_t *answer)
{
    pki_err_t err;

    (void) pki_fail(&err, enrol_code_parse(answer->code), answer->clause, "%s",
                    answer->text != NULL ? answer->text : "the request was refused");
    return ngx_http_pki_est_error(r, est, &err);
}

static ngx_int_t
ngx_http_pki_est_finish(ngx_http_request_t *r, bytes_t octets)
{
    ngx_http_pki_est_t *est = ngx_http_get_module_ctx(r, ngx_http_pki_est_module);
    enrol_answer_t      answer;
    pki_err_t           err;

    if (ngx_http_pki_est_answer(octets, &answer, &err) != PKI_OK) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "pki: EST enrolment: %s", err.text);
        return ngx_http_pki_est_unavailable(r);
    }
    if (ngx_strcmp(answer.status, "issued") == 0) {
        return ngx_http_pki_est_issued(r, est, &answer);
    }
    if (ngx_strcmp(answer.status, "pending") == 0) {
        return ngx_http_pki_est_pending(r, &answer);
    }
    return ngx_http_pki_est_rejected(r, est, &answer);
}

static void
ngx_http_pki_est_answered(ngx_http_request_t *r, bytes_t octets)
{
    ngx_http_finalize_request(r, ngx_http_pki_est_finish(r, octets));
}

/* ---- enrolment: the client's request ---- */

static pki_code_t
ngx_http_pki_est_check(ngx_http_request_t *r, ngx_http_pki_est_t *est, bytes_t body, pki_err_t *err)
{
    bytes_t der;

    PKI_TRY(est_body_decode(est->arena, body, &der, err));
    PKI_TRY(csr_parse(est->arena, der, &est->csr, err));
    if (est->op == EST_SIMPLEREENROLL) {
        PKI_TRY(ngx_http_pki_est_same_names(est, err));
    }
    PKI_TRY(ngx_http_pki_est_linked(r, &est->csr, err));
    return csr_check(&est->csr, err);
}

static void
ngx_http_pki_est_body(ngx_http_request_t *r, ngx_int_t rc, bytes_t body)
{
    ngx_http_pki_est_t          *est = ngx_http_get_module_ctx(r, ngx_http_pki_est_module);
    ngx_http_pki_est_loc_conf_t *elcf = ngx_http_get_module_loc_conf(r, ngx_http_pki_est_module);
    ngx_str_t                    record;
    pki_err_t                    err;

    if (rc == NGX_HTTP_REQUEST_ENTITY_TOO_LARGE) {
        rc = ngx_http_pki_send_text(r, rc, "the request's body is too large");
    } else if (rc != NGX_OK) {
        rc = ngx_http_pki_send_text(r, rc, "the request's body could not be read");
    } else if (ngx_http_pki_est_check(r, est, body, &err) != PKI_OK) {
        rc = ngx_http_pki_est_error(r, est, &err);
    } else if (ngx_http_pki_est_request(r, est, &record) == NGX_OK
               && ngx_http_pki_hop_ask(r, elcf->hop, record, ngx_http_pki_est_answered) == NGX_OK) {
        return;
    } else {
        rc = ngx_http_pki_est_unavailable(r);
    }
    ngx_http_finalize_request(r, rc);
}

/* Everything that can be said before the body is read.  NGX_OK: it may be read. */
static pki_code_t
ngx_http_pki_est_enrol_begin(ngx_http_request_t *r, ngx_http_pki_est_t *est, pki_err_t *err)
{
    const est_op_info_t *op = est_op_info(est->op);
    ngx_table_elt_t     *type = r->headers_in.content_type;

    if (type == NULL || !media_type_is(ngx_http_pki_bytes(type->value), op->request_type)) {
        return pki_fail(err, PKI_E_MEDIA_TYPE, "RFC 7030 4.2.1", "the body must be %s", op->request_type);
    }
    if (r->headers_in.content_length_n > EST_BODY_MAX) {
        return pki_fail(err, PKI_E_TOO_LARGE, NULL, "the request's body has at most %d octets", EST_BODY_MAX);
    }
    return ngx_http_pki_est_authenticate(r, est, err);
}

/* Inside the store's transaction: the label, and who asks. */
static ngx_int_t
ngx_http_pki_est_begin(ngx_http_request_t *r, ngx_http_pki_est_t *est, bytes_t label)
{
    ngx_http_pki_store_t *store = ngx_http_pki_store(r);
    const est_op_info_t  *op = est_op_info(est->op);
    ngx_uint_t            reading = ngx_strcmp(op->method, "GET") == 0;
    pki_err_t             err;

    est->snapshot = store->snapshot;
    est->label = ngx_http_pki_label_find(est->snapshot, label);
    if (est->label == NULL) {
        return ngx_http_pki_send_text(r, NGX_HTTP_NOT_FOUND, "there is no such EST label");
    }
    est->watch->slot = ngx_http_pki_metrics_slot(r, NGX_HTTP_PKI_EST, &est->label->authority->slots,
                                                 est->label->authority->record.id);
    if (ngx_http_pki_snapshot_hold(r, est->snapshot) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (ngx_http_pki_method(r, reading ? NGX_HTTP_GET | NGX_HTTP_HEAD : NGX_HTTP_POST) != NGX_OK) {
        return ngx_http_pki_send_text(r, NGX_HTTP_NOT_ALLOWED,
                                      reading ? "this operation takes GET" : "this operation takes POST");
    }
    if (est->op == EST_CACERTS) {
        return ngx_http_pki_est_cacerts(r, est);
    }
    if (ngx_http_pki_est_enrol_begin(r, est, &err) != PKI_OK) {
        return ngx_http_pki_est_error(r, est, &err);
    }
    return NGX_DECLINED;
}

static ngx_int_t
ngx_http_pki_est_handler(ngx_http_request_t *r)
{
    ngx_http_pki_store_t *store = ngx_http_pki_store(r);
    ngx_http_pki_est_t   *est;
    char                  label[EST_LABEL_MAX + 1];
    bytes_t               path;
    ngx_int_t             rc;

    est = ngx_pcalloc(r->pool, sizeof(*est));
    if (est == NULL || (est->watch = ngx_http_pki_metrics_watch(r, NGX_HTTP_PKI_EST)) == NULL
        || (est->arena = ngx_http_pki_arena(r, NGX_HTTP_PKI_EST_ARENA_MAX)) == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_http_set_ctx(r, est, ngx_http_pki_est_module);

    if (r->connection->ssl == NULL) {
        return ngx_http_pki_send_text(r, NGX_HTTP_FORBIDDEN, "EST needs TLS (RFC 7030 3.3)");
    }

    if (ngx_http_pki_path(r, &path) != NGX_OK || est_path_parse(path, label, &est->op, NULL) != PKI_OK) {
        return ngx_http_pki_send_text(r, NGX_HTTP_NOT_FOUND,
                                      "there is no such EST operation (RFC 7030 3.2.2)");
    }
    if (ngx_http_pki_store_begin(store, r->connection->log) != NGX_OK) {
        return ngx_http_pki_est_unavailable(r);
    }
    rc = ngx_http_pki_est_begin(r, est, bytes_str(label));
    ngx_http_pki_store_end(store);

    return rc == NGX_DECLINED ? ngx_http_pki_body_read(r, EST_BODY_MAX, ngx_http_pki_est_body) : rc;
}

/* ---- configuration ---- */

/*
 * Stands for OpenSSL's own verification under "ssl_verify_client optional_no_ca".  Left alone, nginx ends a
 * connection whose certificate has any fault but an unknown issuer (expired, of another use) with a page of
 * its own.  Here every certificate comes through, marked as what it is at this point, not verified; the
 * label's own trust decides (ngx_http_pki_est_auth.c), and a password may still help.
 */
static int
ngx_http_pki_est_verify_later(X509_STORE_CTX *ctx, void *arg)
{
    X509_STORE_CTX_set_error(ctx, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
    return 1;
}

static ngx_int_t
ngx_http_pki_est_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_core_main_conf_t   *cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    ngx_http_core_srv_conf_t   **servers = cmcf->servers.elts;
    ngx_http_pki_est_srv_conf_t *escf;
    ngx_http_ssl_srv_conf_t     *sscf;
    ngx_uint_t                   i;

    for (i = 0; i < cmcf->servers.nelts; i++) {
        escf = servers[i]->ctx->srv_conf[ngx_http_pki_est_module.ctx_index];
        sscf = servers[i]->ctx->srv_conf[ngx_http_ssl_module.ctx_index];
        if (escf->used && sscf->ssl.ctx != NULL && sscf->verify == NGX_HTTP_PKI_EST_OPTIONAL_NO_CA) {
            SSL_CTX_set_cert_verify_callback(sscf->ssl.ctx, ngx_http_pki_est_verify_later, NULL);
        }
    }
    return NGX_OK;
}

static void *
ngx_http_pki_est_create_srv_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_pki_est_srv_conf_t));
}

static void *
ngx_http_pki_est_create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_pki_est_loc_conf_t));
}

static char *
ngx_http_pki_est(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_pki_est_loc_conf_t *elcf = conf;
    ngx_http_pki_est_srv_conf_t *escf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_pki_est_module);
    ngx_str_t                   *value = cf->args->elts;

    if (elcf->hop != NULL) {
        return "is duplicate";
    }
    elcf->hop = ngx_http_pki_hop_add(cf, &value[1], NGX_HTTP_PKI_EST_TIMEOUT);
    if (elcf->hop == NULL) {
        return NGX_CONF_ERROR;
    }
    escf->used = 1;
    return ngx_http_pki_handler_set(cf, ngx_http_pki_est_handler);
}
