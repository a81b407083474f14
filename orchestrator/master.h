/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The master process: starts the signer and the orchestrator, each as its own user, and starts again what dies.
 */
#ifndef ORCHESTRATOR_MASTER_H
#define ORCHESTRATOR_MASTER_H

#include "orchestrator/conf.h"

/* Commands of main.c by which the master starts its children, and the descriptor that they find their socket on. */
#define MASTER_SIGNER       "signer-process"
#define MASTER_ORCHESTRATOR "orchestrator-process"
#define MASTER_CHILD_FD     3

/* Runs until SIGTERM or SIGINT; the exit status.  conf_path is handed to the children. */
int master_run(const conf_t *conf, const char *conf_path);

#endif
