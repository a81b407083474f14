/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this folder share: the API as a whole.
 */
#ifndef ORCHESTRATOR_API_SERVER_H
#define ORCHESTRATOR_API_SERVER_H

#include <stdatomic.h>

#include "core/password.h"
#include "orchestrator/api/auth.h"
#include "orchestrator/api/chores.h"
#include "orchestrator/api/events.h"
#include "orchestrator/api/hop.h"
#include "orchestrator/api/idempotency.h"
#include "orchestrator/api/identity.h"
#include "orchestrator/api/keeper.h"
#include "orchestrator/api/metrics.h"
#include "orchestrator/api/queue.h"
#include "orchestrator/api/request.h"
#include "orchestrator/api/rows.h"
#include "orchestrator/api/sealer.h"
#include "orchestrator/api/stream.h"
#include "orchestrator/api/throttle.h"
#include "orchestrator/api/trail.h"

/* The API's listening socket with its I/O thread. */
typedef struct {
    api_t             *api;
    int                fd; /* -1: not ours any more */
    struct MHD_Daemon *daemon;
} face_t;

struct api {
    api_parts_t  parts;
    queue_t     *queue;
    metrics_t   *metrics;
    trail_t     *trail;
    identity_cache_t *identities;
    passwords_t *passwords;
    throttle_t  *throttle;
    idempotency_t *idempotency;
    events_t    *events;
    streams_t   *streams;
    keeper_t    *keeper;
    sealer_t    *sealer;
    chores_t    *chores;
    face_t       face;
    hop_t       *hop;
    rows_t      *rows;
    int64_t      opened_us; /* monotonic */
    atomic_int   active; /* requests that have begun and are not yet answered */
    atomic_bool  draining;
};

#endif
