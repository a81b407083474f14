/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The edge's enrolment hop: pkiproto/edge/enrol.h over HTTP on the edge socket.
 */
#include <stdio.h>

#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"

const shape_t shape_enrol_request = SHAPE("EnrolRequest", enrol_request_t, enrol_request_fields);
const shape_t shape_enrol_answer = SHAPE("EnrolAnswer", enrol_answer_t, enrol_answer_fields);

pki_code_t
enrol_serve(req_t *r, pki_err_t *err)
{
    const enrol_request_t *in = r->in;
    enrol_answer_t         out = { 0 };

    if (in->request_id != NULL && request_id_valid(in->request_id)) {
        snprintf(r->id, sizeof(r->id), "%s", in->request_id);
    }
    PKI_TRY(issue_enrol(r->api->parts.issue, r->a, in, &out, err));
    return answer_struct(r, &out, err);
}
