/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Arenas made of blocks.  A request larger than a quarter of a block gets a block of its own.
 */
#include "pkiproto/base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define ARENA_BLOCK 4096u
#define ARENA_ALIGN _Alignof(max_align_t)

typedef struct arena_block {
    struct arena_block *next;
    size_t              size;
    size_t              used;
    _Alignas(max_align_t) uint8_t data[];
} arena_block_t;

typedef struct arena_owned {
    struct arena_owned *next;
    void               *ptr;
    pki_free_pt         free_fn;
} arena_owned_t;

struct pki_arena {
    arena_block_t *blocks; /* the first one is being filled */
    arena_owned_t *owned;
    size_t         limit;
    size_t         total;
    size_t         fail_after;
};

pki_arena_t *
pki_arena_new(size_t limit)
{
    pki_arena_t *a = calloc(1, sizeof(*a));

    if (a != NULL) {
        a->limit = limit;
    }
    return a;
}

void
pki_arena_reset(pki_arena_t *a)
{
    arena_owned_t *o;
    arena_block_t *b, *next;

    for (o = a->owned; o != NULL; o = o->next) {
        o->free_fn(o->ptr);
    }
    for (b = a->blocks; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    a->blocks = NULL;
    a->owned = NULL;
    a->total = 0;
}

void
pki_arena_free(pki_arena_t *a)
{
    if (a != NULL) {
        pki_arena_reset(a);
        free(a);
    }
}

static arena_block_t *
arena_block_add(pki_arena_t *a, size_t size)
{
    arena_block_t *b = calloc(1, sizeof(*b) + size);

    if (b == NULL) {
        return NULL;
    }
    b->size = size;

    if (size != ARENA_BLOCK && a->blocks != NULL) {
        /* A block of its own goes behind the one being filled. */
        b->next = a->blocks->next;
        a->blocks->next = b;
    } else {
        b->next = a->blocks;
        a->blocks = b;
    }
    return b;
}

void *
pki_alloc(pki_arena_t *a, size_t size)
{
    arena_block_t *b = a->blocks;
    void          *p;

    if (a->fail_after != 0 && --a->fail_after == 0) {
        a->fail_after = 1;
        return NULL;
    }
    if (size > SIZE_MAX - ARENA_ALIGN) {
        return NULL;
    }
    size = (size + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);

    if (a->limit != 0 && (size > a->limit || a->total > a->limit - size)) {
        return NULL;
    }
    if (b == NULL || b->size - b->used < size) {
        b = arena_block_add(a, size > ARENA_BLOCK / 4 ? size : ARENA_BLOCK);
        if (b == NULL) {
            return NULL;
        }
    }
    p = b->data + b->used;
    b->used += size;
    a->total += size;
    return p;
}

pki_code_t
pki_arena_own(pki_arena_t *a, void *ptr, pki_free_pt free_fn, pki_err_t *err)
{
    arena_owned_t *o = pki_alloc(a, sizeof(*o));

    if (o == NULL) {
        free_fn(ptr);
        return pki_fail(err, PKI_E_NOMEM, NULL, "no room to own a handle");
    }
    *o = (arena_owned_t){ a->owned, ptr, free_fn };
    a->owned = o;
    return PKI_OK;
}

pki_code_t
pki_bytes_dup(pki_arena_t *a, bytes_t in, bytes_t *out, pki_err_t *err)
{
    uint8_t *p;

    PKI_TRY(PKI_NEW_N(a, in.len + 1, &p, err));
    if (in.len != 0) {
        memcpy(p, in.p, in.len);
    }
    *out = bytes_of(p, in.len);
    return PKI_OK;
}

char *
pki_strndup(pki_arena_t *a, const void *s, size_t len)
{
    char *p = len < SIZE_MAX ? pki_alloc(a, len + 1) : NULL;

    if (p != NULL && len != 0) {
        memcpy(p, s, len);
    }
    return p;
}

char *
pki_strdup(pki_arena_t *a, const char *s)
{
    return pki_strndup(a, s, strlen(s));
}

char *
pki_printf(pki_arena_t *a, const char *fmt, ...)
{
    va_list ap;
    char   *p;
    int     n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);

    p = n >= 0 ? pki_alloc(a, (size_t) n + 1) : NULL;
    if (p != NULL) {
        va_start(ap, fmt);
        vsnprintf(p, (size_t) n + 1, fmt, ap);
        va_end(ap);
    }
    return p;
}

void
pki_arena_fail_after(pki_arena_t *a, size_t n)
{
    a->fail_after = n;
}
