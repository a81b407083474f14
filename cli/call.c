/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * JSON is shown as it came or as text; everything else goes through as it comes: downloads, exports, events.
 */
#include <stdio.h>
#include <unistd.h>

#include "cli/call.h"
#include "cli/table.h"

#define TEXT_MAX (256u << 20)

pki_code_t
answer_show(app_t *app, const json_t *schema, bytes_t body, out_t *out, pki_err_t *err)
{
    JSON_AUTO json = NULL;
    pki_buf_t text;

    if (body.len == 0) {
        return PKI_OK;
    }
    if (app->json || schema == NULL) {
        PKI_TRY(out_put(out, body, err));
        return body.p[body.len - 1] == '\n' ? PKI_OK : out_put(out, BYTES_LIT("\n"), err);
    }
    PKI_TRY(json_parse(body, &json, err));
    pki_buf_init(&text, app->a, TEXT_MAX);
    object_print(app->a, app->document, schema, json, 0, &text);
    PKI_TRY(pki_buf_check(&text, "the answer", err));
    return out_put(out, pki_buf_bytes(&text), err);
}

static pki_code_t
pass_on(void *arg, bytes_t piece, pki_err_t *err)
{
    PKI_TRY(out_put(arg, piece, err));
    return fflush(stdout) == 0 ? PKI_OK : pki_fail(err, PKI_E_IO, NULL, "standard output cannot be written");
}

static bool
is_asked(const app_t *app, const call_t *call)
{
    char question[256];

    if (!call->command->is_destructive || app->options.yes) {
        return true;
    }
    snprintf(question, sizeof(question), "%s %.120s", call->command->method, call->path);
    return app_confirm(app, question);
}

/* The job's id: "job_id", or the answer is the job. */
static const char *
job_of(pki_arena_t *a, bytes_t body)
{
    JSON_AUTO   json = NULL;
    const char *id;

    json_parse(body, &json, NULL);
    id = json_text(json, json_object_get(json, "job_id") != NULL ? "job_id" : "id");
    return id[0] != '\0' ? pki_strdup(a, id) : NULL;
}

/* Octets that are no text would upset a terminal. */
static bool
upsets_terminal(const call_t *call)
{
    static const char *const texts[] = { "text/", "json", "pem" };

    if (call->command->row != NULL || call->command->accept[0] == '\0' || call->output != NULL || !isatty(STDOUT_FILENO)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strstr(call->command->accept, texts[i]) != NULL) {
            return false;
        }
    }
    return true;
}

static app_exit_t
one_run(app_t *app, call_t *call, out_t *out)
{
    bool          streams = call->command->row == NULL;
    http_answer_t answer;
    pki_err_t     err = { 0 };
    const char   *job;

    if (client_send(app, app->a, call, streams ? pass_on : NULL, out, &answer, &err) != PKI_OK) {
        return app_failed(&err);
    }
    if (answer.status < 200 || answer.status > 299) {
        /* "not ready" is an answer of its own: it is not the form of refusals. */
        if (answer.status == 503 && call->command->row != NULL
            && memmem(answer.body.p, answer.body.len, "\"checks\"", 8) != NULL) {
            return answer_show(app, call->command->row, answer.body, out, &err) == PKI_OK ? APP_SERVER : app_failed(&err);
        }
        return client_refused(app, call->command, &answer);
    }
    job = call->wait ? job_of(app->a, answer.body) : NULL;
    if (job != NULL) {
        return job_wait(app, job, out);
    }
    return answer_show(app, call->command->row, answer.body, out, &err) == PKI_OK ? APP_OK : app_failed(&err);
}

app_exit_t
call_run(app_t *app, call_t *call)
{
    pki_err_t  err = { 0 };
    app_exit_t status = client_open(app);
    out_t      out;

    if (status != APP_OK) {
        return status;
    }
    if (upsets_terminal(call)) {
        return app_fail(APP_USAGE, "the answer is no text: write it to a file with --output FILE");
    }
    if (!is_asked(app, call)) {
        return app_fail(APP_REFUSED, "nothing was done");
    }
    if (out_open(call->output, &out, &err) != PKI_OK) {
        return app_failed(&err);
    }
    status = call->command->is_list ? list_run(app, call, &out) : one_run(app, call, &out);
    if (status == APP_OK && out_close(&out, &err) != PKI_OK) {
        return app_failed(&err);
    }
    if (status != APP_OK && !out.is_file) {
        fflush(stdout);
    }
    out_abandon(&out);
    return status;
}
