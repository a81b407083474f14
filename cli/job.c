/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Waiting for a job.
 */
#include <stdio.h>
#include <unistd.h>

#include "cli/call.h"

#define LOOK_FIRST_US 100000
#define LOOK_MOST_US  2000000

/* What a job can end as, and what that is for whoever waits. */
static const struct {
    const char *status;
    app_exit_t  exit;
} ends[] = {
    { "Completed", APP_OK },
    { "Failed", APP_REFUSED },
    { "Cancelled", APP_REFUSED },
};

static bool
job_ended(const json_t *job, app_exit_t *status)
{
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        if (strcmp(ends[i].status, json_text(job, "status")) == 0) {
            *status = ends[i].exit;
            return true;
        }
    }
    return false;
}

static void
job_progress(const json_t *job, bool end)
{
    json_int_t done = json_integer_value(json_object_get(job, "done")) + json_integer_value(json_object_get(job, "skipped"))
                      + json_integer_value(json_object_get(job, "failed"));

    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r%s: %lld of %lld%s", json_text(job, "status"), (long long) done,
                (long long) json_integer_value(json_object_get(job, "total")), end ? "\n" : "        ");
    }
}

static app_exit_t
job_show(app_t *app, const json_t *job, out_t *out, app_exit_t status)
{
    const command_t *c = command_of_path(&app->commands, "GET", "/api/v1/jobs/{id}");
    char            *text = json_dumps(job, JSON_COMPACT);
    pki_err_t        err = { 0 };
    pki_code_t       code = text == NULL ? pki_fail(&err, PKI_E_NOMEM, NULL, "out of memory")
                                         : answer_show(app, c != NULL ? c->row : NULL, bytes_str(text), out, &err);

    free(text);
    if (code == PKI_OK && status != APP_OK) {
        app_fail(status, "the job has ended as %s %s", json_text(job, "status"), json_text(job, "last_error"));
    }
    return code == PKI_OK ? status : app_failed(&err);
}

app_exit_t
job_wait(app_t *app, const char *id, out_t *out)
{
    const char *path = pki_printf(app->a, "/api/v1/jobs/%s", http_escape(app->a, bytes_str(id)));
    useconds_t  pause_us = LOOK_FIRST_US;

    for (;;) {
        pki_arena_t *a = pki_arena_new(0);
        JSON_AUTO    job = NULL;
        pki_err_t    err = { 0 };
        app_exit_t   status = APP_OK;
        pki_code_t   code = a != NULL && path != NULL ? client_get(app, a, path, &job, &err) : PKI_E_NOMEM;
        bool         ended = code == PKI_OK && job_ended(job, &status);

        pki_arena_free(a);
        if (code != PKI_OK && !pki_code_retryable(code)) {
            return app_failed(&err);
        }
        if (code == PKI_OK) {
            job_progress(job, ended);
        }
        if (ended) {
            return job_show(app, job, out, status);
        }
        usleep(pause_us);
        pause_us = pause_us * 2 < LOOK_MOST_US ? pause_us * 2 : LOOK_MOST_US;
    }
}
