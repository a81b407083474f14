/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * OCSP answers as HTTP responses (RFC 9919 5 and 6.2, RFC 9110 8.8 and 13, RFC 9111): validators, lifetimes and
 * conditional requests.  It is the hot path: the values of all fields take one allocation, dates are written by
 * copying the day, and numbers without a format.
 */
#include "ngx_module/ngx_http_pki_ocsp.h"

#define NGX_HTTP_PKI_OCSP_DATE    (sizeof("Mon, 28 Sep 1970 06:00:00 GMT") - 1)
#define NGX_HTTP_PKI_OCSP_DAY     (sizeof("Mon, 28 Sep 1970 ") - 1)
#define NGX_HTTP_PKI_OCSP_DAYS    8 /* that a worker remembers */
#define NGX_HTTP_PKI_OCSP_CONTROL "public,no-transform,must-revalidate"

/* The values of an answer's fields. */
typedef struct {
    u_char etag[NGX_HTTP_PKI_OCSP_TAG];
    u_char last_modified[NGX_HTTP_PKI_OCSP_DATE], expires[NGX_HTTP_PKI_OCSP_DATE];
    u_char control[sizeof("max-age=,") + NGX_INT64_LEN + sizeof(NGX_HTTP_PKI_OCSP_CONTROL)];
} ngx_http_pki_ocsp_values_t;

static ngx_str_t ngx_http_pki_ocsp_type = ngx_string("application/ocsp-response");

/* IMF-fixdate (RFC 9110 5.6.7). */
static void
ngx_http_pki_ocsp_date(u_char *p, time_t t)
{
    static struct {
        time_t day;
        u_char text[NGX_HTTP_PKI_OCSP_DATE + 1];
    } days[NGX_HTTP_PKI_OCSP_DAYS];
    time_t     day = t / 86400 + 1; /* 0: nothing there yet */
    ngx_uint_t i = (ngx_uint_t) day % NGX_HTTP_PKI_OCSP_DAYS, s = (ngx_uint_t) (t % 86400);

    if (days[i].day != day) {
        ngx_http_time(days[i].text, t);
        days[i].day = day;
    }
    ngx_memcpy(p, days[i].text, NGX_HTTP_PKI_OCSP_DATE);
    p += NGX_HTTP_PKI_OCSP_DAY;
    p[0] = (u_char) ('0' + s / 36000);
    p[1] = (u_char) ('0' + s / 3600 % 10);
    p[3] = (u_char) ('0' + s / 600 % 6);
    p[4] = (u_char) ('0' + s / 60 % 10);
    p[6] = (u_char) ('0' + s / 10 % 6);
    p[7] = (u_char) ('0' + s % 10);
}

static u_char *
ngx_http_pki_ocsp_number(u_char *p, uint64_t n)
{
    u_char digits[NGX_INT64_LEN], *end = digits + sizeof(digits), *first = end;

    do {
        *--first = (u_char) ('0' + n % 10);
        n /= 10;
    } while (n != 0);
    return ngx_cpymem(p, first, end - first);
}

void
ngx_http_pki_ocsp_tag(ngx_http_pki_ocsp_t *o, const uint8_t etag[32])
{
    ngx_memcpy(o->etag, etag, sizeof(o->etag));
    o->tag[0] = '"';
    ngx_hex_dump(o->tag + 1, o->etag, sizeof(o->etag));
    o->tag[NGX_HTTP_PKI_OCSP_TAG - 1] = '"';
}

/* ---- conditional requests ---- */

/* Is the entity tag in a list of them, or the list "*"?  Compared weakly (RFC 9110 13.1.2). */
static ngx_uint_t
ngx_http_pki_ocsp_is_listed(ngx_str_t *list, const u_char tag[NGX_HTTP_PKI_OCSP_TAG])
{
    u_char *p = list->data, *last = p + list->len, *end;

    if (list->len == 1 && *p == '*') {
        return 1;
    }
    while (p < last) {
        if (*p == ' ' || *p == '\t' || *p == ',') {
            p++;
            continue;
        }
        if (last - p > 2 && p[0] == 'W' && p[1] == '/') {
            p += 2;
        }
        end = *p == '"' ? ngx_strlchr(p + 1, last, '"') : NULL;
        if (end == NULL) {
            return 0;
        }
        end++;
        if (end - p == NGX_HTTP_PKI_OCSP_TAG && ngx_memcmp(p, tag, NGX_HTTP_PKI_OCSP_TAG) == 0) {
            return 1;
        }
        p = end;
    }
    return 0;
}

/*
 * thisUpdate counts whole seconds, and a certificate may be revoked within one: a date validates only an answer to
 * which there was none before (RFC 9110 8.8.2.2).
 */
static ngx_uint_t
ngx_http_pki_ocsp_is_unmodified(const ngx_http_pki_ocsp_t *o, ngx_str_t *date)
{
    time_t since = ngx_parse_http_time(date->data, date->len);

    return since != NGX_ERROR && o->is_first && o->this_update <= since;
}

ngx_uint_t
ngx_http_pki_ocsp_is_current(const ngx_http_pki_ocsp_t *o)
{
    ngx_http_headers_in_t *in = &o->r->headers_in;

    if (o->r->method == NGX_HTTP_POST) {
        return 0;
    }
    if (in->if_none_match != NULL) {
        return ngx_http_pki_ocsp_is_listed(&in->if_none_match->value, o->tag);
    }
    return in->if_modified_since != NULL && ngx_http_pki_ocsp_is_unmodified(o, &in->if_modified_since->value);
}

/* ---- responses ---- */

static ngx_table_elt_t *
ngx_http_pki_ocsp_field(ngx_http_request_t *r, const char *name, size_t len, u_char *value, size_t value_len)
{
    ngx_table_elt_t *h = ngx_list_push(&r->headers_out.headers);

    if (h != NULL) {
        ngx_memzero(h, sizeof(*h));
        h->hash = 1;
        h->key.data = (u_char *) name;
        h->key.len = len;
        h->value.data = value;
        h->value.len = value_len;
    }
    return h;
}

#define NGX_HTTP_PKI_OCSP_FIELD(r, name, value, len) ngx_http_pki_ocsp_field(r, name, sizeof(name) - 1, value, len)

/* What HTTP caches need to know of an answer that is the same for everybody. */
static ngx_int_t
ngx_http_pki_ocsp_fields(ngx_http_pki_ocsp_t *o)
{
    ngx_http_headers_out_t     *out = &o->r->headers_out;
    ngx_http_pki_ocsp_values_t *v = ngx_pnalloc(o->r->pool, sizeof(*v));
    u_char                     *p;

    if (v == NULL) {
        return NGX_ERROR;
    }
    ngx_memcpy(v->etag, o->tag, sizeof(v->etag));
    ngx_http_pki_ocsp_date(v->last_modified, o->this_update);
    ngx_http_pki_ocsp_date(v->expires, o->next_update);
    p = ngx_cpymem(v->control, "max-age=", 8);
    p = ngx_http_pki_ocsp_number(p, (uint64_t) ngx_http_pki_ocsp_max_age(o));
    *p++ = ',';
    p = ngx_cpymem(p, NGX_HTTP_PKI_OCSP_CONTROL, sizeof(NGX_HTTP_PKI_OCSP_CONTROL) - 1);

    out->last_modified_time = o->this_update;
    out->last_modified =
        NGX_HTTP_PKI_OCSP_FIELD(o->r, "Last-Modified", v->last_modified, sizeof(v->last_modified));
    out->expires = NGX_HTTP_PKI_OCSP_FIELD(o->r, "Expires", v->expires, sizeof(v->expires));
    out->etag = NGX_HTTP_PKI_OCSP_FIELD(o->r, "ETag", v->etag, sizeof(v->etag));
    return out->last_modified != NULL && out->expires != NULL && out->etag != NULL
                   && NGX_HTTP_PKI_OCSP_FIELD(o->r, "Cache-Control", v->control, (size_t) (p - v->control)) != NULL
               ? NGX_OK
               : NGX_ERROR;
}

ngx_int_t
ngx_http_pki_ocsp_no_store(ngx_http_request_t *r)
{
    static u_char value[] = "no-store";

    return NGX_HTTP_PKI_OCSP_FIELD(r, "Cache-Control", value, sizeof(value) - 1) != NULL ? NGX_OK : NGX_ERROR;
}

ngx_int_t
ngx_http_pki_ocsp_send_error(ngx_http_request_t *r, ocsp_response_status_t status)
{
    r->disable_not_modified = 1;
    if (ngx_http_pki_ocsp_no_store(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return ngx_http_pki_send(r, NGX_HTTP_OK, &ngx_http_pki_ocsp_type, ocsp_error_response(status));
}

ngx_int_t
ngx_http_pki_ocsp_send(ngx_http_pki_ocsp_t *o)
{
    ngx_http_request_t *r = o->r;

    /* These have been looked at here; nginx's filter does so for what else there is. */
    r->disable_not_modified = r->method == NGX_HTTP_POST || r->headers_in.if_none_match != NULL
                              || r->headers_in.if_modified_since != NULL;
    if ((o->can_be_kept ? ngx_http_pki_ocsp_fields(o) : ngx_http_pki_ocsp_no_store(r)) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (o->can_be_kept && (o->answer.p == NULL || ngx_http_pki_ocsp_is_current(o))) {
        r->headers_out.status = NGX_HTTP_NOT_MODIFIED;
        r->header_only = 1;
        return ngx_http_send_header(r);
    }
    return ngx_http_pki_send(r, NGX_HTTP_OK, &ngx_http_pki_ocsp_type, o->answer);
}
