/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * OCSP requests, ours and OpenSSL's reader on the same octets.  What we accept, OpenSSL accepts and
 * reads the same, and the answer to it is one that OpenSSL reads.  What OpenSSL accepts and we refuse is
 * explained by a row of the table below, told from OpenSSL's view of the request alone.  Parts that we
 * leave unread (a requestor's name, RFC 9919 3.1.2; a signature, which is another reader's)
 * are taken out before OpenSSL is asked whether it agrees with us.
 *
 * At exit the table is printed with how often each row was the explanation.
 */
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>

#include "pkiproto/der/read.h"
#include "pkiproto/ocsp/response.h"
#include "t/fuzz/der_mutate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- why we refuse what OpenSSL accepts ---- */

typedef struct {
    OCSP_REQUEST *request;
    bytes_t       der, again; /* as it came; as OpenSSL would write it */
} theirs_t;

/* The nth element after p in a constructed value, by OpenSSL's own eyes; none: an absent slice. */
static bytes_t
child(bytes_t in, int n, int *tag)
{
    const uint8_t *p = in.p, *end = in.p + in.len;
    long           len = 0;
    int            class;

    for (int i = 0; p < end; i++) {
        if (ASN1_get_object(&p, &len, tag, &class, end - p) & 0x80) {
            abort();
        }
        *tag |= class;
        if (i == n) {
            return bytes_of(p, (size_t) len);
        }
        p += len;
    }
    *tag = -1;
    return BYTES_NONE;
}

static bytes_t
tbs_of(const theirs_t *t)
{
    int tag;

    return child(child(t->again, 0, &tag), 0, &tag);
}

static bool
is_too_large(const theirs_t *t)
{
    return t->der.len > OCSP_REQUEST_MAX;
}

static bool
is_not_der(const theirs_t *t)
{
    return !bytes_eq(t->der, t->again);
}

static bool
is_not_v1(const theirs_t *t)
{
    int     tag, inner;
    bytes_t version = child(tbs_of(t), 0, &tag), number = child(version, 0, &inner);

    return tag == (V_ASN1_CONTEXT_SPECIFIC | 0) && !bytes_eq(number, BYTES_LIT("\0"));
}

static bool
is_empty(const theirs_t *t)
{
    return OCSP_request_onereq_count(t->request) == 0;
}

static bool
has_too_many(const theirs_t *t)
{
    return OCSP_request_onereq_count(t->request) > OCSP_IDS_MAX;
}

typedef bool (*id_test_pt)(OCSP_CERTID *id, bytes_t der);

static bool
any_id(const theirs_t *t, id_test_pt test)
{
    for (int i = 0; i < OCSP_request_onereq_count(t->request); i++) {
        OCSP_CERTID *id = OCSP_onereq_get0_id(OCSP_request_onereq_get0(t->request, i));
        uint8_t     *der = NULL;
        int          len = i2d_OCSP_CERTID(id, &der);
        bool         is = len > 0 && test(id, bytes_of(der, (size_t) len));

        OPENSSL_free(der);
        if (is) {
            return true;
        }
    }
    return false;
}

static bool
has_parameters(OCSP_CERTID *id, bytes_t der)
{
    int     tag;
    bytes_t algorithm = child(child(der, 0, &tag), 0, &tag);

    (void) id;
    return child(algorithm, 1, &tag).p != NULL && tag != V_ASN1_NULL;
}

static bool
has_short_hashes(OCSP_CERTID *id, bytes_t der)
{
    ASN1_OCTET_STRING *name, *key;
    ASN1_OBJECT       *md;
    int                wanted;

    (void) der;
    OCSP_id_get0_info(&name, &md, &key, NULL, id);
    switch (OBJ_obj2nid(md)) {
    case NID_sha1:   wanted = 20; break;
    case NID_sha256: wanted = 32; break;
    case NID_sha384: wanted = 48; break;
    case NID_sha512: wanted = 64; break;
    default: return false;
    }
    return ASN1_STRING_length(name) != wanted || ASN1_STRING_length(key) != wanted;
}

static bool
has_hash_parameters(const theirs_t *t)
{
    return any_id(t, has_parameters);
}

static bool
has_wrong_hashes(const theirs_t *t)
{
    return any_id(t, has_short_hashes);
}

/* An "Extensions" that is there and has nothing in it: the request's, or one of a Request. */
static bool
has_empty_list(const theirs_t *t)
{
    int     tag = 0, inner, at = 0;
    bytes_t part, list = BYTES_NONE;

    for (part = child(tbs_of(t), at, &tag); tag >= 0; part = child(tbs_of(t), ++at, &tag)) {
        if (tag == V_ASN1_SEQUENCE) {
            list = part;
        } else if (tag == (V_ASN1_CONTEXT_SPECIFIC | 2) && child(part, 0, &inner).len == 0) {
            return true;
        }
    }
    for (at = 0; (part = child(list, at, &tag)).len != 0; at++) {
        bytes_t extensions = child(part, 1, &inner);

        if (inner >= 0 && child(extensions, 0, &inner).len == 0) {
            return true;
        }
    }
    return false;
}

/* Extensions: of the request (at < 0) or of one of its parts. */
static X509_EXTENSION *
extension_of(const theirs_t *t, int at, int i)
{
    if (at < 0) {
        return i < OCSP_REQUEST_get_ext_count(t->request) ? OCSP_REQUEST_get_ext(t->request, i) : NULL;
    }
    OCSP_ONEREQ *one = OCSP_request_onereq_get0(t->request, at);

    return i < OCSP_ONEREQ_get_ext_count(one) ? OCSP_ONEREQ_get_ext(one, i) : NULL;
}

static bool
has_long_list(const theirs_t *t)
{
    for (int at = -1; at < OCSP_request_onereq_count(t->request); at++) {
        if (extension_of(t, at, 16) != NULL) {
            return true;
        }
    }
    return false;
}

static bool
is_known(X509_EXTENSION *x, int at)
{
    static const int of_request[] = {NID_id_pkix_OCSP_Nonce, NID_id_pkix_OCSP_acceptableResponses, 0},
                     of_single[] = {NID_id_pkix_OCSP_Nonce, NID_id_pkix_OCSP_serviceLocator, 0};
    const int       *row = at < 0 ? of_request : of_single;
    char             text[32];

    for (; *row != 0; row++) {
        if (OBJ_obj2nid(X509_EXTENSION_get_object(x)) == *row) {
            return true;
        }
    }
    OBJ_obj2txt(text, sizeof(text), X509_EXTENSION_get_object(x), 1);
    return at < 0 && strcmp(text, "1.3.6.1.5.5.7.48.1.8") == 0; /* PreferredSignatureAlgorithms */
}

typedef bool (*extension_test_pt)(const theirs_t *t, int at, int i, X509_EXTENSION *x);

static bool
any_extension(const theirs_t *t, extension_test_pt test)
{
    X509_EXTENSION *x;

    for (int at = -1; at < OCSP_request_onereq_count(t->request); at++) {
        for (int i = 0; (x = extension_of(t, at, i)) != NULL; i++) {
            if (test(t, at, i, x)) {
                return true;
            }
        }
    }
    return false;
}

static bool
is_unknown_critical(const theirs_t *t, int at, int i, X509_EXTENSION *x)
{
    (void) t, (void) i;
    return X509_EXTENSION_get_critical(x) && !is_known(x, at);
}

static bool
is_twice(const theirs_t *t, int at, int i, X509_EXTENSION *x)
{
    X509_EXTENSION *other;

    for (int j = 0; j < i; j++) {
        other = extension_of(t, at, j);
        if (is_known(x, at)
            && OBJ_cmp(X509_EXTENSION_get_object(x), X509_EXTENSION_get_object(other)) == 0)
        {
            return true;
        }
    }
    return false;
}

/* OpenSSL keeps what octet a BOOLEAN had. */
static bool
is_odd_boolean(const theirs_t *t, int at, int i, X509_EXTENSION *x)
{
    uint8_t *der = NULL;
    int      len = i2d_X509_EXTENSION(x, &der), tag;
    bytes_t  critical = child(child(bytes_of(der, (size_t) len), 0, &tag), 1, &tag);
    bool     odd = tag == V_ASN1_BOOLEAN && critical.p[0] != 0 && critical.p[0] != 0xff;

    (void) t, (void) at, (void) i;
    OPENSSL_free(der);
    return odd;
}

/* How long it is; one in an OCTET STRING that is BER and not DER counts as a raw one. */
static int
nonce_len(bytes_t value)
{
    const uint8_t     *p = value.p;
    ASN1_OCTET_STRING *s = d2i_ASN1_OCTET_STRING(NULL, &p, (long) value.len);
    uint8_t           *again = NULL;
    int                size = s != NULL ? i2d_ASN1_OCTET_STRING(s, &again) : -1;
    bool               is_der = size > 0 && bytes_eq(bytes_of(again, (size_t) size), value);
    int                len = is_der ? ASN1_STRING_length(s) : (int) value.len;

    OPENSSL_free(again);
    ASN1_OCTET_STRING_free(s);
    return len;
}

static bool
is_list(bytes_t value, const ASN1_ITEM *item)
{
    const uint8_t *p = value.p;
    ASN1_VALUE    *list = ASN1_item_d2i(NULL, &p, (long) value.len, item);
    uint8_t       *again = NULL;
    int            len = list != NULL ? ASN1_item_i2d(list, &again, item) : -1;
    bool           is = len >= 0 && bytes_eq(bytes_of(again, (size_t) len), value);

    OPENSSL_free(again);
    ASN1_item_free(list, item);
    return is;
}

static bool
accepts_basic(bytes_t value)
{
    const uint8_t       *p = value.p;
    STACK_OF(ASN1_TYPE) *list = d2i_ASN1_SEQUENCE_ANY(NULL, &p, (long) value.len);
    bool                 basic = false, good = list != NULL && p == value.p + value.len;

    for (int i = 0; good && i < sk_ASN1_TYPE_num(list); i++) {
        const ASN1_TYPE *type = sk_ASN1_TYPE_value(list, i);

        good = type->type == V_ASN1_OBJECT;
        basic = basic || (good && OBJ_obj2nid(type->value.object) == NID_id_pkix_OCSP_basic);
    }
    sk_ASN1_TYPE_pop_free(list, ASN1_TYPE_free);
    return good && basic && is_list(value, ASN1_ITEM_rptr(ASN1_SEQUENCE_ANY));
}

/* A list of lists, whose lengths are the shortest; what is in the inner ones is read when an algorithm is chosen. */
static bool
is_preferred(bytes_t value)
{
    const uint8_t *p, *begin;
    int            tag, class;
    long           len;
    bytes_t        list = child(value, 0, &tag);

    for (p = list.p; p < list.p + list.len; p += len) {
        begin = p;
        if ((ASN1_get_object(&p, &len, &tag, &class, list.p + list.len - p) & 0x80) != 0 || class != 0
            || tag != V_ASN1_SEQUENCE || p - begin + len != ASN1_object_size(1, (int) len, tag))
        {
            return false;
        }
    }
    return true;
}

static bool
is_bad_value(const theirs_t *t, int at, int i, X509_EXTENSION *x)
{
    const ASN1_OCTET_STRING *data = X509_EXTENSION_get_data(x);
    bytes_t value = bytes_of(ASN1_STRING_get0_data(data), (size_t) ASN1_STRING_length(data));
    int     len;

    (void) t, (void) i;
    if (at >= 0 || !is_known(x, at)) {
        return false;
    }
    switch (OBJ_obj2nid(X509_EXTENSION_get_object(x))) {
    case NID_id_pkix_OCSP_Nonce:
        len = nonce_len(value);
        return len == 0 || len > 128;
    case NID_id_pkix_OCSP_acceptableResponses:
        return !accepts_basic(value);
    default:
        return !is_list(value, ASN1_ITEM_rptr(ASN1_SEQUENCE_ANY)) || !is_preferred(value);
    }
}

static bool
has_unknown_critical(const theirs_t *t)
{
    return any_extension(t, is_unknown_critical);
}

static bool
has_duplicate(const theirs_t *t)
{
    return any_extension(t, is_twice);
}

static bool
has_odd_boolean(const theirs_t *t)
{
    return any_extension(t, is_odd_boolean);
}

static bool
has_bad_value(const theirs_t *t)
{
    return any_extension(t, is_bad_value);
}

static bool
has_bits_left(const theirs_t *t)
{
    int     tag;
    bytes_t outer = child(child(t->again, 0, &tag), 1, &tag);
    bytes_t bits = child(child(outer, 0, &tag), 1, &tag);

    return bits.len != 0 && bits.p[0] != 0;
}

/* What we refuse and OpenSSL accepts: the clause, what it is, how to tell. */
typedef struct {
    const char *clause, *what;
    bool (*is)(const theirs_t *t);
    unsigned long count;
} reason_row_t;

static reason_row_t reasons[] = {
    { "own limit", "more than OCSP_REQUEST_MAX octets", is_too_large, 0 },
    { "own limit", "more than OCSP_IDS_MAX CertIDs", has_too_many, 0 },
    { "own limit", "more than 16 extensions in a list", has_long_list, 0 },
    { "X.690 10, 8", "BER that is not DER: lengths, constructed strings, order of encoding", is_not_der, 0 },
    { "X.690 11.1", "a BOOLEAN that is neither 00 nor ff", has_odd_boolean, 0 },
    { "RFC 6960 4.1.1", "a version other than v1", is_not_v1, 0 },
    { "RFC 6960 4.1.1", "an empty requestList", is_empty, 0 },
    { "RFC 6960 4.1.1", "issuer hashes that are not of their algorithm's length", has_wrong_hashes, 0 },
    { "RFC 5754 2, RFC 3370 2.1", "a hash algorithm with parameters other than NULL", has_hash_parameters, 0 },
    { "RFC 5280 4.1.2.9", "an empty list of extensions", has_empty_list, 0 },
    { "RFC 5280 4.2", "an extension of ours twice", has_duplicate, 0 },
    { "RFC 6960 4.1.2", "an unknown critical extension", has_unknown_critical, 0 },
    { "RFC 9654 2.1; RFC 6960 4.4.3, 4.4.7.1", "a nonce of no or over 128 octets, bad lists", has_bad_value, 0 },
    { "RFC 5280 4.1.1.3", "a signature that is not whole octets", has_bits_left, 0 },
    { NULL, NULL, NULL, 0 },
};

static void
print_reasons(void)
{
    for (const reason_row_t *row = reasons; row->is != NULL; row++) {
        fprintf(stderr, "refused by us alone %10lu: %s (%s)\n", row->count, row->what, row->clause);
    }
}

/* We refused it: OpenSSL, too, or there is a reason. */
static void
check_refusal(bytes_t in)
{
    static bool    registered;
    const uint8_t *p = in.p;
    uint8_t       *again = NULL;
    theirs_t       t = { .request = d2i_OCSP_REQUEST(NULL, &p, (long) in.len), .der = in };
    reason_row_t  *row = reasons;
    int            len;

    if (!registered) {
        registered = true;
        (void) atexit(print_reasons);
    }
    if (t.request != NULL && p == in.p + in.len) {
        len = i2d_OCSP_REQUEST(t.request, &again);
        t.again = bytes_of(again, len > 0 ? (size_t) len : 0);
        while (row->is != NULL && !row->is(&t)) {
            row++;
        }
        if (row->is == NULL) {
            abort();
        }
        row->count++;
    }
    OPENSSL_free(again);
    OCSP_REQUEST_free(t.request);
}

/* ---- what we accept ---- */

static void
must(bool good)
{
    if (!good) {
        abort();
    }
}

/* The request without its requestor's name and signature. */
static bytes_t
without_unread(const ocsp_request_t *r, uint8_t *mem)
{
    bytes_t tbs = r->tbs, value, skipped, part[3] = {BYTES_NONE, BYTES_NONE, BYTES_NONE};
    size_t  len = 0, at = 8;
    uint8_t head[4];

    must(der_take(&tbs, DER_SEQUENCE, "tbs", &value, NULL) == PKI_OK);
    if (der_peek(value, DER_CONTEXT_CONSTRUCTED(0))) {
        must(der_take_whole(&value, DER_CONTEXT_CONSTRUCTED(0), "version", &part[0], NULL) == PKI_OK);
    }
    if (der_peek(value, DER_CONTEXT_CONSTRUCTED(1))) {
        must(der_take(&value, DER_CONTEXT_CONSTRUCTED(1), "requestorName", &skipped, NULL) == PKI_OK);
    }
    part[1] = value;
    for (int i = 0; i < 2; i++) {
        if (part[i].len != 0) {
            memcpy(mem + at + len, part[i].p, part[i].len);
        }
        len += part[i].len;
    }
    for (int level = 0; level < 2; level++) { /* TBSRequest, OCSPRequest: 30 LL or 30 82 LL LL */
        size_t size = len < 0x80 ? 2 : len < 0x100 ? 3 : 4;

        head[0] = 0x30;
        head[1] = (uint8_t) (size == 2 ? len : 0x80 + size - 2);
        head[size - 1] = (uint8_t) len;
        if (size == 4) {
            head[2] = (uint8_t) (len >> 8);
        }
        at -= size;
        memcpy(mem + at, head, size);
        len += size;
    }
    return bytes_of(mem + at, len);
}

static void
check_id(const ocsp_cert_id_t *ours, OCSP_ONEREQ *theirs)
{
    ASN1_OCTET_STRING *name, *key;
    ASN1_INTEGER      *serial;
    OCSP_CERTID       *id = OCSP_onereq_get0_id(theirs);
    uint8_t           *der = NULL;
    int                len = i2d_OCSP_CERTID(id, &der);

    must(len > 0 && bytes_eq(bytes_of(der, (size_t) len), ours->whole));
    OPENSSL_free(der);
    OCSP_id_get0_info(&name, NULL, &key, &serial, id);
    must(bytes_eq(bytes_of(ASN1_STRING_get0_data(name), (size_t) ASN1_STRING_length(name)), ours->name_hash)
         && bytes_eq(bytes_of(ASN1_STRING_get0_data(key), (size_t) ASN1_STRING_length(key)), ours->key_hash));
    der = NULL;
    len = i2d_ASN1_INTEGER(serial, &der);
    must(len > 2 && (size_t) len >= ours->serial.len
         && memcmp(der + len - ours->serial.len, ours->serial.p, ours->serial.len) == 0);
    OPENSSL_free(der);
}

static void
check_nonce(const ocsp_request_t *r, OCSP_REQUEST *o)
{
    int                      at = OCSP_REQUEST_get_ext_by_NID(o, NID_id_pkix_OCSP_Nonce, -1);
    const ASN1_OCTET_STRING *data;

    must((at >= 0) == (r->nonce.p != NULL));
    if (at >= 0) {
        data = X509_EXTENSION_get_data(OCSP_REQUEST_get_ext(o, at));
        must(bytes_eq(bytes_of(ASN1_STRING_get0_data(data), (size_t) ASN1_STRING_length(data)), r->nonce));
    }
}

static void
check_request(const ocsp_request_t *r)
{
    uint8_t        mem[OCSP_REQUEST_MAX + 16], *again = NULL;
    bytes_t        in = without_unread(r, mem);
    const uint8_t *p = in.p;
    OCSP_REQUEST  *o = d2i_OCSP_REQUEST(NULL, &p, (long) in.len);
    int            len;

    must(o != NULL && p == in.p + in.len && (size_t) OCSP_request_onereq_count(o) == r->count);
    len = i2d_OCSP_REQUEST(o, &again);
    must(len > 0 && bytes_eq(bytes_of(again, (size_t) len), in));
    for (size_t i = 0; i < r->count; i++) {
        check_id(&r->id[i], OCSP_request_onereq_get0(o, (int) i));
    }
    check_nonce(r, o);
    OPENSSL_free(again);
    OCSP_REQUEST_free(o);
}

/* What the responder would sign with: one of its own, whatever the client wishes. */
static const pki_sigalg_t *
preferred(const ocsp_request_t *r, const ocsp_responder_t *responder)
{
    bytes_t             list = ocsp_preferred_list(r);
    const pki_sigalg_t *algorithm;
    ocsp_preferred_t    wish;
    size_t              left = list.len;

    while (ocsp_preferred_next(&list, &wish)) {
        must(list.len < left);
        left = list.len;
        algorithm = ocsp_preferred_match(&wish, responder);
        if (algorithm != NULL) {
            return algorithm;
        }
    }
    return responder->sigalg;
}

static void
check_answer(const ocsp_request_t *r)
{
    static const uint8_t id[] = "\xa2\x16\x04\x14kkkkkkkkkkkkkkkkkkkk",
                         signature[] = {0x30, 6, 2, 1, 1, 2, 1, 1};
    const ocsp_responder_t responder = { .by_key = bytes_of(id, sizeof(id) - 1), .kind = PKI_KEY_P256,
                                         .sigalg = pki_key_sigalg(PKI_KEY_P256), .not_after = 4000 };
    ocsp_single_t   single[OCSP_IDS_MAX];
    ocsp_data_t     data = { .responder_id = responder.by_key, .produced_at = 20, .singles = single,
                             .count = r->count, .nonce = r->nonce };
    uint8_t         mem[2 * OCSP_REQUEST_MAX], whole[3 * OCSP_REQUEST_MAX];
    pki_buf_t       tbs, out;
    const uint8_t  *p = whole;
    OCSP_RESPONSE  *o;
    OCSP_BASICRESP *basic;

    for (size_t i = 0; i < r->count; i++) {
        single[i] = (ocsp_single_t){.cert_id = r->id[i].whole,
                                    .status = (ocsp_cert_status_t) (i % 4),
                                    .reason = 1,
                                    .revoked_at = 5,
                                    .invalidity_at = 4,
                                    .this_update = 10,
                                    .next_update = 4000,
                                    .crl_url = BYTES_LIT("http://x/y.crl"),
                                    .crl_number = BYTES_LIT("\x01"),
                                    .archive_cutoff = 3,
                                    .cert_hash = BYTES_LIT("hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh")};
    }
    pki_buf_fixed(&tbs, mem, sizeof(mem));
    pki_buf_fixed(&out, whole, sizeof(whole));
    must(ocsp_tbs_build(&responder, &data, &tbs, NULL) == PKI_OK
         && ocsp_response_build(&responder, preferred(r, &responder), pki_buf_bytes(&tbs), BYTES_ARR(signature), &out,
                                NULL)
                == PKI_OK);
    o = d2i_OCSP_RESPONSE(NULL, &p, (long) out.len);
    basic = o != NULL && p == whole + out.len ? OCSP_response_get1_basic(o) : NULL;
    must(basic != NULL && (size_t) OCSP_resp_count(basic) == r->count);
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(o);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes_t        in = bytes_of(data, size);
    ocsp_request_t r;
    pki_code_t     rc = ocsp_request_parse(in, &r, NULL);

    if (rc == PKI_OK) {
        check_request(&r);
        check_answer(&r);
    } else {
        check_refusal(in);
    }
    ERR_clear_error();
    return 0;
}
