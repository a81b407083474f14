/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Values as a spreadsheet is given them.
 */
#include "pkiproto/base/csv.h"

#include <criterion/criterion.h>

static const struct {
    const char *value, *printed;
} rows[] = {
    { "", "" },
    { "plain text", "plain text" },
    { "a,b", "\"a,b\"" },
    { "say \"no\"", "\"say \"\"no\"\"\"" },
    { "two\r\nlines", "\"two\r\nlines\"" },
    { "=1+1", "'=1+1" },
    { "+1", "'+1" },
    { "-1", "'-1" },
    { "@SUM(A1)", "'@SUM(A1)" },
    { "\t=1", "'\t=1" },
    { "\r=1", "\"'\r=1\"" },
    { "=HYPERLINK(\"x\",\"y\")", "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\"" },
    { "a=b", "a=b" },
};

Test(csv, values_are_quoted_where_rfc_4180_says_and_are_no_formulas)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t   memory[128];
        pki_buf_t b;

        pki_buf_fixed(&b, memory, sizeof(memory));
        csv_put(&b, bytes_str(rows[i].value), true);
        cr_expect(bytes_eq(pki_buf_bytes(&b), bytes_str(rows[i].printed)), "%s: %.*s", rows[i].value, (int) b.len,
                  (const char *) b.p);
    }
}

Test(csv, a_record_has_commas_between_its_values_and_ends_a_line)
{
    uint8_t   memory[32];
    pki_buf_t b;

    pki_buf_fixed(&b, memory, sizeof(memory));
    csv_put(&b, BYTES_LIT("a"), true);
    csv_put(&b, BYTES_LIT(""), false);
    csv_put(&b, BYTES_LIT("c"), false);
    csv_end(&b);
    cr_expect(bytes_eq(pki_buf_bytes(&b), BYTES_LIT("a,,c\r\n")));
}
