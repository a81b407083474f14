/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * `chanceryd master-key rotate`: every sealed value of the database under the first master key.
 */
#ifndef ORCHESTRATOR_RESEAL_H
#define ORCHESTRATOR_RESEAL_H

#include "orchestrator/conf.h"

/*
 * Says on stdout what it did; exit status.  Value by value, each in a transaction of its own, beside daemons that run:
 * what is cut off is carried on by the next run.  Fails when a value could not be opened; the others are done.
 */
int reseal_run(const conf_t *conf);

#endif
