/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Inside of store/ only: which state of a certificate may follow which, for one order and for many.
 */
#ifndef ORCHESTRATOR_STORE_REVOCATION_RULE_H
#define ORCHESTRATOR_STORE_REVOCATION_RULE_H

#include <stdbool.h>

#define REASON_HOLD    6
#define REASON_RELEASE 8

/* 'r', 'h' or 'l' is the new state, '=' it is there already, '!' it cannot go there. */
char        revocation_next(char from, int reason);
const char *revocation_state_name(char state);

/* CA/Browser Forum BR 7.2.2: none (0), and these; and the way out of a hold from before the policy. */
bool revocation_is_webpki(int reason);

#endif
