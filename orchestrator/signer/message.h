/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Messages between the orchestrator and the signer: fixed big-endian header and then the octets that its
 * lengths announce.  A request is a datagram; a datagram of answers may have several, one after the other,
 * which wakes their reader once.
 *
 * Every signer process has a random epoch, told by its HELLO.  A request carries the epoch of the
 * signer it was meant for; a signer drops requests of another epoch, since the client sends them again
 * when it learns of the new one.  So no request runs twice in one signer.
 */
#ifndef ORCHESTRATOR_SIGNER_MESSAGE_H
#define ORCHESTRATOR_SIGNER_MESSAGE_H

#include "orchestrator/signer/signer.h"
#include "pkiproto/base/buf.h"

typedef enum {
    SIGNER_OP_NONE = 0,
    SIGNER_OP_HELLO,        /* asked: who are you?  Answered, and sent once by a signer that starts */
    SIGNER_OP_KEY_MAKE,     /* ref, name = kind; answer: SPKI */
    SIGNER_OP_KEY_PUBLIC,   /* ref; answer: SPKI */
    SIGNER_OP_SIGN_CERT,    /* ref, issuer_no, name = serial, body = TBS; answer: signature */
    SIGNER_OP_SIGN_CRL,     /* ref, issuer_no, name = number, body = digest or a descriptor; answer: signature */
    SIGNER_OP_SIGN_HEAD,    /* ref, body = a head of the audit's tree; answer: signature */
    SIGNER_OP_JOURNAL_INFO, /* answer: id, position = end */
    SIGNER_OP_JOURNAL_READ, /* position, max; answer: count entries */
    SIGNER_OP_COUNT_
} signer_op_t;

#define SIGNER_EPOCH_OFFSET 8 /* of the epoch in a request, for sending it again */
#define SIGNER_REQUEST_LEN  52 /* octets of a request before its parts */
#define SIGNER_ANSWER_LEN   52 /* and of an answer */
#define SIGNER_MESSAGE_MAX  (SIGNER_TBS_MAX + 4096)

typedef struct {
    signer_op_t op;
    uint32_t    issuer_no, max;
    uint64_t    epoch, client, id, position;
    bytes_t     ref, name, body; /* borrowed from the input */
} signer_request_t;

typedef struct {
    signer_op_t op;
    pki_code_t  code;  /* otherwise body is the error text */
    uint32_t    count;
    uint64_t    epoch, client, id, position;
    uint64_t    syncs; /* of this signer process so far */
    bytes_t     body;  /* borrowed from the input */
} signer_answer_t;

void signer_request_build(const signer_request_t *r, pki_buf_t *out);

/* On failure epoch, client and id are what the header said (0 when there is none), so that there can be an answer. */
pki_code_t signer_request_parse(bytes_t in, signer_request_t *out, pki_err_t *err);

void       signer_answer_build(const signer_answer_t *r, pki_buf_t *out);
pki_code_t signer_answer_take(bytes_t *in, signer_answer_t *out, pki_err_t *err);

/* Journal entries in the body of an answer, one after the other. */
void       signer_entry_build(const signer_journal_entry_t *e, pki_buf_t *out);
size_t     signer_entry_size(const signer_journal_entry_t *e);
pki_code_t signer_entry_take(bytes_t *in, signer_journal_entry_t *out, pki_err_t *err);

/*
 * The signer's own look at what it is asked to sign: a v3 TBSCertificate in DER with exactly this
 * serial (positive, at most 20 octets) and the signature algorithm of the key, and nothing after it.
 */
pki_code_t signer_tbs_check(bytes_t tbs, bytes_t serial, const pki_sigalg_t *sigalg, pki_err_t *err);

#endif
