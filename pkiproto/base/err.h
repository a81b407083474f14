/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Errors.  A function that can fail returns a pki_code_t (0 is success) and fills the pki_err_t
 * of its caller, which may be NULL.  Nothing here allocates or logs: libraries report, the edge
 * of the program decides and logs once.
 */
#ifndef PKI_BASE_ERR_H
#define PKI_BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>

typedef enum {
    PKI_OK = 0,
#define PKI_ERROR(name, http, retry, acme, text) PKI_E_##name,
#include "pkiproto/base/errors.inc"
#undef PKI_ERROR
    PKI_E_COUNT_
} pki_code_t;

typedef struct {
    pki_code_t     code;
    const char    *file;      /* where pki_fail() was called */
    int            line;
    const char    *clause;    /* "RFC 5280 4.2.1.9", or NULL where no standard is concerned */
    unsigned long  ossl;      /* the first OpenSSL error that was queued, or 0 */
    char           text[224]; /* what was seen and what was wanted; never a secret */
} pki_err_t;

/* What errors.inc says of a code.  An unknown code is treated as INTERNAL. */
const char *pki_code_name(pki_code_t code); /* "PARSE" */
const char *pki_code_text(pki_code_t code);
const char *pki_code_acme(pki_code_t code);
int         pki_code_http(pki_code_t code);
bool        pki_code_retryable(pki_code_t code);

/*
 * Record an error and return its code.  Drains the calling thread's OpenSSL error queue, keeping
 * the first entry.  A NULL err is allowed.
 */
#define pki_fail(err, code, clause, ...) \
    pki_fail_at((err), (code), __FILE__, __LINE__, (clause), __VA_ARGS__)

pki_code_t pki_fail_at(pki_err_t *err, pki_code_t code, const char *file, int line, const char *clause,
                       const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* Put "context: " before the text of an error that crosses a border; returns err->code. */
pki_code_t pki_err_context(pki_err_t *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Return upward on failure.  The only macro of this project with control flow. */
#define PKI_TRY(call)                     \
    do {                                  \
        pki_code_t pki_rc_ = (call);      \
        if (pki_rc_ != PKI_OK) {          \
            return pki_rc_;               \
        }                                 \
    } while (0)

#endif
