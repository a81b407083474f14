/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The edge store's records.  Every record is an octet with its version, then its members in the
 * order of the struct: numbers big endian, slices after their length, flags in one octet.  Names have
 * a length of one octet, DER one of four.  The status record packs its kind into the version octet.
 */
#include "pkiproto/edge/record.h"

#include <openssl/evp.h>

#define RECORD_VERSION 2
#define RECORD_NAME    1 /* octets of length before a name */
#define RECORD_DER     4 /* octets of length before DER */
#define RECORD_BOOT_ID 16
#define RECORD_ETAG    32
#define RECORD_DIGEST  32

#define RECORD_NO_REASON 0xffu
#define ISSUER_CURRENT   0x01u
#define ISSUER_REVOKED   0x02u

#define LABEL_BASIC       0x01u
#define LABEL_CERTIFICATE 0x02u

/* Reading: a take that does not fit sets bad and gives nothing, so that one check at the end is enough. */
typedef struct {
    bytes_t in;
    bool    bad;
} record_t;

static uint64_t
record_number(record_t *r, size_t width)
{
    uint64_t v = 0;

    r->bad = r->bad || !bytes_take_be(&r->in, width, &v);
    return r->bad ? 0 : v;
}

static int64_t
record_time(record_t *r)
{
    return (int64_t) record_number(r, 8);
}

static bytes_t
record_bytes(record_t *r, size_t len)
{
    bytes_t v = BYTES_NONE;

    r->bad = r->bad || !bytes_take(&r->in, len, &v);
    return r->bad ? BYTES_NONE : v;
}

static bytes_t
record_slice(record_t *r, size_t width)
{
    uint64_t len = record_number(r, width);

    return record_bytes(r, (size_t) len);
}

/* A count of slices with a bound, then the slices. */
static size_t
record_slices(record_t *r, bytes_t *v, size_t max)
{
    uint64_t count = record_number(r, 1);

    r->bad = r->bad || count > max;
    for (size_t i = 0; !r->bad && i < count; i++) {
        v[i] = record_slice(r, RECORD_DER);
    }
    return r->bad ? 0 : (size_t) count;
}

static pki_code_t
record_begin(record_t *r, bytes_t in, const char *what, pki_err_t *err)
{
    uint64_t version;

    *r = (record_t){ .in = in };
    version = record_number(r, 1);
    if (r->bad) {
        return pki_fail(err, PKI_E_PARSE, NULL, "%s record is empty", what);
    }
    if (version != RECORD_VERSION) {
        return pki_fail(err, PKI_E_UNSUPPORTED, NULL, "%s record has version %u, not %u", what,
                        (unsigned) version, RECORD_VERSION);
    }
    return PKI_OK;
}

static pki_code_t
record_end(const record_t *r, const char *what, pki_err_t *err)
{
    if (r->bad) {
        return pki_fail(err, PKI_E_PARSE, NULL, "%s record is too short or holds a value that cannot be",
                        what);
    }
    if (r->in.len != 0) {
        return pki_fail(err, PKI_E_PARSE, NULL, "%s record has %zu octets too many", what, r->in.len);
    }
    return PKI_OK;
}

/* Writing. */
static void
put_version(pki_buf_t *out)
{
    pki_buf_put_u8(out, RECORD_VERSION);
}

static void
put_slice(pki_buf_t *out, bytes_t v, size_t width)
{
    pki_buf_put_be(out, v.len, width);
    pki_buf_put(out, v);
}

static void
put_slices(pki_buf_t *out, const bytes_t *v, size_t count)
{
    pki_buf_put_u8(out, (uint8_t) count);
    for (size_t i = 0; i < count; i++) {
        put_slice(out, v[i], RECORD_DER);
    }
}

static pki_code_t
check_name(bytes_t name, const char *what, pki_err_t *err)
{
    return name.len >= 1 && name.len <= UINT8_MAX
               ? PKI_OK
               : pki_fail(err, PKI_E_INVALID, NULL, "%s has %zu octets, not 1 to 255", what, name.len);
}

static pki_code_t
check_len(bytes_t v, size_t len, const char *what, pki_err_t *err)
{
    return v.len == len ? PKI_OK
                        : pki_fail(err, PKI_E_INVALID, NULL, "%s has %zu octets, not %zu", what, v.len, len);
}

static pki_code_t
check_slices(const bytes_t *v, size_t count, size_t max, const char *what, pki_err_t *err)
{
    if (count > max) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%zu %s, at most %zu", count, what, max);
    }
    for (size_t i = 0; i < count; i++) {
        if (v[i].len == 0 || v[i].len > CERT_MAX) {
            return pki_fail(err, PKI_E_INVALID, NULL, "%s: %zu octets, not 1 to %d", what, v[i].len,
                            CERT_MAX);
        }
    }
    return PKI_OK;
}

/* A name inside a folder of the edge: readers open it, so that it must not lead elsewhere. */
static bool
is_file_name(bytes_t name)
{
    return name.len >= 1 && name.len <= UINT8_MAX && name.p[0] != '.' && memchr(name.p, '/', name.len) == NULL
           && memchr(name.p, '\0', name.len) == NULL;
}

static pki_code_t
check_file(bytes_t name, const char *what, pki_err_t *err)
{
    return is_file_name(name) ? PKI_OK : pki_fail(err, PKI_E_INVALID, NULL, "%s is not a file name", what);
}

pki_code_t
edge_state_encode(const edge_state_t *in, pki_buf_t *out, pki_err_t *err)
{
    PKI_TRY(check_len(in->boot_id, RECORD_BOOT_ID, "boot id", err));
    put_version(out);
    pki_buf_put_be(out, in->generation, 8);
    pki_buf_put_be(out, (uint64_t) in->synced_at, 8);
    pki_buf_put_be(out, in->xid, 8);
    pki_buf_put_be(out, in->seq, 8);
    pki_buf_put_u8(out, in->retired);
    pki_buf_put(out, in->boot_id);
    return pki_buf_check(out, "state record", err);
}

pki_code_t
edge_state_decode(bytes_t in, edge_state_t *out, pki_err_t *err)
{
    record_t r;
    uint64_t retired;

    PKI_TRY(record_begin(&r, in, "state", err));
    out->generation = record_number(&r, 8);
    out->synced_at = record_time(&r);
    out->xid = record_number(&r, 8);
    out->seq = record_number(&r, 8);
    retired = record_number(&r, 1);
    out->boot_id = record_bytes(&r, RECORD_BOOT_ID);
    out->retired = retired != 0;
    r.bad = r.bad || retired > 1;
    return record_end(&r, "state", err);
}

static void
changes_put(uint8_t *p, uint64_t v)
{
    for (size_t i = 0; i < 8; i++) {
        p[i] = (uint8_t) (v >> 8 * (7 - i));
    }
}

static uint64_t
changes_take(const uint8_t *p)
{
    uint64_t v = 0;

    for (size_t i = 0; i < 8; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

/* Where the count is: by the last octets, which differ between serials whether they are random or counted. */
size_t
edge_changes_stripe(bytes_t key)
{
    uint64_t v = 0;

    for (size_t i = key.len > 8 ? key.len - 8 : 0; i < key.len; i++) {
        v = v << 8 | key.p[i];
    }
    return (size_t) ((v * 0x9e3779b97f4a7c15 >> 32) % EDGE_STRIPES);
}

void
edge_changes_init(uint64_t first, uint8_t record[EDGE_CHANGES_LEN])
{
    record[0] = EDGE_CHANGES_VERSION;
    for (size_t i = 0; i < EDGE_STRIPES; i++) {
        changes_put(record + EDGE_CHANGES_AT(i), first);
    }
}

void
edge_changes_add(uint8_t record[EDGE_CHANGES_LEN], bytes_t status_key)
{
    uint8_t *p = record + EDGE_CHANGES_AT(edge_changes_stripe(status_key));

    changes_put(p, changes_take(p) + 1);
}

bool
edge_changes_get_stripe(bytes_t record, size_t stripe, uint64_t *count)
{
    if (record.len != EDGE_CHANGES_LEN || record.p[0] != EDGE_CHANGES_VERSION) {
        return false;
    }
    *count = changes_take(record.p + EDGE_CHANGES_AT(stripe % EDGE_STRIPES));
    return true;
}

bool
edge_changes_get(bytes_t record, bytes_t status_key, uint64_t *count)
{
    return edge_changes_get_stripe(record, edge_changes_stripe(status_key), count);
}

size_t
edge_status_key(uint32_t authority, bytes_t serial, uint8_t out[EDGE_STATUS_KEY_MAX])
{
    if (serial.len == 0 || serial.len > CERT_SERIAL_MAX) {
        return 0;
    }
    for (size_t i = 0; i < 4; i++) {
        out[i] = (uint8_t) (authority >> 8 * (3 - i));
    }
    memcpy(out + 4, serial.p, serial.len);
    return 4 + serial.len;
}

/* 40 bits in two's complement: until the year 19391. */
static uint8_t *
put_time40(uint8_t *out, int64_t t)
{
    for (int shift = 32; shift >= 0; shift -= 8) {
        *out++ = (uint8_t) ((uint64_t) t >> shift);
    }
    return out;
}

static int64_t
time40(const uint8_t *p)
{
    uint64_t v = 0;

    for (int i = 0; i < 5; i++) {
        v = v << 8 | p[i];
    }
    return (int64_t) v - (v >> 39 != 0 ? INT64_C(1) << 40 : 0);
}

size_t
edge_status_encode(const edge_status_t *in, uint8_t out[EDGE_STATUS_MAX])
{
    uint8_t *p = out;

    *p++ = (uint8_t) (RECORD_VERSION << 4 | in->kind);
    *p++ = in->reason < 0 ? 0xff : (uint8_t) in->reason;
    for (int shift = 24; shift >= 0; shift -= 8) {
        *p++ = (uint8_t) (in->revision >> shift);
    }
    p = put_time40(p, in->revoked_at);
    p = put_time40(p, in->invalidity_at);
    p = put_time40(p, in->not_after);
    if (in->cert_hash.len == EDGE_STATUS_HASH) {
        memcpy(p, in->cert_hash.p, EDGE_STATUS_HASH);
        p += EDGE_STATUS_HASH;
    }
    return (size_t) (p - out);
}

pki_code_t
edge_status_decode(bytes_t in, edge_status_t *out, pki_err_t *err)
{
    const uint8_t *p = in.p;

    if (in.len != 0 && p[0] >> 4 != RECORD_VERSION) {
        return pki_fail(err, PKI_E_UNSUPPORTED, NULL, "status record has version %d, not %d", p[0] >> 4,
                        RECORD_VERSION);
    }
    if ((in.len != EDGE_STATUS_LEN && in.len != EDGE_STATUS_MAX) || (p[0] & 15) > EDGE_HOLD) {
        return pki_fail(err, PKI_E_PARSE, NULL, "status record of %zu octets is not one", in.len);
    }
    out->kind = (edge_status_kind_t) (p[0] & 15);
    out->reason = p[1] == 0xff ? -1 : p[1];
    out->revision = (uint32_t) p[2] << 24 | (uint32_t) p[3] << 16 | (uint32_t) p[4] << 8 | p[5];
    out->revoked_at = time40(p + 6);
    out->invalidity_at = time40(p + 11);
    out->not_after = time40(p + 16);
    out->cert_hash = in.len == EDGE_STATUS_MAX ? bytes_of(p + EDGE_STATUS_LEN, EDGE_STATUS_HASH) : BYTES_NONE;
    return PKI_OK;
}

static pki_code_t
check_issuer(const edge_issuer_t *in, pki_err_t *err)
{
    PKI_TRY(check_name(in->id, "issuer id", err));
    for (size_t h = 0; h < OCSP_HASH_COUNT; h++) {
        PKI_TRY(check_len(in->name_hash[h], ocsp_hash_len[h], "issuer name hash", err));
        PKI_TRY(check_len(in->key_hash[h], ocsp_hash_len[h], "issuer key hash", err));
    }
    return check_slices(in->chain, in->chain_len, EDGE_CHAIN_MAX, "chain certificates", err);
}

pki_code_t
edge_issuer_encode(const edge_issuer_t *in, pki_buf_t *out, pki_err_t *err)
{
    PKI_TRY(check_issuer(in, err));
    put_version(out);
    pki_buf_put_be(out, in->no, 4);
    put_slice(out, in->id, RECORD_NAME);
    pki_buf_put_u8(out, (in->is_current ? ISSUER_CURRENT : 0) | (in->is_revoked ? ISSUER_REVOKED : 0));
    pki_buf_put_u8(out, in->reason < 0 ? RECORD_NO_REASON : (uint8_t) in->reason);
    pki_buf_put_be(out, (uint64_t) in->revoked_at, 8);
    pki_buf_put_be(out, in->crl_shards, 4);
    for (size_t h = 0; h < OCSP_HASH_COUNT; h++) {
        pki_buf_put(out, in->name_hash[h]);
        pki_buf_put(out, in->key_hash[h]);
    }
    put_slices(out, in->chain, in->chain_len);
    pki_buf_put_be(out, in->ocsp_validity_s, 4);
    return pki_buf_check(out, "issuer record", err);
}

pki_code_t
edge_issuer_decode(bytes_t in, edge_issuer_t *out, pki_err_t *err)
{
    record_t r;
    uint64_t flags, reason;

    PKI_TRY(record_begin(&r, in, "issuer", err));
    out->no = (uint32_t) record_number(&r, 4);
    out->id = record_slice(&r, RECORD_NAME);
    flags = record_number(&r, 1);
    reason = record_number(&r, 1);
    out->is_current = (flags & ISSUER_CURRENT) != 0;
    out->is_revoked = (flags & ISSUER_REVOKED) != 0;
    out->reason = reason == RECORD_NO_REASON ? -1 : (int) reason;
    out->revoked_at = record_time(&r);
    out->crl_shards = (uint32_t) record_number(&r, 4);
    r.bad = r.bad || flags > (ISSUER_CURRENT | ISSUER_REVOKED);
    for (size_t h = 0; h < OCSP_HASH_COUNT; h++) {
        out->name_hash[h] = record_bytes(&r, ocsp_hash_len[h]);
        out->key_hash[h] = record_bytes(&r, ocsp_hash_len[h]);
    }
    out->chain_len = record_slices(&r, out->chain, EDGE_CHAIN_MAX);
    out->ocsp_validity_s = (uint32_t) record_number(&r, 4);
    return record_end(&r, "issuer", err);
}

pki_code_t
edge_responder_encode(const edge_responder_t *in, pki_buf_t *out, pki_err_t *err)
{
    PKI_TRY(check_slices(&in->certificate, 1, 1, "responder certificate", err));
    PKI_TRY(check_file(in->key_file, "responder key file", err));
    put_version(out);
    put_slice(out, in->certificate, RECORD_DER);
    put_slice(out, in->key_file, RECORD_NAME);
    pki_buf_put_be(out, in->generation, 4);
    pki_buf_put_be(out, (uint64_t) in->not_before, 8);
    pki_buf_put_be(out, (uint64_t) in->not_after, 8);
    return pki_buf_check(out, "responder record", err);
}

pki_code_t
edge_responder_decode(bytes_t in, edge_responder_t *out, pki_err_t *err)
{
    record_t r;

    PKI_TRY(record_begin(&r, in, "responder", err));
    out->certificate = record_slice(&r, RECORD_DER);
    out->key_file = record_slice(&r, RECORD_NAME);
    out->generation = (uint32_t) record_number(&r, 4);
    out->not_before = record_time(&r);
    out->not_after = record_time(&r);
    r.bad = r.bad || !is_file_name(out->key_file);
    return record_end(&r, "responder", err);
}

pki_code_t
edge_crl_encode(const edge_crl_t *in, pki_buf_t *out, pki_err_t *err)
{
    PKI_TRY(check_file(in->file, "CRL file", err));
    PKI_TRY(check_name(in->number, "CRL number", err));
    PKI_TRY(check_len(in->etag, RECORD_ETAG, "CRL entity tag", err));
    PKI_TRY(check_len(in->gzip_etag, in->gzip_size != 0 ? RECORD_ETAG : 0, "CRL entity tag of gzip", err));
    put_version(out);
    put_slice(out, in->file, RECORD_NAME);
    put_slice(out, in->number, RECORD_NAME);
    pki_buf_put(out, in->etag);
    pki_buf_put_be(out, (uint64_t) in->this_update, 8);
    pki_buf_put_be(out, (uint64_t) in->next_update, 8);
    pki_buf_put_be(out, in->size, 8);
    pki_buf_put_be(out, in->gzip_size, 8);
    put_slice(out, in->gzip_etag, RECORD_NAME);
    return pki_buf_check(out, "CRL record", err);
}

pki_code_t
edge_crl_decode(bytes_t in, edge_crl_t *out, pki_err_t *err)
{
    record_t r;

    PKI_TRY(record_begin(&r, in, "CRL", err));
    out->file = record_slice(&r, RECORD_NAME);
    out->number = record_slice(&r, RECORD_NAME);
    out->etag = record_bytes(&r, RECORD_ETAG);
    out->this_update = record_time(&r);
    out->next_update = record_time(&r);
    out->size = record_number(&r, 8);
    out->gzip_size = record_number(&r, 8);
    out->gzip_etag = record_slice(&r, RECORD_NAME);
    r.bad = r.bad || !is_file_name(out->file) || out->gzip_etag.len != (out->gzip_size != 0 ? RECORD_ETAG : 0);
    return record_end(&r, "CRL", err);
}

pki_code_t
edge_est_label_encode(const edge_est_label_t *in, pki_buf_t *out, pki_err_t *err)
{
    unsigned flags = (in->auth_basic ? LABEL_BASIC : 0) | (in->auth_certificate ? LABEL_CERTIFICATE : 0);

    PKI_TRY(check_name(in->label, "EST label", err));
    PKI_TRY(check_slices(in->trust, in->trust_len, EDGE_TRUST_MAX, "trust anchors", err));
    put_version(out);
    put_slice(out, in->label, RECORD_NAME);
    pki_buf_put_be(out, in->issuer_no, 4);
    pki_buf_put_be(out, in->wrap, 4);
    pki_buf_put_u8(out, (uint8_t) flags);
    put_slices(out, in->trust, in->trust_len);
    return pki_buf_check(out, "EST label record", err);
}

pki_code_t
edge_est_label_decode(bytes_t in, edge_est_label_t *out, pki_err_t *err)
{
    record_t r;
    uint64_t flags;

    PKI_TRY(record_begin(&r, in, "EST label", err));
    out->label = record_slice(&r, RECORD_NAME);
    out->issuer_no = (uint32_t) record_number(&r, 4);
    out->wrap = (uint32_t) record_number(&r, 4);
    flags = record_number(&r, 1);
    out->trust_len = record_slices(&r, out->trust, EDGE_TRUST_MAX);
    out->auth_basic = (flags & LABEL_BASIC) != 0;
    out->auth_certificate = (flags & LABEL_CERTIFICATE) != 0;
    r.bad = r.bad || flags > (LABEL_BASIC | LABEL_CERTIFICATE);
    return record_end(&r, "EST label", err);
}

static bool
is_credential(edge_credential_kind_t kind, size_t digest_len)
{
    return (kind == EDGE_CREDENTIAL_SHA256 && digest_len == RECORD_DIGEST)
           || (kind == EDGE_CREDENTIAL_ORCHESTRATOR && digest_len == 0);
}

pki_code_t
edge_account_encode(const edge_account_t *in, pki_buf_t *out, pki_err_t *err)
{
    if (!is_credential(in->kind, in->digest.len)) {
        return pki_fail(err, PKI_E_INVALID, NULL, "account of kind %d has a digest of %zu octets", in->kind,
                        in->digest.len);
    }
    put_version(out);
    pki_buf_put_u8(out, (uint8_t) in->kind);
    put_slice(out, in->digest, RECORD_NAME);
    return pki_buf_check(out, "account record", err);
}

pki_code_t
edge_account_decode(bytes_t in, edge_account_t *out, pki_err_t *err)
{
    record_t r;

    PKI_TRY(record_begin(&r, in, "account", err));
    out->kind = (edge_credential_kind_t) record_number(&r, 1);
    out->digest = record_slice(&r, RECORD_NAME);
    r.bad = r.bad || !is_credential(out->kind, out->digest.len);
    return record_end(&r, "account", err);
}

static pki_code_t
hash_dup(pki_arena_t *a, const EVP_MD *md, bytes_t in, bytes_t *out, pki_err_t *err)
{
    uint8_t  digest[EVP_MAX_MD_SIZE];
    unsigned len;

    if (EVP_Digest(in.p, in.len, digest, &len, md, NULL) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "cannot hash %zu octets", in.len);
    }
    return pki_bytes_dup(a, bytes_of(digest, len), out, err);
}

pki_code_t
edge_issuer_hashes(pki_arena_t *a, const cert_t *ca, edge_issuer_t *out, pki_err_t *err)
{
    const EVP_MD *const md[OCSP_HASH_COUNT] = {
        [OCSP_SHA1] = EVP_sha1(),
        [OCSP_SHA256] = EVP_sha256(),
        [OCSP_SHA384] = EVP_sha384(),
        [OCSP_SHA512] = EVP_sha512(),
    };

    for (size_t h = 0; h < OCSP_HASH_COUNT; h++) {
        PKI_TRY(hash_dup(a, md[h], ca->subject, &out->name_hash[h], err));
        PKI_TRY(hash_dup(a, md[h], ca->key.key, &out->key_hash[h], err));
    }
    return PKI_OK;
}
