/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The JSON error body: {"error": {"code", "message", "request_id", "clause", "fields": [{"field", "text"}]}}.
 */
#ifndef ORCHESTRATOR_API_ERROR_H
#define ORCHESTRATOR_API_ERROR_H

#include "pkiproto/json/field.h"

/* "not_found": the name in errors.inc in lower case, in the caller's memory. */
#define ERROR_NAME_MAX 32
const char *error_name(pki_code_t code, char out[ERROR_NAME_MAX]);

/*
 * The body in the arena; absent when out of memory.  What went wrong inside (500) is not told: the
 * message is then the code's stable text, and the log has the rest under the request id.
 */
bytes_t error_body(pki_arena_t *a, pki_code_t code, const pki_err_t *err, const char *request_id,
                   const field_problems_t *problems);

extern const field_t error_fields[]; /* for OpenAPI */

#endif
