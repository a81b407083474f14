/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What profiles make of requests.  The requests are made by OpenSSL from a subject and a subjectAltName as its
 * configuration files spell them, so that our own encoder is not its own judge.
 */
#include <criterion/criterion.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "orchestrator/issue/issue.h"
#include "orchestrator/issue/policy.h"
#include "pkiproto/base/ossl.h"

#define NOW 1800000000

static pki_arena_t *arena;

static void
setup(void)
{
    arena = pki_arena_new(0);
}

static void
teardown(void)
{
    pki_arena_free(arena);
}

TestSuite(policy, .init = setup, .fini = teardown);

/* A field table's list: "a b c". */
static str_list_t
words(const char *text)
{
    str_list_t list = { .v = pki_alloc(arena, 16 * sizeof(char *)) };
    char      *rest = pki_strdup(arena, text), *word;

    while ((word = strtok_r(rest, " ", &rest)) != NULL) {
        list.v[list.count++] = word;
    }
    return list;
}

typedef struct {
    const char *key_kinds, *name_kinds, *dns, *ip, *email, *uri, *eku, *subject_rule;
    bool        allow_empty_subject;
    int64_t     min_rsa_bits, validity_s;
} profile_spec_t;

static const profile_spec_t ordinary = { "rsa p-256 p-384 ed25519", "dns ip email uri", "", "", "", "",
                                         "serverAuth clientAuth", "csr", false, 2048, 90 * 86400 };

static policy_t
policy_of(const profile_spec_t *spec)
{
    profile_row_t *row = pki_alloc(arena, sizeof(*row));
    policy_t       policy;
    pki_err_t      err = { 0 };

    *row = (profile_row_t){ .id = "prof-test",
                            .name = "test",
                            .key_kinds = words(spec->key_kinds),
                            .name_kinds = words(spec->name_kinds),
                            .dns_patterns = words(spec->dns),
                            .ip_patterns = words(spec->ip),
                            .email_patterns = words(spec->email),
                            .uri_patterns = words(spec->uri),
                            .eku = words(spec->eku),
                            .subject_rule = spec->subject_rule,
                            .allow_empty_subject = spec->allow_empty_subject,
                            .min_rsa_bits = spec->min_rsa_bits,
                            .validity_s = spec->validity_s };
    cr_assert_eq(policy_compile(row, &policy, &err), PKI_OK, "%s", err.text);
    return policy;
}

/* key: "p-256", "p-384", "ed25519", "rsa-2048"; cn and san may be NULL. */
static pki_code_t
csr_make(const char *key, const char *cn, const char *san, csr_t *csr, pki_err_t *err)
{
    PKI_AUTO(EVP_PKEY) pkey = strcmp(key, "p-256") == 0     ? EVP_EC_gen("P-256")
                              : strcmp(key, "p-384") == 0   ? EVP_EC_gen("P-384")
                              : strcmp(key, "ed25519") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                                            : EVP_RSA_gen(2048);
    PKI_AUTO(X509_REQ) req = X509_REQ_new();
    unsigned char *der = NULL;
    bytes_t        copy;
    int            len;

    cr_assert(X509_REQ_set_version(req, 0) && X509_REQ_set_pubkey(req, pkey));
    if (cn != NULL) {
        cr_assert(X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(req), "CN", MBSTRING_UTF8,
                                             (const unsigned char *) cn, -1, -1, 0));
    }
    if (san != NULL) {
        X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
        STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();

        cr_assert_not_null(ext, "%s", san);
        sk_X509_EXTENSION_push(exts, ext);
        cr_assert(X509_REQ_add_extensions(req, exts));
        sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    }
    cr_assert(X509_REQ_sign(req, pkey, strcmp(key, "ed25519") == 0 ? NULL : EVP_sha256()) > 0);
    len = i2d_X509_REQ(req, &der);
    cr_assert_gt(len, 0);
    cr_assert_eq(pki_bytes_dup(arena, bytes_of(der, (size_t) len), &copy, NULL), PKI_OK);
    OPENSSL_free(der);
    return csr_parse(arena, copy, csr, err);
}

static csr_t
csr_of(const char *key, const char *cn, const char *san)
{
    csr_t     csr;
    pki_err_t err = { 0 };

    cr_assert_eq(csr_make(key, cn, san, &csr, &err), PKI_OK, "%s", err.text);
    return csr;
}

static const cert_t ca = { .not_before = NOW - 1000000, .not_after = NOW + 400 * 86400, .is_ca = true };

static pki_code_t
apply(const profile_spec_t *spec, const csr_t *csr, issuer_order_t *order, pki_err_t *err)
{
    policy_t policy = policy_of(spec);

    return policy_apply(arena, &policy, csr, &ca, NOW, order, err);
}

/* Names */

static const struct {
    const char *name_kinds, *dns, *ip, *email, *uri; /* profile */
    const char *san;                                 /* request */
    pki_code_t  code;
} name_cases[] = {
    /* kinds */
    { "dns", "", "", "", "", "DNS:a.example", PKI_OK },
    { "dns", "", "", "", "", "DNS:a.example,DNS:b.example", PKI_OK },
    { "dns", "", "", "", "", "IP:192.0.2.1", PKI_E_POLICY },
    { "dns", "", "", "", "", "DNS:a.example,email:x@a.example", PKI_E_POLICY },
    { "dns ip email uri", "", "", "", "", "URI:urn:uuid:1,IP:2001:db8::1,email:x@a.example", PKI_OK },
    { "dns ip email uri", "", "", "", "", "otherName:1.2.3.4;UTF8:x", PKI_E_POLICY },
    { "dns ip email uri", "", "", "", "", "RID:1.2.3.4", PKI_E_POLICY },
    { "", "", "", "", "", "DNS:a.example", PKI_E_POLICY },
    { "", "", "", "", "", NULL, PKI_OK },
    /* patterns */
    { "dns", "*.dev.example", "", "", "", "DNS:a.dev.example", PKI_OK },
    { "dns", "*.dev.example", "", "", "", "DNS:A.DEV.Example", PKI_OK },
    { "dns", "*.dev.example", "", "", "", "DNS:dev.example", PKI_E_POLICY },
    { "dns", "*.dev.example", "", "", "", "DNS:a.dev.example.evil.test", PKI_E_POLICY },
    { "dns", "*.dev.example", "", "", "", "DNS:a.dev.example,DNS:b.prod.example", PKI_E_POLICY },
    { "dns", "x.example y.example", "", "", "", "DNS:y.example", PKI_OK },
    { "dns ip", "*.dev.example", "192.0.2.*", "", "", "DNS:a.dev.example,IP:192.0.2.77", PKI_OK },
    { "dns ip", "*.dev.example", "192.0.2.*", "", "", "IP:198.51.100.1", PKI_E_POLICY },
    { "email", "", "", "*@corp.example", "", "email:me@corp.example", PKI_OK },
    { "email", "", "", "*@corp.example", "", "email:me@corp.example.org", PKI_E_POLICY },
    { "uri", "", "", "", "spiffe://td.example/*", "URI:spiffe://td.example/ns/a", PKI_OK },
    { "uri", "", "", "", "spiffe://td.example/*", "URI:spiffe://other.example/ns/a", PKI_E_POLICY },
    /* host names */
    { "dns", "", "", "", "", "DNS:under_score.example", PKI_E_POLICY },
    { "dns", "", "", "", "", "DNS:-a.example", PKI_E_POLICY },
    { "dns", "", "", "", "", "DNS:a-.example", PKI_E_POLICY },
    { "dns", "", "", "", "", "DNS:a..example", PKI_E_POLICY },
    { "dns", "", "", "", "", "DNS:a.example.", PKI_E_POLICY },
    { "dns", "", "", "", "", "DNS:host:8443", PKI_E_POLICY },
    { "dns", "", "", "", "", "DNS:abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghij123.example", PKI_OK },
    { "dns", "", "", "", "", "DNS:abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghij1234.example", PKI_E_POLICY },
    /* wildcards only where a pattern says so, and only leftmost */
    { "dns", "", "", "", "", "DNS:*.example", PKI_E_POLICY },
    { "dns", "*.dev.example", "", "", "", "DNS:*.dev.example", PKI_OK },
    { "dns", "*.dev.example", "", "", "", "DNS:a.*.dev.example", PKI_E_POLICY },
    { "dns", "*.dev.example", "", "", "", "DNS:a*.dev.example", PKI_E_POLICY },
};

Test(policy, accepts_the_names_that_the_profile_allows_and_no_others)
{
    for (size_t i = 0; i < sizeof(name_cases) / sizeof(name_cases[0]); i++) {
        profile_spec_t spec = ordinary;
        csr_t          csr;
        issuer_order_t order;
        pki_err_t      err = { 0 };
        pki_code_t     code = csr_make("p-256", "device", name_cases[i].san, &csr, &err);

        spec.name_kinds = name_cases[i].name_kinds;
        spec.dns = name_cases[i].dns;
        spec.ip = name_cases[i].ip;
        spec.email = name_cases[i].email;
        spec.uri = name_cases[i].uri;
        /* A name may be so wrong that the request cannot be read: refused, too. */
        if (code != PKI_OK) {
            cr_expect_neq(name_cases[i].code, PKI_OK, "case %zu (%s): %s", i, name_cases[i].san, err.text);
            continue;
        }
        code = apply(&spec, &csr, &order, &err);
        cr_expect_eq(code, name_cases[i].code, "case %zu (%s): %s", i, name_cases[i].san, err.text);
    }
}

Test(policy, copies_accepted_names_octet_for_octet_and_each_once)
{
    csr_t          csr = csr_of("p-256", "device", "DNS:b.example,DNS:a.example,DNS:b.example,IP:192.0.2.1");
    issuer_order_t order;
    const uint8_t *p;
    GENERAL_NAMES *names;

    cr_assert_eq(apply(&ordinary, &csr, &order, NULL), PKI_OK);
    p = order.san.p;
    names = d2i_GENERAL_NAMES(NULL, &p, (long) order.san.len);
    cr_assert_not_null(names);
    cr_expect_eq(p, order.san.p + order.san.len);
    cr_expect_eq(sk_GENERAL_NAME_num(names), 3);
    cr_expect_eq(sk_GENERAL_NAME_value(names, 0)->type, GEN_DNS);
    cr_expect_arr_eq(ASN1_STRING_get0_data(sk_GENERAL_NAME_value(names, 0)->d.dNSName), "b.example", 9);
    cr_expect_eq(sk_GENERAL_NAME_value(names, 2)->type, GEN_IPADD);
    GENERAL_NAMES_free(names);
}

/* Keys */

static const struct {
    const char *key, *allowed;
    int64_t     min_rsa_bits;
    pki_code_t  code;
    uint16_t    key_usage;
} key_cases[] = {
    { "p-256", "p-256", 2048, PKI_OK, KU_DIGITAL_SIGNATURE },
    { "p-256", "rsa p-384 ed25519", 2048, PKI_E_KEY, 0 },
    { "p-384", "p-384", 2048, PKI_OK, KU_DIGITAL_SIGNATURE },
    { "ed25519", "ed25519", 2048, PKI_OK, KU_DIGITAL_SIGNATURE },
    { "ed25519", "p-256", 2048, PKI_E_KEY, 0 },
    { "rsa-2048", "rsa", 2048, PKI_OK, KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT },
    { "rsa-2048", "rsa", 3072, PKI_E_KEY, 0 },
    { "rsa-2048", "p-256", 2048, PKI_E_KEY, 0 },
};

Test(policy, accepts_the_keys_that_the_profile_allows_and_sets_the_usage_that_fits)
{
    for (size_t i = 0; i < sizeof(key_cases) / sizeof(key_cases[0]); i++) {
        profile_spec_t spec = ordinary;
        csr_t          csr = csr_of(key_cases[i].key, "device", NULL);
        issuer_order_t order = { 0 };

        spec.key_kinds = key_cases[i].allowed;
        spec.min_rsa_bits = key_cases[i].min_rsa_bits;
        cr_expect_eq(apply(&spec, &csr, &order, NULL), key_cases[i].code, "case %zu", i);
        if (key_cases[i].code == PKI_OK) {
            cr_expect_eq(order.key_usage, key_cases[i].key_usage, "case %zu", i);
            cr_expect_eq(order.eku, EKU_SERVER_AUTH | EKU_CLIENT_AUTH);
            cr_expect(bytes_eq(order.spki, csr.key.spki));
            cr_expect_not(order.ocsp_nocheck);
        }
    }
}

/* Subjects */

static const struct {
    const char *rule;
    bool        allow_empty;
    const char *cn, *san;
    pki_code_t  code;
    const char *subject; /* RFC 4514 */
} subject_cases[] = {
    { "csr", false, "device-7", NULL, PKI_OK, "CN=device-7" },
    { "csr", false, NULL, "DNS:a.example", PKI_E_POLICY, NULL },
    { "csr", true, NULL, "DNS:a.example", PKI_OK, "" },
    { "csr", true, NULL, NULL, PKI_E_POLICY, NULL },
    { "san", false, "anything at all", "DNS:a.example,DNS:b.example", PKI_OK, "CN=a.example" },
    { "san", false, "anything at all", "IP:192.0.2.1,DNS:b.example", PKI_OK, "CN=b.example" },
    { "san", false, "anything at all", "IP:192.0.2.1", PKI_E_POLICY, NULL },
    { "san", true, "anything at all", "IP:192.0.2.1", PKI_OK, "" },
    /* X.520 has 64 characters for a CN */
    { "san", true, "x", "DNS:abcdefghijabcdefghijabcdefghijabcdefghij.abcdefghijabcdefghij.com", PKI_OK, "" },
};

Test(policy, takes_the_subject_from_where_the_profile_says)
{
    for (size_t i = 0; i < sizeof(subject_cases) / sizeof(subject_cases[0]); i++) {
        profile_spec_t spec = ordinary;
        csr_t          csr = csr_of("p-256", subject_cases[i].cn, subject_cases[i].san);
        issuer_order_t order;
        const char    *text = NULL;

        spec.subject_rule = subject_cases[i].rule;
        spec.allow_empty_subject = subject_cases[i].allow_empty;
        cr_expect_eq(apply(&spec, &csr, &order, NULL), subject_cases[i].code, "case %zu", i);
        if (subject_cases[i].code == PKI_OK) {
            cr_assert_eq(name_print(arena, order.subject, &text, NULL), PKI_OK);
            cr_expect_str_eq(text, subject_cases[i].subject, "case %zu", i);
        }
    }
}

/* Validity */

static const struct {
    int64_t    validity_s, ca_ends, ca_starts; /* relative to now */
    pki_code_t code;
    int64_t    not_before, not_after;
} validity_cases[] = {
    { 90 * 86400, 400 * 86400, -86400, PKI_OK, -300, 90 * 86400 - 301 },
    { 3600, 400 * 86400, -86400, PKI_OK, -36, 3600 - 37 },
    { 60, 400 * 86400, -86400, PKI_OK, 0, 59 },
    { 90 * 86400, 86400, -86400, PKI_OK, -300, 86400 },
    { 90 * 86400, 400 * 86400, -10, PKI_OK, -10, 90 * 86400 - 301 },
    { 90 * 86400, 0, -86400, PKI_E_CONFIG, 0, 0 },
    { 90 * 86400, -5, -86400, PKI_E_CONFIG, 0, 0 },
    { 90 * 86400, 400 * 86400, 5, PKI_E_CONFIG, 0, 0 },
};

Test(policy, keeps_the_validity_inside_of_the_profiles_and_the_cas)
{
    csr_t csr = csr_of("p-256", "device", NULL);

    for (size_t i = 0; i < sizeof(validity_cases) / sizeof(validity_cases[0]); i++) {
        profile_spec_t spec = ordinary;
        cert_t         issuer = { .not_before = NOW + validity_cases[i].ca_starts,
                                  .not_after = NOW + validity_cases[i].ca_ends };
        policy_t       policy;
        issuer_order_t order;

        spec.validity_s = validity_cases[i].validity_s;
        policy = policy_of(&spec);
        cr_expect_eq(policy_apply(arena, &policy, &csr, &issuer, NOW, &order, NULL), validity_cases[i].code, "case %zu", i);
        if (validity_cases[i].code == PKI_OK) {
            cr_expect_eq(order.not_before - NOW, validity_cases[i].not_before, "case %zu", i);
            cr_expect_eq(order.not_after - NOW, validity_cases[i].not_after, "case %zu", i);
        }
    }
}

/* Patterns and profiles */

static const struct {
    const char *pattern, *text;
    bool        match;
} pattern_cases[] = {
    { "*", "", true },           { "*", "anything", true },  { "", "", true },          { "", "a", false },
    { "a*b*c", "abc", true },    { "a*b*c", "axbxbxc", true }, { "a*b*c", "axbxbx", false }, { "abc", "ABC", true },
    { "*.x", "a.b.x", true },    { "*.x", ".x", true },      { "*.x", "x", false },     { "**a", "ba", true },
    { "a*", "b", false },        { "a?c", "abc", false },    { "*aab", "aaaab", true }, { "*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaa", false },
};

Test(policy, matches_patterns_with_stars_only)
{
    for (size_t i = 0; i < sizeof(pattern_cases) / sizeof(pattern_cases[0]); i++) {
        cr_expect_eq(pattern_match(pattern_cases[i].pattern, pattern_cases[i].text), pattern_cases[i].match,
                     "'%s' and '%s'", pattern_cases[i].pattern, pattern_cases[i].text);
    }
}

Test(policy, refuses_a_profile_with_an_unknown_word)
{
    static const struct {
        const char *key_kinds, *name_kinds, *eku;
    } cases[] = {
        { "p-521", "dns", "serverAuth" }, { "p-256", "upn", "serverAuth" }, { "p-256", "dns", "fooAuth" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        profile_row_t row = { .id = "prof-x",
                              .subject_rule = "csr",
                              .key_kinds = words(cases[i].key_kinds),
                              .name_kinds = words(cases[i].name_kinds),
                              .eku = words(cases[i].eku) };
        policy_t      policy;

        cr_expect_eq(policy_compile(&row, &policy, NULL), PKI_E_INVALID, "case %zu", i);
    }
}

Test(policy, signed_mail_stands_for_its_signer)
{
    static const struct {
        const char *eku;
        uint16_t    usage;
    } mail_cases[] = { { "emailProtection", KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION },
                       { "serverAuth emailProtection", KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION },
                       { "serverAuth", KU_DIGITAL_SIGNATURE },
                       { "", KU_DIGITAL_SIGNATURE } };

    for (size_t i = 0; i < sizeof(mail_cases) / sizeof(mail_cases[0]); i++) {
        profile_spec_t spec = ordinary;
        issuer_order_t order;
        csr_t          csr = csr_of("p-256", "device", NULL);

        spec.eku = mail_cases[i].eku;
        cr_assert_eq(apply(&spec, &csr, &order, NULL), PKI_OK);
        cr_expect_eq(order.key_usage, mail_cases[i].usage, "%s", mail_cases[i].eku);
    }
}

/* Names that a caller may ask for */

static const struct {
    const char *allowed, *cn, *san;
    pki_code_t  code;
    const char *named; /* in the refusal */
} allowed_cases[] = {
    { "", "anything", "DNS:a.example", PKI_OK, NULL },
    { "*", "anything", "DNS:a.example,IP:192.0.2.1,email:me@a.example,URI:https://a.example/", PKI_OK, NULL },
    { "*.a.example", "x.a.example", "DNS:y.a.example", PKI_OK, NULL },
    { "*.a.example", "X.A.Example", NULL, PKI_OK, NULL },
    { "*.a.example", "x.a.example", "DNS:y.b.example", PKI_E_POLICY, "y.b.example" },
    { "*.a.example", "x.b.example", "DNS:y.a.example", PKI_E_POLICY, "x.b.example" },
    { "*.a.example", NULL, "DNS:y.a.example,DNS:a.example", PKI_E_POLICY, "a.example" },
    { "x.a.example 192.0.2.*", NULL, "DNS:x.a.example,IP:192.0.2.7", PKI_OK, NULL },
    { "x.a.example 192.0.2.*", NULL, "IP:198.51.100.7", PKI_E_POLICY, "198.51.100.7" },
    /* what a pattern is of */
    { "*.a.example", NULL, "DNS:y.a.example,URI:https://evil.test/.a.example", PKI_E_POLICY, "evil.test" },
    { "*a.example", NULL, "DNS:a.example,email:root@a.example", PKI_E_POLICY, "root@a.example" },
    { "*@a.example", NULL, "email:me@a.example", PKI_OK, NULL },
    { "*@a.example", NULL, "DNS:a.example", PKI_E_POLICY, "a.example" },
    { "spiffe://td/*", NULL, "URI:spiffe://td/ns/a", PKI_OK, NULL },
    { "spiffe://td/*", NULL, "URI:spiffe://other/ns/a", PKI_E_POLICY, "other" },
};

Test(policy, keeps_a_caller_to_its_allowed_names)
{
    for (size_t i = 0; i < sizeof(allowed_cases) / sizeof(allowed_cases[0]); i++) {
        profile_spec_t spec = ordinary;
        csr_t          csr = csr_of("p-256", allowed_cases[i].cn, allowed_cases[i].san);
        str_list_t     allowed = words(allowed_cases[i].allowed);
        issuer_order_t order;
        pki_err_t      err = { 0 };

        spec.allow_empty_subject = true;
        cr_assert_eq(apply(&spec, &csr, &order, &err), PKI_OK, "case %zu: %s", i, err.text);
        cr_expect_eq(policy_names_check(arena, &allowed, &order, &err), allowed_cases[i].code, "case %zu: %s", i, err.text);
        cr_expect(allowed_cases[i].named == NULL || strstr(err.text, allowed_cases[i].named) != NULL, "case %zu: %s", i, err.text);
    }
}

Test(policy, a_caller_with_allowed_names_has_to_name_something)
{
    static const uint8_t organisation[] = { 0x30, 0x0c, 0x31, 0x0a, 0x30, 0x08, 0x06, 0x03, 0x55, 0x04, 0x0a, 0x0c, 0x01, 'x' };
    str_list_t           allowed = words("*.a.example"), any = words("");
    const issuer_order_t order = { .subject = BYTES_ARR(organisation) };

    cr_expect_eq(policy_names_check(arena, &allowed, &order, NULL), PKI_E_POLICY);
    cr_expect_eq(policy_names_check(arena, &any, &order, NULL), PKI_OK);
    cr_expect_eq(policy_names_check(arena, NULL, &order, NULL), PKI_OK);
}

Test(policy, a_pattern_covers_what_lets_through_no_more)
{
    static const struct {
        const char *ours, *theirs;
        bool        covers;
    } cases[] = {
        { "*", "*", true }, { "*", "https://a/*", true }, { "*.a.example", "*.a.example", true },
        { "*.a.example", "x.a.example", true }, { "*.a.example", "*.sub.a.example", true }, { "*.a.example", "*", false },
        { "*.a.example", "*a.example", false }, { "x.a.example", "*.a.example", false }, { "**", "*", false },
        { "*.a.example", "https://x.a.example", false }, { "*.a.example", "root@x.a.example", false },
        { "*@a.example", "me@a.example", true }, { "https://a/*", "https://a/b/*", true }, { "https://a/*", "https://*", false },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect_eq(issue_name_covers(cases[i].ours, cases[i].theirs), cases[i].covers, "%s and %s", cases[i].ours,
                     cases[i].theirs);
    }
}
