/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * chanceryd: the commands of the program, one row each.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "core/log.h"
#include "orchestrator/api/api.h"
#include "orchestrator/api/sealer.h"
#include "orchestrator/daemon.h"
#include "orchestrator/master.h"
#include "orchestrator/reseal.h"
#include "orchestrator/signer/process.h"

typedef struct {
    const char   *conf_path, *to, *name;
    audit_files_t files;
    pki_arena_t  *arena;
    conf_t        conf;
} options_t;

/* What getopt_long() gives for an option whose text is kept in a member of options_t. */
#define TEXT_FIRST   256
#define TEXT(member) (TEXT_FIRST + (int) offsetof(options_t, member))

typedef struct {
    const char *name, *sub; /* "signer-journal", "verify" */
    bool        needs_conf;
    int       (*run)(options_t *o);
    const char *help;       /* NULL: started by the master, not by people */
} command_t;

static int
report(const pki_err_t *err)
{
    fprintf(stderr, "chanceryd: %s%s%s%s\n", err->text, err->clause != NULL ? " (" : "",
            err->clause != NULL ? err->clause : "", err->clause != NULL ? ")" : "");
    return EXIT_FAILURE;
}

static int
run_master(options_t *o)
{
    log_level_t level = LOG_INFO;

    log_level_parse(o->conf.log_level, &level);
    log_configure(level, "master");
    return master_run(&o->conf, o->conf_path);
}

static int
run_orchestrator(options_t *o)
{
    return daemon_run(&o->conf, o->conf_path, MASTER_CHILD_FD);
}

static int
run_signer(options_t *o)
{
    log_level_t level = LOG_INFO;

    log_level_parse(o->conf.log_level, &level);
    log_configure(level, "signer");
    prctl(PR_SET_NAME, "chancery-signer");
    return signer_process_run(&o->conf, MASTER_CHILD_FD);
}

static int
run_check(options_t *o)
{
    printf("%s: configuration is good\n", o->conf_path != NULL ? o->conf_path : "environment");
    return EXIT_SUCCESS;
}

static int
run_migrate(options_t *o)
{
    const char *dir = getenv("CHANCERY_MIGRATIONS");
    pki_err_t   err = { 0 };
    long long   target = -1;
    char       *end = NULL;
    db_t       *db;
    pki_code_t  rc;

    if (o->to != NULL) {
        errno = 0;
        target = strtoll(o->to, &end, 10);
        if (errno != 0 || *end != '\0' || end == o->to || target < 0) {
            fprintf(stderr, "chanceryd: --to needs the number of a migration, not %s\n", o->to);
            return EXIT_FAILURE;
        }
    }
    if (db_open(&o->conf.database, &db, &err) != PKI_OK) {
        return report(&err);
    }
    rc = db_migrate(db, dir != NULL ? dir : CHANCERY_SHARE_DIR "/migrations", target, &err);
    db_close(db);
    return rc == PKI_OK ? EXIT_SUCCESS : report(&err);
}

static int
run_openapi(options_t *o)
{
    (void) o;
    return api_openapi_print();
}

static int
run_bootstrap_key(options_t *o)
{
    return api_bootstrap_key(&o->conf, o->name != NULL ? o->name : "bootstrap");
}

static int
run_master_key_rotate(options_t *o)
{
    return reseal_run(&o->conf);
}

static int
run_journal_verify(options_t *o)
{
    return signer_journal_verify(&o->conf);
}

static int
conf_load_options(options_t *o)
{
    field_problems_t problems = { 0 };
    pki_err_t        err = { 0 };

    if (conf_read(o->arena, o->conf_path, &o->conf, &problems, &err) == PKI_OK) {
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < problems.count; i++) {
        fprintf(stderr, "chanceryd: %s: %s\n", problems.item[i].field, problems.item[i].text);
    }
    if (problems.count == 0) {
        report(&err);
    }
    return EXIT_FAILURE;
}

static int
run_audit_verify(options_t *o)
{
    if (audit_files_given(&o->files)) {
        return api_audit_verify_files(&o->files);
    }
    return conf_load_options(o) == EXIT_SUCCESS ? api_audit_verify(&o->conf, o->files.head) : EXIT_FAILURE;
}

static int
run_journal_list(options_t *o)
{
    return signer_journal_list(&o->conf);
}

static int
run_manual(options_t *o)
{
    pki_err_t err = { 0 };
    pki_buf_t out;

    pki_buf_init(&out, o->arena, 1 << 20);
    if (conf_manual(conf_fields, &out, &err) != PKI_OK) {
        return report(&err);
    }
    fwrite(out.p, 1, out.len, stdout);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* clang-format off */
static const command_t commands[] = {
    { "run",               NULL,     true,  run_master,         "start the signer and the orchestrator, and keep them running" },
    { "check",             NULL,     true,  run_check,          "read the configuration and say what is wrong with it (also --check)" },
    { "migrate",           NULL,     true,  run_migrate,        "bring the database to the newest schema, or with --to to another" },
    { "bootstrap-key",     NULL,     true,  run_bootstrap_key,  "make the first API key and print it once (--name)" },
    { "master-key",        "rotate", true,  run_master_key_rotate, "seal every secret in the database with the first master key" },
    { "signer-journal",    "verify", true,  run_journal_verify, "walk the signer's journal and check its hash chain" },
    { "signer-journal",    "list",   true,  run_journal_list,   "print a line for each certificate and CRL that was signed" },
    { "audit",             "verify", false, run_audit_verify,   "hold every audit event against the tree and its signed heads (--head FILE: one that was kept; or out of files alone)" },
    { "openapi",           NULL,     false, run_openapi,        "print the management API as OpenAPI 3.1" },
    { "manual",            NULL,     false, run_manual,         "print a commented configuration with every key and its default" },
    { MASTER_SIGNER,       NULL,     true,  run_signer,         NULL },
    { MASTER_ORCHESTRATOR, NULL,     true,  run_orchestrator,   NULL },
    { NULL,                NULL,     false, NULL,               NULL },
};
/* clang-format on */

static int
usage(FILE *out)
{
    fprintf(out, "usage: chanceryd COMMAND [-c FILE] [options]\n\ncommands:\n");
    for (const command_t *c = commands; c->name != NULL; c++) {
        if (c->help != NULL) {
            char name[64];

            snprintf(name, sizeof(name), "%s%s%s", c->name, c->sub != NULL ? " " : "", c->sub != NULL ? c->sub : "");
            fprintf(out, "  %-22s %s\n", name, c->help);
        }
    }
    fprintf(out, "\noptions:\n"
                 "  -c, --config FILE      configuration; otherwise CHANCERY_CONFIG, otherwise the environment alone\n"
                 "      --to N             migrate: the schema version to end at\n"
                 "      --head FILE        audit verify: a head of the API that was kept elsewhere\n"
                 "      --key FILE         audit verify, without a database: the keys that sign heads, in PEM; with\n"
                 "        --file FILE --heads FILE         an export in NDJSON, and /api/v1/audit/heads before it\n"
                 "        --file FILE --proof FILE         /api/v1/audit/{id} and /api/v1/audit/{id}/proof\n"
                 "        --consistency FILE --head FILE --heads FILE\n"
                 "                                         /api/v1/audit/consistency, a head of either size\n"
                 "      --name NAME        bootstrap-key: what the key is called\n"
                 "      --help, --version\n");
    return out == stdout ? EXIT_SUCCESS : EXIT_FAILURE;
}

static const command_t *
command_find(char **words, int count)
{
    for (const command_t *c = commands; c->name != NULL && count > 0; c++) {
        if (strcmp(c->name, words[0]) == 0 && count == (c->sub != NULL ? 2 : 1)
            && (c->sub == NULL || strcmp(c->sub, words[1]) == 0))
        {
            return c;
        }
    }
    return NULL;
}

static int
command_run(const command_t *c, options_t *o)
{
    int status = EXIT_FAILURE;

    o->arena = pki_arena_new(0);
    if (o->arena == NULL) {
        fprintf(stderr, "chanceryd: out of memory\n");
    } else if (!c->needs_conf || conf_load_options(o) == EXIT_SUCCESS) {
        status = c->run(o);
    }
    pki_arena_free(o->arena);
    return status;
}

int
main(int argc, char **argv)
{
    static const struct option longs[] = {
        { "config", required_argument, NULL, 'c' },
        { "to", required_argument, NULL, TEXT(to) },
        { "name", required_argument, NULL, TEXT(name) },
        { "head", required_argument, NULL, TEXT(files.head) },
        { "file", required_argument, NULL, TEXT(files.file) },
        { "heads", required_argument, NULL, TEXT(files.heads) },
        { "key", required_argument, NULL, TEXT(files.key) },
        { "proof", required_argument, NULL, TEXT(files.proof) },
        { "consistency", required_argument, NULL, TEXT(files.consistency) },
        { "check", no_argument, NULL, 'k' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'v' },
        { NULL, 0, NULL, 0 },
    };
    static char      check[] = "check";
    char            *check_words[] = { check };
    options_t        o = { .conf_path = getenv("CHANCERY_CONFIG") };
    const command_t *c;
    bool             is_check = false;
    int              opt;

    while ((opt = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
        switch (opt) {
        case 'c':
            o.conf_path = optarg;
            break;
        case 'k':
            is_check = true;
            break;
        case 'h':
            return usage(stdout);
        case 'v':
            printf("chanceryd %s\n", CHANCERY_VERSION);
            return EXIT_SUCCESS;
        case '?':
            return usage(stderr);
        default:
            memcpy((char *) &o + (opt - TEXT_FIRST), &optarg, sizeof(optarg));
        }
    }
    c = is_check && optind == argc ? command_find(check_words, 1) : command_find(argv + optind, argc - optind);
    return c != NULL ? command_run(c, &o) : usage(stderr);
}
