/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * libcurl's easy interface, and nothing of it outside of this file.
 */
#include "core/http_client.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <strings.h>

#include "pkiproto/base/buf.h"

#define HTTP_HEADERS_MAX 100
#define HTTP_HEADER_MAX  16384
#define HTTP_CHAIN_MAX   262144

struct http_client {
    http_client_conf_t conf;
    CURL              *easy;
};

/* One request on its way. */
typedef struct {
    http_client_t        *client;
    pki_arena_t          *a;
    const http_request_t *request;
    http_answer_t        *answer;
    struct curl_slist    *headers;
    pki_buf_t             body;
    pki_code_t            code; /* of the sink or of the memory; it ends the request */
    pki_err_t            *err;
    char                  text[CURL_ERROR_SIZE];
} exchange_t;

pki_code_t
http_client_new(const http_client_conf_t *conf, http_client_t **out, pki_err_t *err)
{
    http_client_t *c = calloc(1, sizeof(*c));

    if (c == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(c);
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    c->conf = *conf;
    c->easy = curl_easy_init();
    if (c->easy == NULL) {
        http_client_free(c);
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    *out = c;
    return PKI_OK;
}

void
http_client_free(http_client_t *c)
{
    if (c != NULL) {
        curl_easy_cleanup(c->easy);
        curl_global_cleanup();
        free(c);
    }
}

/* ---- what comes ---- */

static size_t
exchange_end(exchange_t *x, pki_code_t code)
{
    x->code = code;
    return 0; /* not what was offered: libcurl gives up */
}

static bool
is_success(const exchange_t *x)
{
    long status = 0;

    curl_easy_getinfo(x->client->easy, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300;
}

static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
    exchange_t *x = arg;
    bytes_t     piece = bytes_of(data, size * count);

    if (x->request->sink != NULL && is_success(x)) {
        pki_code_t code = x->request->sink(x->request->arg, piece, x->err);

        return code == PKI_OK ? piece.len : exchange_end(x, code);
    }
    if (piece.len > x->request->max - x->body.len) {
        return exchange_end(x, pki_fail(x->err, PKI_E_TOO_LARGE, NULL, "the answer has more than %zu octets", x->request->max));
    }
    pki_buf_put(&x->body, piece);
    if (x->body.failed) {
        return exchange_end(x, pki_buf_check(&x->body, "an HTTP answer", x->err));
    }
    return piece.len;
}

static bool
header_add(exchange_t *x, const char *line, size_t len)
{
    const char    *colon = memchr(line, ':', len), *value, *end = line + len;
    http_answer_t *answer = x->answer;
    http_header_t *h;
    char          *name;

    if (colon == NULL || answer->header_count == HTTP_HEADERS_MAX) {
        return true;
    }
    for (value = colon + 1; value < end && isspace((unsigned char) *value); value++) { }
    while (end > value && isspace((unsigned char) end[-1])) {
        end--;
    }
    h = &answer->headers[answer->header_count++];
    h->name = name = pki_strndup(x->a, line, (size_t) (colon - line));
    h->value = pki_strndup(x->a, value, (size_t) (end - value));
    for (; name != NULL && *name != '\0'; name++) {
        *name = (char) tolower((unsigned char) *name);
    }
    return h->name != NULL && h->value != NULL;
}

/* Each answer of an exchange ("100 Continue", then 200) begins anew. */
static size_t
on_header(char *data, size_t size, size_t count, void *arg)
{
    exchange_t *x = arg;
    size_t      len = size * count;

    if (len > 5 && memcmp(data, "HTTP/", 5) == 0) {
        x->answer->header_count = 0;
    } else if (len > HTTP_HEADER_MAX || !header_add(x, data, len)) {
        return exchange_end(x, pki_fail(x->err, PKI_E_NOMEM, NULL, "out of memory"));
    }
    return len;
}

/* ---- what goes ---- */

static bool
header_send(exchange_t *x, const char *name, const char *value)
{
    char              *line = pki_printf(x->a, "%s: %s", name, value);
    struct curl_slist *list = line != NULL ? curl_slist_append(x->headers, line) : NULL;

    if (list != NULL) {
        x->headers = list;
    }
    return list != NULL;
}

static bool
exchange_headers(exchange_t *x)
{
    const http_request_t *r = x->request;
    bool                  good = header_send(x, "Expect", ""), typed = false;

    for (size_t i = 0; i < r->header_count && good; i++) {
        good = header_send(x, r->headers[i].name, r->headers[i].value);
        typed = typed || strcasecmp(r->headers[i].name, "Content-Type") == 0;
    }
    /* Empty ones take away what libcurl would send of its own. */
    good = good && (typed || header_send(x, "Content-Type", ""));
    return good && curl_easy_setopt(x->client->easy, CURLOPT_HTTPHEADER, x->headers) == CURLE_OK;
}

/* Old versions are asked for with what they need, or it would be this side that refuses. */
static void
exchange_tls(CURL *easy, http_tls_t tls)
{
    static const struct {
        long least, most;
    } versions[] = {
        [HTTP_TLS_ANY] = { CURL_SSLVERSION_TLSv1_2, CURL_SSLVERSION_MAX_DEFAULT },
        [HTTP_TLS_1_0] = { CURL_SSLVERSION_TLSv1_0, CURL_SSLVERSION_MAX_TLSv1_0 },
        [HTTP_TLS_1_1] = { CURL_SSLVERSION_TLSv1_1, CURL_SSLVERSION_MAX_TLSv1_1 },
        [HTTP_TLS_1_2] = { CURL_SSLVERSION_TLSv1_2, CURL_SSLVERSION_MAX_TLSv1_2 },
        [HTTP_TLS_1_3] = { CURL_SSLVERSION_TLSv1_3, CURL_SSLVERSION_MAX_TLSv1_3 },
    };

    curl_easy_setopt(easy, CURLOPT_SSLVERSION, versions[tls].least | versions[tls].most);
    if (tls == HTTP_TLS_1_0 || tls == HTTP_TLS_1_1) {
        curl_easy_setopt(easy, CURLOPT_SSL_CIPHER_LIST, "DEFAULT:@SECLEVEL=0");
    }
    if (tls != HTTP_TLS_ANY) {
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    }
}

static void
exchange_peer(CURL *easy, const http_client_conf_t *conf)
{
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_CERTINFO, 1L);
    if (conf->ca_bundle != NULL) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, conf->ca_bundle);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (conf->cert != NULL) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, conf->cert);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, conf->key != NULL ? conf->key : conf->cert);
    }
    if (conf->unix_socket != NULL) {
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, conf->unix_socket);
    }
}

static void
exchange_body(CURL *easy, const http_request_t *r)
{
    if (r->body.p != NULL || strcmp(r->method, "POST") == 0 || strcmp(r->method, "PUT") == 0) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) r->body.len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->body.p != NULL ? (const char *) r->body.p : "");
    } else if (strcmp(r->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, r->method);
    if (r->user != NULL) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        curl_easy_setopt(easy, CURLOPT_USERNAME, r->user);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, r->password != NULL ? r->password : "");
    }
}

static void
exchange_time(CURL *easy, const http_client_conf_t *conf, const http_request_t *r)
{
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) conf->connect_ms);
    if (r->timeout_ms > 0 && r->sink == NULL) {
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) r->timeout_ms);
    } else if (r->timeout_ms > 0) {
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long) ((r->timeout_ms + 999) / 1000));
    }
}

static bool
exchange_prepare(exchange_t *x)
{
    CURL                 *easy = x->client->easy;
    const http_request_t *r = x->request;

    curl_easy_reset(easy); /* connections stay */
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->text);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
    if (x->client->conf.agent != NULL) {
        curl_easy_setopt(easy, CURLOPT_USERAGENT, x->client->conf.agent);
    }
    exchange_peer(easy, &x->client->conf);
    exchange_tls(easy, r->tls);
    exchange_body(easy, r);
    exchange_time(easy, &x->client->conf, r);
    return exchange_headers(x) && curl_easy_setopt(easy, CURLOPT_URL, r->url) == CURLE_OK;
}

/* ---- how it ended ---- */

/* "https://host:port" of a URL, without a user, a path or a query: they may hold secrets. */
static char *
url_place(pki_arena_t *a, const char *url)
{
    const char *scheme = strstr(url, "://"), *host = scheme != NULL ? scheme + 3 : url;
    size_t      len = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', len);

    return pki_printf(a, "%.*s%.*s", (int) (host - url), url, (int) (at != NULL ? len - (size_t) (at + 1 - host) : len),
                      at != NULL ? at + 1 : host);
}

static pki_code_t
exchange_failed(exchange_t *x, CURLcode rc)
{
    static const struct {
        CURLcode   rc;
        pki_code_t code;
    } codes[] = {
        { CURLE_PEER_FAILED_VERIFICATION, PKI_E_SIGNATURE }, { CURLE_SSL_ISSUER_ERROR, PKI_E_SIGNATURE },
        { CURLE_URL_MALFORMAT, PKI_E_INVALID },              { CURLE_UNSUPPORTED_PROTOCOL, PKI_E_INVALID },
        { CURLE_SSL_CACERT_BADFILE, PKI_E_INVALID },         { CURLE_SSL_CERTPROBLEM, PKI_E_INVALID },
        { CURLE_OUT_OF_MEMORY, PKI_E_NOMEM },
    };
    const char *place = url_place(x->a, x->request->url);
    pki_code_t  code = PKI_E_UNAVAILABLE;

    if (x->code != PKI_OK) {
        return x->code;
    }
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        code = codes[i].rc == rc ? codes[i].code : code;
    }
    return pki_fail(x->err, code, NULL, "%s: %s", place != NULL ? place : "the server",
                    x->text[0] != '\0' ? x->text : curl_easy_strerror(rc));
}

/* libcurl gives text of many kinds for each certificate; the one we want begins with "Cert:". */
static pki_code_t
exchange_chain(exchange_t *x)
{
    struct curl_certinfo *info = NULL;
    pki_buf_t             pem;

    if (curl_easy_getinfo(x->client->easy, CURLINFO_CERTINFO, &info) != CURLE_OK || info == NULL || info->num_of_certs == 0) {
        return PKI_OK;
    }
    pki_buf_init(&pem, x->a, HTTP_CHAIN_MAX);
    for (int i = 0; i < info->num_of_certs; i++) {
        for (struct curl_slist *s = info->certinfo[i]; s != NULL; s = s->next) {
            if (strncmp(s->data, "Cert:", 5) == 0) {
                pki_buf_printf(&pem, "%s\n", s->data + 5);
            }
        }
    }
    pki_buf_put_u8(&pem, '\0');
    PKI_TRY(pki_buf_check(&pem, "the server's certificates", x->err));
    x->answer->chain = (const char *) pem.p;
    return PKI_OK;
}

static pki_code_t
exchange_run(exchange_t *x)
{
    long     status = 0;
    CURLcode rc;

    if (!exchange_prepare(x)) {
        return pki_fail(x->err, PKI_E_INVALID, NULL, "the request cannot be made");
    }
    rc = curl_easy_perform(x->client->easy);
    if (rc != CURLE_OK) {
        return exchange_failed(x, rc);
    }
    curl_easy_getinfo(x->client->easy, CURLINFO_RESPONSE_CODE, &status);
    x->answer->status = (int) status;
    x->answer->body = x->request->sink != NULL && is_success(x) ? BYTES_NONE
                      : x->body.p != NULL                       ? pki_buf_bytes(&x->body)
                                                                : BYTES_LIT("");
    return exchange_chain(x);
}

pki_code_t
http_client_do(http_client_t *c, pki_arena_t *a, const http_request_t *r, http_answer_t *out, pki_err_t *err)
{
    exchange_t x = { .client = c, .a = a, .request = r, .answer = out, .err = err };
    pki_code_t code;

    memset(out, 0, sizeof(*out));
    PKI_TRY(PKI_NEW_N(a, HTTP_HEADERS_MAX, &out->headers, err));
    pki_buf_init(&x.body, a, r->max);
    code = exchange_run(&x);
    /* Nothing of *x and *r may be looked at later. */
    curl_easy_reset(c->easy);
    curl_slist_free_all(x.headers);
    return code;
}

const char *
http_header(const http_answer_t *answer, const char *name)
{
    for (size_t i = 0; i < answer->header_count; i++) {
        if (strcmp(answer->headers[i].name, name) == 0) {
            return answer->headers[i].value;
        }
    }
    return NULL;
}

char *
http_escape(pki_arena_t *a, bytes_t text)
{
    static const char digits[] = "0123456789ABCDEF";
    char             *out = pki_alloc(a, text.len * 3 + 1), *at = out;

    for (size_t i = 0; out != NULL && i < text.len; i++) {
        uint8_t c = text.p[i];

        if (isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
            *at++ = (char) c;
        } else {
            *at++ = '%';
            *at++ = digits[c >> 4];
            *at++ = digits[c & 15];
        }
    }
    return out;
}
