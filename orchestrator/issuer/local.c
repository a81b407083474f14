/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The local CA: its keys are the signer's.  It makes a root and an issuing CA, or takes over a CA certificate
 * whose key the signer has, and issues from the order that the profile made (RFC 5280 section 4).
 */
#include "core/clock.h"
#include "orchestrator/issuer/issuer.h"
#include "pkiproto/crl/scope.h"

#define LOCAL_BACKDATE_S 300 /* clocks of relying parties may be behind */
#define LOCAL_CHAIN_MAX  8
#define LOCAL_PEM_MAX    131072
#define LOCAL_TBS_MAX    SIGNER_TBS_MAX
#define LOCAL_CERT_MAX   (LOCAL_TBS_MAX + SIGNER_SIGNATURE_MAX + 64)

static const field_t local_fields[] = {
    FIELD_STR(issuer_local_conf_t, subject, F_FIXED, NULL, "name of the issuing CA, such as CN=Example Issuing CA,O=Example"),
    FIELD_STR(issuer_local_conf_t, key, F_FIXED, "p-256", "key of the issuing CA: rsa-2048, rsa-3072, rsa-4096, p-256, p-384 or ed25519"),
    FIELD_INT(issuer_local_conf_t, validity_s, F_FIXED, "157680000", 3600, 3153600000, "lifetime of the issuing CA in seconds, at most the root's"),
    FIELD_STR(issuer_local_conf_t, root_subject, F_FIXED, NULL, "name of the root; by default the subject with Root after its CN"),
    FIELD_STR(issuer_local_conf_t, root_key, F_FIXED, "p-256", "key of the root"),
    FIELD_INT(issuer_local_conf_t, root_validity_s, F_FIXED, "630720000", 3600, 3153600000, "lifetime of the root in seconds"),
    FIELD_STR(issuer_local_conf_t, key_ref, F_FIXED, NULL, "a key that the signer has already, file:NAME or pkcs11:...; needed with certificates"),
    FIELD_STR(issuer_local_conf_t, root_key_ref, F_FIXED, NULL, "the same for the root"),
    { .name = "certificates", .type = FIELD_T_STR, .offset = FIELD_CHECK_(issuer_local_conf_t, certificates, const char *),
      .flags = F_FIXED, .max = LOCAL_PEM_MAX,
      .help = "PEM of an existing CA to take over: the issuing CA first, its root last" },
    FIELD_END
};

const field_t issuer_local_rekey_fields[] = {
    FIELD_STR(issuer_local_rekey_t, key, 0, NULL, "new key: rsa-2048, rsa-3072, rsa-4096, p-256, p-384 or ed25519; absent: of the kind of the present one"),
    FIELD_INT(issuer_local_rekey_t, validity_s, 0, "157680000", 3600, 3153600000, "lifetime of the new certificate in seconds, at most that of the CA above"),
    FIELD_STR(issuer_local_rekey_t, key_ref, 0, NULL, "a key that the signer has already, file:NAME or pkcs11:...; needed with certificates"),
    { .name = "certificates", .type = FIELD_T_STR, .offset = FIELD_CHECK_(issuer_local_rekey_t, certificates, const char *),
      .max = LOCAL_PEM_MAX, .help = "PEM of certificates that were made elsewhere: the new issuing CA first, its root last" },
    FIELD_END
};

static pki_code_t
local_serial(pki_arena_t *a, bytes_t *out, pki_err_t *err)
{
    uint8_t serial[CERT_SERIAL_LEN];

    PKI_TRY(cert_serial_generate(serial, err));
    return pki_bytes_dup(a, BYTES_ARR(serial), out, err);
}

/* The to-be-signed part of what the template says, in the arena. */
static pki_code_t
local_tbs(pki_arena_t *a, const cert_template_t *t, bytes_t *out, pki_err_t *err)
{
    pki_buf_t tbs;

    pki_buf_init(&tbs, a, LOCAL_TBS_MAX);
    PKI_TRY(cert_build_tbs(t, &tbs, err));
    *out = pki_buf_bytes(&tbs);
    return PKI_OK;
}

static pki_code_t
local_cert(pki_arena_t *a, bytes_t tbs, const pki_sigalg_t *alg, bytes_t signature, bytes_t *der, pki_err_t *err)
{
    pki_buf_t cert;

    pki_buf_init(&cert, a, LOCAL_CERT_MAX);
    PKI_TRY(signed_build(tbs, alg, signature, &cert, err));
    *der = pki_buf_bytes(&cert);
    return PKI_OK;
}

/* Sign what the template says; everything of the result is in the arena. */
static pki_code_t
local_sign(signer_t *signer, pki_arena_t *a, const char *key_ref, uint32_t issuer_no, cert_template_t *t,
           bytes_t *der, pki_err_t *err)
{
    bytes_t tbs, signature;

    PKI_TRY(local_serial(a, &t->serial, err));
    PKI_TRY(local_tbs(a, t, &tbs, err));
    PKI_TRY(signer_sign_cert(signer, a, key_ref, issuer_no, t->serial, tbs, &signature, err));
    return local_cert(a, tbs, t->sigalg, signature, der, err);
}

/* The very list that a revocation of this serial will be on. */
static pki_code_t
job_crl_url(const issuer_job_t *job, bytes_t serial, const char **out, pki_err_t *err)
{
    const issuer_ca_t *ca = job->ca;
    crl_name_t         name = { .issuer = bytes_str(ca->issuer_id), .generation = ca->generation };

    *out = NULL;
    if (job->order->crl_base == NULL) {
        return PKI_OK;
    }
    if (ca->crl_shards != 0) {
        name.scope = (crl_scope_t){ CRL_SHARD, crl_shard_of(serial, ca->crl_shards) };
    }
    *out = crl_url(job->a, job->order->crl_base, &name);
    return *out != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

/* What is to be signed for one order. */
static pki_code_t
job_prepare(issuer_job_t *job, signer_order_t *out, pki_err_t *err)
{
    const issuer_ca_t    *ca = job->ca;
    const issuer_order_t *order = job->order;
    uint8_t               skid[20];
    pki_key_t             key;
    cert_template_t       t = {
        .issuer = ca->cert.subject,
        .subject = order->subject,
        .not_before = order->not_before > ca->cert.not_before ? order->not_before : ca->cert.not_before,
        .not_after = order->not_after < ca->cert.not_after ? order->not_after : ca->cert.not_after,
        .spki = order->spki,
        .sigalg = pki_key_sigalg(ca->cert.key.kind),
        .akid = ca->cert.skid,
        .path_len = -1,
        .key_usage = order->key_usage,
        .eku = order->eku,
        .san = order->san,
        .ocsp_url = order->ocsp_url,
        .ca_issuers_url = order->ca_issuers_url,
        .ocsp_nocheck = order->ocsp_nocheck,
        .no_rev_avail = order->no_rev_avail,
        .must_staple = order->must_staple,
    };

    if (t.not_before >= t.not_after) {
        return pki_fail(err, PKI_E_POLICY, "RFC 5280 4.1.2.5", "the issuing CA %s has ended", ca->issuer_id);
    }
    PKI_TRY(pki_key_parse(order->spki, &key, err));
    if (!pki_key_id(&key, skid)) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "key identifier");
    }
    t.skid = BYTES_ARR(skid);
    *out = (signer_order_t){ .ref = ca->key_ref, .issuer_no = ca->issuer_no, .a = job->a };
    PKI_TRY(local_serial(job->a, &t.serial, err));
    PKI_TRY(job_crl_url(job, t.serial, &t.crl_url, err));
    PKI_TRY(local_tbs(job->a, &t, &out->tbs, err));
    out->serial = t.serial;
    job->result = (issuer_result_t){ .serial = t.serial, .not_before = t.not_before, .not_after = t.not_after };
    return PKI_OK;
}

static pki_code_t
job_finish(issuer_job_t *job, const signer_order_t *order)
{
    if (order->code != PKI_OK) {
        job->err = order->err;
        return order->code;
    }
    return local_cert(job->a, order->tbs, pki_key_sigalg(job->ca->cert.key.kind), order->signature, &job->result.der,
                      &job->err);
}

static void
local_issue(signer_t *signer, issuer_job_t *jobs, size_t count)
{
    signer_order_t  orders[ISSUER_JOBS_MAX];
    signer_order_t *sent[ISSUER_JOBS_MAX] = { NULL };
    size_t          n = 0;

    for (size_t i = 0; i < count; i++) {
        jobs[i].code = job_prepare(&jobs[i], &orders[i], &jobs[i].err);
        if (jobs[i].code == PKI_OK) {
            sent[n++] = &orders[i];
        }
    }
    signer_sign_certs(signer, sent, n);
    for (size_t i = 0; i < count; i++) {
        if (jobs[i].code == PKI_OK) {
            jobs[i].code = job_finish(&jobs[i], &orders[i]);
        }
    }
}

/* One CA of the two: its key and what its certificate says. */
typedef struct {
    const char *ref;
    pki_key_t   key;
    bytes_t     name;
    uint8_t     id[20];
} local_key_t;

/*
 * The key that was named, or a new one.  A key of that name that is there already was left by an attempt that
 * was cut off before its issuer was recorded: it is used, if it is of the kind that is asked for.
 */
static pki_code_t
local_key(signer_t *signer, pki_arena_t *a, const char *given, const char *made, const char *kind,
          local_key_t *out, pki_err_t *err)
{
    pki_key_kind_t wanted;
    unsigned       bits;
    bytes_t        spki;
    pki_code_t     rc;

    if (!pki_key_name_parse(kind, &wanted, &bits)) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%.32s is not a kind of key that a CA can have", kind);
    }
    out->ref = given != NULL ? given : made;
    if (out->ref == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = given != NULL ? PKI_E_CONFLICT : signer_key_make(signer, a, made, kind, &spki, err);
    if (rc == PKI_E_CONFLICT) {
        rc = signer_key_public(signer, a, out->ref, &spki, err);
    }
    PKI_TRY(rc);
    PKI_TRY(pki_key_parse(spki, &out->key, err));
    if (given == NULL && (out->key.kind != wanted || out->key.bits != bits)) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "the signer's key %s is not %s", made, kind);
    }
    return pki_key_id(&out->key, out->id) ? PKI_OK : pki_fail(err, PKI_E_CRYPTO, NULL, "key identifier");
}

/* "CN=X,O=Y" becomes "CN=X Root,O=Y". */
static pki_code_t
root_subject(pki_arena_t *a, const issuer_local_conf_t *conf, const char **out, pki_err_t *err)
{
    const char *end = conf->subject;

    *out = conf->root_subject;
    if (*out != NULL) {
        return PKI_OK;
    }
    if (strncasecmp(conf->subject, "CN=", 3) != 0) {
        return pki_fail(err, PKI_E_INVALID, NULL, "root_subject is needed, since subject does not begin with CN=");
    }
    while (*end != '\0' && *end != ',') {
        end += end[0] == '\\' && end[1] != '\0' ? 2 : 1;
    }
    *out = pki_printf(a, "%.*s Root%s", (int) (end - conf->subject), conf->subject, end);
    return *out != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

/* Certificate profile of ocsp-responding private CAs: critical basicConstraints and keyUsage, SKI, AKI, no EKU. */
static pki_code_t
ca_sign(signer_t *signer, pki_arena_t *a, uint32_t issuer_no, const local_key_t *issuer, const local_key_t *subject,
        int64_t not_before, int64_t not_after, bytes_t *der, pki_err_t *err)
{
    cert_template_t t = {
        .issuer = issuer->name,
        .subject = subject->name,
        .not_before = not_before,
        .not_after = not_after,
        .spki = subject->key.spki,
        .sigalg = pki_key_sigalg(issuer->key.kind),
        .akid = issuer == subject ? BYTES_NONE : BYTES_ARR(issuer->id),
        .skid = BYTES_ARR(subject->id),
        .is_ca = true,
        .path_len = issuer == subject ? -1 : 0,
        .key_usage = KU_KEY_CERT_SIGN | KU_CRL_SIGN,
    };

    return local_sign(signer, a, issuer->ref, issuer_no, &t, der, err);
}

static pki_code_t
local_make(signer_t *signer, pki_arena_t *a, const char *issuer_id, uint32_t issuer_no, const issuer_local_conf_t *conf,
           issuer_local_ca_t *out, pki_err_t *err)
{
    int64_t     from = clock_now() - LOCAL_BACKDATE_S;
    int64_t     root_end = from + conf->root_validity_s - 1, end = from + conf->validity_s - 1; /* both inclusive */
    const char *root_text;
    local_key_t root, ca;
    bytes_t    *chain;

    if (conf->subject == NULL) {
        return pki_fail(err, PKI_E_INVALID, NULL, "subject is needed to make a CA");
    }
    PKI_TRY(root_subject(a, conf, &root_text, err));
    PKI_TRY(name_build(a, conf->subject, &ca.name, err));
    PKI_TRY(name_build(a, root_text, &root.name, err));
    if (bytes_eq(ca.name, root.name)) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 3.2", "the root and the issuing CA have the same name");
    }
    PKI_TRY(local_key(signer, a, conf->root_key_ref, pki_printf(a, "file:%s-root", issuer_id), conf->root_key, &root, err));
    PKI_TRY(local_key(signer, a, conf->key_ref, pki_printf(a, "file:%s-ca", issuer_id), conf->key, &ca, err));
    PKI_TRY(PKI_NEW_N(a, 2, &chain, err));
    PKI_TRY(ca_sign(signer, a, issuer_no, &root, &root, from, root_end, &chain[1], err));
    PKI_TRY(ca_sign(signer, a, issuer_no, &root, &ca, from, end < root_end ? end : root_end, &chain[0], err));
    *out = (issuer_local_ca_t){ { chain, 2 }, ca.ref, root.ref };
    return PKI_OK;
}

/* RFC 5280 6.1 as far as a chain that somebody hands us can be checked: each by the next, up to a root that is valid. */
static pki_code_t
chain_check(pki_arena_t *a, const cert_list_t *chain, cert_t *certs, pki_err_t *err)
{
    int64_t now = clock_now();

    for (size_t i = 0; i < chain->count; i++) {
        if (cert_parse(a, chain->v[i], &certs[i], err) != PKI_OK || cert_check_ca(&certs[i], err) != PKI_OK) {
            return err != NULL ? pki_err_context(err, "CA certificate %zu", i + 1) : PKI_E_INVALID;
        }
        if (now < certs[i].not_before || now > certs[i].not_after) {
            return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.1.2.5", "CA certificate %zu is not valid now", i + 1);
        }
        if (certs[i].has_unknown_critical) {
            return pki_fail(err, PKI_E_UNSUPPORTED, "RFC 5280 4.2",
                            "CA certificate %zu has a critical extension that is not supported", i + 1);
        }
        if (certs[i].path_len >= 0 && (size_t) certs[i].path_len < i) {
            return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.2.1.9", "CA certificate %zu allows no chain of this length", i + 1);
        }
    }
    for (size_t i = 0; i < chain->count; i++) {
        const cert_t *issuer = i + 1 < chain->count ? &certs[i + 1] : &certs[i];

        if (cert_check_issued_by(&certs[i], issuer, err) != PKI_OK) {
            const char *by = issuer == &certs[i] ? "itself: the chain does not end in a root" : "the next one";

            return err != NULL ? pki_err_context(err, "CA certificate %zu is not issued by %s", i + 1, by)
                               : PKI_E_INVALID;
        }
    }
    return PKI_OK;
}

static pki_code_t
local_load(signer_t *signer, pki_arena_t *a, const issuer_local_conf_t *conf, issuer_local_ca_t *out, pki_err_t *err)
{
    cert_t      certs[LOCAL_CHAIN_MAX];
    cert_list_t chain;
    bytes_t     spki;

    if (conf->key_ref == NULL) {
        return pki_fail(err, PKI_E_INVALID, NULL, "key_ref is needed: the signer must have the key of the CA");
    }
    PKI_TRY(cert_decode(a, bytes_str(conf->certificates), LOCAL_CHAIN_MAX, &chain, err));
    PKI_TRY(chain_check(a, &chain, certs, err));
    PKI_TRY(signer_key_public(signer, a, conf->key_ref, &spki, err));
    if (!bytes_eq(spki, certs[0].key.spki)) {
        return pki_fail(err, PKI_E_INVALID, NULL, "the key %.64s is not the one of the first certificate", conf->key_ref);
    }
    *out = (issuer_local_ca_t){ chain, conf->key_ref, NULL };
    return PKI_OK;
}

pki_code_t
issuer_local_create(signer_t *signer, pki_arena_t *a, const char *issuer_id, uint32_t issuer_no,
                    const issuer_local_conf_t *conf, issuer_local_ca_t *out, pki_err_t *err)
{
    return conf->certificates != NULL ? local_load(signer, a, conf, out, err)
                                      : local_make(signer, a, issuer_id, issuer_no, conf, out, err);
}

/* The CA above the present one, with its key. */
static pki_code_t
above_load(signer_t *signer, pki_arena_t *a, const issuer_ca_t *present, const char *ref, cert_t *cert,
           local_key_t *out, pki_err_t *err)
{
    bytes_t spki;

    if (ref == NULL || present->chain.count < 2) {
        return pki_fail(err, PKI_E_INVALID, NULL, "the key of the CA above is not here: have a certificate made for the new "
                        "key, and load it with certificates and key_ref");
    }
    PKI_TRY(cert_parse(a, present->chain.v[1], cert, err));
    PKI_TRY(signer_key_public(signer, a, ref, &spki, err));
    if (!bytes_eq(spki, cert->key.spki) || cert->skid.len != sizeof(out->id)) {
        return pki_fail(err, PKI_E_INTERNAL, NULL, "the key %.64s is not the one of the CA above", ref);
    }
    if (clock_now() >= cert->not_after) {
        return pki_fail(err, PKI_E_POLICY, "RFC 5280 4.1.2.5", "the CA above has ended");
    }
    *out = (local_key_t){ .ref = ref, .key = cert->key, .name = cert->subject };
    memcpy(out->id, cert->skid.p, sizeof(out->id));
    return PKI_OK;
}

static pki_code_t
rekey_make(signer_t *signer, pki_arena_t *a, const issuer_ca_t *present, const char *above_key_ref, uint32_t generation,
           const issuer_local_rekey_t *conf, issuer_local_ca_t *out, pki_err_t *err)
{
    int64_t     from = clock_now() - LOCAL_BACKDATE_S, end = from + conf->validity_s - 1;
    char        kind[16];
    cert_t      above_cert;
    local_key_t above, ca = { 0 };
    bytes_t    *chain;

    PKI_TRY(above_load(signer, a, present, above_key_ref, &above_cert, &above, err));
    PKI_TRY(local_key(signer, a, conf->key_ref, pki_printf(a, "file:%s-ca-g%u", present->issuer_id, generation),
                      conf->key != NULL ? conf->key : pki_key_name(&present->cert.key, kind), &ca, err));
    ca.name = present->cert.subject;
    PKI_TRY(PKI_NEW_N(a, present->chain.count, &chain, err));
    memcpy(chain, present->chain.v, present->chain.count * sizeof(*chain));
    PKI_TRY(ca_sign(signer, a, present->issuer_no, &above, &ca, from > above_cert.not_before ? from : above_cert.not_before,
                    end < above_cert.not_after ? end : above_cert.not_after, &chain[0], err));
    *out = (issuer_local_ca_t){ { chain, present->chain.count }, ca.ref, above_key_ref };
    return PKI_OK;
}

pki_code_t
issuer_local_rekey(signer_t *signer, pki_arena_t *a, const issuer_ca_t *present, const char *above_key_ref,
                   uint32_t generation, const issuer_local_rekey_t *conf, issuer_local_ca_t *out, pki_err_t *err)
{
    const issuer_local_conf_t load = { .certificates = conf->certificates, .key_ref = conf->key_ref };
    cert_t                    cert;

    PKI_TRY(conf->certificates != NULL
                ? local_load(signer, a, &load, out, err)
                : rekey_make(signer, a, present, above_key_ref, generation, conf, out, err));
    PKI_TRY(cert_parse(a, out->chain.v[0], &cert, err));
    if (!bytes_eq(cert.subject, present->cert.subject)) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.1.2.4", "the new certificate has another subject: that is another CA");
    }
    return PKI_OK;
}

/* What has to hold for a signature, short of making one, which the journal would have to keep. */
static pki_code_t
local_check(signer_t *signer, pki_arena_t *a, const issuer_ca_t *ca, pki_err_t *err)
{
    int64_t now = clock_now();
    bytes_t spki;

    if (now < ca->cert.not_before || now > ca->cert.not_after) {
        return pki_fail(err, PKI_E_POLICY, "RFC 5280 4.1.2.5", "the CA certificate is not valid now");
    }
    if (ca->key_ref == NULL) {
        return pki_fail(err, PKI_E_CONFIG, NULL, "the key of the CA is not here");
    }
    PKI_TRY(signer_key_public(signer, a, ca->key_ref, &spki, err));
    if (!bytes_eq(spki, ca->cert.key.spki)) {
        return pki_fail(err, PKI_E_CONFIG, NULL, "the signer's key %.64s is not the one of the CA certificate", ca->key_ref);
    }
    return PKI_OK;
}

const issuer_ops_t issuer_local = {
    .type = "local",
    .title = "Local CA",
    .conf_size = sizeof(issuer_local_conf_t),
    .conf_fields = local_fields,
    .issue = local_issue,
    .check = local_check,
};
