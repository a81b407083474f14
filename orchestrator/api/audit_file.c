/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * `chanceryd audit verify --key`: an export, an event with its proof, or two heads, and the keys, as files.  Nothing else is
 * needed, no database and no configuration: an auditor does it on a machine of their own.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/file.h"
#include "orchestrator/api/sealer.h"
#include "pkiproto/audit/proof.h"
#include "pkiproto/audit/replay.h"
#include "pkiproto/x509/pem.h"

#define FILE_MAX_ (8u << 20)
#define KEYS_MAX_ 64

typedef struct {
    pki_arena_t         *a;
    const audit_files_t *files;
    bytes_t              spki[KEYS_MAX_];
    size_t               key_count;
    bool                 good;
} audit_check_t;

static void
fault_print(void *arg, int64_t event_id, const char *what)
{
    (void) arg;
    if (event_id != 0) {
        printf("FAULT: event %" PRId64 " %s\n", event_id, what);
    } else {
        printf("FAULT: %s\n", what);
    }
}

static pki_code_t
json_read(pki_arena_t *a, const char *path, json_t **out, pki_err_t *err)
{
    bytes_t text;

    PKI_TRY(file_read(a, path, FILE_MAX_, &text, err));
    return json_parse(text, out, err);
}

static pki_code_t
struct_read(pki_arena_t *a, const char *path, const field_t *table, void *out, pki_err_t *err)
{
    JSON_AUTO in = NULL;

    PKI_TRY(json_read(a, path, &in, err));
    return fields_decode(a, table, in, out, NULL, err);
}

/* An answer of /audit/heads, or one head. */
static pki_code_t
heads_read(pki_arena_t *a, const char *path, audit_signed_head_t **out, size_t *count, pki_err_t *err)
{
    JSON_AUTO in = NULL;
    JSON_AUTO list = NULL;

    PKI_TRY(json_read(a, path, &in, err));
    list = json_is_array(json_object_get(in, "data")) ? json_incref(json_object_get(in, "data")) : json_pack("[O]", in);
    *count = json_array_size(list);
    PKI_TRY(PKI_NEW_N(a, *count + 1, out, err));
    for (size_t i = 0; i < *count; i++) {
        PKI_TRY(fields_decode(a, audit_signed_head_fields, json_array_get(list, i), &(*out)[i], NULL, err));
    }
    return PKI_OK;
}

/* The head of that size in such a file. */
static pki_code_t
head_of(pki_arena_t *a, const char *path, int64_t size, audit_signed_head_t *out, pki_err_t *err)
{
    audit_signed_head_t *heads = NULL;
    size_t               count = 0;

    PKI_TRY(heads_read(a, path, &heads, &count, err));
    for (size_t i = 0; i < count; i++) {
        if (heads[i].tree_size == size) {
            *out = heads[i];
            return PKI_OK;
        }
    }
    return pki_fail(err, PKI_E_NOT_FOUND, NULL, "%s has no head of %lld events", path, (long long) size);
}

static pki_code_t
keys_read(pki_arena_t *a, const char *path, bytes_t spki[KEYS_MAX_], size_t *count, pki_err_t *err)
{
    static const char *const labels[] = { "PUBLIC KEY", NULL };
    bytes_t                  text;

    *count = 0;
    PKI_TRY(file_read(a, path, FILE_MAX_, &text, err));
    for (bytes_t one = BYTES_NONE; *count < KEYS_MAX_; spki[(*count)++] = one) {
        PKI_TRY(pem_next(a, &text, labels, &one, err));
        if (one.p == NULL) {
            break;
        }
    }
    return *count > 0 ? PKI_OK : pki_fail(err, PKI_E_PARSE, NULL, "%s: no public key in PEM", path);
}

static pki_code_t
lines_read(replay_t *r, const char *path, pki_err_t *err)
{
    FILE      *in = fopen(path, "re");
    char      *line = malloc(AUDIT_LINE_MAX + 2);
    pki_code_t code = PKI_OK;

    if (in == NULL || line == NULL) {
        code = pki_fail(err, PKI_E_IO, NULL, "%s: %s", path, strerror(errno));
        free(line);
        if (in != NULL) {
            fclose(in);
        }
        return code;
    }
    /* A longer line, and one with a NUL, are none that an export has: they are told as such. */
    while (code == PKI_OK && fgets(line, AUDIT_LINE_MAX + 2, in) != NULL) {
        code = replay_take(r, bytes_of(line, strcspn(line, "\n")), err);
    }
    if (code == PKI_OK && ferror(in)) {
        code = pki_fail(err, PKI_E_IO, NULL, "%s: %s", path, strerror(errno));
    }
    free(line);
    fclose(in);
    return code;
}

/* ---- what is verified ---- */

static pki_code_t
export_verify(audit_check_t *c, pki_err_t *err)
{
    replay_t             r = { .fault = fault_print };
    audit_signed_head_t *heads = NULL;
    size_t               count = 0;
    pki_code_t           rc;

    PKI_TRY(heads_read(c->a, c->files->heads, &heads, &count, err));
    rc = lines_read(&r, c->files->file, err);
    if (rc == PKI_OK) {
        rc = replay_check(&r, heads, count, c->spki, c->key_count, err);
    }
    replay_free(&r);
    printf("events        %" PRIu64 "\nin a head     %" PRIu64 "\nnot sealed    %" PRIu64 "\n", r.lines, r.covered, r.unsealed);
    c->good = r.faults == 0;
    return rc;
}

static pki_code_t
proof_verify(audit_check_t *c, pki_err_t *err)
{
    audit_line_t  line;
    audit_proof_t proof;
    bytes_t       text;

    PKI_TRY(struct_read(c->a, c->files->proof, audit_proof_fields, &proof, err));
    PKI_TRY(file_read(c->a, c->files->file, FILE_MAX_, &text, err));
    PKI_TRY(audit_line_parse(c->a, text, &line, err));
    printf("event         %" PRId64 "\nleaf          %" PRId64 " of %" PRId64 "\n", line.id, proof.leaf_index,
           proof.head.tree_size);
    PKI_TRY(audit_signed_head_check_any(&proof.head, c->spki, c->key_count, err));
    return audit_proof_check(&proof, &line.event, err);
}

static pki_code_t
consistency_verify(audit_check_t *c, pki_err_t *err)
{
    audit_consistency_t proof;
    audit_signed_head_t first, second;

    PKI_TRY(struct_read(c->a, c->files->consistency, audit_consistency_fields, &proof, err));
    PKI_TRY(head_of(c->a, c->files->head, proof.first, &first, err));
    PKI_TRY(head_of(c->a, c->files->heads, proof.second, &second, err));
    printf("tree          %" PRId64 " after %" PRId64 "\n", proof.second, proof.first);
    PKI_TRY(audit_signed_head_check_any(&first, c->spki, c->key_count, err));
    PKI_TRY(audit_signed_head_check_any(&second, c->spki, c->key_count, err));
    return audit_consistency_check(&proof, &first, &second, err);
}

/* By the files that are given. */
enum {
    GIVEN_HEAD = 1,
    GIVEN_FILE = 2,
    GIVEN_HEADS = 4,
    GIVEN_KEY = 8,
    GIVEN_PROOF = 16,
    GIVEN_CONSISTENCY = 32,
};

typedef struct {
    unsigned     given;
    pki_code_t (*verify)(audit_check_t *c, pki_err_t *err);
} way_t;

static const way_t ways[] = {
    { GIVEN_KEY | GIVEN_FILE | GIVEN_HEADS, export_verify },
    { GIVEN_KEY | GIVEN_FILE | GIVEN_PROOF, proof_verify },
    { GIVEN_KEY | GIVEN_HEAD | GIVEN_HEADS | GIVEN_CONSISTENCY, consistency_verify },
    { 0, NULL },
};

static unsigned
given(const audit_files_t *f)
{
    return (f->head != NULL ? GIVEN_HEAD : 0u) | (f->file != NULL ? GIVEN_FILE : 0u) | (f->heads != NULL ? GIVEN_HEADS : 0u)
           | (f->key != NULL ? GIVEN_KEY : 0u) | (f->proof != NULL ? GIVEN_PROOF : 0u)
           | (f->consistency != NULL ? GIVEN_CONSISTENCY : 0u);
}

bool
audit_files_given(const audit_files_t *f)
{
    return (given(f) & ~(unsigned) GIVEN_HEAD) != 0;
}

static pki_code_t
files_verify(audit_check_t *c, const way_t *way, pki_err_t *err)
{
    if (c->a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    PKI_TRY(keys_read(c->a, c->files->key, c->spki, &c->key_count, err));
    return way->verify(c, err);
}

int
api_audit_verify_files(const audit_files_t *f)
{
    audit_check_t c = { .files = f, .good = true };
    const way_t  *way = ways;
    pki_err_t     err = { 0 };

    while (way->verify != NULL && way->given != given(f)) {
        way++;
    }
    if (way->verify == NULL) {
        fprintf(stderr, "chanceryd: audit verify takes --key and --file with --heads or --proof, or --key, --consistency, "
                        "--head and --heads\n");
        return EXIT_FAILURE;
    }
    c.a = pki_arena_new(0);
    if (files_verify(&c, way, &err) != PKI_OK) {
        c.good = false;
        printf("FAULT: %s%s%s%s\n", err.text, err.clause != NULL ? " (" : "", err.clause != NULL ? err.clause : "",
               err.clause != NULL ? ")" : "");
    }
    pki_arena_free(c.a);
    printf("%s\n", c.good ? "verified" : "NOT verified");
    return fflush(stdout) == 0 && c.good ? EXIT_SUCCESS : EXIT_FAILURE;
}
