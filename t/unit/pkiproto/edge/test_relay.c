/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Requests and answers that are passed on as fields.
 */
#include "pkiproto/edge/relay.h"

#include <criterion/criterion.h>

static const uint8_t octets[] = { 7, ':', 't', 'a', 'r', 'g', 'e', 't', 0, 0, 0, 2, '/', 'x', 1, 'A', 0, 0, 0, 0,
                                  1, 'A', 0, 0, 0, 1, 'b', 0, 0, 0, 0, 1, 'c' };

Test(relay, is_written_field_by_field)
{
    uint8_t   room[sizeof(octets)];
    pki_buf_t out;

    pki_buf_fixed(&out, room, sizeof(room));
    relay_put(&out, RELAY_TARGET, BYTES_LIT("/x"));
    relay_put(&out, "A", BYTES_NONE);
    relay_put(&out, "A", BYTES_LIT("b"));
    relay_put_head(&out, "", 1);
    pki_buf_put(&out, BYTES_LIT("c"));
    cr_assert_eq(pki_buf_check(&out, "a relay", NULL), PKI_OK);
    cr_expect(bytes_eq(pki_buf_bytes(&out), BYTES_ARR(octets)));
}

Test(relay, that_has_no_room_fails_and_writes_nothing)
{
    for (size_t cap = 0; cap < 14; cap++) {
        uint8_t   room[16] = { 0 };
        pki_buf_t out;

        pki_buf_fixed(&out, room, cap);
        relay_put(&out, RELAY_TARGET, BYTES_LIT("/x"));
        cr_expect(out.failed, "%zu octets", cap);
        cr_expect_eq(out.len, 0);
        cr_expect_eq(room[0], 0);
    }
}

Test(relay, is_read_in_its_order)
{
    static const struct {
        const char *name, *value;
    } wanted[] = { { ":target", "/x" }, { "A", "" }, { "A", "b" }, { "", "c" } };
    bytes_t in = BYTES_ARR(octets), name, value;

    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        cr_assert_eq(relay_take(&in, &name, &value), 1, "%zu", i);
        cr_expect(bytes_eq(name, bytes_str(wanted[i].name)), "%zu", i);
        cr_expect(bytes_eq(value, bytes_str(wanted[i].value)), "%zu", i);
    }
    cr_expect_eq(relay_take(&in, &name, &value), 0, "there is no more");
}

/* Where it may end: behind a field. */
Test(relay, that_is_cut_off_is_told)
{
    static const size_t ends[] = { 0, 14, 20, 27, 33 };
    size_t              e = 0;

    for (size_t len = 0; len <= sizeof(octets); len++) {
        bytes_t in = bytes_of(octets, len), name, value;
        int     status;

        while ((status = relay_take(&in, &name, &value)) == 1) {
        }
        cr_expect_eq(status, len == ends[e] ? 0 : -1, "%zu octets", len);
        e += len == ends[e];
    }
    cr_expect_eq(e, sizeof(ends) / sizeof(ends[0]));
}
