/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Heads of requests on the enrolment hop.
 */
#include "orchestrator/api/head.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#define LINE "POST /edge/v1/enrol HTTP/1.1\r\n"
#define MAX  1000

static int
parse(bytes_t in, head_t *out)
{
    return head_parse(in, "/edge/v1/enrol", MAX, out);
}

Test(head, a_proxy_s_request_is_read)
{
    static const char text[] = LINE "Host: edge\r\nContent-Length: 12\r\nContent-Type: application/octet-stream\r\n\r\n";
    head_t            h;

    cr_assert_eq(parse(BYTES_LIT(text), &h), 200);
    cr_expect_eq(h.len, sizeof(text) - 1);
    cr_expect_eq(h.body_len, 12);
    cr_expect_not(h.close);
    for (size_t len = 0; len < sizeof(text) - 1; len++) {
        cr_expect_eq(parse(bytes_of(text, len), &h), 0, "%zu octets are not all", len);
    }
    cr_expect_eq(parse(BYTES_LIT(LINE "content-length:0\r\nconnection: Close \r\n\r\nbody"), &h), 200);
    cr_expect(h.close);
}

typedef struct {
    char text[120];
    int  status;
} case_t;

ParameterizedTestParameters(head, others_are_refused)
{
    static case_t cases[] = {
        { "GET /edge/v1/enrol HTTP/1.1\r\nContent-Length: 1\r\n\r\n", 405 },
        { "POST /edge/v1/enroll HTTP/1.1\r\nContent-Length: 1\r\n\r\n", 404 },
        { "POST /edge/v1/enrol?x HTTP/1.1\r\nContent-Length: 1\r\n\r\n", 404 },
        { "POST /edge/v1/enrol HTTP/1.0\r\nContent-Length: 1\r\n\r\n", 505 },
        { "POST /edge/v1/enrol\r\nContent-Length: 1\r\n\r\n", 400 },
        { "\r\n\r\n", 400 },
        { LINE "\r\n", 411 },
        { LINE "Content-Length: 1000\r\n\r\n", 200 },
        { LINE "Content-Length: 1001\r\n\r\n", 413 },
        { LINE "Content-Length: 18446744073709551617\r\n\r\n", 413 },
        { LINE "Content-Length: -1\r\n\r\n", 400 },
        { LINE "Content-Length: 1,1\r\n\r\n", 400 },
        { LINE "Content-Length:\r\n\r\n", 400 },
        { LINE "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400 },
        { LINE "Content-Length : 1\r\n\r\n", 400 },
        { LINE "Content-Length: 1\r\n 2\r\n\r\n", 400 },
        { LINE "Content-Length: 1\r\nno colon\r\n\r\n", 400 },
        { LINE "Content-Length: 1\r\n: empty\r\n\r\n", 400 },
        { LINE "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 501 },
    };
    return cr_make_param_array(case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(case_t *c, head, others_are_refused)
{
    head_t h;

    cr_expect_eq(parse(bytes_str(c->text), &h), c->status, "%s", c->text);
}

Test(head, a_head_without_an_end_is_refused_when_it_is_too_long)
{
    static char text[HEAD_MAX + 100];
    head_t      h;

    memset(text, 'x', sizeof(text));
    cr_expect_eq(parse(bytes_of(text, HEAD_MAX), &h), 0);
    cr_expect_eq(parse(bytes_of(text, HEAD_MAX + 1), &h), 431);
    memcpy(text + sizeof(text) - 4, "\r\n\r\n", 4);
    cr_expect_eq(parse(bytes_of(text, sizeof(text)), &h), 431);
    cr_expect_eq(parse(bytes_of(LINE "a: \0b\r\n\r\n", sizeof(LINE "a: \0b\r\n\r\n") - 1), &h), 400);
}
