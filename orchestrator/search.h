/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The thread that makes new and changed certificates searchable.
 */
#ifndef ORCHESTRATOR_SEARCH_H
#define ORCHESTRATOR_SEARCH_H

#include "orchestrator/store/db.h"

typedef struct search search_t;

pki_code_t search_open(db_t *db, search_t **out, pki_err_t *err);
void       search_close(search_t *s); /* accepts NULL */

#endif
