/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Inside of store/ only: what sealing and verifying read alike.
 */
#ifndef ORCHESTRATOR_STORE_SEAL_PART_H
#define ORCHESTRATOR_STORE_SEAL_PART_H

#include "orchestrator/store/conn.h"
#include "orchestrator/store/seal.h"

void seal_event_read(const db_rows_t *r, size_t row, audit_event_t *out);
void seal_head_read(const db_rows_t *rows, audit_signed_head_t *out); /* the first row */

#endif
