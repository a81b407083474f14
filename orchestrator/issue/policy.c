/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Profile and policy (see policy.h).
 */
#include "orchestrator/issue/policy.h"

#include "orchestrator/issue/issue.h"
#include "pkiproto/der/write.h"

#define POLICY_BACKDATE_S    300 /* clocks of relying parties may be behind */
#define POLICY_BACKDATE_PART 100 /* but at most this part of a short life */
#define POLICY_CN_MAX        64
#define POLICY_SUBJECT_MAX   8192
#define POLICY_SAN_MAX       32768

static const struct {
    const char    *word; /* as profile.key_kinds has it */
    pki_key_kind_t kind;
} key_kinds[] = {
    { "rsa", PKI_KEY_RSA }, { "p-256", PKI_KEY_P256 }, { "p-384", PKI_KEY_P384 }, { "ed25519", PKI_KEY_ED25519 },
    { NULL, PKI_KEY_NONE },
};

/* Kinds of subjectAltName: their word, tag, and where the profile keeps their patterns. */
static const struct name_kind {
    const char *word;
    unsigned    tag;
    size_t      patterns;
} name_kinds[] = {
    { "dns", GENERAL_NAME_DNS, offsetof(profile_row_t, dns_patterns) },
    { "ip", GENERAL_NAME_IP, offsetof(profile_row_t, ip_patterns) },
    { "email", GENERAL_NAME_EMAIL, offsetof(profile_row_t, email_patterns) },
    { "uri", GENERAL_NAME_URI, offsetof(profile_row_t, uri_patterns) },
    { NULL, 0, 0 },
};

static unsigned
key_kind_of(const char *word)
{
    for (size_t i = 0; key_kinds[i].word != NULL; i++) {
        if (strcmp(key_kinds[i].word, word) == 0) {
            return 1u << key_kinds[i].kind;
        }
    }
    return 0;
}

static unsigned
name_kind_of(const char *word)
{
    for (size_t i = 0; name_kinds[i].word != NULL; i++) {
        if (strcmp(name_kinds[i].word, word) == 0) {
            return 1u << name_kinds[i].tag;
        }
    }
    return 0;
}

static unsigned
eku_of(const char *word)
{
    unsigned bit = 0;

    return eku_parse(word, &bit) ? bit : 0;
}

static pki_code_t
words_compile(const str_list_t *words, unsigned (*of)(const char *word), const char *what, unsigned *out,
              pki_err_t *err)
{
    for (size_t i = 0; i < words->count; i++) {
        unsigned bits = of(words->v[i]);

        if (bits == 0) {
            return pki_fail(err, PKI_E_INVALID, NULL, "%s: %s is unknown", what, words->v[i]);
        }
        *out |= bits;
    }
    return PKI_OK;
}

pki_code_t
policy_compile(const profile_row_t *row, policy_t *out, pki_err_t *err)
{
    *out = (policy_t){ .row = row, .subject_from_san = strcmp(row->subject_rule, "san") == 0 };
    PKI_TRY(words_compile(&row->key_kinds, key_kind_of, "key_kinds", &out->key_kinds, err));
    PKI_TRY(words_compile(&row->name_kinds, name_kind_of, "name_kinds", &out->name_kinds, err));
    return words_compile(&row->eku, eku_of, "eku", &out->eku, err);
}

/* Names */

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char) (c + ('a' - 'A')) : c;
}

/* The last star is tried at each place in turn; earlier ones never need another try. */
bool
pattern_match(const char *pattern, const char *text)
{
    const char *star = NULL, *retry = NULL;

    while (*text != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            retry = text;
        } else if (*pattern != '\0' && lower(*pattern) == lower(*text)) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++retry;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}

static bool
patterns_match(const str_list_t *patterns, const char *text)
{
    for (size_t i = 0; i < patterns->count; i++) {
        if (pattern_match(patterns->v[i], text)) {
            return true;
        }
    }
    return patterns->count == 0;
}

static bool
is_alnum(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A host name (RFC 1034 3.5 as RFC 1123 2.1 widens it): LDH labels of 1 to 63, no hyphen at their ends. */
static bool
is_host_name(bytes_t name)
{
    size_t label = 0;

    if (name.len == 0 || name.len > 253) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.p[i];

        if (c == '.') {
            if (label == 0 || name.p[i - 1] == '-') {
                return false;
            }
            label = 0;
        } else if ((!is_alnum(c) && (c != '-' || label == 0)) || ++label > 63) {
            return false;
        }
    }
    return label != 0 && name.p[name.len - 1] != '-';
}

/* "*.example.org" is not for the asking: a pattern has to say what it may stand for. */
static pki_code_t
dns_check(bytes_t value, const str_list_t *patterns, const char *text, pki_err_t *err)
{
    bool wildcard = value.len > 2 && value.p[0] == '*' && value.p[1] == '.';

    if (!is_host_name(wildcard ? bytes_of(value.p + 2, value.len - 2) : value)) {
        return pki_fail(err, PKI_E_POLICY, "RFC 5280 4.2.1.6", "%.100s is not a host name", text);
    }
    if (wildcard && patterns->count == 0) {
        return pki_fail(err, PKI_E_POLICY, "RFC 6125 6.4.3", "%.100s: the profile allows no wildcards", text);
    }
    return PKI_OK;
}

static bool
is_printable(bytes_t value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.p[i] <= ' ' || value.p[i] > '~') {
            return false;
        }
    }
    return value.len != 0;
}

static pki_code_t
syntax_check(const general_name_t *name, const str_list_t *patterns, const char *text, pki_err_t *err)
{
    switch (name->kind) {
    case GENERAL_NAME_DNS:
        return dns_check(name->value, patterns, text, err);
    case GENERAL_NAME_IP:
        if (name->value.len != 4 && name->value.len != 16) {
            return pki_fail(err, PKI_E_POLICY, "RFC 5280 4.2.1.6", "an address of %zu octets", name->value.len);
        }
        return PKI_OK;
    default:
        if (!is_printable(name->value)) {
            return pki_fail(err, PKI_E_POLICY, "RFC 5280 4.2.1.6", "%.100s has characters that are not allowed", text);
        }
        return PKI_OK;
    }
}

static pki_code_t
name_accept(pki_arena_t *a, const policy_t *policy, const general_name_t *name, pki_err_t *err)
{
    const struct name_kind *kind = name_kinds;
    const str_list_t       *patterns;
    const char             *text, *value;

    PKI_TRY(general_name_print(a, name, &text, err));
    while (kind->word != NULL && kind->tag != name->kind) {
        kind++;
    }
    if (kind->word == NULL || (policy->name_kinds & 1u << kind->tag) == 0) {
        return pki_fail(err, PKI_E_POLICY, NULL, "profile %s does not allow the name %.100s", policy->row->id, text);
    }
    patterns = (const str_list_t *) (const void *) ((const char *) policy->row + kind->patterns);
    PKI_TRY(syntax_check(name, patterns, text, err));

    value = strchr(text, ':');
    value = value != NULL ? value + 1 : text;
    if (!patterns_match(patterns, value)) {
        return pki_fail(err, PKI_E_POLICY, NULL, "profile %s does not allow the %s name %.100s", policy->row->id,
                        kind->word, value);
    }
    return PKI_OK;
}

static bool
name_repeats(const general_names_t *names, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (bytes_eq(names->v[i].whole, names->v[at].whole)) {
            return true;
        }
    }
    return false;
}

/* The accepted names in the order of the request, each once. */
static pki_code_t
san_build(pki_arena_t *a, const policy_t *policy, const general_names_t *names, bytes_t *out, pki_err_t *err)
{
    pki_buf_t b;
    size_t    at;

    *out = BYTES_NONE;
    if (names->count == 0) {
        return PKI_OK;
    }
    pki_buf_init(&b, a, POLICY_SAN_MAX);
    at = der_open(&b, DER_SEQUENCE);
    for (size_t i = 0; i < names->count; i++) {
        PKI_TRY(name_accept(a, policy, &names->v[i], err));
        if (!name_repeats(names, i)) {
            pki_buf_put(&b, names->v[i].whole);
        }
    }
    der_close(&b, at);
    PKI_TRY(pki_buf_check(&b, "subjectAltName", err));
    *out = pki_buf_bytes(&b);
    return PKI_OK;
}

/* Subject */

static const uint8_t empty_name[] = { DER_SEQUENCE, 0 };

static bool
is_empty_name(bytes_t name)
{
    return name.len == sizeof(empty_name);
}

/* CN = UTF8String, the one attribute (2.5.4.3). */
static pki_code_t
common_name_build(pki_arena_t *a, bytes_t cn, bytes_t *out, pki_err_t *err)
{
    static const uint8_t oid_cn[] = { 0x55, 0x04, 0x03 };
    pki_buf_t            b;
    size_t               name, rdn, attribute;

    pki_buf_init(&b, a, POLICY_SUBJECT_MAX);
    name = der_open(&b, DER_SEQUENCE);
    rdn = der_open(&b, DER_SET);
    attribute = der_open(&b, DER_SEQUENCE);
    der_put(&b, DER_OID, BYTES_ARR(oid_cn));
    der_put(&b, DER_UTF8_STRING, cn);
    der_close(&b, attribute);
    der_close(&b, rdn);
    der_close(&b, name);
    PKI_TRY(pki_buf_check(&b, "subject", err));
    *out = pki_buf_bytes(&b);
    return PKI_OK;
}

/* The first DNS name; one that X.520 has no room for leaves the subject empty. */
static pki_code_t
subject_of_san(pki_arena_t *a, const general_names_t *names, bytes_t *out, pki_err_t *err)
{
    for (size_t i = 0; i < names->count; i++) {
        if (names->v[i].kind == GENERAL_NAME_DNS) {
            return names->v[i].value.len <= POLICY_CN_MAX ? common_name_build(a, names->v[i].value, out, err)
                                                          : PKI_OK;
        }
    }
    return PKI_OK;
}

static pki_code_t
subject_build(pki_arena_t *a, const policy_t *policy, const csr_t *csr, bytes_t *out, pki_err_t *err)
{
    *out = BYTES_ARR(empty_name);
    if (policy->subject_from_san) {
        PKI_TRY(subject_of_san(a, &csr->names, out, err));
    } else {
        PKI_TRY(name_check(csr->subject, err));
        *out = csr->subject;
    }
    if (is_empty_name(*out) && !policy->row->allow_empty_subject) {
        return pki_fail(err, PKI_E_POLICY, "RFC 5280 4.1.2.6", "profile %s asks for a subject", policy->row->id);
    }
    if (is_empty_name(*out) && csr->names.count == 0) {
        return pki_fail(err, PKI_E_POLICY, "RFC 5280 4.1.2.6", "neither a subject nor a subjectAltName");
    }
    return PKI_OK;
}

/* Key and time */

static pki_code_t
key_accept(const policy_t *policy, const pki_key_t *key, pki_err_t *err)
{
    char name[16];

    if ((policy->key_kinds & 1u << key->kind) == 0) {
        return pki_fail(err, PKI_E_KEY, NULL, "profile %s does not allow %s keys", policy->row->id,
                        pki_key_name(key, name));
    }
    if (key->kind == PKI_KEY_RSA && key->bits < (uint64_t) policy->row->min_rsa_bits) {
        return pki_fail(err, PKI_E_KEY, NULL, "profile %s asks for RSA keys of at least %lld bits, not %u",
                        policy->row->id, (long long) policy->row->min_rsa_bits, key->bits);
    }
    return PKI_OK;
}

/* Both ends belong to the validity (RFC 5280 4.1.2.5), hence the second less; never outside of the CA's. */
static pki_code_t
validity_set(const policy_t *policy, const cert_t *ca, int64_t now, issuer_order_t *out, pki_err_t *err)
{
    int64_t validity_s = policy->row->validity_s, back_s = validity_s / POLICY_BACKDATE_PART;

    out->not_before = now - (back_s < POLICY_BACKDATE_S ? back_s : POLICY_BACKDATE_S);
    out->not_after = out->not_before + validity_s - 1;
    if (out->not_before < ca->not_before) {
        out->not_before = ca->not_before;
    }
    if (out->not_after > ca->not_after) {
        out->not_after = ca->not_after;
    }
    if (now < ca->not_before || now >= ca->not_after || out->not_after <= now) {
        return pki_fail(err, PKI_E_CONFIG, "RFC 5280 4.1.2.5", "the CA's certificate is not valid now");
    }
    return PKI_OK;
}

/* Signed mail stands for its signer (RFC 8551 4.4.2): contentCommitment, too. */
static uint16_t
key_usage_of(const policy_t *policy, pki_key_kind_t kind)
{
    return (uint16_t) (cert_leaf_key_usage(kind) | ((policy->eku & EKU_EMAIL) != 0 ? KU_NON_REPUDIATION : 0u));
}

pki_code_t
policy_apply(pki_arena_t *a, const policy_t *policy, const csr_t *csr, const cert_t *ca, int64_t now,
             issuer_order_t *out, pki_err_t *err)
{
    *out = (issuer_order_t){
        .spki = csr->key.spki,
        .key_kind = csr->key.kind,
        .key_usage = key_usage_of(policy, csr->key.kind),
        .eku = policy->eku,
        .no_rev_avail = policy->row->revocation_exempt,
        .must_staple = policy->row->must_staple,
    };
    PKI_TRY(key_accept(policy, &csr->key, err));
    PKI_TRY(san_build(a, policy, &csr->names, &out->san, err));
    PKI_TRY(subject_build(a, policy, csr, &out->subject, err));
    return validity_set(policy, ca, now, out, err);
}

/* Names that a caller may ask for */

/* What a pattern is of: URIs, mail addresses, or (as DNS) everything else; 0: all of these. */
static unsigned
pattern_kind(const char *pattern)
{
    if (strcmp(pattern, "*") == 0) {
        return 0;
    }
    return strstr(pattern, "://") != NULL   ? GENERAL_NAME_URI
           : strchr(pattern, '@') != NULL ? GENERAL_NAME_EMAIL
                                          : GENERAL_NAME_DNS;
}

static bool
pattern_is_for(const char *pattern, unsigned kind)
{
    unsigned of = pattern_kind(pattern);
    bool     special = kind == GENERAL_NAME_URI || kind == GENERAL_NAME_EMAIL;

    return of == 0 || of == (special ? kind : GENERAL_NAME_DNS);
}

/* A star of theirs is a character to ours, which only a star of ours can take: then it takes whatever theirs stands for. */
bool
issue_name_covers(const char *ours, const char *theirs)
{
    unsigned kind = pattern_kind(ours);

    return kind == 0 || (kind == pattern_kind(theirs) && pattern_match(ours, theirs));
}

static bool
name_is_allowed(const str_list_t *allowed, const general_name_t *name, const char *value)
{
    for (size_t i = 0; i < allowed->count; i++) {
        if (pattern_is_for(allowed->v[i], name->kind) && pattern_match(allowed->v[i], value)) {
            return true;
        }
    }
    return false;
}

static pki_code_t
name_refused(const char *name, pki_err_t *err)
{
    return pki_fail(err, PKI_E_POLICY, NULL, "the name %.100s is outside of those that this identity may ask for", name);
}

static pki_code_t
subject_names_check(pki_arena_t *a, const str_list_t *allowed, bytes_t subject, size_t *count, pki_err_t *err)
{
    str_list_t names;

    PKI_TRY(name_common_names(a, subject, &names, err));
    for (size_t i = 0; i < names.count; i++) {
        if (!patterns_match(allowed, names.v[i])) {
            return name_refused(names.v[i], err);
        }
    }
    *count = names.count;
    return PKI_OK;
}

static pki_code_t
san_names_check(pki_arena_t *a, const str_list_t *allowed, bytes_t san, size_t *count, pki_err_t *err)
{
    general_names_t names = { 0 };
    const char     *text, *value;

    if (san.p != NULL) {
        PKI_TRY(general_names_parse(a, san, &names, err));
    }
    for (size_t i = 0; i < names.count; i++) {
        PKI_TRY(general_name_print(a, &names.v[i], &text, err));
        value = strchr(text, ':');
        if (!name_is_allowed(allowed, &names.v[i], value != NULL ? value + 1 : text)) {
            return name_refused(text, err);
        }
    }
    *count += names.count;
    return PKI_OK;
}

pki_code_t
policy_names_check(pki_arena_t *a, const str_list_t *allowed, const issuer_order_t *order, pki_err_t *err)
{
    size_t count = 0;

    if (allowed == NULL || allowed->count == 0) {
        return PKI_OK;
    }
    PKI_TRY(subject_names_check(a, allowed, order->subject, &count, err));
    PKI_TRY(san_names_check(a, allowed, order->san, &count, err));
    return count > 0 ? PKI_OK
                     : pki_fail(err, PKI_E_POLICY, NULL, "neither a common name nor a subjectAltName: nothing that this "
                                "identity may ask for");
}
