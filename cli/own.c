/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Their table, and what is the same for all of them.
 */
#include <stdio.h>

#include "cli/help.h"
#include "cli/options.h"
#include "cli/own.h"

/* clang-format off */
const own_t own_table[] = {
    { "status",     "",         "health of the service, and a summary", NULL, NULL, status_run, false },
    { "import",     "FILE...",  "take certificates in that others have issued, from PEM files", NULL, NULL, import_run, true },
    { "selftest",   "",         "walk every enabled protocol as a device would, and say what is wrong", NULL, selftest_flags, selftest_run, false },
    { "version",    "",         "versions of this program and of the server", NULL, NULL, version_run, false },
    { "completion", "bash|zsh", "print a script that completes these commands in a shell",
      "bash:  . <(chancery completion bash)\nzsh:   . <(chancery completion zsh)      after compinit", NULL, completion_run, false },
    { NULL, NULL, NULL, NULL, NULL, NULL, false },
};
/* clang-format on */

const own_t *
own_find(const char *name)
{
    for (const own_t *o = own_table; o->name != NULL; o++) {
        if (strcmp(o->name, name) == 0) {
            return o;
        }
    }
    return NULL;
}

const char *
own_value(const own_t *own, const own_args_t *args, const char *flag)
{
    for (size_t i = 0; own->flags != NULL && own->flags[i].flag != NULL; i++) {
        if (strcmp(own->flags[i].flag, flag) == 0) {
            return args->values[i];
        }
    }
    return NULL;
}

static void
own_help(const own_t *own)
{
    printf("usage: chancery %s %s%s[FLAGS]\n\n%s.\n", own->name, own->arguments, own->arguments[0] != '\0' ? " " : "",
           own->summary);
    if (own->more != NULL) {
        printf("\n%s\n", own->more);
    }
    if (own->flags != NULL) {
        puts("\nFlags:");
    }
    for (const own_flag_t *f = own->flags; f != NULL && f->flag != NULL; f++) {
        char name[64];

        snprintf(name, sizeof(name), "--%s%s%s", f->flag, f->value != NULL ? " " : "", f->value != NULL ? f->value : "");
        help_row(2, 24, name, f->help);
    }
    puts("\nchancery --help lists the flags of every command.");
}

/* How many words it took; 0: it is none of these; -1: its value is missing. */
static int
flag_take(const own_t *own, own_args_t *args, size_t count, char **words)
{
    size_t len = strcspn(words[0], "=");

    for (size_t i = 0; own->flags != NULL && own->flags[i].flag != NULL; i++) {
        const own_flag_t *f = &own->flags[i];

        if (strncmp(words[0], "--", 2) != 0 || strlen(f->flag) != len - 2 || memcmp(words[0] + 2, f->flag, len - 2) != 0) {
            continue;
        }
        if (f->value == NULL) {
            args->values[i] = "";
            return words[0][len] == '\0' ? 1 : -1;
        }
        args->values[i] = words[0][len] == '=' ? words[0] + len + 1 : count > 1 ? words[1] : NULL;
        return args->values[i] == NULL ? -1 : words[0][len] == '=' ? 1 : 2;
    }
    return 0;
}

static app_exit_t
args_parse(app_t *app, const own_t *own, size_t count, char **words, own_args_t *args)
{
    for (size_t i = 0; i < count;) {
        int used = 0;

        if (words[i][0] == '-' && words[i][1] != '\0') {
            used = flag_take(own, args, count - i, words + i);
            used = used == 0 ? options_take(&app->options, count - i, words + i) : used;
        }
        if (used < 0) {
            return app_fail(APP_USAGE, "%.60s: with a value where one is needed, without otherwise", words[i]);
        }
        if (used == 0 && words[i][0] == '-' && words[i][1] != '\0' && !own->takes_all) {
            return app_fail(APP_USAGE, "%.60s: there is no such flag; chancery %s --help lists them", words[i], own->name);
        }
        if (used == 0) {
            args->words[args->count++] = words[i++];
        }
        i += (size_t) used;
    }
    return APP_OK;
}

app_exit_t
own_run(app_t *app, const own_t *own, size_t count, char **words)
{
    own_args_t args = { .words = pki_alloc(app->a, (count + 1) * sizeof(*args.words)) };
    app_exit_t status = args.words != NULL ? args_parse(app, own, count, words, &args) : APP_REFUSED;

    if (app->options.help) {
        own_help(own);
        return APP_OK;
    }
    if (status == APP_OK && own->arguments[0] == '\0' && args.count > 0) {
        return app_fail(APP_USAGE, "\"%.60s\" is one word too many", args.words[0]);
    }
    status = status == APP_OK ? app_format(app) : status;
    return status == APP_OK ? own->run(app, own, &args) : status;
}
