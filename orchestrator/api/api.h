/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The orchestrator's faces, all on unix sockets behind nginx: the management API (/api/v1/..., /health, /ready) over HTTP
 * (libmicrohttpd), and in frames its GETs of single rows and the edge's enrolment hop.
 * The API's I/O thread never blocks: a request is parsed, suspended, run by a worker, and resumed.  Enrolments and rows
 * have threads that serve many of them at a time.
 */
#ifndef ORCHESTRATOR_API_API_H
#define ORCHESTRATOR_API_API_H

#include "core/seal.h"
#include "orchestrator/job/job.h"

typedef struct {
    const conf_t *conf;
    db_t         *db;
    signer_t     *signer;
    edge_t       *edge;
    issue_t      *issue;
    jobs_t       *jobs;
    keyring_t    *keyring; /* seals secrets in the database */
} api_parts_t;

typedef struct api api_t;

/* Listen and start threads.  *parts must outlive the API. */
pki_code_t api_open(const api_parts_t *parts, api_t **out, pki_err_t *err);
void       api_drain(api_t *api, int64_t wait_s); /* stop accepting, finish what is running */
void       api_close(api_t *api);

/* OpenAPI 3.1 of the route table as JSON text on stdout (`chanceryd openapi`); exit status. */
int api_openapi_print(void);

/* Make an API key with all rights and print it once (`chanceryd bootstrap-key`); exit status. */
int api_bootstrap_key(const conf_t *conf, const char *name);

#endif
