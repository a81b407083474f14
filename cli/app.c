/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What a run says for itself.
 */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/app.h"

app_exit_t
app_fail(app_exit_t status, const char *fmt, ...)
{
    va_list args;

    fflush(stdout);
    fputs("chancery: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    return status;
}

app_exit_t
app_failed(const pki_err_t *err)
{
    static const struct {
        pki_code_t code;
        app_exit_t status;
    } table[] = {
        { PKI_E_UNAVAILABLE, APP_UNREACHABLE },
        { PKI_E_SIGNATURE, APP_UNREACHABLE },
        { PKI_E_INVALID, APP_USAGE },
        { PKI_E_UNSUPPORTED, APP_USAGE },
    };
    app_exit_t status = pki_code_http(err->code) >= 500 && err->code != PKI_E_IO ? APP_SERVER : APP_REFUSED;

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        status = table[i].code == err->code ? table[i].status : status;
    }
    return app_fail(status, "%s", err->text);
}

app_exit_t
app_format(app_t *app)
{
    const char *format = app->options.format != NULL ? app->options.format : "table";

    app->json = strcmp(format, "json") == 0;
    if (!app->json && strcmp(format, "table") != 0) {
        return app_fail(APP_USAGE, "--format: table or json, not \"%.40s\"", format);
    }
    return APP_OK;
}

bool
app_confirm(const app_t *app, const char *question)
{
    char answer[16];

    if (app->options.yes || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        return true;
    }
    fprintf(stderr, "%s -- is that meant? [y/N] ", question);
    return fgets(answer, sizeof(answer), stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}
