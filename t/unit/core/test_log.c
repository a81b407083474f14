/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Log lines as a reader of stderr gets them; JSON is read back with jansson.
 */
#include "core/log.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

static int  reader;
static char line[65536];

static void
setup(void)
{
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    reader = ends[0];
    fcntl(reader, F_SETFL, O_NONBLOCK);
    log_configure(LOG_INFO, "signer");
}

TestSuite(log, .init = setup);

static size_t
line_read(void)
{
    ssize_t n = read(reader, line, sizeof(line) - 1);

    line[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t) n : 0;
}

static json_t *
event_read(void)
{
    json_error_t e;
    size_t       n = line_read();
    json_t      *out = json_loads(line, JSON_REJECT_DUPLICATES, &e);

    cr_assert_not_null(out, "%s in %s", e.text, line);
    cr_assert_eq(strchr(line, '\n'), line + n - 1, "exactly one line");
    return out;
}

static const char *
text_of(json_t *event, const char *name)
{
    return json_string_value(json_object_get(event, name));
}

Test(log, writes_one_json_object_a_line)
{
    json_t *e;

    log_request_set("req-1");
    log_info("cert.issued", LOG_S("issuer", "iss-local"), LOG_X("serial", BYTES_LIT("\x00\xff")),
             LOG_I("ms", -7), LOG_B("again", true), LOG_S("owner", NULL));
    e = event_read();
    cr_expect_str_eq(text_of(e, "event"), "cert.issued");
    cr_expect_str_eq(text_of(e, "level"), "info");
    cr_expect_str_eq(text_of(e, "process"), "signer");
    cr_expect_str_eq(text_of(e, "request"), "req-1");
    cr_expect_str_eq(text_of(e, "issuer"), "iss-local");
    cr_expect_str_eq(text_of(e, "serial"), "00ff");
    cr_expect_eq(json_integer_value(json_object_get(e, "ms")), -7);
    cr_expect(json_is_true(json_object_get(e, "again")));
    cr_expect_null(json_object_get(e, "owner"));
    cr_expect_eq(strlen(text_of(e, "time")), 24);
    json_decref(e);
}

Test(log, keeps_hostile_text_inside_its_string)
{
    json_t *e;

    log_info("x", LOG_S("name", "a\"b\\c\n\x01\xff\xc0\xaf\xed\xa0\x80z\xc3\xa4"));
    e = event_read();
    cr_expect_str_eq(text_of(e, "name"),
                     "a\"b\\c\n\x01\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                     "\xef\xbf\xbdz\xc3\xa4");
    json_decref(e);
}

Test(log, cuts_what_does_not_fit_and_says_so)
{
    static char big[20000];
    json_t     *e;

    memset(big, 'x', sizeof(big) - 1);
    log_info("x", LOG_S("big", big), LOG_S("small", "s"));
    e = event_read();
    cr_expect_null(json_object_get(e, "big"));
    cr_expect_str_eq(text_of(e, "small"), "s");
    cr_expect(json_is_true(json_object_get(e, "cut")));
    json_decref(e);
}

Test(log, leaves_out_events_below_the_level)
{
    log_debug("x", LOG_I("n", 1));
    cr_expect_eq(line_read(), 0);
    log_configure(LOG_ERROR, "signer");
    log_warn("x", LOG_I("n", 1));
    cr_expect_eq(line_read(), 0);
    log_error("x", LOG_I("n", 1));
    cr_expect_gt(line_read(), 0);
}

Test(log, prints_failures_with_code_and_place)
{
    pki_err_t err;
    json_t   *e;

    pki_fail_at(&err, PKI_E_PARSE, "a.c", 7, "RFC 5280 4.1", "no %s", "good");
    log_failure(LOG_WARN, "request.refused", &err);
    e = event_read();
    cr_expect_str_eq(text_of(e, "code"), "PARSE");
    cr_expect_str_eq(text_of(e, "text"), "no good");
    cr_expect_str_eq(text_of(e, "clause"), "RFC 5280 4.1");
    cr_expect_str_eq(text_of(e, "where"), "a.c:7");
    json_decref(e);
}

Test(log, is_logfmt_on_a_terminal, .init = NULL)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY), slave;

    cr_assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    dup2(slave, STDERR_FILENO);
    log_info("process.started", LOG_S("role", "signer"), LOG_S("text", "two words"), LOG_S("none", ""));
    line[read(master, line, sizeof(line) - 1)] = '\0';
    cr_expect_not_null(strstr(line, "info  process.started "), "%s", line);
    cr_expect_not_null(strstr(line, " role=signer text=\"two words\" none=\"\""), "%s", line);
}

Test(log, knows_the_names_of_its_levels)
{
    log_level_t level = LOG_ERROR;

    cr_expect(log_level_parse("debug", &level));
    cr_expect_eq(level, LOG_DEBUG);
    cr_expect(!log_level_parse("loud", &level));
}

Test(log, gathers_lines_until_there_is_no_room_or_something_is_wrong)
{
    char     room[400];
    unsigned lines = 0;

    log_gather(room, sizeof(room));
    log_info("one", LOG_I("n", 1));
    cr_expect_eq(line_read(), 0, "not yet");
    log_warn("two", LOG_I("n", 2));
    cr_expect_gt(line_read(), 0);
    cr_expect(strstr(line, "\"one\"") < strstr(line, "\"two\""), "in their order: %s", line);
    for (int i = 0; i < 5; i++) {
        log_info("many", LOG_S("text", "some more octets, so that a few lines are enough"));
    }
    cr_expect_gt(line_read(), 0, "what found no room");
    cr_expect_eq(line[strlen(line) - 1], '\n', "whole lines");
    for (const char *at = line; (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    cr_expect_lt(lines, 5, "but not all");
    log_gather(NULL, 0);
    cr_expect_gt(line_read(), 0, "and the rest at the end");
    log_info("alone", LOG_I("n", 3));
    cr_expect_gt(line_read(), 0);
}
