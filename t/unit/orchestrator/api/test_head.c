/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Heads of requests on the enrolment hop, and of those for single rows.
 */
#include "orchestrator/api/head.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>

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

#define GET "GET /api/v1/certificates/mc-1?fields=id HTTP/1.1\r\n"

Test(head, a_get_is_read_with_its_headers)
{
    static const char text[] = GET "Host: x\r\nAuthorization:Bearer  k \r\nX-Empty:\r\nhost: second\r\n\r\n";
    head_get_t        get;
    head_t            h;

    cr_assert_eq(head_get_parse(BYTES_LIT(text), &get, &h), 200);
    cr_expect_eq(h.len, sizeof(text) - 1);
    cr_expect_eq(h.body_len, 0);
    cr_expect(bytes_eq(get.target, BYTES_LIT("/api/v1/certificates/mc-1?fields=id")));
    cr_expect(bytes_eq(head_field(&get, "HOST"), BYTES_LIT("x")), "the first of a name counts");
    cr_expect(bytes_eq(head_field(&get, "authorization"), BYTES_LIT("Bearer  k")));
    cr_expect_not_null(head_field(&get, "x-empty").p);
    cr_expect_eq(head_field(&get, "x-empty").len, 0);
    cr_expect_null(head_field(&get, "x-other").p);
    for (size_t len = 0; len < sizeof(text) - 1; len++) {
        cr_expect_eq(head_get_parse(bytes_of(text, len), &get, &h), 0, "%zu octets are not all", len);
    }
}

ParameterizedTestParameters(head, other_gets_are_refused)
{
    static case_t cases[] = {
        { "HEAD / HTTP/1.1\r\n\r\n", 405 },
        { "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n", 405 },
        { "GET / HTTP/1.0\r\n\r\n", 505 },
        { "GET /\r\n\r\n", 400 },
        { GET "Content-Length: 0\r\n\r\n", 200 },
        { GET "Content-Length: 1\r\n\r\n", 413 },
        { GET "Transfer-Encoding: chunked\r\n\r\n", 501 },
        { GET "Authorization : x\r\n\r\n", 400 },
        { GET " continued\r\n\r\n", 400 },
    };
    return cr_make_param_array(case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(case_t *c, head, other_gets_are_refused)
{
    head_get_t get;
    head_t     h;

    cr_expect_eq(head_get_parse(bytes_str(c->text), &get, &h), c->status, "%s", c->text);
}

Test(head, a_get_may_have_so_many_headers)
{
    static char text[(HEAD_FIELDS + 1) * 8 + 100];
    head_get_t  get;
    head_t      h;

    for (int count = HEAD_FIELDS; count <= HEAD_FIELDS + 1; count++) {
        size_t len = (size_t) sprintf(text, GET);

        for (int i = 0; i < count; i++) {
            len += (size_t) sprintf(text + len, "a: b\r\n");
        }
        len += (size_t) sprintf(text + len, "\r\n");
        cr_expect_eq(head_get_parse(bytes_of(text, len), &get, &h), count == HEAD_FIELDS ? 200 : 431);
    }
}
