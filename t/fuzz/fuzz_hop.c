/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What comes in by the edge socket and by that of single rows: the head stays inside of its octets, and a record that is read is written again
 * as it was.
 */
#include <stdlib.h>

#include "orchestrator/api/head.h"
#include "pkiproto/edge/enrol.h"
#include "pkiproto/json/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pki_arena_t    *a = pki_arena_new(0);
    head_t          head;
    head_get_t      get;
    enrol_request_t request;
    pki_buf_t       again;

    if (head_parse(bytes_of(data, size), "/edge/v1/enrol", 4096, &head) == 200
        && (head.len > size || head.body_len > 4096))
    {
        abort();
    }
    if (head_get_parse(bytes_of(data, size), &get, &head) == 200) {
        if (head.len > size || head.body_len > 0 || get.count > HEAD_FIELDS) {
            abort();
        }
        for (size_t i = 0; i < get.count; i++) {
            if (get.fields[i].value.p < data || get.fields[i].value.p + get.fields[i].value.len > data + head.len) {
                abort();
            }
        }
    }
    pki_buf_init(&again, a, size + 64);
    if (fields_unpack(enrol_request_fields, bytes_of(data, size), &request, NULL) == PKI_OK) {
        fields_pack(enrol_request_fields, &request, &again);
        if (!bytes_eq(pki_buf_bytes(&again), bytes_of(data, size))) {
            abort();
        }
    }
    pki_arena_free(a);
    return 0;
}
