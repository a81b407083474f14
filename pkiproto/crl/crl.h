/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Certificate revocation lists (RFC 5280 section 5): a streaming writer for millions of entries.
 *
 * crl_new(); crl_add() for each entry; crl_seal() fixes the header and gives what is to be signed;
 * crl_write() emits the finished list through a sink.  Entries are held once, encoded (about 40 octets
 * each), in blocks of their own; peak memory is that and one block.
 *
 * A list that differs little from an earlier one is made from it: crl_merge() takes what stays over where it lies
 * (a mapped file) and holds only what is new.
 */
#ifndef PKI_CRL_CRL_H
#define PKI_CRL_CRL_H

#include "pkiproto/x509/cert.h"

typedef struct {
    bytes_t             issuer; /* whole Name */
    const pki_sigalg_t *sigalg;
    int64_t             this_update, next_update;
    bytes_t             akid;   /* 20 octets */
    bytes_t             number; /* INTEGER contents octets, canonical */
    bytes_t             idp;    /* whole IssuingDistributionPoint; absent: none */
    bytes_t             base_number; /* INTEGER contents octets: makes it a delta CRL; absent: full */
    const char         *freshest_url; /* NULL: none */
    const char         *ca_issuers_url; /* NULL: none */
    int64_t             next_publish;   /* when the next list is planned (Microsoft); 0: not said */
    int64_t             expired_since;  /* expiredCertsOnCRL: those that ended then or later are in; 0: not said */
} crl_template_t;

/* A whole IssuingDistributionPoint that names a URL; its octets are those of a certificate's distribution point. */
void crl_idp_put(pki_buf_t *b, const char *url);

typedef struct {
    bytes_t serial; /* INTEGER contents octets as in the certificate */
    int64_t revoked_at;
    int     reason;        /* CRLReason; 0 and -1 are not encoded */
    int64_t invalidity_at; /* 0: none */
} crl_entry_t;

typedef struct crl crl_t;

/* Told what has been walked and is not needed for the moment; NULL: nobody wants to know. */
typedef void (*crl_passed_pt)(void *arg, bytes_t walked);

crl_t     *crl_new(void); /* NULL when out of memory */
void       crl_free(crl_t *crl);
/* INVALID: an invalidity date after the revocation.  That no serial comes twice is the caller's to see to. */
pki_code_t crl_add(crl_t *crl, const crl_entry_t *entry, pki_err_t *err);
size_t     crl_count(const crl_t *crl);

/* One entry as it is in a list; the same refusals. */
#define CRL_ENTRY_MAX 96 /* serial 22, time 17, reason 12, invalidity date 26, two headers 4 */
pki_code_t crl_entry_encode(const crl_entry_t *entry, uint8_t out[CRL_ENTRY_MAX], size_t *len, pki_err_t *err);

/* Encoded entries of a full list, of which none was revoked after `latest`.  They stay where they are. */
pki_code_t crl_add_run(crl_t *crl, bytes_t run, size_t count, int64_t latest, pki_err_t *err);

/*
 * The entries of an earlier full list with changes, both in the order of serials.  A change replaces the entry of its
 * serial or adds it, or takes it away when `listed` is false.  PARSE when the entries are not in order.
 */
typedef struct {
    crl_entry_t entry;
    bool        listed;
} crl_change_t;
typedef struct {
    size_t added, replaced, removed; /* a change that takes away what is not there is none of these */
} crl_merged_t;
pki_code_t crl_merge(crl_t *crl, bytes_t entries, int64_t latest, const crl_change_t *changes, size_t count,
                     crl_passed_pt passed, void *arg, crl_merged_t *out, pki_err_t *err);

/*
 * Encode the header around the entries.  The slices of *t need live only during the call.  INVALID when
 * an entry was revoked after this_update, or when removeFromCRL is in a list that is not a delta.  May be
 * called again; no entry may be added after it.
 */
pki_code_t crl_seal(crl_t *crl, const crl_template_t *t, pki_err_t *err);

/* Digest of the whole TBSCertList with the template's digest algorithm (refused for Ed25519: no digest). */
pki_code_t crl_digest(const crl_t *crl, crl_passed_pt passed, void *arg, uint8_t *out, size_t cap, size_t *len,
                      pki_err_t *err);

/* Emit octets in order, at most CRL_SINK_MAX at a time; a sink returns a code, which ends the writing. */
#define CRL_SINK_MAX ((size_t) 1 << 20)
typedef pki_code_t (*crl_sink_pt)(void *arg, bytes_t data, pki_err_t *err);
pki_code_t crl_tbs_write(const crl_t *crl, crl_sink_pt sink, void *arg, pki_err_t *err);
pki_code_t crl_write(const crl_t *crl, bytes_t signature, crl_sink_pt sink, void *arg, pki_err_t *err);
size_t     crl_tbs_size(const crl_t *crl);

/* Reading one, for checks before publication and for tests; entries are visited in place. */
typedef struct {
    bytes_t tbs, issuer, algorithm, signature, akid, number;
    bytes_t idp, base_number; /* both are critical in a CRL that has them; absent otherwise */
    bytes_t freshest; /* whole CRLDistributionPoints; absent when there is none */
    int64_t this_update, next_update;
    bytes_t entries; /* contents of revokedCertificates; absent when the field is */
} crl_view_t;
pki_code_t crl_parse(bytes_t der, crl_view_t *out, pki_err_t *err);
pki_code_t crl_entry_next(bytes_t *entries, crl_entry_t *out, pki_err_t *err); /* serial.p NULL at the end */

/* CRLReason by name as the API spells it ("keyCompromise", ...); -1 for an unknown one. */
int         crl_reason_parse(const char *name);
const char *crl_reason_name(int reason); /* NULL for an unknown one */

#endif
