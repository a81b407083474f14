/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Arenas: memory with one of three lifetimes (a request or job, a configuration snapshot, the
 * process).  Everything that an arena handed out, or was asked to own, goes when it is reset or
 * freed.  Out of memory is an ordinary error, since this code lives in nginx workers.
 */
#ifndef PKI_BASE_ARENA_H
#define PKI_BASE_ARENA_H

#include "pkiproto/base/bytes.h"
#include "pkiproto/base/err.h"

typedef struct pki_arena pki_arena_t;

/* A new arena that hands out at most limit octets (0: no limit).  NULL when out of memory. */
pki_arena_t *pki_arena_new(size_t limit);
void         pki_arena_reset(pki_arena_t *a);
void         pki_arena_free(pki_arena_t *a); /* accepts NULL */

/* Zeroed memory, aligned for any type.  pki_alloc() gives NULL when out of memory. */
void *pki_alloc(pki_arena_t *a, size_t size);

/* PKI_TRY(PKI_NEW(a, &crl, err)): one zeroed *crl, or NOMEM. */
#define PKI_NEW(a, pptr, err) PKI_NEW_N((a), 1, (pptr), (err))
#define PKI_NEW_N(a, n, pptr, err)                                             \
    ((*(pptr) = pki_alloc((a), (size_t) (n) * sizeof(**(pptr)))) != NULL       \
         ? PKI_OK                                                              \
         : pki_fail((err), PKI_E_NOMEM, NULL, "out of memory"))

/*
 * Have the arena call free_fn(ptr) when it goes, last owned first.  When that cannot be recorded
 * ptr is freed at once and NOMEM returned, so that the caller need not clean up.
 */
typedef void (*pki_free_pt)(void *ptr);
pki_code_t pki_arena_own(pki_arena_t *a, void *ptr, pki_free_pt free_fn, pki_err_t *err);

/* Copies in the arena; the string form ends in NUL, which is not counted. */
pki_code_t pki_bytes_dup(pki_arena_t *a, bytes_t in, bytes_t *out, pki_err_t *err);
char      *pki_strdup(pki_arena_t *a, const char *s);
char      *pki_strndup(pki_arena_t *a, const void *s, size_t len);
char      *pki_printf(pki_arena_t *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* For tests: let the nth allocation from now on, and all after it, fail.  0 switches it off. */
void pki_arena_fail_after(pki_arena_t *a, size_t n);

#endif
