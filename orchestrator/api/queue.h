/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A bounded queue with its worker threads.
 */
#ifndef ORCHESTRATOR_API_QUEUE_H
#define ORCHESTRATOR_API_QUEUE_H

#include "pkiproto/base/err.h"

#define QUEUE_WAIT_US 450000 /* a request that waited longer for a worker gets 503 */

typedef struct queue queue_t;

typedef void (*queue_work_pt)(void *item, void *arg);

pki_code_t queue_open(size_t workers, size_t depth, queue_work_pt fn, void *arg, queue_t **out, pki_err_t *err);

/* false when it is full or closing. */
bool queue_put(queue_t *q, void *item);

size_t queue_length(queue_t *q); /* waiting */

/* Finish what is queued and end the workers; queue_put() says no from then on. */
void queue_stop(queue_t *q);
void queue_free(queue_t *q); /* stopped before; accepts NULL */

#endif
