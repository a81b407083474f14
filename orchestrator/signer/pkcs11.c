/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * PKCS#11 (OASIS, version 2.40 and 3.0).  One session for each token, opened when a key on it is first
 * wanted and logged in with the PIN; opened again when the token lost it.  p11-kit reads the URIs and gives
 * the types; the module is loaded with dlopen(3).
 */
#include "orchestrator/signer/pkcs11.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/ecdsa.h>
#include <openssl/rand.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>

#include "core/file.h"
#include "orchestrator/signer/signer.h"
#include "pkiproto/base/secret.h"
#include "pkiproto/der/write.h"

#define TOKEN_SESSIONS_MAX 16
#define TOKEN_SLOTS_MAX    64
#define TOKEN_SPKI_MAX     1024
#define TOKEN_ID_LEN       16

typedef struct {
    CK_SLOT_ID        slot;
    CK_SESSION_HANDLE handle;
} token_session_t;

struct token {
    void                *module;
    CK_FUNCTION_LIST_PTR f;
    pki_arena_t         *arena;
    pki_secret_t         pin;
    token_session_t      sessions[TOKEN_SESSIONS_MAX];
    size_t               count;
};

struct token_key {
    token_t         *token; /* borrowed */
    char             uri[SIGNER_KEY_REF_MAX + 1];
    token_session_t  session;
    CK_OBJECT_HANDLE object;
    pki_key_kind_t   kind;
    uint8_t          spki[TOKEN_SPKI_MAX];
    size_t           spki_len;
};

/* clang-format off */
#define OID_RSA_ALGORITHM     "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00"
#define OID_EC_PUBLIC_KEY     "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
#define OID_P256              "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
#define OID_P384              "\x06\x05\x2b\x81\x04\x00\x22"
#define OID_ED25519           "\x06\x03\x2b\x65\x70"
#define EDWARDS25519_NAME     "\x13\x0c" "edwards25519"
#define DIGEST_INFO_SHA256    "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"

typedef struct {
    pki_key_kind_t    kind;
    CK_MECHANISM_TYPE generate, sign;
    CK_KEY_TYPE       type;
    bytes_t           params;     /* CKA_EC_PARAMS */
    bytes_t           params_too; /* another form of it that tokens use */
} token_kind_t;

static const token_kind_t token_kinds[] = {
    { PKI_KEY_RSA,     CKM_RSA_PKCS_KEY_PAIR_GEN,   CKM_RSA_PKCS, CKK_RSA,        { NULL, 0 }, { NULL, 0 } },
    { PKI_KEY_P256,    CKM_EC_KEY_PAIR_GEN,         CKM_ECDSA,    CKK_EC,
      { (const uint8_t *) OID_P256, 10 }, { NULL, 0 } },
    { PKI_KEY_P384,    CKM_EC_KEY_PAIR_GEN,         CKM_ECDSA,    CKK_EC,
      { (const uint8_t *) OID_P384, 7 }, { NULL, 0 } },
    { PKI_KEY_ED25519, CKM_EC_EDWARDS_KEY_PAIR_GEN, CKM_EDDSA,    CKK_EC_EDWARDS,
      { (const uint8_t *) EDWARDS25519_NAME, 14 }, { (const uint8_t *) OID_ED25519, 5 } },
};
/* clang-format on */
#define TOKEN_KINDS (sizeof(token_kinds) / sizeof(token_kinds[0]))

static pki_code_t
token_fail(pki_err_t *err, const char *what, CK_RV rv)
{
    const char *message = p11_kit_strerror(rv);

    return pki_fail(err, PKI_E_UNAVAILABLE, "PKCS #11", "%s: %s (0x%lx)", what, message != NULL ? message : "?", rv);
}

static pki_code_t
module_load(token_t *t, const char *path, pki_err_t *err)
{
    CK_C_GetFunctionList get;
    CK_RV                rv;

    t->module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (t->module == NULL) {
        return pki_fail(err, PKI_E_CONFIG, "PKCS #11", "%s cannot be loaded: %s", path, dlerror());
    }
    *(void **) &get = dlsym(t->module, "C_GetFunctionList");
    if (get == NULL || get(&t->f) != CKR_OK) {
        return pki_fail(err, PKI_E_CONFIG, "PKCS #11", "%s is not a PKCS#11 module", path);
    }
    rv = t->f->C_Initialize(NULL);
    if (rv != CKR_OK) {
        t->f = NULL;
        return token_fail(err, "C_Initialize", rv);
    }
    return PKI_OK;
}

static pki_code_t
token_start(token_t *t, const char *module, const char *pin_file, pki_err_t *err)
{
    t->arena = pki_arena_new(0);
    if (t->arena == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    if (pin_file != NULL && pin_file[0] != '\0') {
        PKI_TRY(file_read_secret(t->arena, pin_file, 256, &t->pin, err));
    }
    return module_load(t, module, err);
}

pki_code_t
token_open(const char *module, const char *pin_file, token_t **out, pki_err_t *err)
{
    token_t   *t = calloc(1, sizeof(*t));
    pki_code_t rc;

    *out = NULL;
    if (t == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = token_start(t, module, pin_file, err);
    if (rc != PKI_OK) {
        token_close(t);
        return rc;
    }
    *out = t;
    return PKI_OK;
}

void
token_close(token_t *t)
{
    if (t == NULL) {
        return;
    }
    if (t->f != NULL) {
        t->f->C_Finalize(NULL);
    }
    /* The module stays mapped: several leave threads or exit handlers behind. */
    pki_arena_free(t->arena);
    free(t);
}

static pki_code_t
session_start(token_t *t, CK_SLOT_ID slot, CK_SESSION_HANDLE *out, pki_err_t *err)
{
    CK_RV rv = t->f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, out);

    if (rv != CKR_OK) {
        return token_fail(err, "C_OpenSession", rv);
    }
    if (t->pin.p != NULL) {
        rv = t->f->C_Login(*out, CKU_USER, t->pin.p, t->pin.len);
        if (rv != CKR_OK && rv != CKR_USER_ALREADY_LOGGED_IN) {
            t->f->C_CloseSession(*out);
            return token_fail(err, "C_Login", rv);
        }
    }
    return PKI_OK;
}

static pki_code_t
session_get(token_t *t, CK_SLOT_ID slot, token_session_t *out, pki_err_t *err)
{
    for (size_t i = 0; i < t->count; i++) {
        if (t->sessions[i].slot == slot) {
            *out = t->sessions[i];
            return PKI_OK;
        }
    }
    if (t->count == TOKEN_SESSIONS_MAX) {
        return pki_fail(err, PKI_E_UNSUPPORTED, "PKCS #11", "keys on more than %d tokens", TOKEN_SESSIONS_MAX);
    }
    out->slot = slot;
    PKI_TRY(session_start(t, slot, &out->handle, err));
    t->sessions[t->count++] = *out;
    return PKI_OK;
}

static void
session_forget(token_t *t, CK_SLOT_ID slot)
{
    for (size_t i = 0; i < t->count; i++) {
        if (t->sessions[i].slot == slot) {
            t->f->C_CloseSession(t->sessions[i].handle);
            t->sessions[i] = t->sessions[--t->count];
            return;
        }
    }
}

static pki_code_t
uri_parse(const char *text, P11KitUri **out, pki_err_t *err)
{
    P11KitUri *uri = p11_kit_uri_new();

    if (uri == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    if (p11_kit_uri_parse(text, P11_KIT_URI_FOR_OBJECT_ON_TOKEN, uri) != P11_KIT_URI_OK
        || p11_kit_uri_any_unrecognized(uri))
    {
        p11_kit_uri_free(uri);
        return pki_fail(err, PKI_E_INVALID, "RFC 7512", "the PKCS#11 URI cannot be read");
    }
    if (p11_kit_uri_get_pin_value(uri) != NULL || p11_kit_uri_get_pin_source(uri) != NULL) {
        p11_kit_uri_free(uri);
        return pki_fail(err, PKI_E_INVALID, "RFC 7512 2.4", "a PIN belongs into signer.pkcs11_pin_file");
    }
    *out = uri;
    return PKI_OK;
}

/* The one token that the URI names; a URI without token attributes matches any, and then there must be one only. */
static pki_code_t
slot_find(token_t *t, P11KitUri *uri, CK_SLOT_ID *out, pki_err_t *err)
{
    CK_SLOT_ID    slots[TOKEN_SLOTS_MAX];
    CK_ULONG      count = TOKEN_SLOTS_MAX;
    CK_TOKEN_INFO info;
    size_t        found = 0;
    CK_RV         rv = t->f->C_GetSlotList(CK_TRUE, slots, &count);

    if (rv != CKR_OK) {
        return token_fail(err, "C_GetSlotList", rv);
    }
    for (CK_ULONG i = 0; i < count; i++) {
        if (t->f->C_GetTokenInfo(slots[i], &info) == CKR_OK && (info.flags & CKF_TOKEN_INITIALIZED)
            && p11_kit_uri_match_token_info(uri, &info))
        {
            *out = slots[i];
            found++;
        }
    }
    return found == 1  ? PKI_OK
           : found > 1 ? pki_fail(err, PKI_E_INVALID, "RFC 7512", "the URI names %zu tokens", found)
                       : pki_fail(err, PKI_E_NOT_FOUND, "RFC 7512", "there is no such token");
}

/* Objects of a class with the URI's label and id; *count is how many of them there are, up to 2. */
static pki_code_t
objects_find(token_t *t, CK_SESSION_HANDLE session, P11KitUri *uri, CK_OBJECT_CLASS class, CK_OBJECT_HANDLE *out,
             CK_ULONG *count, pki_err_t *err)
{
    CK_ATTRIBUTE     match[3] = { { CKA_CLASS, &class, sizeof(class) } };
    CK_ATTRIBUTE    *label = p11_kit_uri_get_attribute(uri, CKA_LABEL);
    CK_ATTRIBUTE    *id = p11_kit_uri_get_attribute(uri, CKA_ID);
    CK_OBJECT_HANDLE found[2];
    CK_ULONG         n = 1;
    CK_RV            rv;

    if (label != NULL) {
        match[n++] = *label;
    }
    if (id != NULL) {
        match[n++] = *id;
    }
    if (n == 1) {
        return pki_fail(err, PKI_E_INVALID, "RFC 7512", "the URI names neither an object's label nor its id");
    }
    rv = t->f->C_FindObjectsInit(session, match, n);
    if (rv == CKR_OK) {
        rv = t->f->C_FindObjects(session, found, 2, count);
        t->f->C_FindObjectsFinal(session);
    }
    if (rv != CKR_OK) {
        return token_fail(err, "C_FindObjects", rv);
    }
    *out = *count > 0 ? found[0] : 0;
    return PKI_OK;
}

static pki_code_t
attribute_read(token_key_t *key, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, uint8_t *memory, size_t cap,
               bytes_t *out, pki_err_t *err)
{
    CK_ATTRIBUTE a = { type, memory, cap };
    CK_RV        rv = key->token->f->C_GetAttributeValue(key->session.handle, object, &a, 1);

    if (rv != CKR_OK || a.ulValueLen == CK_UNAVAILABLE_INFORMATION) {
        return token_fail(err, "C_GetAttributeValue", rv);
    }
    *out = bytes_of(memory, a.ulValueLen);
    return PKI_OK;
}

static void
spki_rsa(pki_buf_t *b, bytes_t n, bytes_t e)
{
    uint8_t   inner[TOKEN_SPKI_MAX];
    pki_buf_t key;
    size_t    at;

    pki_buf_fixed(&key, inner, sizeof(inner));
    at = der_open(&key, DER_SEQUENCE);
    der_put_unsigned(&key, n);
    der_put_unsigned(&key, e);
    der_close(&key, at);
    pki_buf_put(b, BYTES_LIT(OID_RSA_ALGORITHM));
    der_put_bits(b, pki_buf_bytes(&key));
    b->failed = b->failed || key.failed;
}

static void
spki_curve(pki_buf_t *b, const token_kind_t *kind, bytes_t point)
{
    size_t at = der_open(b, DER_SEQUENCE);

    if (kind->kind == PKI_KEY_ED25519) {
        pki_buf_put(b, BYTES_LIT(OID_ED25519));
    } else {
        pki_buf_put(b, BYTES_LIT(OID_EC_PUBLIC_KEY));
        pki_buf_put(b, kind->params);
    }
    der_close(b, at);
    der_put_bits(b, point);
}

static pki_code_t
rsa_read(token_key_t *key, CK_OBJECT_HANDLE object, pki_buf_t *b, pki_err_t *err)
{
    uint8_t modulus[600], exponent[16];
    bytes_t n, e;

    PKI_TRY(attribute_read(key, object, CKA_MODULUS, modulus, sizeof(modulus), &n, err));
    PKI_TRY(attribute_read(key, object, CKA_PUBLIC_EXPONENT, exponent, sizeof(exponent), &e, err));
    key->kind = PKI_KEY_RSA;
    spki_rsa(b, n, e);
    return PKI_OK;
}

/* CKA_EC_POINT is an OCTET STRING around the point; some modules leave that out. */
static pki_code_t
curve_read(token_key_t *key, CK_OBJECT_HANDLE object, CK_KEY_TYPE type, pki_buf_t *b, pki_err_t *err)
{
    uint8_t params_memory[64], point_memory[256];
    bytes_t params, point, in, inner;

    PKI_TRY(attribute_read(key, object, CKA_EC_PARAMS, params_memory, sizeof(params_memory), &params, err));
    PKI_TRY(attribute_read(key, object, CKA_EC_POINT, point_memory, sizeof(point_memory), &point, err));
    in = point;
    if (der_take(&in, DER_OCTET_STRING, "point", &inner, NULL) == PKI_OK && in.len == 0) {
        point = inner;
    }
    for (size_t i = 0; i < TOKEN_KINDS; i++) {
        const token_kind_t *kind = &token_kinds[i];

        if (kind->type == type && (bytes_eq(params, kind->params) || bytes_eq(params, kind->params_too))) {
            key->kind = kind->kind;
            spki_curve(b, kind, point);
            return PKI_OK;
        }
    }
    return pki_fail(err, PKI_E_KEY, "PKCS #11", "the key on the token is on a curve that is not supported");
}

/* The SubjectPublicKeyInfo from the public object's attributes. */
static pki_code_t
public_read(token_key_t *key, CK_OBJECT_HANDLE object, pki_err_t *err)
{
    CK_KEY_TYPE type = 0;
    bytes_t     value;
    pki_buf_t   b;
    size_t      at;

    PKI_TRY(attribute_read(key, object, CKA_KEY_TYPE, (uint8_t *) &type, sizeof(type), &value, err));
    pki_buf_fixed(&b, key->spki, sizeof(key->spki));
    at = der_open(&b, DER_SEQUENCE);
    if (type == CKK_RSA) {
        PKI_TRY(rsa_read(key, object, &b, err));
    } else {
        PKI_TRY(curve_read(key, object, type, &b, err));
    }
    der_close(&b, at);
    PKI_TRY(pki_buf_check(&b, "the public key", err));
    key->spki_len = b.len;
    return PKI_OK;
}

static pki_code_t
key_locate(token_key_t *key, P11KitUri *uri, pki_err_t *err)
{
    token_t         *t = key->token;
    CK_OBJECT_HANDLE public;
    CK_SLOT_ID       slot;
    CK_ULONG         count;

    PKI_TRY(slot_find(t, uri, &slot, err));
    PKI_TRY(session_get(t, slot, &key->session, err));
    PKI_TRY(objects_find(t, key->session.handle, uri, CKO_PRIVATE_KEY, &key->object, &count, err));
    if (count != 1) {
        return pki_fail(err, count == 0 ? PKI_E_NOT_FOUND : PKI_E_INVALID, "RFC 7512", "the URI names %s key",
                        count == 0 ? "no" : "more than one");
    }
    PKI_TRY(objects_find(t, key->session.handle, uri, CKO_PUBLIC_KEY, &public, &count, err));
    if (count != 1) {
        return pki_fail(err, PKI_E_KEY, "PKCS #11", "the token has %s public key beside the private one",
                        count == 0 ? "no" : "more than one");
    }
    return public_read(key, public, err);
}

static pki_code_t
key_locate_by_uri(token_key_t *key, pki_err_t *err)
{
    P11KitUri *uri;
    pki_code_t rc;

    PKI_TRY(uri_parse(key->uri, &uri, err));
    rc = key_locate(key, uri, err);
    p11_kit_uri_free(uri);
    return rc;
}

pki_code_t
token_key_find(token_t *t, const char *uri, token_key_t **out, pki_err_t *err)
{
    token_key_t *key = calloc(1, sizeof(*key));
    pki_code_t   rc;

    *out = NULL;
    if (key == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    key->token = t;
    snprintf(key->uri, sizeof(key->uri), "%s", uri);
    rc = key_locate_by_uri(key, err);
    if (rc != PKI_OK) {
        token_key_free(key);
        return rc;
    }
    *out = key;
    return PKI_OK;
}

void
token_key_free(token_key_t *key)
{
    free(key);
}

bytes_t
token_key_spki(const token_key_t *key)
{
    return bytes_of(key->spki, key->spki_len);
}

static const token_kind_t *
token_kind(pki_key_kind_t kind)
{
    for (size_t i = 0; i < TOKEN_KINDS; i++) {
        if (token_kinds[i].kind == kind) {
            return &token_kinds[i];
        }
    }
    return NULL;
}

static pki_code_t
pair_generate(token_t *t, CK_SESSION_HANDLE session, P11KitUri *uri, const token_kind_t *kind, CK_ULONG bits,
              pki_err_t *err)
{
    static uint8_t   exponent[] = { 1, 0, 1 };
    CK_BBOOL         yes = CK_TRUE, no = CK_FALSE;
    uint8_t          random[TOKEN_ID_LEN];
    CK_ATTRIBUTE    *label = p11_kit_uri_get_attribute(uri, CKA_LABEL), *id = p11_kit_uri_get_attribute(uri, CKA_ID);
    CK_MECHANISM     mechanism = { kind->generate, NULL, 0 };
    CK_OBJECT_HANDLE public, private;
    bool             rsa = kind->kind == PKI_KEY_RSA;
    CK_ATTRIBUTE     of_public[] = {
            { CKA_TOKEN, &yes, sizeof(yes) },
            { CKA_PRIVATE, &no, sizeof(no) },
            { CKA_VERIFY, &yes, sizeof(yes) },
            { CKA_ID, id != NULL ? id->pValue : random, id != NULL ? id->ulValueLen : sizeof(random) },
            { rsa ? CKA_MODULUS_BITS : CKA_EC_PARAMS, rsa ? (void *) &bits : (void *) kind->params.p,
              rsa ? sizeof(bits) : kind->params.len },
            { CKA_PUBLIC_EXPONENT, exponent, sizeof(exponent) }, /* counted for RSA only */
            { CKA_LABEL, NULL, 0 },
    };
    CK_ATTRIBUTE of_private[] = {
        { CKA_TOKEN, &yes, sizeof(yes) },        { CKA_PRIVATE, &yes, sizeof(yes) },
        { CKA_SENSITIVE, &yes, sizeof(yes) },    { CKA_EXTRACTABLE, &no, sizeof(no) },
        { CKA_SIGN, &yes, sizeof(yes) },         of_public[3],
        { CKA_LABEL, NULL, 0 },
    };
    CK_ULONG public_count = rsa ? 6 : 5, private_count = 6;
    CK_RV    rv;

    if (RAND_bytes(random, sizeof(random)) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "no random octets");
    }
    if (label != NULL) {
        of_public[public_count++] = *label;
        of_private[private_count++] = *label;
    }
    rv = t->f->C_GenerateKeyPair(session, &mechanism, of_public, public_count, of_private, private_count, &public,
                                 &private);
    return rv == CKR_OK ? PKI_OK : token_fail(err, "C_GenerateKeyPair", rv);
}

static pki_code_t
key_make(token_t *t, P11KitUri *uri, pki_key_kind_t kind, unsigned bits, pki_err_t *err)
{
    token_session_t  session;
    CK_OBJECT_HANDLE object;
    CK_SLOT_ID       slot;
    CK_ULONG         count;

    PKI_TRY(slot_find(t, uri, &slot, err));
    PKI_TRY(session_get(t, slot, &session, err));
    PKI_TRY(objects_find(t, session.handle, uri, CKO_PRIVATE_KEY, &object, &count, err));
    if (count != 0) {
        return pki_fail(err, PKI_E_CONFLICT, "RFC 7512", "there is such a key on the token already");
    }
    return pair_generate(t, session.handle, uri, token_kind(kind), bits, err);
}

pki_code_t
token_key_make(token_t *t, const char *text, pki_key_kind_t kind, unsigned bits, pki_err_t *err)
{
    P11KitUri *uri;
    pki_code_t rc;

    PKI_TRY(uri_parse(text, &uri, err));
    rc = key_make(t, uri, kind, bits, err);
    p11_kit_uri_free(uri);
    return rc;
}

/* r and s of equal length, one after the other, to Ecdsa-Sig-Value (RFC 3279 2.2.3). */
static pki_code_t
ecdsa_to_der(bytes_t raw, uint8_t *out, size_t *len, pki_err_t *err)
{
    pki_buf_t b;
    size_t    at;

    pki_buf_fixed(&b, out, *len);
    at = der_open(&b, DER_SEQUENCE);
    der_put_unsigned(&b, bytes_of(raw.p, raw.len / 2));
    der_put_unsigned(&b, bytes_of(raw.p + raw.len / 2, raw.len / 2));
    der_close(&b, at);
    *len = b.len;
    return pki_buf_check(&b, "the signature", err);
}

static CK_RV
raw_sign(token_key_t *key, bytes_t input, uint8_t *out, CK_ULONG *len)
{
    CK_FUNCTION_LIST_PTR f = key->token->f;
    CK_MECHANISM         mechanism = { token_kind(key->kind)->sign, NULL, 0 };
    CK_RV                rv = f->C_SignInit(key->session.handle, &mechanism, key->object);

    return rv != CKR_OK ? rv : f->C_Sign(key->session.handle, (CK_BYTE_PTR) input.p, input.len, out, len);
}

pki_code_t
token_key_sign(token_key_t *key, bytes_t input, uint8_t *out, size_t *len, pki_err_t *err)
{
    uint8_t  info[64], raw[SIGNER_SIGNATURE_MAX];
    CK_ULONG raw_len = sizeof(raw);
    bytes_t  prefix = BYTES_LIT(DIGEST_INFO_SHA256);
    CK_RV    rv;

    if (key->kind == PKI_KEY_RSA) {
        if (input.len != 32) {
            return pki_fail(err, PKI_E_INVALID, "RFC 8017 9.2", "not a SHA-256 digest");
        }
        memcpy(info, prefix.p, prefix.len);
        memcpy(info + prefix.len, input.p, input.len);
        input = bytes_of(info, prefix.len + input.len);
    }
    rv = raw_sign(key, input, raw, &raw_len);
    if (rv != CKR_OK) {
        /* The token may have been taken out or restarted since: once more, from the start. */
        session_forget(key->token, key->session.slot);
        PKI_TRY(key_locate_by_uri(key, err));
        raw_len = sizeof(raw);
        rv = raw_sign(key, input, raw, &raw_len);
    }
    if (rv != CKR_OK) {
        return token_fail(err, "C_Sign", rv);
    }
    if (key->kind == PKI_KEY_P256 || key->kind == PKI_KEY_P384) {
        return ecdsa_to_der(bytes_of(raw, raw_len), out, len, err);
    }
    if (raw_len > *len) {
        return pki_fail(err, PKI_E_CRYPTO, "PKCS #11", "a signature of %lu octets", raw_len);
    }
    memcpy(out, raw, raw_len);
    *len = raw_len;
    return PKI_OK;
}
