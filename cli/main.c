/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * chancery: the operator's command.  Words name a command of ours or an operation of the API; what they mean is in
 * tables.
 */
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/args.h"
#include "cli/call.h"
#include "cli/help.h"
#include "cli/options.h"
#include "cli/own.h"

#define WIDTH_LEAST 40

static pki_code_t
app_open(app_t *app, pki_err_t *err)
{
    json_t        *document;
    struct winsize size;

    app->a = pki_arena_new(0);
    if (app->a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    PKI_TRY(json_parse(document_text(), &document, err));
    app->document = document;
    options_from_environment(&app->options);
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        app->width = size.ws_col < WIDTH_LEAST ? WIDTH_LEAST : size.ws_col;
    }
    return command_list_build(app->a, app->document, &app->commands, err);
}

static void
app_close(app_t *app)
{
    http_client_free(app->http);
    json_decref((json_t *) (uintptr_t) app->document);
    pki_arena_free(app->a);
}

static app_exit_t
api_command(app_t *app, const command_t *c, size_t count, char **words)
{
    call_t     call;
    app_exit_t status = call_parse(app, c, count, words, &call);

    if (app->options.help) {
        help_command(app, c);
        status = APP_OK;
    } else if (status == APP_OK && (status = app_format(app)) == APP_OK) {
        status = call_run(app, &call);
    }
    call_free(&call);
    return status;
}

/* Words that lead to commands but name none, or lead nowhere. */
static app_exit_t
no_command(app_t *app, size_t count, char **words)
{
    size_t group = command_group(&app->commands, count, words), at = group;
    int    used;

    while (at < count && (used = options_take(&app->options, count - at, words + at)) > 0) {
        at += (size_t) used;
    }
    if (group > 0 && at == count && app->options.help) {
        help_group(app, group, words);
        return APP_OK;
    }
    if (group > 0 && group == count) {
        app_fail(APP_USAGE, "what about %s?  chancery %s%s--help lists its verbs", words[0], words[0],
                 count > 1 ? " ... " : " ");
        return APP_USAGE;
    }
    return app_fail(APP_USAGE, "\"%.60s\" is no command here; --help lists them", words[group < count ? group : 0]);
}

static app_exit_t
app_run(app_t *app, size_t count, char **words)
{
    const command_t *c;
    const own_t     *own;
    size_t           used;
    int              taken;

    while (count > 0 && words[0][0] == '-' && (taken = options_take(&app->options, count, words)) > 0) {
        count -= (size_t) taken;
        words += taken;
    }
    if (count > 0 && words[0][0] == '-') {
        return app_fail(APP_USAGE, "%.60s: there is no such flag before a command, or its value is missing", words[0]);
    }
    if (app->options.version) {
        printf("chancery %s\n", CHANCERY_VERSION);
        return APP_OK;
    }
    if (count == 0 || strcmp(words[0], "help") == 0) {
        help_top(app);
        return app->options.help || count > 0 ? APP_OK : APP_USAGE;
    }
    own = own_find(words[0]);
    if (own != NULL) {
        return own_run(app, own, count - 1, words + 1);
    }
    c = command_find(&app->commands, count, words, &used);
    return c != NULL ? api_command(app, c, count - used, words + used) : no_command(app, count, words);
}

int
main(int argc, char **argv)
{
    app_t      app = { 0 };
    pki_err_t  err = { 0 };
    app_exit_t status;

    status = app_open(&app, &err) == PKI_OK ? app_run(&app, (size_t) argc - 1, argv + 1) : app_failed(&err);
    app_close(&app);
    return status;
}
