/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Import: a bundle of certificates that others issued.  CA certificates among them are there to check the others with, and
 * are not recorded.
 */
#include <openssl/sha.h>

#include "orchestrator/api/auth.h"
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/cert.h"
#include "orchestrator/store/import.h"
#include "pkiproto/base/text.h"

#define IMPORT_MAX     1000 /* certificates in one call */
#define IMPORT_PEM_MAX (1u << 20)

typedef struct {
    const char *pem, *owner_id, *team_id, *environment, *renewal_policy_id;
    str_map_t   tags;
} import_in_t;

/* One of the bundle, in its order. */
typedef struct {
    const char *status, *certificate_id, *subject, *text;
    bytes_t     serial, fingerprint_sha256;
} import_row_t;

typedef struct {
    int64_t       imported, known, refused, chain;
    object_list_t certificates;
} import_out_t;

/* clang-format off */
static const field_t import_fields[] = {
    FIELD_TEXT(import_in_t, pem,               F_REQUIRED, 1, IMPORT_PEM_MAX, "certificates in PEM, with or without their CAs'"),
    FIELD_TEXT(import_in_t, owner_id,          0, 1, 64,           "who answers for them"),
    FIELD_TEXT(import_in_t, team_id,           0, 1, 64,           "team that they belong to"),
    FIELD_TEXT(import_in_t, environment,       0, 1, 64,           "environment that they are used in"),
    FIELD_TEXT(import_in_t, renewal_policy_id, 0, 1, 64,           "who hears of their end, and when; only their issuer renews them"),
    FIELD_MAP (import_in_t, tags,              0, NULL, 256, NULL, "whatever else is to be said of them"),
    FIELD_END };

static const char *const outcomes[] = { "imported", "known", "refused", "chain", NULL };

static const field_t import_row_fields[] = {
    FIELD_ENUM(import_row_t, status,             F_REQUIRED, NULL, outcomes, "imported, known, refused; chain: a CA certificate"),
    FIELD_STR (import_row_t, certificate_id,     0, NULL,  "managed certificate that has it"),
    FIELD_STR (import_row_t, subject,            0, NULL,  "subject, RFC 4514"),
    FIELD_HEX (import_row_t, serial,             0,        "serial number"),
    FIELD_HEX (import_row_t, fingerprint_sha256, F_REQUIRED, "SHA-256 of the certificate"),
    FIELD_STR (import_row_t, text,               0, NULL,  "why it was refused"),
    FIELD_END };

static const field_t import_out_fields[] = {
    FIELD_INT(import_out_t, imported, F_REQUIRED, NULL, 0, INT64_MAX, "certificates that are new"),
    FIELD_INT(import_out_t, known,    F_REQUIRED, NULL, 0, INT64_MAX, "that were here already"),
    FIELD_INT(import_out_t, refused,  F_REQUIRED, NULL, 0, INT64_MAX, "that cannot be taken"),
    FIELD_INT(import_out_t, chain,    F_REQUIRED, NULL, 0, INT64_MAX, "CA certificates"),
    FIELD_OBJECTS(import_out_t, certificates, F_REQUIRED, import_row_fields, sizeof(import_row_t), "each of the bundle, in its order"),
    FIELD_END };
/* clang-format on */

const shape_t shape_import = SHAPE("Import", import_in_t, import_fields);
const shape_t shape_imported = SHAPE("Imported", import_out_t, import_out_fields);

typedef struct {
    cert_t   cert;
    bool     is_chain;
    import_t record;
} bundle_t;

static pki_code_t
sans_print(pki_arena_t *a, const general_names_t *names, str_list_t *out, pki_err_t *err)
{
    PKI_TRY(PKI_NEW_N(a, names->count + 1, &out->v, err));
    for (size_t i = 0; i < names->count; i++) {
        PKI_TRY(general_name_print(a, &names->v[i], &out->v[i], err));
    }
    out->count = names->count;
    return PKI_OK;
}

/* "PREFIX-" and 20 digits of a hash. */
static const char *
hash_id(pki_arena_t *a, const char *prefix, const uint8_t digest[SHA256_DIGEST_LENGTH])
{
    char hex[21];

    hex_encode(bytes_of(digest, 10), hex);
    return pki_printf(a, "%s-%s", prefix, hex);
}

/* The issuer is known by its name and its key. */
static const char *
issuer_id_of(pki_arena_t *a, const cert_t *cert)
{
    uint8_t   digest[SHA256_DIGEST_LENGTH];
    pki_buf_t b;

    pki_buf_init(&b, a, CERT_MAX);
    pki_buf_put(&b, cert->issuer);
    pki_buf_put(&b, cert->akid);
    SHA256(b.p, b.len, digest);
    return hash_id(a, "iss-ext", digest);
}

static pki_code_t
key_note(const cert_t *cert, import_t *r, pki_err_t *err)
{
    pki_key_facts_t facts;

    PKI_TRY(pki_key_facts(cert->key.spki, &facts, err));
    r->key_algorithm = facts.algorithm;
    r->key_size = facts.bits;
    r->weakness = facts.weak ? "key" : pki_sigalg_is_weak(cert->algorithm) ? "signature" : NULL;
    return PKI_OK;
}

static pki_code_t
record_fill(pki_arena_t *a, bundle_t *b, pki_err_t *err)
{
    const cert_t *cert = &b->cert;
    import_t     *r = &b->record;
    uint8_t      *spki = pki_alloc(a, SHA256_DIGEST_LENGTH);

    if (spki == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    r->spki_sha256 = bytes_of(SHA256(cert->key.spki.p, cert->key.spki.len, spki), SHA256_DIGEST_LENGTH);
    PKI_TRY(key_note(cert, r, err));
    PKI_TRY(name_print(a, cert->subject, &r->subject, err));
    PKI_TRY(name_print(a, cert->issuer, &r->issuer, err));
    PKI_TRY(name_common_name(a, cert->subject, &r->common_name, err));
    PKI_TRY(sans_print(a, &cert->names, &r->sans, err));
    r->serial = cert->serial;
    r->subject_der = cert->subject;
    r->key_id = cert->akid;
    r->not_before = cert->not_before;
    r->not_after = cert->not_after;
    r->issuer_id = issuer_id_of(a, cert);
    r->id = hash_id(a, "mc", r->fingerprint.p);
    r->name = cert_managed_name(a, "import", r->common_name, r->id);
    return r->issuer_id != NULL && r->id != NULL && r->name != NULL ? PKI_OK
                                                                     : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

static pki_code_t
bundle_read(pki_arena_t *a, bytes_t der, bundle_t *b, pki_err_t *err)
{
    uint8_t   *digest = pki_alloc(a, SHA256_DIGEST_LENGTH);
    pki_err_t  why = { 0 };
    pki_code_t code;

    if (digest == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    b->record.der = der;
    b->record.fingerprint = bytes_of(SHA256(der.p, der.len, digest), SHA256_DIGEST_LENGTH);
    code = cert_parse_foreign(a, der, &b->cert, &why);
    if (code == PKI_OK) {
        code = record_fill(a, b, &why);
    }
    if (code == PKI_E_NOMEM) {
        return pki_fail(err, code, NULL, "out of memory");
    }
    b->is_chain = code == PKI_OK && b->cert.is_ca;
    if (code != PKI_OK) {
        b->record.outcome = IMPORT_REFUSED;
        b->record.why = pki_strdup(a, why.text);
    }
    return PKI_OK;
}

/* A CA of its issuer's name that came with it has to have signed it: as far as we can tell, as if it had not come. */
static void
signature_judge(const bundle_t *all, size_t count, bundle_t *b)
{
    bool named = false, good = false;

    for (size_t i = 0; i < count && !good; i++) {
        if (all[i].is_chain && bytes_eq(all[i].cert.subject, b->cert.issuer)) {
            pki_code_t code = cert_check_issued_by(&b->cert, &all[i].cert, NULL);

            named = true;
            good = code == PKI_OK || code == PKI_E_UNSUPPORTED || all[i].cert.key.kind == PKI_KEY_NONE;
        }
    }
    if (named && !good) {
        b->record.outcome = IMPORT_REFUSED;
        b->record.why = "the CA certificate in the bundle did not sign it";
    }
}

/* The same twice in one bundle is one. */
static bool
bundle_repeats(const bundle_t *all, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (bytes_eq(all[i].record.fingerprint, all[at].record.fingerprint)) {
            return true;
        }
    }
    return false;
}

static pki_code_t
bundle_parse(req_t *r, const import_in_t *in, bundle_t **out, size_t *count, pki_err_t *err)
{
    pki_err_t   why = { 0 };
    cert_list_t list;
    bundle_t   *all;
    size_t      n = 0;

    if (cert_decode(r->a, bytes_str(in->pem), IMPORT_MAX, &list, &why) != PKI_OK) {
        check_problem(r, "pem", "%s", why.text);
    }
    PKI_TRY(check_done(r, err));
    PKI_TRY(PKI_NEW_N(r->a, list.count + 1, &all, err));
    for (size_t i = 0; i < list.count; i++) {
        PKI_TRY(bundle_read(r->a, list.v[i], &all[n], err));
        n += !bundle_repeats(all, n);
    }
    for (size_t i = 0; i < n; i++) {
        if (!all[i].is_chain && all[i].record.outcome != IMPORT_REFUSED) {
            signature_judge(all, n, &all[i]);
        }
    }
    *out = all;
    *count = n;
    return PKI_OK;
}

static pki_code_t
import_answer(req_t *r, const bundle_t *all, size_t count, const import_t *records, pki_err_t *err)
{
    import_row_t *rows;
    import_out_t  out = { 0 };
    size_t        leaf = 0;

    PKI_TRY(PKI_NEW_N(r->a, count + 1, &rows, err));
    for (size_t i = 0; i < count; i++) {
        const import_t *one = all[i].is_chain ? &all[i].record : &records[leaf++];

        rows[i] = (import_row_t){ .subject = one->subject, .serial = one->serial, .fingerprint_sha256 = one->fingerprint,
                                  .status = all[i].is_chain ? outcomes[3] : outcomes[one->outcome], .text = one->why };
        if (!all[i].is_chain && one->outcome != IMPORT_REFUSED) {
            rows[i].certificate_id = one->id;
        }
        out.chain += all[i].is_chain;
        out.imported += !all[i].is_chain && one->outcome == IMPORT_NEW;
        out.known += !all[i].is_chain && one->outcome == IMPORT_KNOWN;
        out.refused += !all[i].is_chain && one->outcome == IMPORT_REFUSED;
    }
    out.certificates = (object_list_t){ rows, count };
    return answer_struct(r, &out, err);
}

pki_code_t
certificates_import(req_t *r, pki_err_t *err)
{
    const import_in_t  *in = r->in;
    const issue_meta_t  meta = { in->owner_id, in->team_id, in->environment, in->renewal_policy_id, NULL };
    import_care_t       care = { in->owner_id, in->team_id, in->environment, in->renewal_policy_id, NULL };
    const audit_t       audit = audit_of(r, 200);
    bundle_t           *all;
    import_t           *records;
    size_t              count, leaves = 0;

    PKI_TRY(check_meta(r, &meta, err));
    PKI_TRY(bundle_parse(r, in, &all, &count, err));
    PKI_TRY(reach_check(r, &(scope_of_t){ { [SCOPE_TEAM] = in->team_id, [SCOPE_OWNER] = in->owner_id } }, err));
    PKI_TRY(PKI_NEW_N(r->a, count + 1, &records, err));
    for (size_t i = 0; i < count; i++) {
        if (!all[i].is_chain) {
            records[leaves++] = all[i].record;
        }
    }
    PKI_TRY(fields_print(r->a, import_fields, "tags", in, &care.tags, err));
    PKI_TRY(import_record(r->api->parts.db, r->a, records, leaves, &care, &audit, err));
    return import_answer(r, all, count, records, err);
}
