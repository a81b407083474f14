/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A mutator that keeps DER whole: one element of the tree is changed, doubled, removed or replaced by
 * another one of the same input, and the lengths around it are written anew.  Every third time
 * libFuzzer's own mutator gets the octets as they are.  Included by a fuzzer, once.
 */
#ifndef FUZZ_DER_MUTATE_H
#define FUZZ_DER_MUTATE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DER_NODES 256
#define DER_DEPTH 12

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

typedef struct {
    size_t at, head, len; /* of the identifier; octets of header; of contents */
    int    parent;
} der_node_t;

typedef struct {
    const uint8_t *data;
    der_node_t     node[DER_NODES];
    int            count;
} der_tree_t;

static int
der_header(const uint8_t *p, size_t left, size_t *head, size_t *len)
{
    *head = 2;
    if (left < 2 || (p[0] & 0x1f) == 0x1f || p[1] == 0x80 || p[1] > 0x82) {
        return 0;
    }
    *len = p[1];
    if (p[1] > 0x80) {
        *head += p[1] & 0x7f;
        if (left < *head) {
            return 0;
        }
        *len = *head == 3 ? p[2] : (size_t) p[2] << 8 | p[3];
    }
    return left - *head >= *len;
}

/* All or nothing of [from, to): contents that are no sequence of elements are not taken apart. */
static void
der_grow(der_tree_t *t, size_t from, size_t to, int parent, int depth)
{
    int first = t->count, last;

    while (from < to) {
        size_t head, len = 0;

        if (t->count == DER_NODES || !der_header(t->data + from, to - from, &head, &len)) {
            t->count = first;
            return;
        }
        t->node[t->count++] = (der_node_t){ .at = from, .head = head, .len = len, .parent = parent };
        from += head + len;
    }
    last = t->count;
    for (int i = first; i < last && depth < DER_DEPTH; i++) {
        const der_node_t *n = &t->node[i];
        uint8_t           tag = t->data[n->at];

        if ((tag & 0x20) != 0 || tag == 0x04) { /* constructed, and what is wrapped in an OCTET STRING */
            der_grow(t, n->at + n->head, n->at + n->head + n->len, i, depth + 1);
        }
    }
}

static size_t
der_put_header(uint8_t *out, uint8_t tag, size_t len)
{
    size_t n = 0;

    out[n++] = tag;
    if (len >= 0x100) {
        out[n++] = 0x82;
        out[n++] = (uint8_t) (len >> 8);
    } else if (len >= 0x80) {
        out[n++] = 0x81;
    }
    out[n++] = (uint8_t) len;
    return n;
}

/* Write [from, to) with the element at "node" replaced; lengths above it are made right.  0: too large. */
static size_t
der_splice(const der_tree_t *t, int node, const uint8_t *put, size_t len, uint8_t *out, size_t max)
{
    const der_node_t *n = &t->node[node];
    size_t            from = n->at, to = n->at + n->head + n->len;

    if (len > max || len > 0xffff) {
        return 0;
    }
    memcpy(out, put, len);
    for (int i = n->parent;; i = t->node[i].parent) {
        size_t  begin = i < 0 ? 0 : t->node[i].at + t->node[i].head;
        size_t  end = i < 0 ? t->node[0].at + t->node[0].head + t->node[0].len
                            : begin + t->node[i].len;
        size_t  inner = (from - begin) + len + (end - to);
        uint8_t head[4];
        size_t  h = i < 0 ? 0 : der_put_header(head, t->data[t->node[i].at], inner);

        if (h + inner > max || inner > 0xffff) {
            return 0;
        }
        memmove(out + h + (from - begin), out, len);
        memcpy(out + h, t->data + begin, from - begin);
        memcpy(out + h + (from - begin) + len, t->data + to, end - to);
        memcpy(out, head, h);
        len = h + inner;
        if (i < 0) {
            return len;
        }
        from = t->node[i].at;
        to = end;
    }
}

static size_t
der_change(const der_tree_t *t, int node, unsigned how, int other, uint8_t *mem, size_t max)
{
    const der_node_t *n = &t->node[node], *o = &t->node[other];
    size_t            whole = n->head + n->len, len = n->len;

    switch (how % 5) {
    case 0: /* its contents */
    case 1:
        if (len + 4 > max / 2) {
            return 0;
        }
        memcpy(mem + 4, t->data + n->at + n->head, len);
        len = LLVMFuzzerMutate(mem + 4, len, max / 2);
        whole = der_put_header(mem, how & 8 ? (uint8_t) (how >> 8) : t->data[n->at], len);
        memmove(mem + whole, mem + 4, len);
        return whole + len;
    case 2: /* twice */
        if (2 * whole > max) {
            return 0;
        }
        memcpy(mem, t->data + n->at, whole);
        memcpy(mem + whole, t->data + n->at, whole);
        return 2 * whole;
    case 3: /* not at all */
        return 0;
    default: /* another one in its place */
        if (o->head + o->len > max) {
            return 0;
        }
        memcpy(mem, t->data + o->at, o->head + o->len);
        return o->head + o->len;
    }
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    static uint8_t    put[1 << 16], out[1 << 17];
    static der_tree_t t;
    size_t            len;
    int               node, other;

    t.data = data;
    t.count = 0;
    der_grow(&t, 0, size, -1, 0);
    if (seed % 3 == 0 || t.count == 0 || t.node[0].at + t.node[0].head + t.node[0].len != size) {
        return LLVMFuzzerMutate(data, size, max);
    }
    srand(seed);
    node = rand() % t.count;
    other = rand() % t.count;
    len = der_change(&t, node, (unsigned) rand(), other, put, sizeof(put));
    len = der_splice(&t, node, put, len, out, sizeof(out));
    if (len == 0 || len > max) {
        return LLVMFuzzerMutate(data, size, max);
    }
    memcpy(data, out, len);
    return len;
}

#endif
