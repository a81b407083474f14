/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The local CA with a real signer process.  OpenSSL reads and verifies what is issued; what is taken over was
 * made by OpenSSL for a key that the signer has.
 */
#include <openssl/pem.h>
#include <openssl/x509v3.h> /* before our names of the same key usages */

#include "orchestrator/issuer/issuer.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <time.h>

#include "pkiproto/base/ossl.h"
#include "pkiproto/crl/scope.h"
#include "t/unit/lib/signer_fixture.h"

#define DAY_S 86400

/* Key usages as X509_get_key_usage() has them. */
#define OSSL_DIGITAL_SIGNATURE 0x80u
#define OSSL_KEY_ENCIPHERMENT  0x20u
#define OSSL_KEY_CERT_SIGN     0x04u
#define OSSL_CRL_SIGN          0x02u

static signer_fixture_t f;
static pki_arena_t     *arena;
static pki_err_t        err;

static void
setup(void)
{
    arena = pki_arena_new(0);
    fixture_signer_open(&f);
    fixture_signer_start(&f);
}

static void
teardown(void)
{
    fixture_signer_close(&f);
    pki_arena_free(arena);
}

TestSuite(local, .init = setup, .fini = teardown, .timeout = 120);

static X509 *
x509_of(bytes_t der)
{
    const uint8_t *p = der.p;
    X509          *x = d2i_X509(NULL, &p, (long) der.len);

    cr_assert_not_null(x);
    cr_assert_eq(p, der.p + der.len);
    return x;
}

/* X509_verify_cert() with its strict checks; the root is the chain's last. */
static int
chain_verify(bytes_t leaf, const cert_list_t *chain)
{
    STACK_OF(X509) *between = sk_X509_new_null();
    X509_STORE     *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509           *target = x509_of(leaf), *root = x509_of(chain->v[chain->count - 1]);
    int             result;

    X509_STORE_add_cert(store, root);
    for (size_t i = 0; i + 1 < chain->count; i++) {
        sk_X509_push(between, x509_of(chain->v[i]));
    }
    X509_STORE_CTX_init(ctx, store, target, between);
    X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
    result = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    sk_X509_pop_free(between, X509_free);
    X509_free(target);
    X509_free(root);
    return result;
}

static bool
is_critical(X509 *x, int nid)
{
    int at = X509_get_ext_by_NID(x, nid, -1);

    return at >= 0 && X509_EXTENSION_get_critical(X509_get_ext(x, at)) == 1;
}

static void
key_ids_check(X509 *x, X509 *issuer)
{
    unsigned char id[20];
    PKI_AUTO(EVP_PKEY) key = X509_get_pubkey(x);
    const ASN1_OCTET_STRING *skid = X509_get0_subject_key_id(x), *akid = X509_get0_authority_key_id(x);

    cr_assert_not_null(skid);
    X509_pubkey_digest(x, EVP_sha1(), id, NULL);
    cr_assert_eq(ASN1_STRING_length(skid), 20);
    cr_expect_arr_eq(ASN1_STRING_get0_data(skid), id, 20, "SKI is the SHA-1 of the key");
    if (issuer != x) {
        cr_assert_not_null(akid);
        cr_expect_eq(ASN1_OCTET_STRING_cmp(akid, X509_get0_subject_key_id(issuer)), 0, "AKI is the issuer's SKI");
        cr_expect_null(X509_get0_authority_issuer(x), "AKI has a key identifier only");
    }
    cr_expect_not(is_critical(x, NID_subject_key_identifier));
    cr_expect_not(is_critical(x, NID_authority_key_identifier));
    cr_expect_not_null(key);
}

/* What every certificate of ours must be (RFC 5280 4.1, CABF 7.1). */
static void
common_check(X509 *x)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
    X509_ALGOR const   *outer;

    cr_expect_eq(X509_get_version(x), X509_VERSION_3);
    cr_expect_eq(ASN1_STRING_type(serial), V_ASN1_INTEGER, "not negative");
    cr_expect_geq(ASN1_STRING_length(serial), 16);
    cr_expect_leq(ASN1_STRING_length(serial), 19);
    X509_get0_signature(NULL, &outer, x);
    cr_expect_eq(X509_ALGOR_cmp(outer, X509_get0_tbs_sigalg(x)), 0);
    for (int i = 0; i < X509_get_ext_count(x); i++) {
        const ASN1_OBJECT *oid = X509_EXTENSION_get_object(X509_get_ext(x, i));

        cr_expect_eq(X509_get_ext_by_OBJ(x, oid, -1), i, "no extension is there twice");
    }
}

static void
ca_check(bytes_t der, bytes_t issuer_der, int path_len, int64_t validity_s)
{
    PKI_AUTO(X509) x = x509_of(der);
    PKI_AUTO(X509) issuer = x509_of(issuer_der);
    bool self = bytes_eq(der, issuer_der);
    int  days, seconds;

    common_check(x);
    key_ids_check(x, self ? x : issuer);
    cr_expect(X509_check_ca(x) == 1 && is_critical(x, NID_basic_constraints));
    cr_expect_eq(X509_get_pathlen(x), path_len);
    cr_expect_eq(X509_get_key_usage(x), OSSL_KEY_CERT_SIGN | OSSL_CRL_SIGN);
    cr_expect(is_critical(x, NID_key_usage));
    cr_expect_lt(X509_get_ext_by_NID(x, NID_ext_key_usage, -1), 0);
    cr_expect_lt(X509_get_ext_by_NID(x, NID_crl_distribution_points, -1), 0);
    cr_assert_eq(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(x), X509_get0_notAfter(x)), 1);
    cr_expect_eq((int64_t) days * DAY_S + seconds, validity_s - 1, "the end is inclusive");
    cr_expect_eq(X509_NAME_cmp(X509_get_issuer_name(x), X509_get_subject_name(issuer)), 0);
}

static issuer_local_conf_t
create_conf(const char *key, const char *root_key)
{
    return (issuer_local_conf_t){ .subject = "CN=Test CA,O=Test,C=GB", .key = key, .root_key = root_key,
                                  .validity_s = 1000 * DAY_S, .root_validity_s = 3000 * DAY_S };
}

static void
ca_load(const issuer_local_ca_t *made, issuer_ca_t *out)
{
    *out = (issuer_ca_t){ .issuer_no = 3, .generation = 1, .issuer_id = "iss-test", .chain = made->chain, .key_ref = made->key_ref };
    cr_assert_eq(cert_parse(arena, made->chain.v[0], &out->cert, &err), PKI_OK, "%s", err.text);
}

static bytes_t
leaf_key(const char *type, const char *group, size_t bits)
{
    EVP_PKEY *key = group != NULL ? EVP_PKEY_Q_keygen(NULL, NULL, type, group)
                    : bits != 0   ? EVP_PKEY_Q_keygen(NULL, NULL, type, bits)
                                  : EVP_PKEY_Q_keygen(NULL, NULL, type);
    uint8_t  *p = pki_alloc(arena, 800), *at = p;
    int       len = i2d_PUBKEY(key, &at);

    EVP_PKEY_free(key);
    return bytes_of(p, (size_t) len);
}

static issuer_order_t
order_of(bytes_t spki)
{
    static const char san[] = "\x30\x0e\x82\x0c" "host.example";
    pki_key_t         key;
    issuer_order_t    o = { .spki = spki, .not_before = time(NULL) - 60, .not_after = time(NULL) + 90 * DAY_S - 61,
                            .eku = EKU_SERVER_AUTH | EKU_CLIENT_AUTH, .ocsp_url = "http://pki.example/ocsp/iss-test",
                            .ca_issuers_url = "http://pki.example/ca/iss-test.crt",
                            .crl_base = "http://pki.example" };

    cr_assert_eq(pki_key_parse(spki, &key, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(name_build(arena, "CN=host.example", &o.subject, &err), PKI_OK);
    o.key_kind = key.kind;
    o.key_usage = cert_leaf_key_usage(key.kind);
    o.san = bytes_of(san, sizeof(san) - 1);
    return o;
}

typedef struct {
    char key[16], root_key[16];
} create_case_t;

ParameterizedTestParameters(local, creates_a_root_and_an_issuing_ca)
{
    static create_case_t cases[] = {
        { "p-256", "p-256" }, { "p-384", "p-256" }, { "ed25519", "p-384" }, { "rsa-2048", "p-256" },
        { "p-256", "rsa-2048" }, { "p-256", "ed25519" }, { "rsa-3072", "rsa-3072" },
    };

    return cr_make_param_array(create_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(create_case_t *c, local, creates_a_root_and_an_issuing_ca)
{
    issuer_local_conf_t conf = create_conf(c->key, c->root_key);
    issuer_local_ca_t   ca;
    issuer_ca_t         issuer;
    issuer_result_t     out;
    issuer_order_t      order;

    cr_assert_eq(issuer_local_create(f.client, arena, "iss-test", 3, &conf, &ca, &err), PKI_OK,
                 "%s", err.text);
    cr_assert_eq(ca.chain.count, 2);
    cr_expect_str_eq(ca.key_ref, "file:iss-test-ca");
    cr_expect_str_eq(ca.root_key_ref, "file:iss-test-root");
    ca_check(ca.chain.v[1], ca.chain.v[1], -1, conf.root_validity_s);
    ca_check(ca.chain.v[0], ca.chain.v[1], 0, conf.validity_s);
    cr_expect_eq(chain_verify(ca.chain.v[0], &ca.chain), X509_V_OK);

    ca_load(&ca, &issuer);
    order = order_of(leaf_key("EC", "P-256", 0));
    cr_assert_eq(issuer_issue(issuer_find("local"), f.client, arena, &issuer, &order, &out, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(chain_verify(out.der, &ca.chain), X509_V_OK);
}

typedef struct {
    char   type[16], group[16];
    size_t bits;
} leaf_case_t;

ParameterizedTestParameters(local, issues_for_every_kind_of_key)
{
    static leaf_case_t cases[] = {
        { "EC", "P-256", 0 }, { "EC", "P-384", 0 }, { "RSA", "", 2048 }, { "RSA", "", 3072 }, { "ED25519", "", 0 },
    };

    return cr_make_param_array(leaf_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

static void
leaf_check(X509 *x, X509 *ca, const leaf_case_t *c)
{
    bool rsa = strcmp(c->type, "RSA") == 0;

    common_check(x);
    key_ids_check(x, ca);
    cr_expect_eq(X509_check_ca(x), 0);
    cr_expect_eq(X509_get_key_usage(x),
                 OSSL_DIGITAL_SIGNATURE | (rsa ? OSSL_KEY_ENCIPHERMENT : 0U));
    cr_expect(is_critical(x, NID_key_usage));
    cr_expect_eq(X509_get_extended_key_usage(x), (uint32_t) (XKU_SSL_SERVER | XKU_SSL_CLIENT));
    cr_expect_not(is_critical(x, NID_ext_key_usage));
    cr_expect_not(is_critical(x, NID_subject_alt_name));
    cr_expect_eq(X509_check_host(x, "host.example", 0, 0, NULL), 1);
    STACK_OF(OPENSSL_STRING) *ocsp = X509_get1_ocsp(x);
    cr_assert_eq(sk_OPENSSL_STRING_num(ocsp), 1);
    cr_expect_str_eq(sk_OPENSSL_STRING_value(ocsp, 0), "http://pki.example/ocsp/iss-test");
    X509_email_free(ocsp);
    cr_expect_geq(X509_get_ext_by_NID(x, NID_crl_distribution_points, -1), 0);
}

ParameterizedTest(leaf_case_t *c, local, issues_for_every_kind_of_key)
{
    issuer_local_conf_t conf = create_conf("p-256", "p-256");
    issuer_order_t      order = order_of(leaf_key(c->type, c->group[0] != '\0' ? c->group : NULL, c->bits));
    issuer_local_ca_t   made;
    issuer_ca_t         ca;
    issuer_result_t     out, again;

    cr_assert_eq(issuer_local_create(f.client, arena, "iss-test", 3, &conf, &made, &err), PKI_OK, "%s",
                 err.text);
    ca_load(&made, &ca);
    cr_assert_eq(issuer_issue(issuer_find("local"), f.client, arena, &ca, &order, &out, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(issuer_issue(issuer_find("local"), f.client, arena, &ca, &order, &again, &err), PKI_OK);
    cr_expect_not(bytes_eq(out.serial, again.serial));

    PKI_AUTO(X509) x = x509_of(out.der);
    PKI_AUTO(X509) issuer = x509_of(made.chain.v[0]);

    leaf_check(x, issuer, c);
    cr_expect_eq(chain_verify(out.der, &made.chain), X509_V_OK);
    cr_expect_eq(out.not_before, order.not_before);
    cr_expect_eq(out.not_after, order.not_after);
}

Test(local, is_found_by_its_type_alone)
{
    cr_expect_not_null(issuer_find("local"));
    cr_expect_null(issuer_find("locals"));
    cr_expect_null(issuer_find(NULL), "a body whose type is no string has none");
}

Test(local, validity_is_clamped_to_the_cas)
{
    issuer_local_conf_t conf = create_conf("p-256", "p-256");
    issuer_order_t      order = order_of(leaf_key("EC", "P-256", 0));
    issuer_local_ca_t   made;
    issuer_ca_t         ca;
    issuer_result_t     out;

    conf.validity_s = 4000 * DAY_S; /* longer than the root */
    cr_assert_eq(issuer_local_create(f.client, arena, "iss-test", 3, &conf, &made, &err), PKI_OK);
    ca_check(made.chain.v[0], made.chain.v[1], 0, conf.root_validity_s);
    ca_load(&made, &ca);
    order.not_before = ca.cert.not_before - DAY_S;
    order.not_after = ca.cert.not_after + DAY_S;
    cr_assert_eq(issuer_issue(issuer_find("local"), f.client, arena, &ca, &order, &out, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(out.not_before, ca.cert.not_before);
    cr_expect_eq(out.not_after, ca.cert.not_after);
    cr_expect_eq(chain_verify(out.der, &made.chain), X509_V_OK);
    order.not_before = ca.cert.not_after + 1;
    cr_expect_eq(issuer_issue(issuer_find("local"), f.client, arena, &ca, &order, &out, &err), PKI_E_POLICY);
}

Test(local, creating_again_uses_the_keys_that_are_there)
{
    issuer_local_conf_t conf = create_conf("p-256", "p-256");
    issuer_local_ca_t   first, second;
    issuer_ca_t         a, b;

    cr_assert_eq(issuer_local_create(f.client, arena, "iss-test", 3, &conf, &first, &err), PKI_OK);
    cr_assert_eq(issuer_local_create(f.client, arena, "iss-test", 3, &conf, &second, &err), PKI_OK);
    ca_load(&first, &a);
    ca_load(&second, &b);
    cr_expect(bytes_eq(a.cert.key.spki, b.cert.key.spki));
    cr_expect_not(bytes_eq(a.cert.serial, b.cert.serial));
    conf.key = "p-384";
    cr_expect_eq(issuer_local_create(f.client, arena, "iss-test", 3, &conf, &second, &err), PKI_E_CONFLICT);
}

typedef struct {
    char       subject[48], root_subject[48], key[16];
    pki_code_t code;
} refuse_case_t;

ParameterizedTestParameters(local, refuses_to_create_what_is_no_ca)
{
    static refuse_case_t cases[] = {
        { "", "", "p-256", PKI_E_INVALID },
        { "O=No common name", "", "p-256", PKI_E_INVALID },
        { "CN=Same", "CN=Same", "p-256", PKI_E_INVALID },
        { "CN=Test", "", "rsa-1024", PKI_E_INVALID },
        { "CN=Test", "", "secp256k1", PKI_E_INVALID },
    };

    return cr_make_param_array(refuse_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(refuse_case_t *c, local, refuses_to_create_what_is_no_ca)
{
    issuer_local_conf_t conf = create_conf(c->key, "p-256");
    issuer_local_ca_t   out;

    conf.subject = c->subject[0] != '\0' ? c->subject : NULL;
    conf.root_subject = c->root_subject[0] != '\0' ? c->root_subject : NULL;
    cr_expect_eq(issuer_local_create(f.client, arena, "iss-test", 3, &conf, &out, &err), c->code, "%s",
                 err.text);
}

Test(local, a_comma_in_the_common_name_stays_in_it)
{
    issuer_local_conf_t conf = create_conf("p-256", "p-256");
    issuer_local_ca_t   made;
    char                text[64];

    conf.subject = "CN=Test\\, Inc. CA,O=Test";
    cr_assert_eq(issuer_local_create(f.client, arena, "iss-test", 3, &conf, &made, &err), PKI_OK, "%s",
                 err.text);
    PKI_AUTO(X509) root = x509_of(made.chain.v[1]);

    X509_NAME_get_text_by_NID(X509_get_subject_name(root), NID_commonName, text, sizeof(text));
    cr_expect_str_eq(text, "Test, Inc. CA Root");
}

/* ---- taking over ------------------------------------------------------------------------------------------ */

typedef struct {
    const char *subject, *basic, *usage, *extra; /* extensions as OpenSSL's configuration has them; NULL: none */
    long        from_s, to_s;                    /* relative to now */
} made_t;

static void
extension_add(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX      ctx;
    X509_EXTENSION *e;

    if (value == NULL) {
        return;
    }
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    cr_assert_not_null(e, "%s", value);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}

static X509 *
cert_make(const made_t *m, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
    X509      *x = X509_new();
    X509_NAME *name = X509_NAME_new();

    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1 + rand());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *) m->subject, -1, -1, 0);
    X509_set_subject_name(x, name);
    X509_set_issuer_name(x, issuer != NULL ? X509_get_subject_name(issuer) : name);
    X509_gmtime_adj(X509_getm_notBefore(x), m->from_s);
    X509_gmtime_adj(X509_getm_notAfter(x), m->to_s);
    X509_set_pubkey(x, key);
    extension_add(x, x, NID_subject_key_identifier, "hash");
    extension_add(x, issuer, NID_authority_key_identifier, issuer != NULL ? "keyid" : NULL);
    extension_add(x, x, NID_basic_constraints, m->basic);
    extension_add(x, x, NID_key_usage, m->usage);
    extension_add(x, x, NID_name_constraints, m->extra);
    X509_sign(x, issuer_key, EVP_sha256());
    X509_NAME_free(name);
    return x;
}

static const char *
pem_of(X509 *const *list, size_t count)
{
    BIO  *out = BIO_new(BIO_s_mem());
    char *p, *text;
    long  len;

    for (size_t i = 0; i < count; i++) {
        PEM_write_bio_X509(out, list[i]);
    }
    len = BIO_get_mem_data(out, &p);
    text = pki_strndup(arena, p, (size_t) len);
    BIO_free(out);
    return text;
}

#define CA_YES   "critical,CA:TRUE"
#define CA_USAGE "critical,keyCertSign,cRLSign"
#define YEAR     (365L * DAY_S)

typedef struct {
    const char *name;
    made_t      sub, root;
    bool        other_key, other_root, no_root;
    pki_code_t  code;
    const char *why;
} take_case_t;

static const take_case_t takes[] = {
    { "good", { "Sub", CA_YES, CA_USAGE, NULL, -60, YEAR }, { "Root", CA_YES, CA_USAGE, NULL, -60, YEAR },
      false, false, false, PKI_OK, "" },
    { "not a CA", { "Sub", "CA:FALSE", CA_USAGE, NULL, -60, YEAR }, { "Root", CA_YES, CA_USAGE, NULL, -60, YEAR },
      false, false, false, PKI_E_INVALID, "CA:TRUE" },
    { "without basicConstraints", { "Sub", NULL, CA_USAGE, NULL, -60, YEAR },
      { "Root", CA_YES, CA_USAGE, NULL, -60, YEAR }, false, false, false, PKI_E_INVALID, "CA:TRUE" },
    { "without keyCertSign", { "Sub", CA_YES, "critical,cRLSign", NULL, -60, YEAR },
      { "Root", CA_YES, CA_USAGE, NULL, -60, YEAR }, false, false, false, PKI_E_INVALID, "keyCertSign" },
    { "without cRLSign", { "Sub", CA_YES, "critical,keyCertSign", NULL, -60, YEAR },
      { "Root", CA_YES, CA_USAGE, NULL, -60, YEAR }, false, false, false, PKI_E_INVALID, "cRLSign" },
    { "expired", { "Sub", CA_YES, CA_USAGE, NULL, -YEAR, -60 }, { "Root", CA_YES, CA_USAGE, NULL, -YEAR, YEAR },
      false, false, false, PKI_E_INVALID, "not valid now" },
    { "not yet valid", { "Sub", CA_YES, CA_USAGE, NULL, 600, YEAR }, { "Root", CA_YES, CA_USAGE, NULL, -60, YEAR },
      false, false, false, PKI_E_INVALID, "not valid now" },
    { "under an expired root", { "Sub", CA_YES, CA_USAGE, NULL, -60, YEAR },
      { "Root", CA_YES, CA_USAGE, NULL, -YEAR, -60 }, false, false, false, PKI_E_INVALID, "not valid now" },
    { "of another key", { "Sub", CA_YES, CA_USAGE, NULL, -60, YEAR }, { "Root", CA_YES, CA_USAGE, NULL, -60, YEAR },
      true, false, false, PKI_E_INVALID, "is not the one" },
    { "of another root", { "Sub", CA_YES, CA_USAGE, NULL, -60, YEAR }, { "Root", CA_YES, CA_USAGE, NULL, -60, YEAR },
      false, true, false, PKI_E_INVALID, "not issued by" },
    { "without its root", { "Sub", CA_YES, CA_USAGE, NULL, -60, YEAR }, { "Root", CA_YES, CA_USAGE, NULL, -60, YEAR },
      false, false, true, PKI_E_INVALID, "does not end in a root" },
    { "under a root of pathLen 0", { "Sub", CA_YES, CA_USAGE, NULL, -60, YEAR },
      { "Root", "critical,CA:TRUE,pathlen:0", CA_USAGE, NULL, -60, YEAR }, false, false, false, PKI_E_INVALID,
      "chain of this length" },
    { "with critical name constraints",
      { "Sub", CA_YES, CA_USAGE, "critical,permitted;DNS:example.com", -60, YEAR },
      { "Root", CA_YES, CA_USAGE, NULL, -60, YEAR }, false, false, false, PKI_E_UNSUPPORTED, "critical extension" },
};

typedef struct {
    size_t at;
} take_at_t;

ParameterizedTestParameters(local, takes_over_a_ca_or_says_why_not)
{
    static take_at_t at[sizeof(takes) / sizeof(takes[0])];

    for (size_t i = 0; i < sizeof(takes) / sizeof(takes[0]); i++) {
        at[i].at = i;
    }
    return cr_make_param_array(take_at_t, at, sizeof(takes) / sizeof(takes[0]));
}

static EVP_PKEY *
pkey_of(bytes_t spki)
{
    const uint8_t *p = spki.p;

    return d2i_PUBKEY(NULL, &p, (long) spki.len);
}

static void
issue_and_verify(const issuer_local_ca_t *made)
{
    issuer_order_t  order = order_of(leaf_key("EC", "P-256", 0));
    issuer_ca_t     ca;
    issuer_result_t out;

    ca_load(made, &ca);
    cr_assert_eq(issuer_issue(issuer_find("local"), f.client, arena, &ca, &order, &out, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(chain_verify(out.der, &made->chain), X509_V_OK);
}

ParameterizedTest(take_at_t *p, local, takes_over_a_ca_or_says_why_not)
{
    const take_case_t  *c = &takes[p->at];
    issuer_local_conf_t conf = { .key_ref = "file:taken" };
    issuer_local_ca_t   made;
    bytes_t             spki, other;

    cr_assert_eq(signer_key_make(f.client, arena, "file:taken", "p-256", &spki, &err), PKI_OK);
    cr_assert_eq(signer_key_make(f.client, arena, "file:other", "p-256", &other, &err), PKI_OK);
    PKI_AUTO(EVP_PKEY) key = pkey_of(c->other_key ? other : spki);
    PKI_AUTO(EVP_PKEY) root_key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    PKI_AUTO(EVP_PKEY) impostor_key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    PKI_AUTO(X509) root = cert_make(&c->root, root_key, NULL, root_key);
    PKI_AUTO(X509) impostor = cert_make(&c->root, impostor_key, NULL, impostor_key);
    PKI_AUTO(X509) sub = cert_make(&c->sub, key, root, root_key);

    conf.certificates = pem_of((X509 *[]){ sub, c->other_root ? impostor : root }, c->no_root ? 1 : 2);
    cr_assert_eq(issuer_local_create(f.client, arena, "iss-test", 3, &conf, &made, &err), c->code,
                 "%s: %s", c->name, err.text);
    if (c->code != PKI_OK) {
        cr_expect_not_null(strstr(err.text, c->why), "%s: %s", c->name, err.text);
        return;
    }
    cr_expect_null(made.root_key_ref);
    cr_expect_str_eq(made.key_ref, "file:taken");
    issue_and_verify(&made);
}

Test(local, taking_over_needs_the_name_of_a_key_that_exists)
{
    PKI_AUTO(EVP_PKEY) key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    PKI_AUTO(X509) root = cert_make(&takes[0].root, key, NULL, key);
    issuer_local_conf_t conf = { .certificates = pem_of((X509 *[]){ root }, 1) };
    issuer_local_ca_t   made;

    cr_expect_eq(issuer_local_create(f.client, arena, "iss-test", 3, &conf, &made, &err), PKI_E_INVALID);
    conf.key_ref = "file:missing";
    cr_expect_eq(issuer_local_create(f.client, arena, "iss-test", 3, &conf, &made, &err), PKI_E_NOT_FOUND);
}

/* ---- re-key ----------------------------------------------------------------------------------------------- */

Test(local, a_re_key_keeps_the_name_and_the_ca_above)
{
    issuer_local_conf_t  conf = create_conf("p-384", "p-256");
    issuer_local_rekey_t again = { .validity_s = 4000 * DAY_S }; /* longer than the root */
    issuer_local_ca_t    first, second;
    issuer_ca_t          a, b;

    cr_assert_eq(issuer_local_create(f.client, arena, "iss-test", 3, &conf, &first, &err), PKI_OK);
    ca_load(&first, &a);
    cr_assert_eq(issuer_local_rekey(f.client, arena, &a, first.root_key_ref, 2, &again, &second, &err), PKI_OK, "%s",
                 err.text);
    ca_load(&second, &b);
    cr_expect_str_eq(second.key_ref, "file:iss-test-ca-g2");
    cr_expect(bytes_eq(b.cert.subject, a.cert.subject));
    cr_expect(b.cert.key.kind == PKI_KEY_P384 && !bytes_eq(a.cert.key.spki, b.cert.key.spki));
    cr_expect(bytes_eq(first.chain.v[1], second.chain.v[1]));
    PKI_AUTO(X509) root = x509_of(second.chain.v[1]);
    PKI_AUTO(X509) ca = x509_of(second.chain.v[0]);
    cr_expect_eq(ASN1_TIME_compare(X509_get0_notAfter(ca), X509_get0_notAfter(root)), 0);
    issue_and_verify(&second);
}

Test(local, a_re_key_without_the_key_above_needs_certificates)
{
    issuer_local_conf_t  conf = create_conf("p-256", "p-256");
    issuer_local_rekey_t again = { .validity_s = 100 * DAY_S };
    issuer_local_ca_t    first, second;
    issuer_ca_t          a;

    cr_assert_eq(issuer_local_create(f.client, arena, "iss-test", 3, &conf, &first, &err), PKI_OK);
    ca_load(&first, &a);
    cr_expect_eq(issuer_local_rekey(f.client, arena, &a, NULL, 2, &again, &second, &err), PKI_E_INVALID);
    cr_expect_eq(issuer_local_rekey(f.client, arena, &a, first.key_ref, 2, &again, &second, &err), PKI_E_INTERNAL);
}

Test(local, a_re_key_that_is_loaded_must_have_the_same_name)
{
    issuer_local_conf_t  conf = create_conf("p-256", "p-256");
    issuer_local_rekey_t again = { .key_ref = "file:taken", .validity_s = DAY_S };
    issuer_local_ca_t    first, second;
    issuer_ca_t          a;
    bytes_t              spki;

    cr_assert_eq(issuer_local_create(f.client, arena, "iss-test", 3, &conf, &first, &err), PKI_OK);
    cr_assert_eq(signer_key_make(f.client, arena, "file:taken", "p-256", &spki, &err), PKI_OK);
    PKI_AUTO(EVP_PKEY) key = pkey_of(spki);
    PKI_AUTO(EVP_PKEY) root_key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    PKI_AUTO(X509) root = cert_make(&takes[0].root, root_key, NULL, root_key);
    PKI_AUTO(X509) sub = cert_make(&takes[0].sub, key, root, root_key);

    ca_load(&first, &a);
    again.certificates = pem_of((X509 *[]){ sub, root }, 2);
    cr_expect_eq(issuer_local_rekey(f.client, arena, &a, NULL, 2, &again, &second, &err), PKI_E_INVALID);
    cr_expect_not_null(strstr(err.text, "another subject"), "%s", err.text);
    cr_assert_eq(cert_parse(arena, second.chain.v[0], &a.cert, &err), PKI_OK);
    cr_expect_eq(issuer_local_rekey(f.client, arena, &a, NULL, 2, &again, &second, &err), PKI_OK, "%s", err.text);
    issue_and_verify(&second);
}

/* The CDP is the very list that crl_shard_of() gives the serial to; also in the names of later generations. */
Test(local, names_the_list_of_the_serial)
{
    issuer_local_conf_t conf = create_conf("p-256", "p-256");
    issuer_order_t      order = order_of(leaf_key("EC", "P-256", 0));
    issuer_local_ca_t   made;
    issuer_ca_t         ca;
    issuer_result_t     out;
    char                wanted[80];

    cr_assert_eq(issuer_local_create(f.client, arena, "iss-test", 3, &conf, &made, &err), PKI_OK);
    ca_load(&made, &ca);
    ca.generation = 2;
    for (ca.crl_shards = 0; ca.crl_shards <= 64; ca.crl_shards += 16) {
        cr_assert_eq(issuer_issue(issuer_find("local"), f.client, arena, &ca, &order, &out, &err), PKI_OK);
        PKI_AUTO(X509) x = x509_of(out.der);
        CRL_DIST_POINTS *points = X509_get_ext_d2i(x, NID_crl_distribution_points, NULL, NULL);
        GENERAL_NAME    *name;

        cr_assert_not_null(points);
        name = sk_GENERAL_NAME_value(sk_DIST_POINT_value(points, 0)->distpoint->name.fullname, 0);
        snprintf(wanted, sizeof(wanted), "http://pki.example/crl/iss-test.g2.crl");
        if (ca.crl_shards != 0) {
            snprintf(wanted, sizeof(wanted), "http://pki.example/crl/iss-test.g2.s%u.crl",
                     crl_shard_of(out.serial, ca.crl_shards));
        }
        cr_expect_str_eq((const char *) ASN1_STRING_get0_data(name->d.uniformResourceIdentifier), wanted);
        CRL_DIST_POINTS_free(points);
    }
}

/* RFC 9608: says so, and names no place to ask. */
Test(local, an_exempt_certificate_says_that_there_is_no_revocation)
{
    issuer_local_conf_t conf = create_conf("p-256", "p-256");
    issuer_order_t      order = order_of(leaf_key("EC", "P-256", 0));
    issuer_local_ca_t   made;
    issuer_ca_t         ca;
    issuer_result_t     out;
    cert_t              cert;
    int                 at;

    cr_assert_eq(issuer_local_create(f.client, arena, "iss-test", 3, &conf, &made, &err), PKI_OK);
    ca_load(&made, &ca);
    order.no_rev_avail = true;
    cr_expect_eq(issuer_issue(issuer_find("local"), f.client, arena, &ca, &order, &out, &err), PKI_E_INVALID);
    order.crl_base = order.ocsp_url = NULL;
    cr_assert_eq(issuer_issue(issuer_find("local"), f.client, arena, &ca, &order, &out, &err), PKI_OK, "%s", err.text);
    PKI_AUTO(X509) x = x509_of(out.der);
    ASN1_OBJECT *oid = OBJ_txt2obj("2.5.29.56", 1);

    at = X509_get_ext_by_OBJ(x, oid, -1);
    ASN1_OBJECT_free(oid);
    cr_assert_geq(at, 0);
    cr_expect_eq(X509_EXTENSION_get_critical(X509_get_ext(x, at)), 0);
    cr_expect_arr_eq(ASN1_STRING_get0_data(X509_EXTENSION_get_data(X509_get_ext(x, at))), "\x05\x00", 2);
    cr_expect_lt(X509_get_ext_by_NID(x, NID_crl_distribution_points, -1), 0);
    cr_assert_eq(cert_parse(arena, out.der, &cert, &err), PKI_OK, "%s", err.text);
    cr_expect(cert.no_rev_avail && !cert.has_unknown_critical);
}

Test(local, the_table_of_connectors_is_whole)
{
    size_t n = 0;

    for (const issuer_ops_t *ops; (ops = issuer_at(n)) != NULL; n++) {
        cr_expect(ops->type != NULL && ops->title != NULL && ops->conf_size > 0 && ops->conf_fields != NULL);
        cr_expect_not_null(ops->issue);
        cr_expect_eq(issuer_find(ops->type), ops);
        for (const field_t *field = ops->conf_fields; field->type != FIELD_T_END; field++) {
            cr_expect_not_null(field->help, "%s.%s", ops->type, field->name);
        }
    }
    cr_expect_geq(n, 1);
    cr_expect_null(issuer_find("none"));
}
