/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Delegated OCSP responders (RFC 6960 4.2.2.2): a P-256 key of this host that nginx workers read, and a short
 * certificate for it from the CA whose certificates it answers for.  Made anew when the certificate nears its end,
 * when the CA has another key, and when the key file is lost or is another's.
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
#define RESPONDER_KIND       "p-256"

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

static pki_code_t
key_make(edge_t *e, pki_arena_t *a, const char *issuer_id, const char **name, bytes_t *spki, pki_err_t *err)
{
    PKI_AUTO(EVP_PKEY) key = EVP_EC_gen("P-256");
    uint8_t suffix[8];
    char    digits[2 * sizeof(suffix) + 1];

    if (key == NULL || RAND_bytes(suffix, sizeof(suffix)) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "key of the OCSP responder");
    }
    hex_encode(BYTES_ARR(suffix), digits);
    *name = pki_printf(a, "%s-%s.key", issuer_id, digits);
    if (*name == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    PKI_TRY(key_spki(a, key, spki, err));
    return key_write(e, a, *name, key, err);
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
responder_issue(edge_t *e, pki_arena_t *a, const issuer_chain_t *issuer, const issuer_ca_t *ca, bytes_t spki,
                issuer_result_t *out, pki_err_t *err)
{
    const issuer_ops_t *ops = issuer_find(issuer->issuer.type);
    int64_t             now = clock_now();
    issuer_order_t      order = {
             .spki = spki,
             .key_kind = PKI_KEY_P256,
             .not_before = now - RESPONDER_BACKDATE_S,
             .not_after = now + e->conf->ocsp.responder_validity_s - 1,
             .key_usage = KU_DIGITAL_SIGNATURE,
             .eku = EKU_OCSP_SIGNING,
             .ocsp_nocheck = true,
    };

    if (ops == NULL) {
        return pki_fail(err, PKI_E_INTERNAL, NULL, "issuer type %s is unknown", issuer->issuer.type);
    }
    PKI_TRY(responder_subject(a, ca, &order.subject, err));
    if (order.not_before < ca->cert.not_before) {
        order.not_before = ca->cert.not_before;
    }
    if (order.not_after > ca->cert.not_after) {
        order.not_after = ca->cert.not_after;
    }
    return issuer_issue(ops, e->signer, a, ca, &order, out, err);
}

static pki_code_t
responder_make(edge_t *e, pki_arena_t *a, const issuer_chain_t *issuer, const issuer_ca_t *ca, responder_row_t *row,
               pki_err_t *err)
{
    responder_new_t made = { .row = { .issuer_no = ca->issuer_no, .ca_generation = ca->generation,
                                      .key_kind = RESPONDER_KIND } };
    audit_t         audit = { .actor = "chanceryd",
                              .actor_type = "system",
                              .action = "responder.create",
                              .resource_type = "issuer",
                              .resource_id = ca->issuer_id,
                              .status = 201 };
    uint8_t        *hashes = pki_alloc(a, 2 * SHA256_DIGEST_LENGTH);
    issuer_result_t result;
    bytes_t         spki;

    if (hashes == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    PKI_TRY(key_make(e, a, ca->issuer_id, &made.row.key_file, &spki, err));
    PKI_TRY(responder_issue(e, a, issuer, ca, spki, &result, err));
    made.row.der = result.der;
    made.row.not_before = result.not_before;
    made.row.not_after = result.not_after;
    made.serial = result.serial;
    made.spki_sha256 = bytes_of(SHA256(spki.p, spki.len, hashes), SHA256_DIGEST_LENGTH);
    made.fingerprint =
        bytes_of(SHA256(result.der.p, result.der.len, hashes + SHA256_DIGEST_LENGTH), SHA256_DIGEST_LENGTH);
    PKI_TRY(responder_insert(e->db, &made, &audit, &made.row.generation, err));
    *row = made.row;
    log_info("responder.created", LOG_S("issuer", ca->issuer_id), LOG_X("serial", made.serial),
             LOG_I("generation", row->generation));
    return PKI_OK;
}

pki_code_t
responder_ensure(edge_t *e, pki_arena_t *a, const issuer_chain_t *issuer, responder_row_t *row, pki_err_t *err)
{
    issuer_ca_t ca;
    const char *why;
    pki_code_t  code;

    PKI_TRY(edge_ca_of(a, issuer, &ca, err));
    code = responder_find(e->db, a, ca.issuer_no, ca.generation, RESPONDER_KIND, row, err);
    if (code == PKI_E_NOT_FOUND) {
        return responder_make(e, a, issuer, &ca, row, err);
    }
    PKI_TRY(code);
    why = worn_out(e, a, &ca, row);
    if (why == NULL || renewal_is_useless(&ca, row, why)) {
        return PKI_OK;
    }
    log_info("responder.replace", LOG_S("issuer", ca.issuer_id), LOG_S("why", why));
    return responder_make(e, a, issuer, &ca, row, err);
}
