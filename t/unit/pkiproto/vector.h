/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Files below t/vectors, for unit tests (which run in the root of the tree).
 */
#ifndef T_UNIT_PKIPROTO_VECTOR_H
#define T_UNIT_PKIPROTO_VECTOR_H

#include "pkiproto/base/arena.h"

/* The contents of t/vectors/NAME in the arena; the test fails when it is missing. */
bytes_t vector_read(pki_arena_t *a, const char *name);

#endif
