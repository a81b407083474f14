/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The attribute types of distinguished names, shared by name.c and name_build.c.
 */
#ifndef PKI_X509_ATTRIBUTE_H
#define PKI_X509_ATTRIBUTE_H

#include "pkiproto/x509/ext.h"

typedef struct {
    const char *name; /* as RFC 4514 text */
    bytes_t     oid;  /* contents octets */
    size_t      max;  /* characters */
    uint8_t     tag;  /* string type when built */
} attribute_row_t;

const attribute_row_t *attribute_by_oid(bytes_t oid);
const attribute_row_t *attribute_by_name(bytes_t name); /* in any case */

#endif
