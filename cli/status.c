/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * `status` and `version`: a few answers together.  What the API has no route for is left out.
 */
#include <stdio.h>

#include "cli/call.h"
#include "cli/own.h"
#include "cli/table.h"

#define TEXT_MAX 1048576

typedef struct {
    const char *name, *path;
    bool        keyed; /* without a key it is not asked for */
} part_t;

static const part_t status_parts[] = {
    { "version", "/api/v1/version", false },
    { "ready", "/ready", false },
    { "summary", "/api/v1/stats/summary", true },
};

/* The answer under its name; 503 of /ready is an answer too. */
static app_exit_t
part_get(app_t *app, const part_t *part, json_t *into)
{
    const command_t *c = command_of_path(&app->commands, "GET", part->path);
    call_t           call = { .command = c, .path = part->path };
    http_answer_t    answer;
    pki_err_t        err = { 0 };
    json_t          *json = NULL;
    bool             ready = strcmp(part->path, "/ready") == 0;

    if (c == NULL || (part->keyed && app->options.api_key == NULL)) {
        return APP_OK;
    }
    if (client_send(app, app->a, &call, NULL, NULL, &answer, &err) != PKI_OK) {
        return app_failed(&err);
    }
    if (answer.status == 403 && part->keyed) {
        return APP_OK; /* this key may not see it */
    }
    if ((answer.status != 200 && !(ready && answer.status == 503)) || json_parse(answer.body, &json, &err) != PKI_OK) {
        return client_refused(app, c, &answer);
    }
    json_object_set_new(into, part->name, json);
    return answer.status == 200 ? APP_OK : APP_SERVER;
}

static void
ready_put(const json_t *ready, pki_buf_t *out)
{
    const json_t *each;
    size_t        i;

    pki_buf_printf(out, "ready      %s\n", strcmp(json_text(ready, "status"), "ready") == 0 ? "yes" : "no");
    json_array_foreach(json_object_get(ready, "checks"), i, each) {
        pki_buf_printf(out, "  %-12s %s\n", json_text(each, "name"),
                       json_is_true(json_object_get(each, "ok")) ? "ok" : json_text(each, "text"));
    }
}

static app_exit_t
json_show(const json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);

    if (text != NULL) {
        puts(text);
    }
    free(text);
    return text != NULL ? APP_OK : app_fail(APP_REFUSED, "out of memory");
}

static app_exit_t
text_show(pki_buf_t *text)
{
    pki_err_t err = { 0 };

    if (pki_buf_check(text, "the answer", &err) != PKI_OK) {
        return app_failed(&err);
    }
    fwrite(text->p, 1, text->len, stdout);
    return APP_OK;
}

app_exit_t
status_run(app_t *app, const own_t *own, const own_args_t *args)
{
    JSON_AUTO  all = json_object();
    app_exit_t status = client_open(app), worst = APP_OK;
    pki_buf_t  text;

    (void) own;
    (void) args;
    for (size_t i = 0; i < sizeof(status_parts) / sizeof(status_parts[0]) && status == APP_OK; i++) {
        app_exit_t one = part_get(app, &status_parts[i], all);

        worst = one > worst ? one : worst;
        status = one == APP_UNREACHABLE ? one : APP_OK;
    }
    if (status != APP_OK) {
        return status;
    }
    if (app->json) {
        json_show(all);
        return worst;
    }
    pki_buf_init(&text, app->a, TEXT_MAX);
    pki_buf_printf(&text, "server     %s\nversion    %s\n", app->options.server != NULL ? app->options.server : app->base,
                   json_text(json_object_get(all, "version"), "version"));
    ready_put(json_object_get(all, "ready"), &text);
    if (json_object_get(all, "summary") != NULL) {
        pki_buf_printf(&text, "summary\n");
        object_print(app->a, app->document, NULL, json_object_get(all, "summary"), 2, &text);
    }
    text_show(&text);
    return worst;
}

app_exit_t
version_run(app_t *app, const own_t *own, const own_args_t *args)
{
    JSON_AUTO   all = json_pack("{ss}", "client", CHANCERY_VERSION);
    part_t      part = { "server", "/api/v1/version", false };
    app_exit_t  status;

    (void) own;
    (void) args;
    if (!app->json) {
        printf("chancery %s\n", CHANCERY_VERSION);
        fflush(stdout);
    }
    status = client_open(app);
    if (status == APP_OK) {
        status = part_get(app, &part, all);
    }
    if (app->json) {
        json_show(all);
    } else if (status == APP_OK) {
        printf("server   %s\n", json_text(json_object_get(all, "server"), "version"));
    }
    return status;
}
