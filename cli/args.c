/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A flag is looked for among the operation's own, then among client_flags, then among those that every command takes.
 * Everything that is wrong is told before anything is sent.
 */
#include <stdarg.h>
#include <stdio.h>

#include "cli/args.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/value.h"

static bool
fits_all(const command_t *c)
{
    return c->is_list && command_param(c, "cursor") != NULL;
}

static bool
fits_list(const command_t *c)
{
    return c->is_list;
}

static bool
fits_body(const command_t *c)
{
    return c->has_body;
}

static bool
fits_any(const command_t *c)
{
    (void) c;
    return true;
}

static bool
fits_job(const command_t *c)
{
    return c->makes_job;
}

/* clang-format off */
const client_flag_t client_flags[] = {
    { "all",     NULL, NULL,       "every page, not only the first",                                             fits_all },
    { "columns", NULL, "A,B,C",    "columns of the table, by the names of the rows' members",                    fits_list },
    { "body",    NULL, "FILE|-",   "the whole body as JSON from a file or standard input; flags come over it",   fits_body },
    { "wait",    NULL, NULL,       "wait until the job that this begins has ended",                              fits_job },
    { "output",  "o",  "FILE",     "write the answer to a file that appears when it is complete",                fits_any },
    { NULL,      NULL, NULL,       NULL,                                                                         NULL },
};
/* clang-format on */

typedef struct {
    app_t    *app;
    call_t   *call;
    size_t    count;
    char    **words;
    size_t    at;
    size_t    arguments, problems;
    json_t  **values; /* of each parameter; NULL: not given */
    json_t   *ids;
    pki_err_t err;
} parse_t;

static void
problem(parse_t *p, const char *fmt, ...)
{
    va_list args;

    fputs(p->problems++ == 0 ? "chancery: " : "          ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

static bool
flag_is(const char *word, const char *flag, const char *letter)
{
    size_t len = strlen(flag);

    if (letter != NULL && word[0] == '-' && strcmp(word + 1, letter) == 0) {
        return true;
    }
    return strncmp(word, "--", 2) == 0 && strncmp(word + 2, flag, len) == 0 && (word[2 + len] == '\0' || word[2 + len] == '=');
}

/* The text behind '=', or the next word; NULL, and a problem, when there is none. */
static const char *
flag_value(parse_t *p)
{
    const char *word = p->words[p->at], *equals = strchr(word, '=');

    if (equals != NULL && word[1] == '-') {
        return equals + 1;
    }
    if (p->at + 1 >= p->count) {
        problem(p, "%s needs a value", word);
        return NULL;
    }
    return p->words[++p->at];
}

static void
param_put(parse_t *p, size_t i, const char *flag, const char *word)
{
    const param_t *param = &p->call->command->params[i];

    if (value_put(p->app->a, p->app->document, param, word, &p->values[i], &p->err) != PKI_OK) {
        if (p->err.code == PKI_E_INVALID) {
            problem(p, "%s: \"%.60s\" is not right: %s", flag, word, p->err.text);
        } else {
            problem(p, "%s: %s", flag, p->err.text);
        }
    }
}

static bool
take_operation_flag(parse_t *p)
{
    const command_t *c = p->call->command;
    const char      *word = p->words[p->at];

    for (size_t i = c->argument_count; i < c->param_count; i++) {
        const param_t *param = &c->params[i];

        if (flag_is(word, param->flag, NULL)) {
            const char *value = param->kind == VALUE_BOOL && strchr(word, '=') == NULL ? "true" : flag_value(p);

            if (value != NULL) {
                param_put(p, i, word, value);
            }
            return true;
        }
        if (param->kind == VALUE_BOOL && strncmp(word, "--no-", 5) == 0 && strcmp(word + 5, param->flag) == 0) {
            param_put(p, i, word, "false");
            return true;
        }
    }
    return false;
}

static void
body_read(parse_t *p, const char *path)
{
    bytes_t data;

    json_decref(p->call->body);
    p->call->body = NULL;
    if (input_read(p->app->a, path, VALUE_FILE_MAX, &data, &p->err) != PKI_OK
        || json_parse(data, &p->call->body, &p->err) != PKI_OK) {
        problem(p, "--body: %s", p->err.text);
    } else if (!json_is_object(p->call->body)) {
        problem(p, "--body: %s holds no JSON object", path);
    }
}

static bool
take_client_flag(parse_t *p)
{
    call_t     *call = p->call;
    const char *word = p->words[p->at], *value = NULL;

    for (const client_flag_t *f = client_flags; f->flag != NULL; f++) {
        if (!f->fits(call->command) || !flag_is(word, f->flag, f->letter)) {
            continue;
        }
        if (f->value != NULL && (value = flag_value(p)) == NULL) {
            return true;
        }
        if (strcmp(f->flag, "all") == 0) {
            call->all = true;
        } else if (strcmp(f->flag, "wait") == 0) {
            call->wait = true;
        } else if (strcmp(f->flag, "columns") == 0) {
            call->columns = value;
        } else if (strcmp(f->flag, "output") == 0) {
            call->output = value;
        } else {
            body_read(p, value);
        }
        return true;
    }
    return false;
}

static void
take_flag(parse_t *p)
{
    int used;

    if (take_operation_flag(p) || take_client_flag(p)) {
        return;
    }
    used = options_take(&p->app->options, p->count - p->at, p->words + p->at);
    if (used == 0) {
        problem(p, "%.60s: there is no such flag; --help lists them", p->words[p->at]);
    } else if (used < 0) {
        problem(p, "%.60s: with a value where one is needed, without otherwise", p->words[p->at]);
    } else {
        p->at += (size_t) used - 1;
    }
}

static void
take_argument(parse_t *p)
{
    const command_t *c = p->call->command;
    const char      *word = p->words[p->at];

    if (word[0] == '\0') {
        problem(p, "an empty argument names nothing");
    } else if (p->arguments < c->argument_count) {
        p->values[p->arguments++] = json_string(word);
    } else if (c->ids != NULL) {
        if (value_put(p->app->a, p->app->document, c->ids, word, &p->ids, &p->err) != PKI_OK) {
            problem(p, "\"%.60s\" is not right: %s", word, p->err.text);
        }
    } else {
        problem(p, "\"%.60s\" is one word too many", word);
    }
}

/* ---- what was said, as a request ---- */

/* "/api/v1/certificates/{id}/revoke" with its parameters. */
static const char *
path_fill(parse_t *p)
{
    const char *at = p->call->command->path;
    pki_buf_t   out;
    size_t      n = 0;

    pki_buf_init(&out, p->app->a, 65536);
    while (*at != '\0') {
        size_t literal = strcspn(at, "{");

        pki_buf_put(&out, bytes_of(at, literal));
        at += literal;
        if (*at == '{') {
            const char *value = json_string_value(p->values[n++]);

            pki_buf_printf(&out, "%s", value != NULL ? http_escape(p->app->a, bytes_str(value)) : "");
            at += strcspn(at, "}") + 1;
        }
    }
    pki_buf_put_u8(&out, '\0');
    return out.failed ? NULL : (const char *) out.p;
}

/* Text as it is in a query or a header: lists with commas, or as JSON where an element has one. */
static json_t *
value_as_text(const json_t *value)
{
    json_t *out, *each;
    char   *text;
    size_t  i;

    if (json_is_string(value)) {
        return json_string(json_string_value(value));
    }
    text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (json_is_array(value)) {
        bool plain = true;

        out = json_string("");
        json_array_foreach((json_t *) (uintptr_t) value, i, each) {
            json_t *longer;

            plain = plain && json_is_string(each) && strchr(json_string_value(each), ',') == NULL;
            longer = plain ? json_sprintf("%s%s%s", json_string_value(out), i > 0 ? "," : "", json_string_value(each)) : NULL;
            json_decref(out);
            out = longer;
        }
        if (out != NULL) {
            free(text);
            return out;
        }
    }
    out = json_string(text != NULL ? text : "");
    free(text);
    return out;
}

static void
request_put(parse_t *p, const param_t *param, json_t *value)
{
    call_t *call = p->call;

    if (param->in == IN_QUERY) {
        json_object_set_new(call->query, param->name, value_as_text(value));
    } else if (param->in == IN_HEADER) {
        json_object_set_new(call->headers, param->name, value_as_text(value));
    } else if (param->in == IN_BODY) {
        json_object_set(call->body, param->name, value);
    }
}

static void
request_make(parse_t *p)
{
    const command_t *c = p->call->command;

    if (c->has_body && p->call->body == NULL) {
        p->call->body = json_object();
    }
    for (size_t i = 0; i < c->param_count; i++) {
        const param_t *param = &c->params[i];

        if (param == c->ids && p->ids != NULL) {
            if (p->values[i] != NULL) {
                json_array_extend(p->ids, p->values[i]);
            }
            json_object_set(p->call->body, param->name, p->ids);
        } else if (p->values[i] != NULL) {
            request_put(p, param, p->values[i]);
        } else if (param->required && param->in == IN_PATH) {
            problem(p, "%s is missing: %s", param->flag, param->help);
        } else if (param->required && (param->in != IN_BODY || json_object_get(p->call->body, param->name) == NULL)) {
            problem(p, "--%s is needed: %s", param->flag, param->help);
        }
    }
    p->call->path = path_fill(p);
}

app_exit_t
call_parse(app_t *app, const command_t *c, size_t count, char *const *words, call_t *out)
{
    parse_t p = { .app = app, .call = out, .count = count, .words = (char **) (uintptr_t) words };
    bool    flags = true;

    memset(out, 0, sizeof(*out));
    out->command = c;
    out->query = json_object();
    out->headers = json_object();
    p.values = pki_alloc(app->a, (c->param_count + 1) * sizeof(*p.values));
    if (p.values == NULL || out->query == NULL || out->headers == NULL) {
        return app_fail(APP_REFUSED, "out of memory");
    }
    for (; p.at < count; p.at++) {
        if (flags && strcmp(words[p.at], "--") == 0) {
            flags = false;
        } else if (flags && words[p.at][0] == '-' && words[p.at][1] != '\0') {
            take_flag(&p);
        } else {
            take_argument(&p);
        }
    }
    if (!app->options.help) {
        request_make(&p);
    }
    for (size_t i = 0; i < c->param_count; i++) {
        json_decref(p.values[i]);
    }
    json_decref(p.ids);
    if (p.problems > 0 && !app->options.help) {
        fprintf(stderr, "          see: chancery %s --help\n", c->words);
        return APP_USAGE;
    }
    return APP_OK;
}

void
call_free(call_t *call)
{
    json_decref(call->query);
    json_decref(call->headers);
    json_decref(call->body);
}
