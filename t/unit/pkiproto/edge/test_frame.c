/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Frames: taken whole or not at all.
 */
#include "pkiproto/edge/frame.h"

#include <criterion/criterion.h>

#define MOST 16

/* Two frames, one of them empty, and the beginning of a third. */
static const uint8_t octets[] = { 0, 0, 0, 3, 0x01, 0x02, 0x03, 0x04, 'a', 'b', 'c', 0, 0, 0, 0,
                                  0xff, 0xff, 0xff, 0xff, 0, 0, 0, 16, 0, 0, 0, 9, 'd' };

Test(frame, are_taken_one_by_one)
{
    bytes_t in = BYTES_ARR(octets);
    frame_t f;

    cr_assert_eq(frame_take(&in, MOST, &f), 1);
    cr_expect_eq(f.no, 0x01020304);
    cr_expect(bytes_eq(f.octets, BYTES_LIT("abc")));
    cr_expect_eq(f.octets.p, octets + FRAME_HEAD, "borrowed");
    cr_assert_eq(frame_take(&in, MOST, &f), 1);
    cr_expect_eq(f.no, UINT32_MAX);
    cr_expect_eq(f.octets.len, 0);
    cr_expect_eq(frame_take(&in, MOST, &f), 0, "the rest is not whole");
    cr_expect_eq(in.p, octets + 19, "and stays");
    cr_expect_eq(in.len, sizeof(octets) - 19);
}

Test(frame, of_any_beginning_there_is_more_to_come)
{
    for (size_t len = 0; len < FRAME_HEAD + 3; len++) {
        bytes_t in = bytes_of(octets, len);
        frame_t f;

        cr_expect_eq(frame_take(&in, MOST, &f), 0, "%zu octets", len);
        cr_expect_eq(in.len, len);
    }
}

Test(frame, is_refused_by_its_length_alone)
{
    static const uint8_t large[] = { 0, 0, 0, MOST + 1 }, fits[] = { 0, 0, 0, MOST }, most[] = { 0xff, 0xff, 0xff, 0xff };
    const struct {
        bytes_t in;
        int     status;
    } cases[] = { { BYTES_ARR(large), -1 }, { BYTES_ARR(fits), 0 }, { BYTES_ARR(most), -1 }, { bytes_of(most, 3), 0 } };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bytes_t in = cases[i].in;
        frame_t f;

        cr_expect_eq(frame_take(&in, MOST, &f), cases[i].status, "%zu", i);
        cr_expect_eq(in.len, cases[i].in.len);
    }
}

Test(frame, has_the_head_that_was_written)
{
    static const struct {
        uint32_t no;
        size_t   len;
    } cases[] = { { 0, 0 }, { 1, 255 }, { 0x80000000, 256 }, { UINT32_MAX, FRAME_ASK_MAX } };
    static uint8_t room[FRAME_HEAD + FRAME_ASK_MAX];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bytes_t in = bytes_of(room, FRAME_HEAD + cases[i].len);
        frame_t f;

        frame_head(room, cases[i].no, cases[i].len);
        cr_assert_eq(frame_take(&in, FRAME_ASK_MAX, &f), 1, "%zu", i);
        cr_expect_eq(f.no, cases[i].no);
        cr_expect_eq(f.octets.len, cases[i].len);
        cr_expect_eq(in.len, 0);
    }
}
