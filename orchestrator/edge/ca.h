/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A CA as issuer connectors take it, from its rows in the database: the border between the store's structs and
 * the connectors', which must not know each other.
 */
#ifndef ORCHESTRATOR_EDGE_CA_H
#define ORCHESTRATOR_EDGE_CA_H

#include "orchestrator/issuer/issuer.h"
#include "orchestrator/store/issuer.h"

/* The active generation, its certificate parsed; slices point into the rows. */
pki_code_t ca_of_chain(pki_arena_t *a, const issuer_chain_t *in, issuer_ca_t *out, pki_err_t *err);

#endif
