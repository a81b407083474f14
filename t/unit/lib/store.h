/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A small world in a database: one issuer, one profile, one EST label, and certificates made of a few octets.
 */
#ifndef T_UNIT_LIB_STORE_H
#define T_UNIT_LIB_STORE_H

#include "orchestrator/store/cert.h"
#include "orchestrator/store/est.h"
#include "orchestrator/store/issuer.h"
#include "orchestrator/store/profile.h"
#include "orchestrator/store/revocation.h"

#define DAY_S 86400

/* iss-local (number 1), prof-device, est-devices. */
void store_world(db_t *db);

/* A certificate for "mc-NAME" with the 16-octet serial that begins with `n`, valid from an hour ago for
 * `valid_s`. */
cert_record_t store_cert(pki_arena_t *a, const char *name, uint32_t n, int64_t valid_s);
bytes_t       store_serial(pki_arena_t *a, uint32_t n);

/* store_cert() recorded; it must succeed. */
void store_issue(db_t *db, pki_arena_t *a, const char *name, uint32_t n, int64_t valid_s);

/* Revoke all versions (serial 0) or one; returns the code. */
pki_code_t store_revoke(db_t *db, pki_arena_t *a, const char *name, uint32_t serial, int reason,
                        size_t *changed);

#endif
