/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A command of the API: asked for, sent, shown.
 */
#ifndef CLI_CALL_H
#define CLI_CALL_H

#include "cli/client.h"
#include "cli/out.h"

app_exit_t call_run(app_t *app, call_t *call);

/* Every page of a list, or the one that was asked for (list.c). */
app_exit_t list_run(app_t *app, call_t *call, out_t *out);

/* Until the job has ended, with its progress on a terminal's standard error (job.c).  The job is what is shown. */
app_exit_t job_wait(app_t *app, const char *id, out_t *out);

/* An answer's JSON as --format says. */
pki_code_t answer_show(app_t *app, const json_t *schema, bytes_t body, out_t *out, pki_err_t *err);

#endif
