/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * One run of the command: what was said before and after the command's words, the document, the client.
 */
#ifndef CLI_APP_H
#define CLI_APP_H

#include "cli/command.h"
#include "core/http_client.h"

/* How a run ends.  `chancery --help` prints this list. */
typedef enum {
    APP_OK = 0,
    APP_REFUSED = 1,
    APP_USAGE = 2,
    APP_UNREACHABLE = 3,
    APP_SERVER = 4,
    APP_FINDINGS = 5,
} app_exit_t;

typedef struct {
    const char *server, *api_key, *api_key_file, *ca_bundle, *cert, *key, *format, *timeout;
    bool        yes, help, version;
} options_t;

typedef struct {
    pki_arena_t     *a; /* of the process */
    options_t        options;
    const json_t    *document;
    command_list_t   commands;
    http_client_t   *http;     /* made by client_open() */
    const char      *base;     /* of every URL of the API */
    int64_t          timeout_ms;
    bool             json;     /* --format json */
    int              width;    /* columns of the terminal that tables go to; 0: it is none */
} app_t;

/* "chancery: TEXT" on standard error; the status. */
app_exit_t app_fail(app_exit_t status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
app_exit_t app_failed(const pki_err_t *err); /* the status is the code's */

/* What --format means, when every flag is known. */
app_exit_t app_format(app_t *app);

/* A question on the terminal; true without one: scripts have said what they want. */
bool app_confirm(const app_t *app, const char *question);

#endif
