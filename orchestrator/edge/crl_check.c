/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What a list has to pass before anybody sees it: it is read back from its file, as a relying party and as a strict
 * reader would (RFC 5280 section 5), and held against the list that is served now.
 */
#include "core/log.h"
#include "orchestrator/edge/crl.h"

#define REMOVED       8
#define MISSING_BATCH 1000

/* Entries, one after the other */

typedef struct {
    const crl_wanted_t *wanted;
    bytes_t             before; /* serial */
    size_t              count;
} entries_t;

static pki_code_t
entry_check(entries_t *x, const crl_entry_t *e, pki_err_t *err)
{
    if (x->before.p != NULL && bytes_cmp(x->before, e->serial) >= 0) {
        return pki_fail(err, PKI_E_INTERNAL, "RFC 5280 5.1.2.6", "a serial of the finished CRL comes twice or out of order");
    }
    if (e->revoked_at > x->wanted->t->this_update) {
        return pki_fail(err, PKI_E_INTERNAL, "RFC 5280 5.1.2.6", "an entry of the finished CRL is later than the list");
    }
    if (e->reason == 0 || (e->reason == REMOVED && x->wanted->t->base_number.p == NULL)) {
        return pki_fail(err, PKI_E_INTERNAL, "RFC 5280 5.3.1", "an entry of the finished CRL has reason %d", e->reason);
    }
    if (e->invalidity_at > e->revoked_at) {
        return pki_fail(err, PKI_E_INTERNAL, "RFC 5280 5.3.2", "an entry of the finished CRL was invalid after its date");
    }
    x->before = e->serial;
    x->count++;
    return PKI_OK;
}

/* Walk entries; every so often the map may forget them. */
static pki_code_t
entries_check(bytes_t entries, const crl_wanted_t *wanted, crl_map_t *map, pki_err_t *err)
{
    entries_t   x = { .wanted = wanted };
    crl_entry_t entry;
    bytes_t     walked = bytes_of(entries.p, 0);

    while (entries.len != 0) {
        PKI_TRY(crl_entry_next(&entries, &entry, err));
        PKI_TRY(entry_check(&x, &entry, err));
        walked.len = (size_t) (entries.p - walked.p);
        if (walked.len >= CRL_SINK_MAX) {
            crl_map_walked(map, walked);
            walked = bytes_of(entries.p, 0);
        }
    }
    return x.count == wanted->entries
               ? PKI_OK
               : pki_fail(err, PKI_E_INTERNAL, "RFC 5280 5.1.2.6", "the finished CRL has %zu entries and not %zu", x.count,
                          wanted->entries);
}

static pki_code_t
frame_check(const crl_view_t *v, const crl_wanted_t *wanted, pki_err_t *err)
{
    const crl_template_t *t = wanted->t;

    if (!bytes_eq(v->issuer, wanted->ca->subject) || !bytes_eq(v->akid, wanted->ca->skid)
        || !bytes_eq(v->number, t->number) || !bytes_eq(v->idp, t->idp) || !bytes_eq(v->base_number, t->base_number)
        || v->this_update != t->this_update || v->next_update != t->next_update
        || (v->freshest.p != NULL) != (t->freshest_url != NULL))
    {
        return pki_fail(err, PKI_E_INTERNAL, "RFC 5280 5.1", "the finished CRL has another header");
    }
    return PKI_OK;
}

static pki_code_t
list_check(crl_map_t *map, const crl_wanted_t *wanted, pki_err_t *err)
{
    crl_view_t v;

    PKI_TRY(crl_parse(bytes_of(map->p, map->len), &v, err));
    PKI_TRY(frame_check(&v, wanted, err));
    PKI_TRY(entries_check(v.entries, wanted, map, err));
    return pki_signature_check_large(&wanted->ca->key, v.algorithm, v.tbs, v.signature, crl_map_walked, map, err);
}

pki_code_t
crl_check(int fd, int64_t size, const crl_wanted_t *wanted, pki_err_t *err)
{
    crl_map_t  map;
    pki_code_t code;

    PKI_TRY(crl_map(fd, (size_t) size, &map, err));
    code = list_check(&map, wanted, err);
    crl_map_close(&map);
    return code;
}

/* Against the list that is served */

pki_code_t
crl_check_frame(bytes_t now, const crl_wanted_t *next, pki_err_t *err)
{
    crl_view_t v;

    PKI_TRY(crl_parse(now, &v, err));
    if (!bytes_eq(v.issuer, next->ca->subject) || !bytes_eq(v.akid, next->ca->skid) || !bytes_eq(v.idp, next->t->idp)) {
        return pki_fail(err, PKI_E_CONFLICT, "RFC 5280 5.2.5",
                        "the next CRL has another issuer, key or distribution point than the one that is served");
    }
    if (v.number.len > next->t->number.len
        || (v.number.len == next->t->number.len && bytes_cmp(v.number, next->t->number) >= 0))
    {
        return pki_fail(err, PKI_E_CONFLICT, "RFC 5280 5.2.3",
                        "the next CRL has no greater number than the one that is served");
    }
    return PKI_OK;
}

typedef struct {
    db_t           *db;
    const crl_id_t *id;
    int64_t         floor;
    bytes_t         serial[MISSING_BATCH];
    size_t          count, missing, gone;
} missing_t;

static pki_code_t
missing_ask(missing_t *m, pki_err_t *err)
{
    size_t gone = 0;

    if (m->count != 0) {
        PKI_TRY(crl_gone(m->db, m->id, m->floor, m->serial, m->count, &gone, err));
    }
    m->gone += gone;
    m->missing += m->count;
    m->count = 0;
    return PKI_OK;
}

static pki_code_t
missing_walk(missing_t *m, crl_map_t *now_map, bytes_t now, crl_map_t *next_map, bytes_t next, pki_err_t *err)
{
    bytes_t     done_now = bytes_of(now.p, 0), done_next = bytes_of(next.p, 0);
    crl_entry_t a, b = { .serial = BYTES_NONE };

    PKI_TRY(crl_entry_next(&next, &b, err));
    while (now.len != 0) {
        PKI_TRY(crl_entry_next(&now, &a, err));
        while (b.serial.p != NULL && bytes_cmp(b.serial, a.serial) < 0) {
            PKI_TRY(crl_entry_next(&next, &b, err));
        }
        if (b.serial.p == NULL || !bytes_eq(a.serial, b.serial)) {
            m->serial[m->count++] = a.serial;
            PKI_TRY(m->count == MISSING_BATCH ? missing_ask(m, err) : PKI_OK);
        }
        done_now.len = (size_t) (now.p - done_now.p);
        if (done_now.len >= CRL_SINK_MAX) {
            crl_map_walked(now_map, done_now);
            crl_map_walked(next_map, bytes_of(done_next.p, (size_t) (next.p - done_next.p)));
            done_now = bytes_of(now.p, 0);
            done_next = bytes_of(next.p, 0);
        }
    }
    return missing_ask(m, err);
}

pki_code_t
crl_check_missing(db_t *db, const crl_id_t *id, int64_t floor, crl_map_t *now_map, bytes_t now, crl_map_t *next_map,
                  bytes_t next, pki_err_t *err)
{
    missing_t m = { .db = db, .id = id, .floor = floor };

    PKI_TRY(missing_walk(&m, now_map, now, next_map, next, err));
    if (m.gone < m.missing) {
        return pki_fail(err, PKI_E_CONFLICT, "RFC 5280 3.3",
                        "the next CRL lacks %zu entries that were neither released nor have ended", m.missing - m.gone);
    }
    return PKI_OK;
}
