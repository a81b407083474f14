/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The rule of names.  An operation has a tag, "est_label", and an id, "est_label_list".  What follows the tag is the
 * verb, but a last segment "bulk-..." of the path is one itself.  The resource is the path of the tag's list, without
 * its parameters: "est labels"; where there is no list the shortest path, and there a last segment that is the verb
 * itself does not count ("stats summary").  An operation that is the only one of its tag and only reads needs no verb.
 * Exceptions are in names.inc.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/command.h"

#define API_PREFIX "/api/v1"
#define WORDS_MAX  192

/* clang-format off */
static const char *const resource_names[][2] = {
#define RESOURCE(path, name)  { path, name },
#define VERB(id, name)
#define DESTROYS(verb)
#include "cli/names.inc"
#undef RESOURCE
#undef VERB
#undef DESTROYS
    { NULL, NULL },
};
static const char *const verb_names[][2] = {
#define RESOURCE(path, name)
#define VERB(id, name)        { id, name },
#define DESTROYS(verb)
#include "cli/names.inc"
#undef RESOURCE
#undef VERB
#undef DESTROYS
    { NULL, NULL },
};
static const char *const destroying[] = {
#define RESOURCE(path, name)
#define VERB(id, name)
#define DESTROYS(verb)        verb,
#include "cli/names.inc"
#undef RESOURCE
#undef VERB
#undef DESTROYS
    NULL,
};
/* clang-format on */

/* What is being built, and what of the document it is made from. */
typedef struct {
    pki_arena_t  *a;
    const json_t *document;
    const char   *method, *path;
    const json_t *item, *operation;
} source_t;

/* A tag, its shortest resource, how many operations it has. */
typedef struct {
    const char *name;
    char        words[WORDS_MAX];
    size_t      operations;
    bool        listed; /* the words are of its list */
} tag_t;

typedef struct {
    tag_t          *tags;
    size_t          tag_count, count; /* count: operations */
    command_list_t *out;
} build_t;

bool
word_next(const char **words, bytes_t *word)
{
    while (**words == ' ') {
        (*words)++;
    }
    *word = bytes_of(*words, strcspn(*words, " "));
    *words += word->len;
    return word->len > 0;
}

static const char *
name_of(const char *const table[][2], const char *name)
{
    for (size_t i = 0; table[i][0] != NULL; i++) {
        if (strcmp(table[i][0], name) == 0) {
            return table[i][1];
        }
    }
    return name;
}

/* ---- names ---- */

static const char *
operation_tag(const json_t *operation)
{
    const char *tag = json_string_value(json_array_get(json_object_get(operation, "tags"), 0));

    return tag != NULL ? tag : "api";
}

/* "est_label_list" of the tag "est_label" is "list"; with hyphens. */
static char *
operation_verb(pki_arena_t *a, const char *path, const json_t *operation)
{
    const char *id = json_text(operation, "operationId"), *tag = operation_tag(operation), *last = strrchr(path, '/');
    size_t      len = strlen(tag);
    char       *verb;

    if (last != NULL && strncmp(last, "/bulk-", 6) == 0) {
        return pki_strdup(a, last + 1);
    }
    verb = pki_strdup(a, strncmp(id, tag, len) == 0 && id[len] == '_' ? id + len + 1 : id);

    for (char *p = verb; p != NULL && *p != '\0'; p++) {
        *p = *p == '_' ? '-' : *p;
    }
    return verb;
}

/* The literal segments of a path as words, without a last one that is the verb. */
static void
path_words(const char *path, const char *verb, char out[WORDS_MAX])
{
    char  *last = out;
    size_t len = 0;

    if (strncmp(path, API_PREFIX, sizeof(API_PREFIX) - 1) == 0) {
        path += sizeof(API_PREFIX) - 1;
    }
    out[0] = '\0';
    while (*path != '\0') {
        size_t n = strcspn(++path, "/");

        if (n > 0 && path[0] != '{' && len + n + 2 < WORDS_MAX) {
            len += (size_t) snprintf(out + len, WORDS_MAX - len, "%s%.*s", len > 0 ? " " : "", (int) n, path);
            last = out + len - n;
        }
        path += n;
    }
    if (last > out && strcmp(last, verb) == 0) {
        last[-1] = '\0';
    }
}

static size_t
word_count(const char *words)
{
    size_t  n = 0;
    bytes_t word;

    while (word_next(&words, &word)) {
        n++;
    }
    return n;
}

/* There is room for as many tags as there are operations. */
static tag_t *
tag_get(build_t *b, const char *name)
{
    for (size_t i = 0; i < b->tag_count; i++) {
        if (strcmp(b->tags[i].name, name) == 0) {
            return &b->tags[i];
        }
    }
    b->tags[b->tag_count].name = name;
    return &b->tags[b->tag_count++];
}

static pki_code_t
command_name(const source_t *s, const tag_t *tag, command_t *c, pki_err_t *err)
{
    const char *verb = operation_verb(s->a, s->path, s->operation), *short_name = name_of(resource_names, tag->words);
    bool        bare = tag->operations == 1 && verb != NULL && strcmp(verb, "read") == 0 && strchr(s->path, '{') == NULL;

    c->verb = verb != NULL ? name_of(verb_names, verb) : NULL;
    c->group = pki_strdup(s->a, short_name);
    c->words = bare ? c->group : pki_printf(s->a, "%s %s", short_name, c->verb);
    c->alias = short_name != tag->words && !bare ? pki_printf(s->a, "%s %s", tag->words, c->verb) : NULL;
    for (size_t i = 0; destroying[i] != NULL && c->verb != NULL; i++) {
        c->is_destructive = c->is_destructive || strcmp(destroying[i], c->verb) == 0;
    }
    c->is_destructive = c->is_destructive || strcmp(s->method, "delete") == 0;
    return c->verb != NULL && c->group != NULL && c->words != NULL ? PKI_OK
                                                                   : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

/* ---- parameters ---- */

static value_kind_t
schema_kind(const json_t *document, const json_t *schema)
{
    static const struct {
        const char  *type;
        value_kind_t kind;
    } kinds[] = {
        { "integer", VALUE_INT },
        { "number", VALUE_NUMBER },
        { "boolean", VALUE_BOOL },
        { "object", VALUE_OBJECT },
    };

    if (schema_is(schema, "array")) {
        const json_t *items = document_schema(document, json_object_get(schema, "items"));

        return schema_is(items, "object") ? VALUE_OBJECTS : VALUE_LIST;
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (schema_is(schema, kinds[i].type)) {
            return kinds[i].kind;
        }
    }
    if (json_object_get(schema, "anyOf") != NULL || json_object_get(schema, "oneOf") != NULL
        || json_object_get(schema, "properties") != NULL) {
        return VALUE_OBJECT;
    }
    return strcmp(json_text(schema, "format"), "date-time") == 0 ? VALUE_TIME : VALUE_TEXT;
}

static pki_code_t
param_add(const source_t *s, command_t *c, param_in_t in, const char *name, const json_t *schema, bool required,
          const char *help, pki_err_t *err)
{
    param_t *p = &c->params[c->param_count++];
    char    *flag = pki_strdup(s->a, name);

    if (flag == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    for (char *at = flag; *at != '\0'; at++) {
        *at = *at == '_' ? '-' : in == IN_PATH ? (char) toupper((unsigned char) *at) : (char) tolower((unsigned char) *at);
    }
    p->name = name;
    p->flag = flag;
    p->in = in;
    p->schema = document_schema(s->document, schema);
    p->kind = schema_kind(s->document, p->schema);
    p->required = required;
    p->help = help[0] != '\0' ? help : json_text(p->schema, "description");
    c->argument_count += in == IN_PATH;
    return PKI_OK;
}

static pki_code_t
params_of(const source_t *s, const json_t *list, bool arguments, command_t *c, pki_err_t *err)
{
    const json_t *each;
    size_t        i;

    json_array_foreach(list, i, each) {
        const char *in = json_text(each, "in");
        bool        is_argument = strcmp(in, "path") == 0;

        if (is_argument == arguments && (is_argument || strcmp(in, "query") == 0 || strcmp(in, "header") == 0)) {
            PKI_TRY(param_add(s, c, is_argument ? IN_PATH : in[0] == 'q' ? IN_QUERY : IN_HEADER, json_text(each, "name"),
                              json_object_get(each, "schema"), json_is_true(json_object_get(each, "required")),
                              json_text(each, "description"), err));
        }
    }
    return PKI_OK;
}

static bool
is_required(const json_t *schema, const char *name)
{
    const json_t *each;
    size_t        i;

    json_array_foreach(json_object_get(schema, "required"), i, each) {
        if (json_is_string(each) && strcmp(json_string_value(each), name) == 0) {
            return true;
        }
    }
    return false;
}

static const json_t *
body_schema(const source_t *s)
{
    const json_t *content = json_object_get(json_object_get(s->operation, "requestBody"), "content");

    return document_schema(s->document, json_object_get(json_object_get(content, "application/json"), "schema"));
}

static pki_code_t
params_of_body(const source_t *s, command_t *c, pki_err_t *err)
{
    const json_t *schema = body_schema(s), *each;
    const char   *name;

    json_object_foreach((json_t *) (uintptr_t) json_object_get(schema, "properties"), name, each) {
        size_t len = strlen(name);

        PKI_TRY(param_add(s, c, IN_BODY, name, each, is_required(schema, name), "", err));
        if (c->ids == NULL && c->params[c->param_count - 1].kind == VALUE_LIST
            && (strcmp(name, "ids") == 0 || (len > 4 && strcmp(name + len - 4, "_ids") == 0))) {
            c->ids = &c->params[c->param_count - 1];
        }
    }
    return PKI_OK;
}

static pki_code_t
command_params(const source_t *s, command_t *c, pki_err_t *err)
{
    const json_t *own = json_object_get(s->operation, "parameters"), *shared = json_object_get(s->item, "parameters");
    size_t        most = json_array_size(own) + json_array_size(shared)
                  + json_object_size(json_object_get(body_schema(s), "properties"));

    c->has_body = json_object_get(s->operation, "requestBody") != NULL;
    PKI_TRY(PKI_NEW_N(s->a, most + 1, &c->params, err));
    for (int arguments = 1; arguments >= 0; arguments--) {
        PKI_TRY(params_of(s, shared, arguments, c, err));
        PKI_TRY(params_of(s, own, arguments, c, err));
    }
    return params_of_body(s, c, err);
}

/* ---- answers ---- */

static pki_code_t
command_answer(const source_t *s, command_t *c, pki_err_t *err)
{
    const json_t *answer = NULL, *content, *schema, *rows, *each;
    const char   *status, *type;
    pki_buf_t     accept;
    bool          later = false;

    json_object_foreach((json_t *) (uintptr_t) json_object_get(s->operation, "responses"), status, each) {
        answer = answer == NULL && status[0] == '2' ? each : answer;
        later = later || strcmp(status, "202") == 0;
    }
    content = json_object_get(answer, "content");
    pki_buf_init(&accept, s->a, 1024);
    json_object_foreach((json_t *) (uintptr_t) content, type, each) {
        pki_buf_printf(&accept, "%s%s", accept.len > 0 ? ", " : "", type);
    }
    pki_buf_put_u8(&accept, '\0');
    PKI_TRY(pki_buf_check(&accept, "media types", err));
    c->accept = (const char *) accept.p;
    each = json_object_get(content, "application/json");
    if (each == NULL) {
        return PKI_OK;
    }
    schema = document_schema(s->document, json_object_get(each, "schema"));
    rows = document_member(s->document, schema, "data");
    c->is_list = rows != NULL && schema_is(rows, "array") && document_member(s->document, schema, "next_cursor") != NULL;
    c->row = c->is_list ? document_schema(s->document, json_object_get(rows, "items")) : schema;
    c->makes_job = strcmp(s->method, "get") != 0 && (later || document_member(s->document, schema, "job_id") != NULL);
    return PKI_OK;
}

/* ---- the list ---- */

typedef pki_code_t (*source_visit_pt)(void *arg, const source_t *s, pki_err_t *err);

static pki_code_t
operations_walk(pki_arena_t *a, const json_t *document, source_visit_pt visit, void *arg, pki_err_t *err)
{
    static const char *const methods[] = { "get", "post", "put", "patch", "delete" };
    const json_t            *item;
    const char              *path;

    json_object_foreach((json_t *) (uintptr_t) json_object_get(document, "paths"), path, item) {
        for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
            source_t s = { .a = a, .document = document, .method = methods[i], .path = path, .item = item,
                           .operation = json_object_get(item, methods[i]) };

            if (s.operation != NULL) {
                PKI_TRY(visit(arg, &s, err));
            }
        }
    }
    return PKI_OK;
}

static pki_code_t
visit_count(void *arg, const source_t *s, pki_err_t *err)
{
    (void) s;
    (void) err;
    ((build_t *) arg)->count++;
    return PKI_OK;
}

static pki_code_t
visit_learn(void *arg, const source_t *s, pki_err_t *err)
{
    tag_t      *tag = tag_get(arg, operation_tag(s->operation));
    const char *verb = operation_verb(s->a, s->path, s->operation);
    char        words[WORDS_MAX];
    bool        lists = verb != NULL && strcmp(verb, "list") == 0;

    if (verb == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    path_words(s->path, verb, words);
    if (tag->operations++ == 0 || lists > tag->listed
        || (lists == tag->listed && word_count(words) < word_count(tag->words))) {
        memcpy(tag->words, words, sizeof(words));
        tag->listed = lists;
    }
    return PKI_OK;
}

static pki_code_t
visit_build(void *arg, const source_t *s, pki_err_t *err)
{
    build_t   *b = arg;
    command_t *c = &b->out->v[b->out->count++];
    char      *method = pki_strdup(s->a, s->method);

    for (char *p = method; p != NULL && *p != '\0'; p++) {
        *p = (char) toupper((unsigned char) *p);
    }
    c->method = method != NULL ? method : "GET";
    c->path = s->path;
    c->summary = json_text(s->operation, "summary");
    c->permission = json_text(s->operation, "x-permission");
    PKI_TRY(command_name(s, tag_get(b, operation_tag(s->operation)), c, err));
    PKI_TRY(command_params(s, c, err));
    return command_answer(s, c, err);
}

static int
command_order(const void *left, const void *right)
{
    return strcmp(((const command_t *) left)->words, ((const command_t *) right)->words);
}

pki_code_t
command_list_build(pki_arena_t *a, const json_t *document, command_list_t *out, pki_err_t *err)
{
    build_t b = { .out = out };

    memset(out, 0, sizeof(*out));
    PKI_TRY(operations_walk(a, document, visit_count, &b, err));
    PKI_TRY(PKI_NEW_N(a, b.count + 1, &b.tags, err));
    PKI_TRY(PKI_NEW_N(a, b.count + 1, &out->v, err));
    PKI_TRY(operations_walk(a, document, visit_learn, &b, err));
    PKI_TRY(operations_walk(a, document, visit_build, &b, err));
    qsort(out->v, out->count, sizeof(*out->v), command_order);
    for (size_t i = 1; i < out->count; i++) {
        if (strcmp(out->v[i - 1].words, out->v[i].words) == 0) {
            return pki_fail(err, PKI_E_CONFLICT, NULL, "%s and %s are both \"%s\"", out->v[i - 1].path, out->v[i].path,
                            out->v[i].words);
        }
    }
    return PKI_OK;
}

/* ---- finding ---- */

/* How many words are the beginning of the name, and whether they are all of it. */
static size_t
words_match(const char *name, size_t count, char *const *words, bool *whole)
{
    size_t  n = 0;
    bytes_t word;

    *whole = true;
    while (name != NULL && word_next(&name, &word)) {
        if (n == count || !bytes_eq(word, bytes_str(words[n]))) {
            *whole = false;
            return n;
        }
        n++;
    }
    *whole = n > 0;
    return n;
}

const command_t *
command_find(const command_list_t *list, size_t count, char *const *words, size_t *used)
{
    const command_t *best = NULL;

    *used = 0;
    for (size_t i = 0; i < list->count; i++) {
        const char *names[] = { list->v[i].words, list->v[i].alias };

        for (size_t k = 0; k < 2; k++) {
            bool   whole;
            size_t n = words_match(names[k], count, words, &whole);

            if (names[k] != NULL && whole && n > *used) {
                best = &list->v[i];
                *used = n;
            }
        }
    }
    return best;
}

size_t
command_group(const command_list_t *list, size_t count, char *const *words)
{
    size_t most = 0;

    for (size_t i = 0; i < list->count; i++) {
        bool   whole;
        size_t n = words_match(list->v[i].words, count, words, &whole), m = words_match(list->v[i].alias, count, words, &whole);

        n = m > n ? m : n;
        most = n > most ? n : most;
    }
    return most;
}

const command_t *
command_of_path(const command_list_t *list, const char *method, const char *path)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->v[i].method, method) == 0 && strcmp(list->v[i].path, path) == 0) {
            return &list->v[i];
        }
    }
    return NULL;
}

const param_t *
command_param(const command_t *c, const char *flag)
{
    for (size_t i = c->argument_count; i < c->param_count; i++) {
        if (strcmp(c->params[i].flag, flag) == 0) {
            return &c->params[i];
        }
    }
    return NULL;
}
