/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Inside of store/ only: what the tables of resource*.c have in common.  Sort keys are never null.
 */
#ifndef ORCHESTRATOR_STORE_RESOURCE_H
#define ORCHESTRATOR_STORE_RESOURCE_H

#include "orchestrator/store/list.h"

/* Rows of tables say what they need; what most of them do without is last, and zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define END { .name = NULL }

#define REASON_NAME(column)                                                                                            \
    "(ARRAY['unspecified', 'keyCompromise', 'cACompromise', 'affiliationChanged', 'superseded', "                      \
    "'cessationOfOperation', 'certificateHold', NULL, 'removeFromCRL', 'privilegeWithdrawn', "                         \
    "'aACompromise'])"                                                                                                 \
    "[" column " + 1]"

#define RFC3339(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"

#endif
