/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Requests to the API, with the key, and what refusals look like to people.
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "cli/args.h"

/* A client for --server; what is wrong with the options is told.  Done once a run. */
app_exit_t client_open(app_t *app);

/* query may be NULL.  With a sink an answer of 2xx goes there. */
pki_code_t client_send(app_t *app, pki_arena_t *a, const call_t *call, http_sink_pt sink, void *arg, http_answer_t *out,
                       pki_err_t *err);

/* GET path?query, a 200, as JSON; NOT_FOUND, FORBIDDEN ... as the API has it. */
pki_code_t client_get(app_t *app, pki_arena_t *a, const char *path, json_t **out, pki_err_t *err);

/* The same for any call: *out is NULL when the answer has no body. */
pki_code_t client_call(app_t *app, pki_arena_t *a, const char *method, const char *path, const json_t *body, json_t **out,
                       pki_err_t *err);

/* What the API said against it, every wrong field by the name of its flag.  c may be NULL. */
app_exit_t client_refused(const app_t *app, const command_t *c, const http_answer_t *answer);

#endif
