/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The signer process itself, and the offline look at its journal.
 */
#ifndef ORCHESTRATOR_SIGNER_PROCESS_H
#define ORCHESTRATOR_SIGNER_PROCESS_H

#include "orchestrator/conf.h"

/* Serve requests on fd until it closes or SIGTERM comes; returns the exit status. */
int signer_process_run(const conf_t *conf, int fd);

/* `chanceryd signer-journal verify`: walk the hash chain, print a summary or the first fault; exit status. */
int signer_journal_verify(const conf_t *conf);

/*
 * `chanceryd signer-journal list`: one line for each record, up to the first fault: kind, time, issuer number, serial or
 * CRL number in hexadecimal, SHA-256 of what the journal keeps (a TBSCertificate, or the digest of a TBSCertList), key
 * reference; exit status.  A request that was asked again after the signer died is there twice, with the same hash.
 */
int signer_journal_list(const conf_t *conf);

#endif
