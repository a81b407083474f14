/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The error record and the tables made from errors.inc.
 */
#include "pkiproto/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

typedef struct {
    const char *name, *acme, *text;
    int         http;
    bool        retry;
} code_row_t;

static const code_row_t code_rows[] = {
    [PKI_OK] = { "OK", "", "success", 200, false },
#define PKI_ERROR(name, http, retry, acme, text) [PKI_E_##name] = { #name, acme, text, http, retry },
#include "pkiproto/base/errors.inc"
#undef PKI_ERROR
};

static const code_row_t *
code_row(pki_code_t code)
{
    return (unsigned) code < PKI_E_COUNT_ ? &code_rows[code] : &code_rows[PKI_E_INTERNAL];
}

const char *
pki_code_name(pki_code_t code)
{
    return code_row(code)->name;
}

const char *
pki_code_text(pki_code_t code)
{
    return code_row(code)->text;
}

const char *
pki_code_acme(pki_code_t code)
{
    return code_row(code)->acme;
}

int
pki_code_http(pki_code_t code)
{
    return code_row(code)->http;
}

bool
pki_code_retryable(pki_code_t code)
{
    return code_row(code)->retry;
}

pki_code_t
pki_fail_at(pki_err_t *err, pki_code_t code, const char *file, int line, const char *clause,
            const char *fmt, ...)
{
    unsigned long ossl = ERR_peek_error();
    va_list       ap;

    ERR_clear_error();

    if (err != NULL) {
        err->code = code;
        err->file = file;
        err->line = line;
        err->clause = clause;
        err->ossl = ossl;
        va_start(ap, fmt);
        vsnprintf(err->text, sizeof(err->text), fmt, ap);
        va_end(ap);
    }
    return code;
}

pki_code_t
pki_err_context(pki_err_t *err, const char *fmt, ...)
{
    char    old[sizeof(err->text)];
    va_list ap;
    size_t  at, room, len;
    int     n;

    if (err == NULL) {
        return PKI_E_INTERNAL;
    }
    memcpy(old, err->text, sizeof(old));
    va_start(ap, fmt);
    n = vsnprintf(err->text, sizeof(err->text), fmt, ap);
    va_end(ap);

    at = n < 0 ? 0 : (size_t) n;
    if (at + 2 < sizeof(err->text)) {
        /* What does not fit is cut off. */
        room = sizeof(err->text) - at - 3;
        len = strnlen(old, room);
        memcpy(err->text + at, ": ", 2);
        memcpy(err->text + at + 2, old, len);
        err->text[at + 2 + len] = '\0';
    }
    return err->code;
}
