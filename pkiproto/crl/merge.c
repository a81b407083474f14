/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A list out of an earlier one and what has changed since: one walk over both in the order of serials.  What stays is
 * taken over in runs, without a copy and without a look at more than its serial.
 */
#include "pkiproto/crl/part.h"

#define PASS_EVERY CRL_SINK_MAX

typedef struct {
    crl_t              *crl;
    int64_t             latest;
    const crl_change_t *next, *end;
    bytes_t             run; /* what stays and has not been taken over yet */
    size_t              run_count;
    crl_merged_t       *out;
} merge_t;

/* An entry of ours: SEQUENCE { INTEGER, ... } with lengths of one octet. */
static bool
entry_take(bytes_t *in, bytes_t *entry, bytes_t *serial)
{
    const uint8_t *p = in->p;

    if (in->len < 5 || p[0] != DER_SEQUENCE || p[1] >= 0x80 || (size_t) p[1] + 2 > in->len || p[2] != DER_INTEGER
        || p[3] == 0 || p[3] >= 0x80 || (size_t) p[3] + 2 > p[1])
    {
        return false;
    }
    *serial = bytes_of(p + 4, p[3]);
    return bytes_take(in, (size_t) p[1] + 2, entry);
}

static pki_code_t
run_end(merge_t *m, pki_err_t *err)
{
    PKI_TRY(crl_add_run(m->crl, m->run, m->run_count, m->latest, err));
    m->run = BYTES_NONE;
    m->run_count = 0;
    return PKI_OK;
}

static pki_code_t
change_apply(merge_t *m, size_t *counter, pki_err_t *err)
{
    const crl_change_t *c = m->next++;

    if (m->next != m->end && bytes_cmp(c->entry.serial, m->next->entry.serial) >= 0) {
        return pki_fail(err, PKI_E_INTERNAL, NULL, "changes of a CRL are not in the order of serials");
    }
    if (c->listed) {
        PKI_TRY(run_end(m, err));
        (*counter)++;
        return crl_add(m->crl, &c->entry, err);
    }
    return PKI_OK;
}

static pki_code_t
entry_merge(merge_t *m, bytes_t entry, bytes_t serial, pki_err_t *err)
{
    int order = -1;

    while (m->next != m->end && (order = bytes_cmp(m->next->entry.serial, serial)) < 0) {
        PKI_TRY(change_apply(m, &m->out->added, err));
    }
    if (m->next != m->end && order == 0) {
        PKI_TRY(run_end(m, err));
        m->out->removed += !m->next->listed;
        return change_apply(m, &m->out->replaced, err);
    }
    if (m->run_count == 0) {
        m->run = bytes_of(entry.p, 0);
    }
    m->run.len += entry.len;
    m->run_count++;
    return PKI_OK;
}

static pki_code_t
entries_merge(merge_t *m, bytes_t entries, crl_passed_pt passed, void *arg, pki_err_t *err)
{
    bytes_t entry, serial, before = BYTES_NONE;
    bytes_t walked = bytes_of(entries.p, 0);

    while (entries.len != 0) {
        if (!entry_take(&entries, &entry, &serial) || (before.p != NULL && bytes_cmp(before, serial) >= 0)) {
            return pki_fail(err, PKI_E_PARSE, "RFC 5280 5.1.2.6",
                            "the earlier CRL is not in the order of serials, or is not ours");
        }
        before = serial;
        PKI_TRY(entry_merge(m, entry, serial, err));
        walked.len += entry.len;
        if (passed != NULL && walked.len >= PASS_EVERY) {
            passed(arg, walked);
            walked = bytes_of(entries.p, 0);
        }
    }
    return PKI_OK;
}

pki_code_t
crl_merge(crl_t *crl, bytes_t entries, int64_t latest, const crl_change_t *changes, size_t count,
          crl_passed_pt passed, void *arg, crl_merged_t *out, pki_err_t *err)
{
    const crl_change_t *end = count > 0 ? changes + count : changes; /* changes may be NULL then */
    merge_t             m = { .crl = crl, .latest = latest, .next = changes, .end = end, .out = out };

    *out = (crl_merged_t){ 0 };
    PKI_TRY(entries_merge(&m, entries, passed, arg, err));
    while (m.next != m.end) {
        PKI_TRY(change_apply(&m, &out->added, err));
    }
    return run_end(&m, err);
}
