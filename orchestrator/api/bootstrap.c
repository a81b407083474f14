/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The first API key, made by whoever may read the configuration: `chanceryd bootstrap-key`.
 */
#include <openssl/crypto.h>
#include <stdio.h>

#include "core/log.h"
#include "orchestrator/api/auth.h"
#include "orchestrator/store/api_key.h"
#include "pkiproto/base/text.h"

static pki_code_t
key_make(db_t *db, const char *name, char text[API_KEY_TEXT_MAX], pki_err_t *err)
{
    static const char *all[] = { "*" };
    uint8_t            digest[32];
    char               id[32] = "key-", hex[17];
    audit_t            audit = { .actor = "chanceryd", .actor_type = "system", .action = "api_key.create",
                                 .resource_type = "api_key", .resource_id = id, .status = 201 };
    api_key_row_t      row = { .id = id, .name = name, .digest = BYTES_ARR(digest), .permissions = { all, 1 } };

    PKI_TRY(api_key_generate(text, digest, err));
    hex_encode(bytes_of(digest, 8), hex);
    snprintf(id + 4, sizeof(id) - 4, "%s", hex);
    return api_key_insert(db, &row, &audit, err);
}

int
api_bootstrap_key(const conf_t *conf, const char *name)
{
    char       text[API_KEY_TEXT_MAX];
    pki_err_t  err = { 0 };
    db_t      *db = NULL;
    pki_code_t code = db_open(&conf->database, &db, &err);

    if (code == PKI_OK) {
        code = key_make(db, name, text, &err);
    }
    if (code == PKI_OK) {
        printf("%s\n", text);
        OPENSSL_cleanse(text, sizeof(text));
    } else {
        log_failure(LOG_ERROR, "bootstrap.failed", &err);
    }
    if (db != NULL) {
        db_close(db);
    }
    return code == PKI_OK ? 0 : 1;
}
