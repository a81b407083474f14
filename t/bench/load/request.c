/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * OCSP requests as octets on the wire.  OpenSSL makes one with marks in it; from then on a serial and a nonce are
 * copied over the marks, and only the part of the base64 that they touch is encoded again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>

#include "t/bench/load/load.h"

#define SERIAL_MARK 0x41
#define NONCE_MARK  0x42

noreturn void
load_die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, why);
    exit(1);
}

void
load_url_parse(const char *url, load_url_t *u)
{
    const char *at = strncmp(url, "http://", 7) == 0 ? url + 7 : NULL;
    const char *path = at != NULL ? strchr(at, '/') : NULL;
    char       *colon;

    if (path == NULL || (size_t) (path - at) >= sizeof(u->host)) {
        load_die(url, "is not http://ADDRESS:PORT/PATH");
    }
    memcpy(u->host, at, (size_t) (path - at));
    u->host[path - at] = '\0';
    u->path = path;
    u->address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(80) };
    colon = strchr(u->host, ':');
    if (colon != NULL) {
        u->address.sin_port = htons((uint16_t) strtoul(colon + 1, NULL, 10));
        *colon = '\0';
    }
    if (inet_pton(AF_INET, strcmp(u->host, "localhost") == 0 ? "127.0.0.1" : u->host, &u->address.sin_addr) != 1) {
        load_die(u->host, "is not an IPv4 address");
    }
    if (colon != NULL) {
        *colon = ':';
    }
}

X509 *
load_certificate(const char *file)
{
    FILE *in = fopen(file, "r");
    X509 *found = in != NULL ? PEM_read_X509(in, NULL, NULL, NULL) : NULL;

    if (found == NULL) {
        load_die(file, "has no PEM certificate that could be read");
    }
    fclose(in);
    return found;
}

/* DER with marks for serial and nonce. */
static void
der_make(load_template_t *t, X509 *issuer, const char *hash)
{
    uint8_t        mark[LOAD_NONCE_MAX], *out = t->der;
    const EVP_MD  *md = EVP_get_digestbyname(hash);
    OCSP_REQUEST  *req = OCSP_REQUEST_new();
    ASN1_INTEGER  *serial = ASN1_INTEGER_new();
    OCSP_CERTID   *id;
    int            len;

    memset(mark, SERIAL_MARK, sizeof(mark));
    if (md == NULL || req == NULL || serial == NULL || !ASN1_STRING_set(serial, mark, (int) t->serial_len)) {
        load_die(hash, "cannot make a request with it");
    }
    id = OCSP_cert_id_new(md, X509_get_subject_name(issuer), X509_get0_pubkey_bitstr(issuer), serial);
    if (id == NULL || OCSP_request_add0_id(req, id) == NULL) {
        load_die("request", "cannot be made");
    }
    memset(mark, NONCE_MARK, sizeof(mark));
    if (t->nonce_len > 0 && !OCSP_request_add1_nonce(req, mark, (int) t->nonce_len)) {
        load_die("nonce", "cannot be put into a request");
    }
    len = i2d_OCSP_REQUEST(req, NULL);
    if (len <= 0 || (size_t) len > sizeof(t->der)) {
        load_die("request", "is too long");
    }
    t->len = (size_t) i2d_OCSP_REQUEST(req, &out);
    ASN1_INTEGER_free(serial);
    OCSP_REQUEST_free(req);
}

static size_t
mark_find(const load_template_t *t, int octet, size_t len)
{
    uint8_t        mark[LOAD_NONCE_MAX];
    const uint8_t *found;

    memset(mark, octet, sizeof(mark));
    found = memmem(t->der, t->len, mark, len);
    if (found == NULL) {
        load_die("request", "has lost its mark");
    }
    return (size_t) (found - t->der);
}

static char *
base64_put(char *out, const uint8_t *p, size_t len)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t          v;

    for (size_t i = 0; i < len; i += 3) {
        v = (uint32_t) p[i] << 16 | (i + 1 < len ? (uint32_t) p[i + 1] << 8 : 0) | (i + 2 < len ? p[i + 2] : 0);
        for (size_t k = 0; k < 4; k++) {
            char c = i + k > len ? '=' : alphabet[v >> (18 - 6 * k) & 63];

            if (c == '+' || c == '/' || c == '=') {
                *out++ = '%';
                *out++ = '2' + (c == '=');
                *out++ = c == '+' ? 'B' : c == '/' ? 'F' : 'D';
            } else {
                *out++ = c;
            }
        }
    }
    return out;
}

void
load_template_make(load_template_t *t, const load_url_t *u, load_method_t method, X509 *issuer, const char *hash,
                   size_t serial_len, size_t nonce_len)
{
    char text[sizeof(t->head)];
    int  n;

    *t = (load_template_t){ .serial_len = serial_len, .nonce_len = nonce_len, .is_get = method == LOAD_GET };
    der_make(t, issuer, hash);
    t->serial_at = mark_find(t, SERIAL_MARK, serial_len);
    t->nonce_at = nonce_len > 0 ? mark_find(t, NONCE_MARK, nonce_len) : 0;
    if (t->is_get) {
        n = snprintf(text, sizeof(text), "GET %s%s", u->path, u->path[strlen(u->path) - 1] == '/' ? "" : "/");
    } else {
        n = snprintf(text, sizeof(text),
                     "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/ocsp-request\r\nContent-Length: %zu\r\n",
                     u->path, u->host, t->len);
    }
    if (n < 0 || (size_t) n > sizeof(t->head) - 512) {
        load_die(u->path, "is too long");
    }
    memcpy(t->head, text, (size_t) n);
    t->head_len = (size_t) n;
    if (t->is_get) {
        /* All groups of three octets before the one that the serial begins in stay as they are. */
        t->head_len = (size_t) (base64_put(t->head + n, t->der, t->serial_at / 3 * 3) - t->head);
        t->tail_len = (size_t) snprintf(t->tail, sizeof(t->tail), " HTTP/1.1\r\nHost: %s\r\n", u->host);
    }
}

static char *
put(char *out, const void *p, size_t len)
{
    memcpy(out, p, len);
    return out + len;
}

size_t
load_template_write(const load_template_t *t, const uint8_t *serial, const uint8_t *nonce, const char *condition,
                    char *out)
{
    size_t  from = t->serial_at / 3 * 3;
    uint8_t der[sizeof(t->der)];
    char   *at = put(out, t->head, t->head_len);

    memcpy(der, t->der, t->len);
    memcpy(der + t->serial_at, serial, t->serial_len);
    if (t->nonce_len > 0) {
        memcpy(der + t->nonce_at, nonce, t->nonce_len);
    }
    if (t->is_get) {
        at = base64_put(at, der + from, t->len - from);
        at = put(at, t->tail, t->tail_len);
    }
    at = put(at, condition, strlen(condition));
    at = put(at, "\r\n", 2);
    if (!t->is_get) {
        at = put(at, der, t->len);
    }
    return (size_t) (at - out);
}

size_t
load_plain_write(const load_url_t *u, const char *condition, char *out)
{
    return (size_t) snprintf(out, LOAD_OUT_MAX, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", u->path, u->host, condition);
}

uint8_t (*load_serials(size_t count))[LOAD_SERIAL_LEN]
{
    uint8_t (*table)[LOAD_SERIAL_LEN] = malloc(count * LOAD_SERIAL_LEN), digest[EVP_MAX_MD_SIZE];
    EVP_MD     *md = EVP_MD_fetch(NULL, "SHA256", NULL);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    char        text[24];

    if (table == NULL || md == NULL || ctx == NULL) {
        load_die("serials", "no memory");
    }
    for (size_t i = 0; i < count; i++) {
        int n = snprintf(text, sizeof(text), "%zu", i);

        if (!EVP_DigestInit_ex(ctx, md, NULL) || !EVP_DigestUpdate(ctx, text, (size_t) n)
            || !EVP_DigestFinal_ex(ctx, digest, NULL)) {
            load_die("serials", "SHA-256 failed");
        }
        digest[0] = 0x40;
        memcpy(table[i], digest, LOAD_SERIAL_LEN);
    }
    EVP_MD_CTX_free(ctx);
    EVP_MD_free(md);
    return table;
}

uint64_t
load_random(uint64_t *state)
{
    uint64_t v = *state += 0x9e3779b97f4a7c15;

    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9;
    v = (v ^ v >> 27) * 0x94d049bb133111eb;
    return v ^ v >> 31;
}

void
load_random_fill(uint64_t *state, uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i += 8) {
        uint64_t v = load_random(state);

        memcpy(p + i, &v, len - i < 8 ? len - i : 8);
    }
}
