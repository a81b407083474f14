/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The API's description (docs/openapi.json, OpenAPI 3.1), which is a part of the program.
 */
#ifndef CLI_DOCUMENT_H
#define CLI_DOCUMENT_H

#include "pkiproto/json/field.h"

bytes_t document_text(void);

/* What a schema says, "$ref" followed; an empty object when it leads nowhere. */
const json_t *document_schema(const json_t *document, const json_t *schema);

/* The schema of a member, looked for in the alternatives of anyOf too; NULL: there is none of that name. */
const json_t *document_member(const json_t *document, const json_t *schema, const char *name);

/* Whether one of its types is that. */
bool schema_is(const json_t *schema, const char *type);

/* Text of a member, or "". */
const char *json_text(const json_t *object, const char *name);

#endif
