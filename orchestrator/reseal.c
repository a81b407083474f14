/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rotation of the master key: open with whichever key a value was sealed with, seal with the first.
 */
#include "orchestrator/reseal.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/seal.h"
#include "orchestrator/store/audit.h"
#include "orchestrator/store/sealed.h"
#include "pkiproto/base/text.h"

#define BATCH 100

typedef struct {
    db_t      *db;
    keyring_t *keyring;
    uint8_t    id[SEAL_ID_LEN];
    size_t     done, failed; /* of the present kind */
    size_t     all_done, all_failed;
} reseal_t;

static pki_code_t
value_reseal(reseal_t *s, pki_arena_t *a, size_t kind, const sealed_row_t *row, pki_err_t *err)
{
    pki_secret_t plain;
    bytes_t      fresh;
    bool         done;

    PKI_TRY(unseal(s->keyring, a, row->place, row->sealed, &plain, err));
    PKI_TRY(seal(s->keyring, a, row->place, pki_secret_bytes(&plain), &fresh, err));
    PKI_TRY(sealed_replace(s->db, kind, row, fresh, &done, err));
    s->done += done; /* otherwise somebody has just written another, with a key that is in use */
    return PKI_OK;
}

/* One page; *last says where the next begins, NULL at the end. */
static pki_code_t
page_reseal(reseal_t *s, pki_arena_t *a, size_t kind, const char **last, pki_err_t *err)
{
    sealed_row_t *rows;
    size_t        count;

    PKI_TRY(sealed_list(s->db, a, kind, BYTES_ARR(s->id), *last, BATCH, &rows, &count, err));
    for (size_t i = 0; i < count; i++) {
        pki_err_t  why = { 0 };
        pki_code_t code = value_reseal(s, a, kind, &rows[i], &why);

        if (pki_code_retryable(code)) {
            *err = why;
            return code;
        }
        if (code != PKI_OK) {
            s->failed++;
            fprintf(stderr, "chanceryd: %s\n", why.text);
        }
    }
    *last = count == BATCH ? rows[count - 1].id : NULL;
    return PKI_OK;
}

static pki_code_t
kind_reseal(reseal_t *s, size_t kind, pki_err_t *err)
{
    const char *last = "";
    char        after[1024];
    pki_code_t  code = PKI_OK;

    s->done = s->failed = 0;
    while (code == PKI_OK && last != NULL) {
        pki_arena_t *a = pki_arena_new(0);

        code = a != NULL ? page_reseal(s, a, kind, &last, err) : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
        if (code == PKI_OK && last != NULL) {
            snprintf(after, sizeof(after), "%s", last);
            last = after;
        }
        pki_arena_free(a);
    }
    printf("%s: %zu sealed anew, %zu failed\n", sealed_kind(kind), s->done, s->failed);
    s->all_done += s->done;
    s->all_failed += s->failed;
    return code;
}

static pki_code_t
rotation_audit(const reseal_t *s, pki_err_t *err)
{
    char    id[2 * SEAL_ID_LEN + 1], details[96];
    audit_t audit = { .actor = "chanceryd", .actor_type = "system", .action = "master_key.rotate",
                      .resource_type = "master_key", .resource_id = id, .status = s->all_failed == 0 ? 200 : 500,
                      .details = details };

    hex_encode(BYTES_ARR(s->id), id);
    snprintf(details, sizeof(details), "{\"sealed\": %zu, \"failed\": %zu}", s->all_done, s->all_failed);
    return audit_add(s->db, &audit, err);
}

static pki_code_t
all_reseal(reseal_t *s, pki_err_t *err)
{
    pki_code_t code = PKI_OK;
    char       id[2 * SEAL_ID_LEN + 1];

    if (!keyring_id(s->keyring, s->id)) {
        return pki_fail(err, PKI_E_CONFIG, NULL, "there is no master key");
    }
    hex_encode(BYTES_ARR(s->id), id);
    printf("master key %s seals, of %zu that open\n", id, keyring_count(s->keyring));
    for (size_t kind = 0; sealed_kind(kind) != NULL && code == PKI_OK; kind++) {
        code = kind_reseal(s, kind, err);
    }
    return code == PKI_OK ? rotation_audit(s, err) : code;
}

int
reseal_run(const conf_t *conf)
{
    reseal_t   s = { 0 };
    pki_err_t  err = { 0 };
    pki_code_t code = keyring_load(conf->master_key_file, &s.keyring, &err);

    if (code == PKI_OK) {
        code = db_open(&conf->database, &s.db, &err);
    }
    if (code == PKI_OK) {
        code = all_reseal(&s, &err);
    }
    if (code != PKI_OK) {
        fprintf(stderr, "chanceryd: %s\n", err.text);
    }
    if (s.db != NULL) {
        db_close(s.db);
    }
    keyring_free(s.keyring);
    return code == PKI_OK && s.all_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
