/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The http-level directive pki_edge_store, and the worker's hold on the store.
 *
 *     pki_edge_store PATH;      http; the folder that the orchestrator publishes to
 */
#include "ngx_module/ngx_http_pki_module.h"

static ngx_int_t ngx_http_pki_preconfiguration(ngx_conf_t *cf);
static void     *ngx_http_pki_create_main_conf(ngx_conf_t *cf);
static char     *ngx_http_pki_edge_store(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_http_pki_init_process(ngx_cycle_t *cycle);
static void      ngx_http_pki_exit_process(ngx_cycle_t *cycle);

static ngx_command_t ngx_http_pki_commands[] = {

    { ngx_string("pki_edge_store"),
      NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
      ngx_http_pki_edge_store,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    ngx_null_command
};

static ngx_http_module_t ngx_http_pki_module_ctx = {
    ngx_http_pki_preconfiguration, /* preconfiguration */
    NULL,                          /* postconfiguration */

    ngx_http_pki_create_main_conf, /* create main configuration */
    NULL,                          /* init main configuration */

    NULL,                          /* create server configuration */
    NULL,                          /* merge server configuration */

    NULL,                          /* create location configuration */
    NULL                           /* merge location configuration */
};

ngx_module_t ngx_http_pki_module = {
    NGX_MODULE_V1,
    &ngx_http_pki_module_ctx,  /* module context */
    ngx_http_pki_commands,     /* module directives */
    NGX_HTTP_MODULE,           /* module type */
    NULL,                      /* init master */
    NULL,                      /* init module */
    ngx_http_pki_init_process, /* init process */
    NULL,                      /* init thread */
    NULL,                      /* exit thread */
    ngx_http_pki_exit_process, /* exit process */
    NULL,                      /* exit master */
    NGX_MODULE_V1_PADDING
};

ngx_http_pki_ctx_t *
ngx_http_pki_ctx(ngx_http_request_t *r)
{
    ngx_http_pki_ctx_t *ctx = ngx_http_get_module_ctx(r, ngx_http_pki_module);

    if (ctx == NULL) {
        ctx = ngx_pcalloc(r->pool, sizeof(*ctx));
        if (ctx != NULL) {
            ngx_http_set_ctx(r, ctx, ngx_http_pki_module);
        }
    }
    return ctx;
}

ngx_http_pki_store_t *
ngx_http_pki_store(ngx_http_request_t *r)
{
    ngx_http_pki_main_conf_t *pmcf = ngx_http_get_module_main_conf(r, ngx_http_pki_module);

    return pmcf->store;
}

ngx_str_t
ngx_http_pki_request_id(ngx_http_request_t *r)
{
    ngx_http_pki_main_conf_t  *pmcf = ngx_http_get_module_main_conf(r, ngx_http_pki_module);
    ngx_http_variable_value_t *v = ngx_http_get_indexed_variable(r, pmcf->request_id);
    ngx_str_t                  id = ngx_null_string;

    if (v != NULL && !v->not_found) {
        id.data = v->data;
        id.len = v->len;
    }
    return id;
}

char *
ngx_http_pki_handler_set(ngx_conf_t *cf, ngx_http_handler_pt handler)
{
    ngx_http_core_loc_conf_t *clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    ngx_http_pki_main_conf_t *pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_pki_module);

    if (pmcf->store == NULL) {
        return "needs \"pki_edge_store\" before it";
    }
    if (clcf->handler != NULL) {
        return "is not the only handler of its location";
    }
    clcf->handler = handler;
    ngx_http_pki_body_unlimited(cf);
    return NGX_CONF_OK;
}

static ngx_int_t
ngx_http_pki_preconfiguration(ngx_conf_t *cf)
{
    ngx_http_pki_main_conf_t *pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_pki_module);
    ngx_str_t                 name = ngx_string("request_id");

    pmcf->request_id = ngx_http_get_variable_index(cf, &name);
    return pmcf->request_id == NGX_ERROR ? NGX_ERROR : NGX_OK;
}

static void *
ngx_http_pki_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_pki_main_conf_t));
}

static char *
ngx_http_pki_edge_store(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_pki_main_conf_t *pmcf = conf;
    ngx_str_t                *value = cf->args->elts;

    if (pmcf->store != NULL) {
        return "is duplicate";
    }
    if (ngx_conf_full_name(cf->cycle, &value[1], 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }
    pmcf->store = ngx_http_pki_store_new(cf->pool, &value[1]);
    return pmcf->store != NULL ? NGX_CONF_OK : NGX_CONF_ERROR;
}

/* Here and not in the master: an LMDB environment must not cross a fork. */
static ngx_int_t
ngx_http_pki_init_process(ngx_cycle_t *cycle)
{
    ngx_http_pki_main_conf_t *pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_pki_module);

    if (pmcf == NULL || pmcf->store == NULL || ngx_process == NGX_PROCESS_HELPER) {
        return NGX_OK;
    }
    return ngx_http_pki_store_init(pmcf->store, cycle->log);
}

static void
ngx_http_pki_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_pki_main_conf_t *pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_pki_module);

    if (pmcf != NULL && pmcf->store != NULL) {
        ngx_http_pki_store_close(pmcf->store);
    }
}
