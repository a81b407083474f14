/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What OCSP does at a location: the directives' values, their inheritance and their checks.  What is answered
 * is data of the edge store; how it is answered is configured here.
 */
#include "ngx_module/ngx_http_pki_ocsp.h"

#define NGX_HTTP_PKI_OCSP_URL_MAX 256

ngx_conf_enum_t ngx_http_pki_ocsp_responder_ids[] = {
    { ngx_string("key"), 0 },
    { ngx_string("name"), 1 },
    { ngx_null_string, 0 },
};

ngx_conf_enum_t ngx_http_pki_ocsp_unissued[] = {
    { ngx_string("unauthorized"), NGX_HTTP_PKI_OCSP_UNISSUED_UNAUTHORIZED },
    { ngx_string("unknown"), NGX_HTTP_PKI_OCSP_UNISSUED_UNKNOWN },
    { ngx_string("revoked"), NGX_HTTP_PKI_OCSP_UNISSUED_REVOKED },
    { ngx_null_string, 0 },
};

ngx_conf_enum_t ngx_http_pki_ocsp_signed_requests[] = {
    { ngx_string("ignore"), 0 },
    { ngx_string("require"), 1 },
    { ngx_null_string, 0 },
};

ngx_conf_num_bounds_t ngx_http_pki_ocsp_max_ids = { ngx_conf_check_num_bounds, 1, OCSP_IDS_MAX };

void *
ngx_http_pki_ocsp_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_pki_ocsp_loc_conf_t *conf = ngx_pcalloc(cf->pool, sizeof(*conf));

    if (conf == NULL) {
        return NULL;
    }
    conf->by_name = NGX_CONF_UNSET_UINT;
    conf->unissued = NGX_CONF_UNSET_UINT;
    conf->nonce = NGX_CONF_UNSET;
    conf->require_signed = NGX_CONF_UNSET_UINT;
    conf->client_trust = NGX_CONF_UNSET_PTR;
    conf->archive_cutoff = NGX_CONF_UNSET;
    conf->cert_hash = NGX_CONF_UNSET;
    conf->max_ids = NGX_CONF_UNSET;
    conf->max_age = NGX_CONF_UNSET;
    conf->max_target = NGX_CONF_UNSET_SIZE;
    conf->dual_cert_id = NGX_CONF_UNSET;
    return conf;
}

/* One number for everything here that shows in the signed part of an answer: it goes into the cache's key,
 * and so must be the same in all workers and over a reload. */
static ngx_int_t
ngx_http_pki_ocsp_conf_variant(ngx_http_pki_ocsp_loc_conf_t *conf)
{
    u_char  text[NGX_HTTP_PKI_OCSP_URL_MAX + 128], *last;
    uint8_t digest[32];

    last = ngx_slprintf(text, text + sizeof(text), "%ui %T %i %i %V", conf->by_name, conf->archive_cutoff,
                        conf->cert_hash, conf->dual_cert_id, &conf->crl_reference);
    if (EVP_Digest(text, (size_t) (last - text), digest, NULL, EVP_sha256(), NULL) != 1) {
        return NGX_ERROR;
    }
    ngx_memcpy(&conf->variant, digest, sizeof(conf->variant));
    return NGX_OK;
}

char *
ngx_http_pki_ocsp_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_pki_ocsp_loc_conf_t *prev = parent;
    ngx_http_pki_ocsp_loc_conf_t *conf = child;

    ngx_conf_merge_uint_value(conf->by_name, prev->by_name, 0);
    ngx_conf_merge_uint_value(conf->unissued, prev->unissued, NGX_HTTP_PKI_OCSP_UNISSUED_UNAUTHORIZED);
    ngx_conf_merge_value(conf->nonce, prev->nonce, 1);
    ngx_conf_merge_uint_value(conf->require_signed, prev->require_signed, 0);
    ngx_conf_merge_ptr_value(conf->client_trust, prev->client_trust, NULL);
    ngx_conf_merge_sec_value(conf->archive_cutoff, prev->archive_cutoff, 0);
    ngx_conf_merge_str_value(conf->crl_reference, prev->crl_reference, "off");
    ngx_conf_merge_value(conf->cert_hash, prev->cert_hash, 1);
    ngx_conf_merge_value(conf->max_ids, prev->max_ids, OCSP_IDS_MAX);
    ngx_conf_merge_sec_value(conf->max_age, prev->max_age, NGX_HTTP_PKI_OCSP_MAX_AGE);
    ngx_conf_merge_size_value(conf->max_target, prev->max_target, NGX_HTTP_PKI_OCSP_MAX_TARGET);
    ngx_conf_merge_value(conf->dual_cert_id, prev->dual_cert_id, 0);

    if (conf->require_signed && conf->client_trust == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"pki_ocsp_signed_requests require\" needs \"pki_ocsp_client_trust\"");
        return NGX_CONF_ERROR;
    }
    return ngx_http_pki_ocsp_conf_variant(conf) == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
}

char *
ngx_http_pki_ocsp_archive_cutoff(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_pki_ocsp_loc_conf_t *olcf = conf;
    ngx_str_t                    *value = cf->args->elts;

    if (olcf->archive_cutoff != NGX_CONF_UNSET) {
        return "is duplicate";
    }
    if (value[1].len == 3 && ngx_strncmp(value[1].data, "off", 3) == 0) {
        olcf->archive_cutoff = 0;
        return NGX_CONF_OK;
    }
    olcf->archive_cutoff = ngx_parse_time(&value[1], 1);
    return olcf->archive_cutoff > 0 ? NGX_CONF_OK : "takes a time or \"off\"";
}

/* The URL of a list is this and its name: IA5 throughout, up to the last slash. */
char *
ngx_http_pki_ocsp_crl_reference(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_pki_ocsp_loc_conf_t *olcf = conf;
    ngx_str_t                    *value = cf->args->elts;
    size_t                        i;

    if (olcf->crl_reference.data != NULL) {
        return "is duplicate";
    }
    olcf->crl_reference = value[1];
    if (value[1].len == 3 && ngx_strncmp(value[1].data, "off", 3) == 0) {
        return NGX_CONF_OK;
    }
    for (i = 0; i < value[1].len && value[1].data[i] > 0x20 && value[1].data[i] < 0x7f; i++) { /* void */
    }
    if (i < value[1].len || value[1].len > NGX_HTTP_PKI_OCSP_URL_MAX || value[1].len < sizeof("http://x/") - 1
        || ngx_strncmp(value[1].data, "http", 4) != 0 || value[1].data[value[1].len - 1] != '/') {
        return "takes \"off\", or the URL of a folder, with the slash at its end";
    }
    return NGX_CONF_OK;
}

static void
ngx_http_pki_ocsp_trust_free(void *data)
{
    X509_STORE_free(data);
}

char *
ngx_http_pki_ocsp_client_trust(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_pki_ocsp_loc_conf_t *olcf = conf;
    ngx_str_t                    *value = cf->args->elts;
    ngx_pool_cleanup_t           *cln;

    if (olcf->client_trust != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }
    if (ngx_conf_full_name(cf->cycle, &value[1], 1) != NGX_OK
        || (cln = ngx_pool_cleanup_add(cf->pool, 0)) == NULL || (olcf->client_trust = X509_STORE_new()) == NULL) {
        return NGX_CONF_ERROR;
    }
    cln->handler = ngx_http_pki_ocsp_trust_free;
    cln->data = olcf->client_trust;

    /* What is in the file is trusted as it is: a root, an issuing CA, or a client's own certificate. */
    X509_STORE_set_flags(olcf->client_trust, X509_V_FLAG_PARTIAL_CHAIN);
    if (X509_STORE_load_file(olcf->client_trust, (char *) value[1].data) != 1) {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0, "\"%V\" holds no certificates in PEM", &value[1]);
        return NGX_CONF_ERROR;
    }
    return NGX_CONF_OK;
}
