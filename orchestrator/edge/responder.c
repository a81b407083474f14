/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Delegated OCSP responders (RFC 6960 4.2.2.2): keys of this host that nginx workers read, of each kind that the
 * issuer's settings name, and for each a short certificate from the very CA key whose certificates it answers for.  Made
 * anew when the certificate nears its end, and when the key file is lost or is another's.
 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "orchestrator/edge/part.h"
#include "pkiproto/base/ossl.h"
#include "pkiproto/base/text.h"

#define RESPONDER_BACKDATE_S 300 /* clocks of relying parties may be behind */
#define RESPONDER_KEY_MAX    4096

typedef struct responder_kind responder_kind_t;

/* One responder to be looked after. */
typedef struct {
    edge_t                 *edge;
    pki_arena_t            *a;
    const issuer_chain_t   *issuer;
    issuer_ca_t             ca;
    const responder_kind_t *kind;
    size_t                 *made;
} work_t;

/* SubjectPublicKeyInfo of a key, in the arena. */
static pki_code_t
key_spki(pki_arena_t *a, EVP_PKEY *key, bytes_t *out, pki_err_t *err)
{
    unsigned char *p;
    int            len = i2d_PUBKEY(key, NULL);

    if (len <= 0 || (p = pki_alloc(a, (size_t) len)) == NULL) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "public key of the OCSP responder");
    }
    *out = bytes_of(p, (size_t) len);
    return i2d_PUBKEY(key, &p) == len ? PKI_OK : pki_fail(err, PKI_E_CRYPTO, NULL, "public key of the OCSP responder");
}

/* Whether the file holds the private key of this certificate. */
static pki_code_t
key_file_check(edge_t *e, pki_arena_t *a, const char *name, const cert_t *cert, pki_err_t *err)
{
    const char *path = edge_path(a, e->key_dir, name);
    bytes_t     pem, spki;

    if (path == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    PKI_TRY(file_read(a, path, RESPONDER_KEY_MAX, &pem, err));
    PKI_AUTO(BIO) bio = BIO_new_mem_buf(pem.p, (int) pem.len);
    PKI_AUTO(EVP_PKEY) key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;

    OPENSSL_cleanse((void *) (uintptr_t) pem.p, pem.len);
    if (key == NULL) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%s holds no private key", name);
    }
    PKI_TRY(key_spki(a, key, &spki, err));
    return bytes_eq(spki, cert->key.spki) ? PKI_OK
                                          : pki_fail(err, PKI_E_INVALID, NULL, "%s holds another key", name);
}

/* Why the responder that is there cannot be used on; NULL: it can. */
static const char *
worn_out(edge_t *e, pki_arena_t *a, const issuer_ca_t *ca, const responder_row_t *row)
{
    int64_t now = clock_now();
    cert_t  cert;

    if (now >= row->not_after - e->conf->ocsp.responder_renew_s) {
        return "renewal";
    }
    if (cert_parse(a, row->der, &cert, NULL) != PKI_OK || cert_check_issued_by(&cert, &ca->cert, NULL) != PKI_OK) {
        return "another CA key";
    }
    if (key_file_check(e, a, row->key_file, &cert, NULL) != PKI_OK) {
        return "key file";
    }
    return NULL;
}

/* Near the CA's end a responder cannot be renewed to a later date: then what is there has to do. */
static bool
renewal_is_useless(const issuer_ca_t *ca, const responder_row_t *row, const char *why)
{
    return strcmp(why, "renewal") == 0 && row->not_after >= ca->cert.not_after && clock_now() < row->not_after;
}

/* Workers read the key through their group; nobody else does. */
static pki_code_t
key_write(edge_t *e, pki_arena_t *a, const char *name, EVP_PKEY *key, pki_err_t *err)
{
    PKI_AUTO(BIO) bio = BIO_new(BIO_s_secmem());
    const char *path = edge_path(a, e->key_dir, name);
    char       *pem;
    long        len;

    if (bio == NULL || path == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    if (PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1 ||
        (len = BIO_get_mem_data(bio, &pem)) <= 0) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "private key of the OCSP responder");
    }
    return file_replace(path, bytes_of(pem, (size_t) len), 0640, err);
}

static EVP_PKEY *
ec_key(void)
{
    return EVP_EC_gen("P-256");
}

static EVP_PKEY *
rsa_2048_key(void)
{
    return EVP_RSA_gen(2048);
}

static EVP_PKEY *
rsa_3072_key(void)
{
    return EVP_RSA_gen(3072);
}

static EVP_PKEY *
ed25519_key(void)
{
    return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

/* The words of issuer_settings_t.ocsp_keys. */
static const struct responder_kind {
    const char    *word;
    pki_key_kind_t kind;
    EVP_PKEY    *(*make)(void);
} responder_kinds[] = {
    { "p-256", PKI_KEY_P256, ec_key },
    { "rsa-2048", PKI_KEY_RSA, rsa_2048_key },
    { "rsa-3072", PKI_KEY_RSA, rsa_3072_key },
    { "ed25519", PKI_KEY_ED25519, ed25519_key },
    { NULL, PKI_KEY_NONE, NULL },
};

static pki_code_t
kind_find(const char *word, const responder_kind_t **out, pki_err_t *err)
{
    for (const responder_kind_t *k = responder_kinds; k->word != NULL; k++) {
        if (strcmp(k->word, word) == 0) {
            *out = k;
            return PKI_OK;
        }
    }
    return pki_fail(err, PKI_E_INVALID, NULL, "%.32s is not a kind of key that an OCSP responder can have", word);
}

static pki_code_t
key_make(const work_t *w, const char **name, bytes_t *spki, pki_err_t *err)
{
    PKI_AUTO(EVP_PKEY) key = w->kind->make();
    uint8_t suffix[8];
    char    digits[2 * sizeof(suffix) + 1];

    if (key == NULL || RAND_bytes(suffix, sizeof(suffix)) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "key of the OCSP responder");
    }
    hex_encode(BYTES_ARR(suffix), digits);
    *name = pki_printf(w->a, "%s-%s.key", w->ca.issuer_id, digits);
    if (*name == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    PKI_TRY(key_spki(w->a, key, spki, err));
    return key_write(w->edge, w->a, *name, key, err);
}

/* CN of the CA with " OCSP", within the 64 characters that X.520 allows; its other attributes are not needed. */
static pki_code_t
responder_subject(pki_arena_t *a, const issuer_ca_t *ca, bytes_t *out, pki_err_t *err)
{
    char *text = pki_printf(a, "CN=OCSP responder of %.40s", ca->issuer_id);

    if (text == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    return name_build(a, text, out, err);
}

static pki_code_t
responder_issue(const work_t *w, bytes_t spki, issuer_result_t *out, pki_err_t *err)
{
    const issuer_ops_t *ops = issuer_find(w->issuer->issuer.type);
    const cert_t       *ca = &w->ca.cert;
    int64_t             now = clock_now();
    issuer_order_t      order = {
             .spki = spki,
             .key_kind = w->kind->kind,
             .not_before = now - RESPONDER_BACKDATE_S,
             .not_after = now + w->edge->conf->ocsp.responder_validity_s - 1,
             .key_usage = KU_DIGITAL_SIGNATURE,
             .eku = EKU_OCSP_SIGNING,
             .ocsp_nocheck = true,
    };

    if (ops == NULL) {
        return pki_fail(err, PKI_E_INTERNAL, NULL, "issuer type %s is unknown", w->issuer->issuer.type);
    }
    PKI_TRY(responder_subject(w->a, &w->ca, &order.subject, err));
    if (order.not_before < ca->not_before) {
        order.not_before = ca->not_before;
    }
    if (order.not_after > ca->not_after) {
        order.not_after = ca->not_after;
    }
    return issuer_issue(ops, w->edge->signer, w->a, &w->ca, &order, out, err);
}

static pki_code_t
responder_make(const work_t *w, pki_err_t *err)
{
    responder_new_t made = { .row = { .issuer_no = w->ca.issuer_no, .ca_generation = w->ca.generation,
                                      .key_kind = w->kind->word } };
    audit_t         audit = { .actor = "chanceryd",
                              .actor_type = "system",
                              .action = "responder.create",
                              .resource_type = "issuer",
                              .resource_id = w->ca.issuer_id,
                              .status = 201 };
    uint8_t        *hashes = pki_alloc(w->a, 2 * SHA256_DIGEST_LENGTH);
    issuer_result_t result;
    bytes_t         spki;

    if (hashes == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    PKI_TRY(key_make(w, &made.row.key_file, &spki, err));
    PKI_TRY(responder_issue(w, spki, &result, err));
    made.row.der = result.der;
    made.row.not_before = result.not_before;
    made.row.not_after = result.not_after;
    made.serial = result.serial;
    made.spki_sha256 = bytes_of(SHA256(spki.p, spki.len, hashes), SHA256_DIGEST_LENGTH);
    made.fingerprint =
        bytes_of(SHA256(result.der.p, result.der.len, hashes + SHA256_DIGEST_LENGTH), SHA256_DIGEST_LENGTH);
    PKI_TRY(responder_insert(w->edge->db, &made, &audit, &made.row.generation, err));
    log_info("responder.created", LOG_S("issuer", w->ca.issuer_id), LOG_I("generation", w->ca.generation),
             LOG_S("key", w->kind->word), LOG_X("serial", made.serial));
    return PKI_OK;
}

/* One kind of one authority.  Each host has responders of its own: one without its key here is another's. */
static pki_code_t
kind_ensure(const work_t *w, pki_err_t *err)
{
    responder_row_t *rows;
    size_t           count;
    const char      *why = "none yet";

    PKI_TRY(responder_find(w->edge->db, w->a, w->ca.issuer_no, w->ca.generation, w->kind->word, &rows, &count, err));
    for (size_t i = 0; i < count; i++) {
        const char *found = worn_out(w->edge, w->a, &w->ca, &rows[i]);

        if (found == NULL || renewal_is_useless(&w->ca, &rows[i], found)) {
            return PKI_OK;
        }
        why = i == 0 ? found : why;
    }
    log_info("responder.replace", LOG_S("issuer", w->ca.issuer_id), LOG_I("generation", w->ca.generation),
             LOG_S("key", w->kind->word), LOG_S("why", why));
    PKI_TRY(responder_make(w, err));
    (*w->made)++;
    return PKI_OK;
}

static pki_code_t
authority_ensure(edge_t *e, pki_arena_t *a, const issuer_chain_t *issuer, size_t *made, pki_err_t *err)
{
    work_t            w = { .edge = e, .a = a, .issuer = issuer, .made = made };
    issuer_settings_t settings;

    PKI_TRY(edge_ca_of(a, issuer, &w.ca, err));
    PKI_TRY(issuer_settings_of(a, &issuer->issuer, e->conf, &settings, err));
    if (clock_now() >= w.ca.cert.not_after) {
        return PKI_OK; /* what it signs now, nobody may believe */
    }
    for (size_t i = 0; i < settings.ocsp_keys.count; i++) {
        PKI_TRY(kind_find(settings.ocsp_keys.v[i], &w.kind, err));
        PKI_TRY(kind_ensure(&w, err));
    }
    return PKI_OK;
}

/* One authority's trouble is logged and leaves the others alone; a database that is gone ends all of it. */
static pki_code_t
authorities_ensure(edge_t *e, pki_arena_t *a, size_t *made, pki_err_t *err)
{
    issuer_chain_t *rows;
    size_t          count;

    PKI_TRY(issuer_generations(e->db, a, NULL, &rows, &count, err));
    for (size_t i = 0; i < count; i++) {
        pki_err_t  why = { 0 };
        pki_code_t code = authority_ensure(e, a, &rows[i], made, &why);

        if (code != PKI_OK) {
            (void) pki_err_context(&why, "responder of %s", rows[i].issuer.id);
            log_failure(LOG_ERROR, "edge.responder_failed", &why);
        }
        if (code == PKI_E_UNAVAILABLE) {
            return pki_fail(err, code, NULL, "%s", why.text);
        }
    }
    return PKI_OK;
}

pki_code_t
responders_ensure(edge_t *e, size_t *made, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    pki_code_t   code;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    pthread_mutex_lock(&e->responder_lock);
    code = authorities_ensure(e, a, made, err);
    pthread_mutex_unlock(&e->responder_lock);
    pki_arena_free(a);
    return code;
}

pki_code_t
responder_of(edge_t *e, pki_arena_t *a, const issuer_ca_t *ca, const char *key_kind, responder_row_t *row,
             pki_err_t *err)
{
    responder_row_t *rows;
    size_t           count;

    PKI_TRY(responder_find(e->db, a, ca->issuer_no, ca->generation, key_kind, &rows, &count, err));
    for (size_t i = 0; i < count; i++) {
        const char *why = worn_out(e, a, ca, &rows[i]);

        if (why == NULL || strcmp(why, "renewal") == 0) {
            *row = rows[i];
            return PKI_OK;
        }
    }
    return pki_fail(err, PKI_E_NOT_FOUND, NULL, "issuer %s has no OCSP responder with a key %s on this host",
                    ca->issuer_id, key_kind);
}
