/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The OpenAPI document as a JSON value, for printing and for tests.
 */
#ifndef ORCHESTRATOR_API_OPENAPI_H
#define ORCHESTRATOR_API_OPENAPI_H

#include <jansson.h>

json_t *openapi_document(void); /* a new object, NULL when out of memory */

#endif
