/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Public keys and signature algorithms.  RFC 3279 2.3.1 and RFC 4055 (RSA), RFC 5480 (elliptic
 * curves), RFC 8410 (Ed25519).  Octets are compared with the one right encoding of each algorithm;
 * OpenSSL is asked only where there is mathematics to do.
 */
#include "pkiproto/x509/key.h"

#include <limits.h>
#include <stdio.h>

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

#include "pkiproto/base/buf.h"
#include "pkiproto/base/ossl.h"
#include "pkiproto/der/read.h"

#define OCTETS(s) { (const uint8_t *) (s), sizeof(s) - 1 }

#define OID_RSA     "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
#define OID_EC      "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
#define OID_P256    "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
#define OID_P384    "\x06\x05\x2b\x81\x04\x00\x22"
#define OID_ED25519 "\x06\x03\x2b\x65\x70"

/* With the last octet still to come. */
#define OID_PKCS1_TLV "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01"
#define OID_ECDSA_TLV "\x06\x08\x2a\x86\x48\xce\x3d\x04\x03"

/* What keys sign with, by strength. */
static const pki_sigalg_t rsa_sigalgs[] = {
    { OCTETS("\x30\x0d" OID_PKCS1_TLV "\x0b\x05\x00"), "SHA256", 32 },
    { OCTETS("\x30\x0d" OID_PKCS1_TLV "\x0c\x05\x00"), "SHA384", 48 },
    { OCTETS("\x30\x0d" OID_PKCS1_TLV "\x0d\x05\x00"), "SHA512", 64 },
};

static const pki_sigalg_t ecdsa_sigalgs[] = {
    { OCTETS("\x30\x0a" OID_ECDSA_TLV "\x02"), "SHA256", 32 },
    { OCTETS("\x30\x0a" OID_ECDSA_TLV "\x03"), "SHA384", 48 },
    { OCTETS("\x30\x0a" OID_ECDSA_TLV "\x04"), "SHA512", 64 },
};

static const pki_sigalg_t ed25519_sigalgs[] = {
    { OCTETS("\x30\x05" OID_ED25519), NULL, 0 },
};

#define SIGALGS(table, usual) table, sizeof(table) / sizeof(table[0]), usual

/* The SubjectPublicKeyInfo algorithm of each kind, the length of its key, and what it signs with. */
typedef struct {
    pki_key_kind_t      kind;
    unsigned            bits;
    size_t              key_len; /* 0: see rsa_key_check() */
    bytes_t             identifier;
    const char         *name, *type, *group; /* ours, then OpenSSL's */
    const pki_sigalg_t *sigalgs;
    size_t              sigalg_count, usual;
} kind_row_t;

static const kind_row_t kind_rows[] = {
    { PKI_KEY_RSA, 0, 0, OCTETS("\x30\x0d" OID_RSA "\x05\x00"), "rsa", "RSA", NULL,
      SIGALGS(rsa_sigalgs, 0) },
    { PKI_KEY_P256, 256, 65, OCTETS("\x30\x13" OID_EC OID_P256), "p-256", "EC", "P-256",
      SIGALGS(ecdsa_sigalgs, 0) },
    { PKI_KEY_P384, 384, 97, OCTETS("\x30\x10" OID_EC OID_P384), "p-384", "EC", "P-384",
      SIGALGS(ecdsa_sigalgs, 1) },
    { PKI_KEY_ED25519, 256, 32, OCTETS("\x30\x05" OID_ED25519), "ed25519", "ED25519", NULL,
      SIGALGS(ed25519_sigalgs, 0) },
};

#define KIND_COUNT (sizeof(kind_rows) / sizeof(kind_rows[0]))

static const kind_row_t *
kind_row(pki_key_kind_t kind)
{
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (kind_rows[i].kind == kind) {
            return &kind_rows[i];
        }
    }
    return NULL;
}

static bool
starts_with(bytes_t in, bytes_t prefix)
{
    return in.len >= prefix.len && memcmp(in.p, prefix.p, prefix.len) == 0;
}

/* Why an AlgorithmIdentifier (contents) is none of ours. */
static pki_code_t
algorithm_refuse(bytes_t in, pki_err_t *err)
{
    static const bytes_t rsa = OCTETS(OID_RSA), ec = OCTETS(OID_EC), ed = OCTETS(OID_ED25519);

    if (starts_with(in, rsa)) {
        return pki_fail(err, PKI_E_KEY, "RFC 3279 2.3.1", "the parameters of an RSA key are not NULL");
    }
    if (starts_with(in, ec)) {
        in = bytes_of(in.p + ec.len, in.len - ec.len);
        return der_peek(in, DER_OID)
                   ? pki_fail(err, PKI_E_KEY, "RFC 5480 2.1.1.1", "the curve is neither P-256 nor P-384")
                   : pki_fail(err, PKI_E_KEY, "RFC 5480 2.1.1", "the curve is not given by its name");
    }
    if (starts_with(in, ed)) {
        return pki_fail(err, PKI_E_KEY, "RFC 8410 3", "an Ed25519 key has parameters");
    }
    return pki_fail(err, PKI_E_KEY, "RFC 5280 4.1.2.7", "the key is not RSA, P-256, P-384 or Ed25519");
}

static pki_code_t
rsa_numbers(bytes_t key, bytes_t *n, uint64_t *e, pki_err_t *err)
{
    bytes_t seq;

    PKI_TRY(der_take(&key, DER_SEQUENCE, "RSAPublicKey", &seq, err));
    PKI_TRY(der_end(key, "RSAPublicKey", err));
    PKI_TRY(der_take_integer(&seq, "modulus", n, err));
    PKI_TRY(der_take_uint(&seq, "publicExponent", UINT32_MAX, e, err));
    return der_end(seq, "publicExponent", err);
}

static pki_code_t
rsa_key_check(bytes_t key, unsigned *bits, pki_err_t *err)
{
    bytes_t  n;
    uint64_t e;

    if (rsa_numbers(key, &n, &e, err) != PKI_OK) {
        if (err != NULL) {
            err->code = PKI_E_KEY;
        }
        return PKI_E_KEY;
    }
    if (n.p[0] >= 0x80) {
        return pki_fail(err, PKI_E_KEY, "RFC 8017 A.1.1", "the RSA modulus is negative");
    }
    if (n.p[0] == 0 && n.len > 1) {
        n = bytes_of(n.p + 1, n.len - 1);
    }
    *bits = n.len > 1024 ? 8192 : (unsigned) n.len * 8;
    for (uint8_t top = n.p[0]; *bits != 0 && top < 0x80; top = (uint8_t) (top << 1 | 1)) {
        --*bits;
    }
    if (*bits < 2048 || *bits > 4096) {
        return pki_fail(err, PKI_E_KEY, NULL, "the RSA modulus has %u bits, not 2048 to 4096", *bits);
    }
    if ((n.p[n.len - 1] & 1) == 0) {
        return pki_fail(err, PKI_E_KEY, "RFC 8017 3.1", "the RSA modulus is even");
    }
    if (e < 3 || e % 2 == 0) {
        return pki_fail(err, PKI_E_KEY, "RFC 8017 3.1", "the RSA exponent is %s", e == 1 ? "1" : "even");
    }
    return PKI_OK;
}

static pki_code_t
key_octets_check(const kind_row_t *row, pki_key_t *key, pki_err_t *err)
{
    key->bits = row->bits;
    if (row->kind == PKI_KEY_RSA) {
        return rsa_key_check(key->key, &key->bits, err);
    }
    if (row->group != NULL && (key->key.len == 0 || key->key.p[0] != 0x04)) {
        return pki_fail(err, PKI_E_KEY, "RFC 5480 2.2", "the point is not in uncompressed form");
    }
    if (key->key.len != row->key_len) {
        return pki_fail(err, PKI_E_KEY, "RFC 5280 4.1.2.7", "a %s key of %zu octets, not %zu", row->name,
                        key->key.len, row->key_len);
    }
    return PKI_OK;
}

pki_code_t
pki_key_parse(bytes_t spki, pki_key_t *out, pki_err_t *err)
{
    bytes_t seq, algorithm, inner, rest = spki;

    *out = (pki_key_t){ .spki = spki };
    PKI_TRY(der_take(&rest, DER_SEQUENCE, "subjectPublicKeyInfo", &seq, err));
    PKI_TRY(der_end(rest, "subjectPublicKeyInfo", err));
    PKI_TRY(der_take_whole(&seq, DER_SEQUENCE, "key algorithm", &algorithm, err));
    PKI_TRY(der_take_bits(&seq, "subjectPublicKey", &out->key, err));
    PKI_TRY(der_end(seq, "subjectPublicKey", err));

    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (bytes_eq(algorithm, kind_rows[i].identifier)) {
            out->kind = kind_rows[i].kind;
            return key_octets_check(&kind_rows[i], out, err);
        }
    }
    PKI_TRY(der_take(&algorithm, DER_SEQUENCE, "key algorithm", &inner, err));
    return algorithm_refuse(inner, err);
}

const char *
pki_key_algorithm(pki_key_kind_t kind)
{
    static const char *const names[] = { [PKI_KEY_RSA] = "RSA", [PKI_KEY_P256] = "ECDSA", [PKI_KEY_P384] = "ECDSA",
                                         [PKI_KEY_ED25519] = "Ed25519" };

    return names[kind];
}

const char *
pki_key_name(const pki_key_t *key, char out[16])
{
    const kind_row_t *row = kind_row(key->kind);

    if (key->kind == PKI_KEY_RSA) {
        snprintf(out, 16, "rsa-%u", key->bits % 100000);
    } else {
        snprintf(out, 16, "%s", row != NULL ? row->name : "none");
    }
    return out;
}

bool
pki_key_name_parse(const char *name, pki_key_kind_t *kind, unsigned *bits)
{
    static const struct {
        const char    *name;
        pki_key_kind_t kind;
        unsigned       bits;
    } names[] = {
        { "rsa-2048", PKI_KEY_RSA, 2048 }, { "rsa-3072", PKI_KEY_RSA, 3072 },
        { "rsa-4096", PKI_KEY_RSA, 4096 }, { "p-256", PKI_KEY_P256, 256 },
        { "p-384", PKI_KEY_P384, 384 },    { "ed25519", PKI_KEY_ED25519, 256 },
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i].name) == 0) {
            *kind = names[i].kind;
            *bits = names[i].bits;
            return true;
        }
    }
    return false;
}

bool
pki_key_id(const pki_key_t *key, uint8_t out[20])
{
    if (EVP_Digest(key->key.p, key->key.len, out, NULL, EVP_sha1(), NULL) != 1) {
        memset(out, 0, 20);
        return false;
    }
    return true;
}

static pki_code_t
rsa_params(const pki_key_t *key, OSSL_PARAM **out, BIGNUM **n, pki_err_t *err)
{
    OSSL_PARAM_BLD *build;
    bytes_t         modulus;
    uint64_t        e;
    bool            ok;

    PKI_TRY(rsa_numbers(key->key, &modulus, &e, err));
    *n = BN_bin2bn(modulus.p, (int) modulus.len, NULL);
    build = OSSL_PARAM_BLD_new();
    ok = *n != NULL && build != NULL && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, *n)
         && OSSL_PARAM_BLD_push_uint64(build, OSSL_PKEY_PARAM_RSA_E, e);
    *out = ok ? OSSL_PARAM_BLD_to_param(build) : NULL;
    OSSL_PARAM_BLD_free(build);
    return *out != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "no room for an RSA key");
}

static pki_code_t
key_from_params(const kind_row_t *row, int selection, OSSL_PARAM *params, EVP_PKEY **out, pki_err_t *err)
{
    PKI_AUTO(EVP_PKEY_CTX) ctx = EVP_PKEY_CTX_new_from_name(NULL, row->type, NULL);

    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "OpenSSL has no %s keys", row->type);
    }
    return EVP_PKEY_fromdata(ctx, out, selection, params) == 1
               ? PKI_OK
               : pki_fail(err, PKI_E_KEY, NULL, "the %s key is not valid", row->name);
}

static pki_code_t
rsa_evp(const kind_row_t *row, const pki_key_t *key, EVP_PKEY **out, pki_err_t *err)
{
    PKI_AUTO(BIGNUM) n = NULL; /* the parameters point into it */
    OSSL_PARAM *params = NULL;
    pki_code_t  rc;

    PKI_TRY(rsa_params(key, &params, &n, err));
    rc = key_from_params(row, EVP_PKEY_PUBLIC_KEY, params, out, err);
    OSSL_PARAM_free(params);
    return rc;
}

/*
 * Keys of each curve without a point: constants that OpenSSL has to be asked for.  To copy one and set the point takes
 * a quarter of the time that a key out of parameters does.
 */
static EVP_PKEY   *curves[KIND_COUNT];
static CRYPTO_ONCE curves_once = CRYPTO_ONCE_STATIC_INIT;

static void
curves_make(void)
{
    for (size_t i = 0; i < KIND_COUNT; i++) {
        OSSL_PARAM params[] = {
            OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *) kind_rows[i].group, 0),
            OSSL_PARAM_construct_end(),
        };

        if (kind_rows[i].group != NULL) {
            (void) key_from_params(&kind_rows[i], EVP_PKEY_KEY_PARAMETERS, params, &curves[i], NULL);
        }
    }
}

static pki_code_t
ec_evp(const kind_row_t *row, const pki_key_t *key, EVP_PKEY **out, pki_err_t *err)
{
    PKI_AUTO(EVP_PKEY) copy = NULL;

    if (!CRYPTO_THREAD_run_once(&curves_once, curves_make) || curves[row - kind_rows] == NULL
        || (copy = EVP_PKEY_dup(curves[row - kind_rows])) == NULL)
    {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "OpenSSL has no %s keys", row->name);
    }
    if (EVP_PKEY_set1_encoded_public_key(copy, key->key.p, key->key.len) != 1) {
        return pki_fail(err, PKI_E_KEY, NULL, "the %s key is not valid (the point is not on the curve)", row->name);
    }
    *out = copy;
    copy = NULL;
    return PKI_OK;
}

pki_code_t
pki_key_evp(const pki_key_t *key, EVP_PKEY **out, pki_err_t *err)
{
    const kind_row_t *row = kind_row(key->kind);

    *out = NULL;
    if (row == NULL) {
        return pki_fail(err, PKI_E_KEY, NULL, "there is no key");
    }
    if (row->kind == PKI_KEY_RSA) {
        return rsa_evp(row, key, out, err);
    }
    if (row->group != NULL) {
        return ec_evp(row, key, out, err);
    }
    *out = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->key.p, key->key.len);
    return *out != NULL ? PKI_OK : pki_fail(err, PKI_E_KEY, NULL, "the Ed25519 key is not valid");
}

const pki_sigalg_t *
pki_key_sigalg(pki_key_kind_t kind)
{
    const kind_row_t *row = kind_row(kind);

    return row != NULL ? &row->sigalgs[row->usual] : NULL;
}

const pki_sigalg_t *
pki_key_sigalgs(pki_key_kind_t kind, size_t *count)
{
    const kind_row_t *row = kind_row(kind);

    *count = row != NULL ? row->sigalg_count : 0;
    return row != NULL ? row->sigalgs : NULL;
}

/* Signature algorithms by OID: which type of key, which digest; a digest of NULL with weak set is refused. */
typedef struct {
    bytes_t     oid; /* contents octets */
    const char *type, *digest;
    bool        null_params; /* NULL or absent (RFC 4055 5); otherwise absent */
    const char *weak;
} signature_row_t;

#define OID_PKCS1 "\x2a\x86\x48\x86\xf7\x0d\x01\x01"
#define OID_ECDSA "\x2a\x86\x48\xce\x3d\x04"

static const signature_row_t signature_rows[] = {
    { OCTETS(OID_ECDSA "\x03\x02"), "EC", "SHA256", false, NULL },
    { OCTETS(OID_ECDSA "\x03\x03"), "EC", "SHA384", false, NULL },
    { OCTETS(OID_ECDSA "\x03\x04"), "EC", "SHA512", false, NULL },
    { OCTETS(OID_PKCS1 "\x0b"), "RSA", "SHA256", true, NULL },
    { OCTETS(OID_PKCS1 "\x0c"), "RSA", "SHA384", true, NULL },
    { OCTETS(OID_PKCS1 "\x0d"), "RSA", "SHA512", true, NULL },
    { OCTETS("\x2b\x65\x70"), "ED25519", NULL, false, NULL },
    { OCTETS(OID_PKCS1 "\x05"), "RSA", NULL, true, "SHA-1" },
    { OCTETS(OID_ECDSA "\x01"), "EC", NULL, false, "SHA-1" },
    { OCTETS(OID_PKCS1 "\x04"), "RSA", NULL, true, "MD5" },
};

/* params: what is left of the identifier. */
static pki_code_t
signature_row_find(bytes_t algorithm, const signature_row_t **out, bytes_t *params, pki_err_t *err)
{
    const signature_row_t *row, *end = signature_rows + sizeof(signature_rows) / sizeof(signature_rows[0]);
    bytes_t                oid;

    PKI_TRY(der_take(&algorithm, DER_SEQUENCE, "signatureAlgorithm", params, err));
    PKI_TRY(der_end(algorithm, "signatureAlgorithm", err));
    PKI_TRY(der_take(params, DER_OID, "signature algorithm", &oid, err));

    for (row = signature_rows; row < end && !bytes_eq(row->oid, oid); row++) { }
    if (row == end) {
        return pki_fail(err, PKI_E_UNSUPPORTED, "RFC 5280 4.1.1.2", "unknown signature algorithm");
    }
    *out = row;
    return PKI_OK;
}

bool
pki_sigalg_is_weak(bytes_t algorithm)
{
    const signature_row_t *row;
    bytes_t                params;

    return signature_row_find(algorithm, &row, &params, NULL) == PKI_OK && row->weak != NULL;
}

static pki_code_t
signature_row(bytes_t algorithm, const signature_row_t **out, pki_err_t *err)
{
    static const bytes_t   null = OCTETS("\x05\x00");
    const signature_row_t *row;
    bytes_t                seq;

    PKI_TRY(signature_row_find(algorithm, &row, &seq, err));
    if (row->weak != NULL) {
        return pki_fail(err, PKI_E_UNSUPPORTED, NULL, "%s signatures are too weak to accept", row->weak);
    }
    if (seq.len != 0 && !(row->null_params && bytes_eq(seq, null))) {
        return pki_fail(err, PKI_E_SIGNATURE, "RFC 5280 4.1.1.2", "wrong signature parameters");
    }
    *out = row;
    return PKI_OK;
}

#define WALK_STEP ((size_t) 1 << 20)

/* Ed25519 wants its message in one piece. */
static int
verify_parts(EVP_MD_CTX *ctx, bytes_t message, bytes_t signature, pki_walked_pt walked, void *arg)
{
    bytes_t part;

    while (message.len != 0) {
        (void) bytes_take(&message, message.len < WALK_STEP ? message.len : WALK_STEP, &part);
        if (EVP_DigestVerifyUpdate(ctx, part.p, part.len) != 1) {
            return 0;
        }
        walked(arg, part);
    }
    return EVP_DigestVerifyFinal(ctx, signature.p, signature.len);
}

pki_code_t
pki_signature_check_large(const pki_key_t *key, bytes_t algorithm, bytes_t message, bytes_t signature,
                          pki_walked_pt walked, void *arg, pki_err_t *err)
{
    PKI_AUTO(EVP_PKEY) pkey = NULL;
    PKI_AUTO(EVP_MD_CTX) ctx = NULL;
    const signature_row_t *row = NULL;
    const kind_row_t      *kind = kind_row(key->kind);
    int                    good;

    PKI_TRY(signature_row(algorithm, &row, err));
    if (kind == NULL || strcmp(kind->type, row->type) != 0) {
        return pki_fail(err, PKI_E_SIGNATURE, "RFC 5280 4.1.1.2", "an %s signature with a key that is %s",
                        row->type, kind != NULL ? kind->name : "missing");
    }
    PKI_TRY(pki_key_evp(key, &pkey, err));
    ctx = EVP_MD_CTX_new();
    if (ctx == NULL || EVP_DigestVerifyInit_ex(ctx, NULL, row->digest, NULL, NULL, pkey, NULL) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "cannot start verifying a signature");
    }
    good = row->digest != NULL && walked != NULL
               ? verify_parts(ctx, message, signature, walked, arg)
               : EVP_DigestVerify(ctx, signature.p, signature.len, message.p, message.len);
    return good == 1 ? PKI_OK : pki_fail(err, PKI_E_SIGNATURE, NULL, "the signature does not verify");
}

pki_code_t
pki_signature_check(const pki_key_t *key, bytes_t algorithm, bytes_t message, bytes_t signature, pki_err_t *err)
{
    return pki_signature_check_large(key, algorithm, message, signature, NULL, NULL, err);
}

/* ---- keys of others ---- */

/* By OpenSSL's number; of fewer bits than these a key is weak. */
static const struct {
    int         id;
    const char *algorithm;
    int         bits;
} facts_rows[] = {
    { EVP_PKEY_RSA, "RSA", 2048 },
    { EVP_PKEY_RSA_PSS, "RSA", 2048 },
    { EVP_PKEY_EC, "ECDSA", 224 },
    { EVP_PKEY_ED448, "Ed448", 0 },
    { EVP_PKEY_DSA, "DSA", INT_MAX }, /* FIPS 186-5 has it no more */
};

static pki_code_t
foreign_facts(bytes_t spki, pki_key_facts_t *out, pki_err_t *err)
{
    const unsigned char *at = spki.p;
    PKI_AUTO(EVP_PKEY)   key = d2i_PUBKEY(NULL, &at, (long) spki.len);
    size_t               i = 0, count = sizeof(facts_rows) / sizeof(facts_rows[0]);

    if (key == NULL || at != spki.p + spki.len) {
        return pki_fail(err, PKI_E_KEY, "RFC 5280 4.1.2.7", "the key cannot be read");
    }
    while (i < count && facts_rows[i].id != EVP_PKEY_get_base_id(key)) {
        i++;
    }
    if (i == count) {
        return pki_fail(err, PKI_E_KEY, "RFC 5280 4.1.2.7", "the key is of a kind that is not known");
    }
    *out = (pki_key_facts_t){ .algorithm = facts_rows[i].algorithm,
                              .bits = (unsigned) EVP_PKEY_get_bits(key),
                              .weak = EVP_PKEY_get_bits(key) < facts_rows[i].bits };
    return PKI_OK;
}

pki_code_t
pki_key_facts(bytes_t spki, pki_key_facts_t *out, pki_err_t *err)
{
    pki_key_t key;

    if (pki_key_parse(spki, &key, NULL) != PKI_OK) {
        return foreign_facts(spki, out, err);
    }
    *out = (pki_key_facts_t){ .algorithm = pki_key_algorithm(key.kind), .bits = key.bits };
    return PKI_OK;
}
