/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What comes by the edge socket and by that of single rows: frames stay inside of their octets, and a frame, a relay and a
 * record that are read are written again as they were.
 */
#include <stdlib.h>

#include "pkiproto/edge/enrol.h"
#include "pkiproto/edge/frame.h"
#include "pkiproto/edge/relay.h"
#include "pkiproto/json/pack.h"

#define MOST 4096 /* octets in a frame */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
same(const pki_buf_t *again, bytes_t was)
{
    if (again->failed || !bytes_eq(pki_buf_bytes(again), was)) {
        abort();
    }
}

static void
relay_again(pki_arena_t *a, bytes_t in)
{
    bytes_t   rest = in, name, value;
    pki_buf_t again;
    int       status;

    pki_buf_init(&again, a, in.len + 1);
    while ((status = relay_take(&rest, &name, &value)) == 1) {
        const char *text = pki_strndup(a, name.p, name.len);

        if (value.p < in.p || value.p + value.len > in.p + in.len) {
            abort();
        }
        if (strlen(text) != name.len) {
            return; /* relay_put() takes a text */
        }
        if (name.len % 2 == 0) {
            relay_put(&again, text, value);
        } else {
            relay_put_head(&again, text, value.len);
            pki_buf_put(&again, value);
        }
    }
    if (status == 0) {
        same(&again, in);
    }
}

static void
record_again(pki_arena_t *a, bytes_t in)
{
    enrol_request_t request;
    pki_buf_t       again;

    pki_buf_init(&again, a, in.len + 64);
    if (fields_unpack(enrol_request_fields, in, &request, NULL) == PKI_OK) {
        fields_pack(enrol_request_fields, &request, &again);
        same(&again, in);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pki_arena_t *a = pki_arena_new(0);
    bytes_t      rest = bytes_of(data, size);
    frame_t      frame;

    for (const uint8_t *at = data; frame_take(&rest, MOST, &frame) == 1; at = rest.p) {
        uint8_t head[FRAME_HEAD];

        if (frame.octets.len > MOST || frame.octets.p + frame.octets.len != rest.p || rest.p + rest.len != data + size) {
            abort();
        }
        frame_head(head, frame.no, frame.octets.len);
        if (memcmp(at, head, sizeof(head)) != 0) {
            abort();
        }
        relay_again(a, frame.octets);
        record_again(a, frame.octets);
    }
    relay_again(a, bytes_of(data, size));
    record_again(a, bytes_of(data, size));
    pki_arena_free(a);
    return 0;
}
