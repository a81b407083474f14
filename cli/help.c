/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What can be said.  Nothing here knows a single command.
 */
#include <stdio.h>

#include "cli/args.h"
#include "cli/help.h"
#include "cli/options.h"
#include "cli/own.h"
#include "cli/value.h"

#define LINE  100
#define NAMES 24 /* columns for names, before their text */

/* clang-format off */
static const struct {
    app_exit_t  status;
    const char *text;
} exits[] = {
    { APP_OK,          "done" },
    { APP_REFUSED,     "the server refused (4xx), a job failed, or a file here cannot be read or written" },
    { APP_USAGE,       "wrong words or settings; nothing was sent" },
    { APP_UNREACHABLE, "the server was not reached, or its certificate does not verify" },
    { APP_SERVER,      "the server failed (5xx), or is not ready" },
    { APP_FINDINGS,    "selftest found problems" },
};
/* clang-format on */

void
help_row(int indent, int width, const char *name, const char *text)
{
    size_t room = (size_t) (LINE - indent - width - 2);
    int    used = printf("%*s%-*s", indent, "", width, name);

    if (used > indent + width) {
        printf("\n%*s", indent + width, "");
    }
    while (text != NULL && *text != '\0') {
        size_t len = strlen(text), cut = len;

        if (len > room) {
            for (cut = room; cut > 0 && text[cut] != ' '; cut--) { }
            cut = cut == 0 ? room : cut;
        }
        printf("  %.*s", (int) cut, text);
        text += cut;
        text += strspn(text, " ");
        if (*text != '\0') {
            printf("\n%*s", indent + width, "");
        }
    }
    putchar('\n');
}

static void
help_options(void)
{
    char name[64];

    puts("\nFlags of every command; a variable stands for a flag that is not given:");
    for (const option_t *o = option_table; o->flag != NULL; o++) {
        char text[256];

        snprintf(name, sizeof(name), "--%s%s%s", o->flag, o->value != NULL ? " " : "", o->value != NULL ? o->value : "");
        snprintf(text, sizeof(text), "%s%s%s", o->help, o->variable != NULL ? "; " : "",
                 o->variable != NULL ? o->variable : "");
        help_row(2, NAMES, name, text);
    }
    puts("\nValues: @FILE is the file's contents (@- standard input), @@x is @x.  Lists are given by repeating the\n"
         "flag, or as a JSON array; objects as NAME=VALUE, repeated, or as JSON; times as 2027-01-31, RFC 3339, now,\n"
         "+30d, -12h.");
    puts("\nExit status:");
    for (size_t i = 0; i < sizeof(exits) / sizeof(exits[0]); i++) {
        snprintf(name, sizeof(name), "%d", exits[i].status);
        help_row(2, 3, name, exits[i].text);
    }
}

/* One line for each group of commands: their verbs. */
static void
help_groups(const command_list_t *list)
{
    for (size_t i = 0; i < list->count;) {
        char   verbs[1024] = "";
        size_t k = i;

        if (own_find(list->v[i].words) != NULL) { /* what we do is more */
            i++;
            continue;
        }
        for (; k < list->count && strcmp(list->v[k].group, list->v[i].group) == 0; k++) {
            size_t      len = strlen(verbs);
            const char *verb = strcmp(list->v[k].words, list->v[k].group) == 0 ? list->v[k].summary : list->v[k].verb;

            snprintf(verbs + len, sizeof(verbs) - len, "%s%s", len > 0 ? ", " : "", verb);
        }
        help_row(2, NAMES, list->v[i].group, verbs);
        i = k;
    }
}

void
help_top(const app_t *app)
{
    puts("usage: chancery COMMAND [ARGUMENTS] [FLAGS]\n       chancery RESOURCE VERB [ARGUMENTS] [FLAGS]\n\n"
         "The operator's command of Chancery.  It can do what the API allows the key to do, and nothing else.\n\nCommands:");
    for (const own_t *o = own_table; o->name != NULL; o++) {
        help_row(2, NAMES, o->name, o->summary);
    }
    puts("\nResources, each with its verbs (chancery RESOURCE VERB --help says more):");
    help_groups(&app->commands);
    help_options();
}

void
help_group(const app_t *app, size_t count, char *const *words)
{
    char head[256] = "";

    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(head);

        snprintf(head + len, sizeof(head) - len, "%s%s", i > 0 ? " " : "", words[i]);
    }
    printf("usage: chancery %s VERB [ARGUMENTS] [FLAGS]\n\n", head);
    for (size_t i = 0; i < app->commands.count; i++) {
        const command_t *c = &app->commands.v[i];
        size_t           used = count;
        command_list_t   one = { (command_t *) (uintptr_t) c, 1 };

        if (command_group(&one, count, words) == used) {
            help_row(2, NAMES + 4, c->words, c->summary);
        }
    }
    puts("\nchancery --help lists the flags of every command.");
}

/* ---- one command ---- */

static void
param_help(pki_arena_t *a, const param_t *p)
{
    const json_t *def = json_object_get(p->schema, "default"), *least = json_object_get(p->schema, "minimum"),
                 *most = json_object_get(p->schema, "maximum");
    char         *dumped = def != NULL ? json_dumps(def, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    char          name[96], text[1024];
    size_t        len;
    const char   *shape = value_shape(a, p);
    bool          choices = value_choices(p) != NULL;

    snprintf(name, sizeof(name), "--%s %s", p->flag, choices || p->kind == VALUE_BOOL ? "" : shape);
    snprintf(text, sizeof(text), "%s%s", p->help, p->required ? "; needed" : "");
    len = strlen(text);
    if (choices) {
        snprintf(text + len, sizeof(text) - len, "; ");
        for (const char *at = shape; *at != '\0' && (len = strlen(text)) + 3 < sizeof(text); at++) {
            snprintf(text + len, sizeof(text) - len, "%c%s", *at == '|' ? ',' : *at, *at == '|' ? " " : "");
        }
    } else if (json_is_integer(most)) {
        snprintf(text + len, sizeof(text) - len, "; %lld to %lld", (long long) json_integer_value(least),
                 (long long) json_integer_value(most));
    }
    len = strlen(text);
    if (p->kind == VALUE_LIST || p->kind == VALUE_OBJECT || p->kind == VALUE_OBJECTS) {
        snprintf(text + len, sizeof(text) - len, "; may be repeated");
        len = strlen(text);
    }
    if (dumped != NULL && !json_is_array(def)) {
        snprintf(text + len, sizeof(text) - len, " (%s)", dumped);
    }
    free(dumped);
    help_row(2, NAMES, name, text);
}

/* What an object of several shapes takes: "config" of an issuer. */
static void
members_help(const app_t *app, const json_t *schema)
{
    const json_t *any = json_object_get(schema, "anyOf"), *each, *member;
    const char   *name;
    size_t        i;

    json_array_foreach(any, i, each) {
        if (json_text(each, "title")[0] != '\0') {
            printf("      %s:\n", json_text(each, "title"));
        }
        members_help(app, document_schema(app->document, each));
    }
    json_object_foreach((json_t *) (uintptr_t) json_object_get(schema, "properties"), name, member) {
        char pair[96];

        snprintf(pair, sizeof(pair), "%s=", name);
        help_row(6, NAMES - 4, pair, json_text(document_schema(app->document, member), "description"));
    }
}

static void
client_flags_help(const command_t *c)
{
    for (const client_flag_t *f = client_flags; f->flag != NULL; f++) {
        char name[64];

        if (f->fits(c) && command_param(c, f->flag) == NULL) {
            snprintf(name, sizeof(name), "%s%s%s--%s %s", f->letter != NULL ? "-" : "", f->letter != NULL ? f->letter : "",
                     f->letter != NULL ? ", " : "", f->flag, f->value != NULL ? f->value : "");
            help_row(2, NAMES, name, f->help);
        }
    }
    if (c->is_destructive) {
        help_row(2, NAMES, "--yes", "do not ask whether it is meant");
    }
}

void
help_command(const app_t *app, const command_t *c)
{
    printf("usage: chancery %s", c->words);
    for (size_t i = 0; i < c->argument_count; i++) {
        printf(" %s", c->params[i].flag);
    }
    printf("%s [FLAGS]\n\n%s.\n%s %s", c->ids != NULL ? " [IDS...]" : "", c->summary, c->method, c->path);
    printf("%s%s\n", strcmp(c->permission, "public") == 0 ? "; needs no key" : "; needs the permission ",
           strcmp(c->permission, "public") == 0 ? "" : c->permission);
    if (c->argument_count > 0) {
        puts("\nArguments:");
    }
    for (size_t i = 0; i < c->argument_count; i++) {
        help_row(2, NAMES, c->params[i].flag, c->params[i].help);
    }
    puts("\nFlags:");
    for (size_t i = c->argument_count; i < c->param_count; i++) {
        param_help(app->a, &c->params[i]);
        if (c->params[i].kind == VALUE_OBJECT) {
            members_help(app, c->params[i].schema);
        }
    }
    client_flags_help(c);
    puts("\nand those of every command: chancery --help");
}
