/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Commands out of the API's document: every operation is "RESOURCE VERB", its path's parameters are arguments, what
 * else it takes are flags.  A route that is added is a command that is added.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "cli/document.h"

typedef enum { IN_PATH, IN_QUERY, IN_HEADER, IN_BODY } param_in_t;

typedef enum {
    VALUE_TEXT,
    VALUE_INT,
    VALUE_NUMBER,
    VALUE_BOOL,
    VALUE_TIME,
    VALUE_LIST,
    VALUE_OBJECT,
    VALUE_OBJECTS,
} value_kind_t;

typedef struct {
    const char   *name;  /* on the wire: "issuer_id" */
    const char   *flag;  /* "issuer-id"; of an argument "ID" */
    param_in_t    in;
    value_kind_t  kind;
    bool          required;
    const json_t *schema;
    const char   *help;
} param_t;

typedef struct {
    const char   *words;  /* "est labels list" */
    const char   *alias;  /* as the document's paths have it, "certificates list"; NULL: the same */
    const char   *group;  /* "est labels"; the words themselves of a command without a verb */
    const char   *verb;   /* "list" */
    const char   *method, *path, *summary, *permission;
    const char   *accept; /* media types of a success */
    param_t      *params; /* arguments first, in the path's order */
    size_t        param_count, argument_count;
    const param_t *ids;   /* list in the body that further arguments are put into; NULL: none */
    const json_t *row;    /* schema of a row, or of the answer; NULL: it is not JSON */
    bool          is_list, has_body, is_destructive, makes_job;
} command_t;

typedef struct {
    command_t *v;
    size_t     count;
} command_list_t;

/* Everything in the arena or borrowed from the document. */
pki_code_t command_list_build(pki_arena_t *a, const json_t *document, command_list_t *out, pki_err_t *err);

/* The command that the longest beginning of the words names, and how many words that are; NULL: none. */
const command_t *command_find(const command_list_t *list, size_t count, char *const *words, size_t *used);

/* How many of the words lead to commands ("est", "est labels"); 0: the first names nothing. */
size_t command_group(const command_list_t *list, size_t count, char *const *words);

const command_t *command_of_path(const command_list_t *list, const char *method, const char *path);
const param_t   *command_param(const command_t *c, const char *flag);

/* The next word of a text of words separated by single spaces; false at the end. */
bool word_next(const char **words, bytes_t *word);

#endif
