/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The audit's events, and the proofs that they are what they were.
 * Rows that still wait to be written are waited for, so that a caller finds its own calls.
 */
#include <errno.h>
#include <stdlib.h>

#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/seal.h"
#include "pkiproto/x509/pem.h"

#define FLUSH_WAIT_MS 1000
#define KEYS_MAX      (1u << 20)

pki_code_t
audit_list(req_t *r, pki_err_t *err)
{
    trail_flush(r->api->trail, FLUSH_WAIT_MS);
    return list_serve(r, err);
}

static pki_code_t
event_id(req_t *r, int64_t *out, pki_err_t *err)
{
    char *end;

    errno = 0;
    *out = strtoll(r->param[0], &end, 10);
    if (errno != 0 || end == r->param[0] || *end != '\0') {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "an audit event's id is a number");
    }
    return PKI_OK;
}

pki_code_t
audit_read(req_t *r, pki_err_t *err)
{
    int64_t id;

    PKI_TRY(event_id(r, &id, err));
    trail_flush(r->api->trail, FLUSH_WAIT_MS);
    return row_answer(r, pki_printf(r->a, "%lld", (long long) id), err);
}

const shape_t shape_audit_head = SHAPE("AuditHead", audit_signed_head_t, audit_signed_head_fields);
const shape_t shape_audit_proof = SHAPE("AuditProof", audit_proof_t, audit_proof_fields);
const shape_t shape_audit_consistency = SHAPE("AuditConsistency", audit_consistency_t, audit_consistency_fields);

typedef struct {
    int64_t first, second;
} sizes_t;

/* clang-format off */
static const field_t sizes_fields[] = {
    FIELD_INT(sizes_t, first,  0, "1", 1, INT64_MAX / 2, "size of the older tree"),
    FIELD_INT(sizes_t, second, 0, "1", 1, INT64_MAX / 2, "size of the newer tree"),
    FIELD_END };
/* clang-format on */
const shape_t shape_audit_sizes = SHAPE("AuditSizes", sizes_t, sizes_fields);

pki_code_t
audit_head_get(req_t *r, pki_err_t *err)
{
    audit_signed_head_t head;

    PKI_TRY(seal_head(r->api->parts.db, r->a, &head, err));
    return answer_struct(r, &head, err);
}

pki_code_t
audit_proof_get(req_t *r, pki_err_t *err)
{
    audit_proof_t proof = { 0 };
    int64_t       id;

    PKI_TRY(event_id(r, &id, err));
    PKI_TRY(seal_proof(r->api->parts.db, r->a, id, &proof, err));
    return answer_struct(r, &proof, err);
}

pki_code_t
audit_consistency_get(req_t *r, pki_err_t *err)
{
    const sizes_t      *in = r->query;
    audit_consistency_t out = { .first = in->first, .second = in->second };

    PKI_TRY(seal_consistency(r->api->parts.db, r->a, &out, err));
    return answer_struct(r, &out, err);
}

/* All that ever signed, oldest first. */
pki_code_t
audit_key_get(req_t *r, pki_err_t *err)
{
    bytes_t  *spki;
    size_t    count;
    pki_buf_t out;

    PKI_TRY(seal_keys(r->api->parts.db, r->a, &spki, &count, err));
    pki_buf_init(&out, r->a, KEYS_MAX);
    pki_buf_put(&out, BYTES_LIT(""));
    for (size_t i = 0; i < count; i++) {
        PKI_TRY(pem_put(&out, "PUBLIC KEY", spki[i], err));
    }
    PKI_TRY(pki_buf_check(&out, "keys in PEM", err));
    return answer_octets(r, "text/plain", count > 0 ? pki_buf_bytes(&out) : bytes_of("", 0), err);
}
