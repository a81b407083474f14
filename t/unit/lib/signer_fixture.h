/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A real signer process in a temporary folder, for tests that need signatures.
 */
#ifndef T_UNIT_LIB_SIGNER_FIXTURE_H
#define T_UNIT_LIB_SIGNER_FIXTURE_H

#include <sys/types.h>

#include "orchestrator/conf.h"
#include "orchestrator/signer/signer.h"

typedef struct {
    char      dir[64], passphrase[128];
    conf_t    conf; /* of the signer; a test may set the PKCS#11 keys before fixture_signer_start() */
    int       ends[2];
    pid_t     pid;
    signer_t *client;
} signer_fixture_t;

void fixture_signer_open(signer_fixture_t *f);  /* folder, passphrase and sockets; starts nothing */
void fixture_signer_start(signer_fixture_t *f); /* forks the process; the first time it makes the client, too */
void fixture_signer_kill(signer_fixture_t *f);  /* SIGKILL, and waits */
int  fixture_signer_stop(signer_fixture_t *f);  /* SIGTERM; its exit status */
void fixture_signer_close(signer_fixture_t *f); /* everything, the folder too */

/* A small TBSCertificate with this serial, as the key (SPKI) would sign it for itself. */
bytes_t fixture_tbs(pki_arena_t *a, bytes_t spki, bytes_t serial);

/* Whether OpenSSL's own API verifies the signature with the SPKI. */
bool fixture_verify(bytes_t spki, const char *digest, bytes_t message, bytes_t signature);

#endif
