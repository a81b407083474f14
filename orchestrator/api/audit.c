/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The audit's list.  Rows that still wait to be written are waited for, so that a caller finds its own calls.
 */
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"

#define FLUSH_WAIT_MS 1000

pki_code_t
audit_list(req_t *r, pki_err_t *err)
{
    trail_flush(r->api->trail, FLUSH_WAIT_MS);
    return list_serve(r, err);
}
