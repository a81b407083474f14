/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Lists.  One page is shown as it came; all of them are one list with the rows of every page, shown page by page, so
 * that a million rows need the memory of one page.
 */
#include <stdio.h>
#include <unistd.h>

#include "cli/call.h"
#include "cli/table.h"
#include "core/clock.h"

#define PAGE_TEXT_MAX (64u << 20)
#define PATIENCE_US   2000000 /* until progress is shown */

typedef struct {
    app_t      *app;
    call_t     *call;
    out_t      *out;
    table_t     table;
    size_t      rows, pages;
    json_int_t  total;
    bool        more;
    int64_t     began_us;
    pki_err_t   err;
} walk_t;

static pki_code_t
page_as_table(walk_t *w, pki_arena_t *a, const json_t *rows)
{
    pki_buf_t text;
    size_t    i;
    json_t   *row;

    pki_buf_init(&text, a, PAGE_TEXT_MAX);
    if (w->pages == 0) {
        PKI_TRY(table_plan(w->app, w->call->command, w->call->columns, rows, &w->table, &w->err));
        if (json_array_size(rows) > 0) {
            table_head(&w->table, &text);
        }
    }
    json_array_foreach((json_t *) (uintptr_t) rows, i, row) {
        table_row(a, &w->table, row, &text);
    }
    PKI_TRY(pki_buf_check(&text, "a page", &w->err));
    return out_put(w->out, pki_buf_bytes(&text), &w->err);
}

static pki_code_t
page_as_json(walk_t *w, const json_t *rows)
{
    size_t     i;
    json_t    *row;
    pki_code_t code = w->pages == 0 ? out_put(w->out, BYTES_LIT("{\"data\":["), &w->err) : PKI_OK;

    json_array_foreach((json_t *) (uintptr_t) rows, i, row) {
        char *text = json_dumps(row, JSON_COMPACT);

        if (code == PKI_OK && w->rows + i > 0) {
            code = out_put(w->out, BYTES_LIT(","), &w->err);
        }
        if (code == PKI_OK) {
            code = text != NULL ? out_put(w->out, bytes_str(text), &w->err)
                                : pki_fail(&w->err, PKI_E_NOMEM, NULL, "out of memory");
        }
        free(text);
    }
    return code;
}

static void
progress(const walk_t *w, bool end)
{
    if (isatty(STDERR_FILENO) && clock_mono_us() - w->began_us > PATIENCE_US) {
        fprintf(stderr, "\r%zu of %lld rows%s", w->rows, (long long) w->total, end ? "\n" : "");
    }
}

/* The page that is in the body, and the cursor of the next one in the query. */
static pki_code_t
page_show(walk_t *w, pki_arena_t *a, bytes_t body)
{
    JSON_AUTO     json = NULL;
    const json_t *rows;
    const char   *next, *now = json_text(w->call->query, "cursor");

    PKI_TRY(json_parse(body, &json, &w->err));
    rows = json_object_get(json, "data");
    next = json_string_value(json_object_get(json, "next_cursor"));
    w->total = json_integer_value(json_object_get(json, "total"));
    w->more = next != NULL;
    if (!json_is_array(rows)) {
        return pki_fail(&w->err, PKI_E_PARSE, NULL, "the answer is no list");
    }
    if (w->app->json && !w->call->all) {
        PKI_TRY(answer_show(w->app, NULL, body, w->out, &w->err));
    } else {
        PKI_TRY(w->app->json ? page_as_json(w, rows) : page_as_table(w, a, rows));
    }
    w->pages++;
    w->rows += json_array_size(rows);
    if (next != NULL && (strcmp(next, now) == 0 || json_array_size(rows) == 0)) {
        return pki_fail(&w->err, PKI_E_PARSE, NULL, "the server's cursor does not get on");
    }
    if (next != NULL) {
        json_object_set_new(w->call->query, "cursor", json_string(next));
    }
    return PKI_OK;
}

static app_exit_t
page_get(walk_t *w)
{
    pki_arena_t  *a = pki_arena_new(0);
    http_answer_t answer;
    app_exit_t    status = APP_OK;

    if (a == NULL) {
        return app_fail(APP_REFUSED, "out of memory");
    }
    if (client_send(w->app, a, w->call, NULL, NULL, &answer, &w->err) != PKI_OK) {
        status = app_failed(&w->err);
    } else if (answer.status != 200) {
        status = client_refused(w->app, w->call->command, &answer);
    } else if (page_show(w, a, answer.body) != PKI_OK) {
        status = app_failed(&w->err);
    }
    pki_arena_free(a);
    return status;
}

/* Pages as large as may be, unless somebody has said how large. */
static void
page_size(const command_t *c, json_t *query)
{
    const param_t *limit = command_param(c, "limit");
    const json_t  *most = limit != NULL ? json_object_get(limit->schema, "maximum") : NULL;

    if (json_is_integer(most) && json_object_get(query, "limit") == NULL && json_object_get(query, "per_page") == NULL) {
        json_object_set_new(query, "limit", json_sprintf("%lld", (long long) json_integer_value(most)));
    }
}

static app_exit_t
walk_end(walk_t *w)
{
    char      text[96];
    pki_buf_t end;

    if (w->app->json && w->call->all) {
        pki_buf_fixed(&end, text, sizeof(text));
        pki_buf_printf(&end, "],\"total\":%lld,\"next_cursor\":null}\n", (long long) w->total);
        return out_put(w->out, pki_buf_bytes(&end), &w->err) == PKI_OK ? APP_OK : app_failed(&w->err);
    }
    if (!w->app->json && w->rows == 0) {
        fprintf(stderr, "there are none\n");
    } else if (!w->app->json && w->more) {
        fflush(stdout);
        fprintf(stderr, "%zu of %lld; --all shows every page\n", w->rows, (long long) w->total);
    }
    return APP_OK;
}

app_exit_t
list_run(app_t *app, call_t *call, out_t *out)
{
    walk_t     w = { .app = app, .call = call, .out = out, .began_us = clock_mono_us() };
    app_exit_t status;

    if (call->all) {
        page_size(call->command, call->query);
    }
    do {
        status = page_get(&w);
        progress(&w, !w.more);
    } while (status == APP_OK && call->all && w.more);
    return status == APP_OK ? walk_end(&w) : status;
}
