/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The orchestrator process: its parts in their order, its signals.
 */
#ifndef ORCHESTRATOR_DAEMON_H
#define ORCHESTRATOR_DAEMON_H

#include "orchestrator/conf.h"

/* Serve until SIGTERM; the exit status.  conf_path is read again on SIGHUP, *conf takes what may change. */
int daemon_run(conf_t *conf, const char *conf_path, int signer_fd);

#endif
