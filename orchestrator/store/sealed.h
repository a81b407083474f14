/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Every column that holds sealed values, for whoever seals them anew.  A table with such a column has a row in sealed.c.
 */
#ifndef ORCHESTRATOR_STORE_SEALED_H
#define ORCHESTRATOR_STORE_SEALED_H

#include "orchestrator/store/db.h"

typedef struct {
    const char *id;    /* of the row */
    const char *place; /* what the value is sealed for */
    bytes_t     sealed;
} sealed_row_t;

/* What the kinds are called: "issuer secrets"; NULL at the end. */
const char *sealed_kind(size_t kind);

/* At most max values of a kind that are sealed with another key, after a row ("": from the first). */
pki_code_t sealed_list(db_t *db, pki_arena_t *a, size_t kind, bytes_t key_id, const char *after, size_t max,
                       sealed_row_t **out, size_t *count, pki_err_t *err);

/* *done is false when the value has changed meanwhile. */
pki_code_t sealed_replace(db_t *db, size_t kind, const sealed_row_t *row, bytes_t fresh, bool *done, pki_err_t *err);

#endif
