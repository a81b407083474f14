/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * CRLs: what is read and can be written, is written again, and reads the same.
 */
#include <stdlib.h>

#include "pkiproto/crl/crl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static pki_code_t
collect(void *arg, bytes_t data, pki_err_t *err)
{
    pki_buf_put(arg, data);
    return pki_buf_check(arg, "CRL", err);
}

static bool
same_entry(const crl_entry_t *a, const crl_entry_t *b)
{
    int ra = a->reason == 0 ? -1 : a->reason; /* "unspecified" is not written */

    return bytes_eq(a->serial, b->serial) && a->revoked_at == b->revoked_at && ra == b->reason
           && a->invalidity_at == b->invalidity_at;
}

static void
compare(bytes_t entries, bytes_t again)
{
    crl_entry_t a, b;

    do {
        if (crl_entry_next(&entries, &a, NULL) != PKI_OK || crl_entry_next(&again, &b, NULL) != PKI_OK
            || (a.serial.p == NULL) != (b.serial.p == NULL) || (a.serial.p != NULL && !same_entry(&a, &b)))
        {
            abort();
        }
    } while (a.serial.p != NULL);
}

static void
write_again(pki_arena_t *a, crl_t *crl, const crl_view_t *v)
{
    const crl_template_t t = { .issuer = v->issuer, .sigalg = pki_key_sigalg(PKI_KEY_P256),
                               .this_update = v->this_update, .next_update = v->next_update, .akid = v->akid,
                               .number = v->number, .idp = v->idp, .base_number = v->base_number };
    pki_buf_t            out;
    crl_view_t           again;

    if (crl_seal(crl, &t, NULL) != PKI_OK) {
        return;
    }
    pki_buf_init(&out, a, 1 << 22);
    if (crl_write(crl, bytes_of("signature", 9), collect, &out, NULL) != PKI_OK
        || crl_parse(pki_buf_bytes(&out), &again, NULL) != PKI_OK || !bytes_eq(again.number, v->number)
        || !bytes_eq(again.akid, v->akid) || !bytes_eq(again.idp, v->idp)
        || again.this_update != v->this_update || again.next_update != v->next_update)
    {
        abort();
    }
    compare(v->entries, again.entries);
}

/*
 * Merged with no change it is the same entries, or not in order.  With its first entry taken away, it is one less.
 */
static void
merge_again(const crl_view_t *v, size_t count)
{
    crl_t       *same = crl_new(), *less = crl_new();
    crl_change_t change = { .listed = false };
    crl_merged_t done;
    bytes_t      entries = v->entries;

    if (crl_merge(same, v->entries, v->this_update, NULL, 0, NULL, NULL, &done, NULL) == PKI_OK && count != 0) {
        if (crl_count(same) != count || crl_entry_next(&entries, &change.entry, NULL) != PKI_OK
            || crl_merge(less, v->entries, v->this_update, &change, 1, NULL, NULL, &done, NULL) != PKI_OK
            || crl_count(less) != count - 1 || done.removed != 1 || done.added != 0)
        {
            abort();
        }
    }
    crl_free(same);
    crl_free(less);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pki_arena_t *a = pki_arena_new(0);
    crl_t       *crl = crl_new();
    crl_view_t   v;
    crl_entry_t  e = { .reason = -1 };
    bytes_t      entries;
    pki_code_t   rc = crl_parse(bytes_of(data, size), &v, NULL);

    if (rc == PKI_OK) {
        for (entries = v.entries; rc == PKI_OK && entries.len != 0;) {
            rc = crl_entry_next(&entries, &e, NULL);
            rc = rc == PKI_OK ? crl_add(crl, &e, NULL) : rc;
        }
        if (rc == PKI_OK) {
            merge_again(&v, crl_count(crl));
            write_again(a, crl, &v);
        }
    }
    crl_free(crl);
    pki_arena_free(a);
    return 0;
}
