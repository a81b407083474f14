/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * `chanceryd audit verify --file`: an export, the heads and the keys as files.  Nothing else is needed, no database and no
 * configuration: an auditor does it on a machine of their own.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/file.h"
#include "orchestrator/api/sealer.h"
#include "pkiproto/audit/replay.h"
#include "pkiproto/x509/pem.h"

#define FILE_MAX_ (8u << 20)
#define KEYS_MAX_ 64

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

/* An answer of /audit/heads, or one head. */
static pki_code_t
heads_read(pki_arena_t *a, const char *path, audit_signed_head_t **out, size_t *count, pki_err_t *err)
{
    JSON_AUTO in = NULL;
    JSON_AUTO list = NULL;
    bytes_t   text;

    PKI_TRY(file_read(a, path, FILE_MAX_, &text, err));
    PKI_TRY(json_parse(text, &in, err));
    list = json_is_array(json_object_get(in, "data")) ? json_incref(json_object_get(in, "data")) : json_pack("[O]", in);
    *count = json_array_size(list);
    PKI_TRY(PKI_NEW_N(a, *count + 1, out, err));
    for (size_t i = 0; i < *count; i++) {
        PKI_TRY(fields_decode(a, audit_signed_head_fields, json_array_get(list, i), &(*out)[i], NULL, err));
    }
    return PKI_OK;
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

static pki_code_t
file_verify(pki_arena_t *a, const char *file, const char *heads, const char *key, replay_t *r, pki_err_t *err)
{
    audit_signed_head_t *head = NULL;
    bytes_t              spki[KEYS_MAX_];
    size_t               head_count = 0, key_count = 0;

    PKI_TRY(heads_read(a, heads, &head, &head_count, err));
    PKI_TRY(keys_read(a, key, spki, &key_count, err));
    PKI_TRY(lines_read(r, file, err));
    return replay_check(r, head, head_count, spki, key_count, err);
}

int
api_audit_verify_file(const char *file, const char *heads, const char *key)
{
    pki_arena_t *a = pki_arena_new(0);
    replay_t     r = { .fault = fault_print };
    pki_err_t    err = { 0 };
    pki_code_t   rc = a != NULL ? file_verify(a, file, heads, key, &r, &err)
                              : pki_fail(&err, PKI_E_NOMEM, NULL, "out of memory");

    pki_arena_free(a);
    replay_free(&r);
    if (rc != PKI_OK) {
        printf("FAULT: %s\n", err.text);
    }
    printf("events        %" PRIu64 "\nin a head     %" PRIu64 "\nnot sealed    %" PRIu64 "\n", r.lines, r.covered, r.unsealed);
    printf("%s\n", rc == PKI_OK && r.faults == 0 ? "verified" : "NOT verified");
    return fflush(stdout) == 0 && rc == PKI_OK && r.faults == 0 ? 0 : 1;
}
