/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Completion: three tables (words that follow words, flags of a command, values of a flag) and a few lines of shell
 * that walk them.  Everything in them is of [A-Za-z0-9._-].
 */
#include <stdio.h>

#include "cli/args.h"
#include "cli/options.h"
#include "cli/own.h"
#include "cli/value.h"

static const char bash_foot[] =
    "_chancery() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} path='' word i flag=''\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        word=${COMP_WORDS[i]}\n"
    "        flag=''\n"
    "        case $word in\n"
    "        -*)\n"
    "            flag=$word ;;\n"
    "        *)\n"
    "            [[ \" ${_chancery_next[$path.]:-} \" != *\" $word \"* ]] || path=${path:+$path }$word ;;\n"
    "        esac\n"
    "    done\n"
    "    local values=${_chancery_values[$path $flag.]:-${_chancery_values[$flag.]:-}}\n"
    "    if [[ -n $flag && -n $values ]]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$values\" -- \"$cur\")\n"
    "    elif [[ $cur == -* ]]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"${_chancery_flags[$path.]:-} ${_chancery_flags[.]:-}\" -- \"$cur\")\n"
    "    else\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"${_chancery_next[$path.]:-}\" -- \"$cur\")\n"
    "    fi\n"
    "}\n"
    "complete -o default -F _chancery chancery\n";

static const char zsh_foot[] =
    "_chancery() {\n"
    "    local key='' word flag='' i\n"
    "    local -a found\n"
    "    for ((i = 2; i < CURRENT; i++)); do\n"
    "        word=$words[i]\n"
    "        flag=''\n"
    "        if [[ $word == -* ]]; then\n"
    "            flag=$word\n"
    "        elif [[ \" ${_chancery_next[$key.]} \" == *\" $word \"* ]]; then\n"
    "            key=${key:+$key }$word\n"
    "        fi\n"
    "    done\n"
    "    if [[ -n $flag ]]; then\n"
    "        found=(${=_chancery_values[$key $flag.]:-${_chancery_values[$flag.]}})\n"
    "    fi\n"
    "    if (( ${#found} )); then\n"
    "        compadd -a found\n"
    "    elif [[ $words[CURRENT] == -* ]]; then\n"
    "        found=(${=_chancery_flags[$key.]} ${=_chancery_flags[.]})\n"
    "        compadd -a found\n"
    "    else\n"
    "        found=(${=_chancery_next[$key.]})\n"
    "        (( ${#found} )) && compadd -a found || _files\n"
    "    fi\n"
    "}\n"
    "if [[ ${funcstack[1]:-} == _chancery ]]; then\n" /* the file was loaded as the function itself */
    "    _chancery \"$@\"\n"
    "else\n"
    "    compdef _chancery chancery\n"
    "fi\n";

typedef struct {
    const char *name, *head, *pair, *foot; /* pair: between a table's name, a key, the words and the end, by '|' */
} shell_t;

/* Keys end in a dot: an empty one would be none. */
static const shell_t shells[] = {
    { "bash", "declare -A _chancery_next _chancery_flags _chancery_values\n", "[\"|.\"]='|'", bash_foot },
    { "zsh", "#compdef chancery\ntypeset -gA _chancery_next _chancery_flags _chancery_values\n", "+=('|.' '|')", zsh_foot },
};

typedef struct {
    app_t         *app;
    const shell_t *shell;
    pki_buf_t      words; /* of the row that is being made */
} script_t;

static bool
is_tame(const char *word)
{
    static const char tame[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

    return word != NULL && word[0] != '\0' && strspn(word, tame) == strlen(word);
}

static void
word_add(script_t *s, const char *before, const char *word)
{
    if (is_tame(word)) {
        pki_buf_printf(&s->words, "%s%s%s", s->words.len > 0 ? " " : "", before, word);
    }
}

static void
row_end(script_t *s, const char *table, const char *key)
{
    const char *first = strchr(s->shell->pair, '|'), *second = strchr(first + 1, '|');

    if (s->words.len > 0 && !s->words.failed) {
        printf("%s%.*s%s%.*s%.*s%s\n", table, (int) (first - s->shell->pair), s->shell->pair, key, (int) (second - first - 1),
               first + 1, (int) s->words.len, (const char *) s->words.p, second + 1);
    }
    s->words.len = 0;
}

/* ---- words that follow words ---- */

static bool
has_word(const script_t *s, bytes_t word)
{
    const char *at = (const char *) s->words.p;

    for (size_t i = 0; i + word.len <= s->words.len; i++) {
        if ((i == 0 || at[i - 1] == ' ') && memcmp(at + i, word.p, word.len) == 0
            && (i + word.len == s->words.len || at[i + word.len] == ' ')) {
            return true;
        }
    }
    return false;
}

/* The words that stand behind `path` in the names of commands. */
static void
next_words(script_t *s, bytes_t path)
{
    for (size_t i = 0; i < s->app->commands.count; i++) {
        const char *words = s->app->commands.v[i].words;
        bytes_t     word;

        if (strncmp(words, (const char *) path.p, path.len) != 0 || (path.len > 0 && words[path.len] != ' ')) {
            continue;
        }
        words += path.len;
        if (word_next(&words, &word) && !has_word(s, word)) {
            word_add(s, "", pki_strndup(s->app->a, word.p, word.len));
        }
    }
}

/* Every beginning of every command's name, each once: the list is in order. */
static void
next_table(script_t *s)
{
    const char *before = "";

    next_words(s, BYTES_LIT(""));
    for (const own_t *o = own_table; o->name != NULL; o++) {
        if (!has_word(s, bytes_str(o->name))) {
            word_add(s, "", o->name);
        }
    }
    row_end(s, "_chancery_next", "");
    for (size_t i = 0; i < s->app->commands.count; i++) {
        const char *words = s->app->commands.v[i].words;

        for (size_t len = 0; words[len] != '\0'; len++) {
            if (words[len] == ' ' && !(strncmp(before, words, len) == 0 && before[len] == ' ')) {
                next_words(s, bytes_of(words, len));
                row_end(s, "_chancery_next", pki_strndup(s->app->a, words, len));
            }
        }
        before = words;
    }
    word_add(s, "", "bash");
    word_add(s, "", "zsh");
    row_end(s, "_chancery_next", "completion");
}

/* ---- flags and their values ---- */

static void
values_row(script_t *s, const command_t *c, const param_t *p)
{
    const json_t *each;
    size_t        i;

    json_array_foreach(value_choices(p), i, each) {
        word_add(s, "", json_string_value(each));
    }
    row_end(s, "_chancery_values", pki_printf(s->app->a, "%s --%s", c->words, p->flag));
}

static void
command_rows(script_t *s, const command_t *c)
{
    for (size_t i = c->argument_count; i < c->param_count; i++) {
        word_add(s, "--", c->params[i].flag);
    }
    for (const client_flag_t *f = client_flags; f->flag != NULL; f++) {
        if (f->fits(c) && command_param(c, f->flag) == NULL) {
            word_add(s, "--", f->flag);
        }
    }
    row_end(s, "_chancery_flags", c->words);
    for (size_t i = c->argument_count; i < c->param_count; i++) {
        values_row(s, c, &c->params[i]);
    }
}

static void
flags_tables(script_t *s)
{
    for (const option_t *o = option_table; o->flag != NULL; o++) {
        word_add(s, "--", o->flag);
    }
    row_end(s, "_chancery_flags", "");
    word_add(s, "", "table");
    word_add(s, "", "json");
    row_end(s, "_chancery_values", "--format");
    for (const own_t *o = own_table; o->name != NULL; o++) {
        for (const own_flag_t *f = o->flags; f != NULL && f->flag != NULL; f++) {
            word_add(s, "--", f->flag);
        }
        row_end(s, "_chancery_flags", o->name);
    }
    for (size_t i = 0; i < s->app->commands.count; i++) {
        command_rows(s, &s->app->commands.v[i]);
    }
}

app_exit_t
completion_run(app_t *app, const own_t *own, const own_args_t *args)
{
    script_t s = { .app = app };

    (void) own;
    for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]) && args->count == 1; i++) {
        s.shell = strcmp(shells[i].name, args->words[0]) == 0 ? &shells[i] : s.shell;
    }
    if (s.shell == NULL) {
        return app_fail(APP_USAGE, "completion needs the name of the shell: bash or zsh");
    }
    pki_buf_init(&s.words, app->a, 65536);
    printf("%s# Completion of chancery %s, printed by \"chancery completion %s\".\n", s.shell->head, CHANCERY_VERSION,
           s.shell->name);
    next_table(&s);
    flags_tables(&s);
    fputs(s.shell->foot, stdout);
    return fflush(stdout) == 0 ? APP_OK : app_fail(APP_REFUSED, "standard output cannot be written");
}
