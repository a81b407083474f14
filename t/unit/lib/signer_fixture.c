/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A real signer process in a temporary folder.  The test plays the master: it keeps both ends of the
 * socket pair, so that a signer that is killed can be followed by another on the same socket.
 */
#include "t/unit/lib/signer_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/x509.h>

#include "core/file.h"
#include "orchestrator/signer/process.h"
#include "pkiproto/x509/cert.h"

static void
must(bool ok, const char *what)
{
    if (!ok) {
        perror(what);
        abort();
    }
}

void
fixture_signer_open(signer_fixture_t *f)
{
    pki_err_t err;

    *f = (signer_fixture_t){ .dir = "/tmp/chancery-signer.XXXXXX" };
    must(mkdtemp(f->dir) != NULL, "mkdtemp");
    snprintf(f->passphrase, sizeof(f->passphrase), "%s/passphrase", f->dir);
    must(file_replace(f->passphrase, BYTES_LIT("correct horse\n"), 0600, &err) == PKI_OK, "passphrase");
    f->conf.signer.dir = f->dir;
    f->conf.signer.passphrase_file = f->passphrase;
    must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, f->ends) == 0, "socketpair");
}

/* The client, which has a thread, comes after the fork: a thread that is just starting may hold locks of the allocator. */
void
fixture_signer_start(signer_fixture_t *f)
{
    pki_err_t err;

    fflush(NULL);
    f->pid = fork();
    must(f->pid >= 0, "fork");
    if (f->pid == 0) {
        close(f->ends[0]);
        _exit(signer_process_run(&f->conf, f->ends[1]));
    }
    if (f->client == NULL) {
        must(signer_open(dup(f->ends[0]), 20000, &f->client, &err) == PKI_OK, "signer_open");
    }
}

static int
fixture_end(signer_fixture_t *f, int signal_no)
{
    int status;

    kill(f->pid, signal_no);
    must(waitpid(f->pid, &status, 0) == f->pid, "waitpid");
    f->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void
fixture_signer_kill(signer_fixture_t *f)
{
    fixture_end(f, SIGKILL);
}

int
fixture_signer_stop(signer_fixture_t *f)
{
    return fixture_end(f, SIGTERM);
}

void
fixture_signer_close(signer_fixture_t *f)
{
    char command[128];

    if (f->pid != 0) {
        fixture_end(f, SIGKILL);
    }
    signer_close(f->client);
    close(f->ends[0]);
    close(f->ends[1]);
    snprintf(command, sizeof(command), "rm -rf %s", f->dir);
    must(system(command) == 0, "rm");
}

bytes_t
fixture_tbs(pki_arena_t *a, bytes_t spki, bytes_t serial)
{
    cert_template_t t = { .serial = serial, .not_before = 1700000000, .not_after = 1900000000, .path_len = -1 };
    pki_key_t       key;
    pki_buf_t       b;
    uint8_t        *skid = pki_alloc(a, 20);

    must(pki_key_parse(spki, &key, NULL) == PKI_OK, "spki");
    must(name_build(a, "CN=Test", &t.subject, NULL) == PKI_OK, "name");
    pki_key_id(&key, skid);
    t.issuer = t.subject;
    t.spki = spki;
    t.sigalg = pki_key_sigalg(key.kind);
    t.skid = t.akid = bytes_of(skid, 20);
    t.key_usage = KU_DIGITAL_SIGNATURE;
    pki_buf_init(&b, a, CERT_MAX);
    must(cert_build_tbs(&t, &b, NULL) == PKI_OK, "tbs");
    return pki_buf_bytes(&b);
}

bool
fixture_verify(bytes_t spki, const char *digest, bytes_t message, bytes_t signature)
{
    const uint8_t *p = spki.p;
    EVP_PKEY      *key = d2i_PUBKEY(NULL, &p, (long) spki.len);
    EVP_MD_CTX    *ctx = EVP_MD_CTX_new();
    bool           ok = key != NULL && EVP_DigestVerifyInit_ex(ctx, NULL, digest, NULL, NULL, key, NULL) == 1
              && EVP_DigestVerify(ctx, signature.p, signature.len, message.p, message.len) == 1;

    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok;
}
