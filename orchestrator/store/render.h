/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Inside of store/ only: values of a row as the JSON that json_build_object() makes of them, octet for octet, so that an
 * answer and its ETag are the same by either way.  PostgreSQL needs twice the time for it that it needs to read the row.
 */
#ifndef ORCHESTRATOR_STORE_RENDER_H
#define ORCHESTRATOR_STORE_RENDER_H

#include "orchestrator/store/conn.h"

typedef void (*render_pt)(bytes_t in, pki_buf_t *out);

/* How a column's values are rendered: of the types that resources have; others are a mistake of this program, and end it. */
render_pt render_of(const db_rows_t *r, size_t column);
void      render_value(const db_rows_t *r, size_t row, size_t column, render_pt put, pki_buf_t *out);

#endif
