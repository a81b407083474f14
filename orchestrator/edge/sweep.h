/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Removing files that no record names any more, a grace time after that was first seen: a worker may be
 * about to open what an older record named.
 */
#ifndef ORCHESTRATOR_EDGE_SWEEP_H
#define ORCHESTRATOR_EDGE_SWEEP_H

#include "pkiproto/base/bytes.h"
#include "pkiproto/json/field.h"

typedef struct {
    struct sweep_file {
        char    name[256];
        int64_t since_us; /* monotonic */
        bool    seen;     /* in this run */
    }     *v;
    size_t count, cap;
} sweep_t;

/* Delete what in dir is not in keep and was not for grace_s seconds; returns how many went. */
size_t sweep_run(sweep_t *s, const char *dir, const str_list_t *keep, int64_t grace_s);
void   sweep_free(sweep_t *s);

#endif
