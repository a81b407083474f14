/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The serials of edge_fill's count=N as other programs want them: `serials N index` is a database of `openssl ca`
 * with N valid certificates, `serials N revoked` one in which all are revoked, every second with a reason.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "t/bench/load/load.h"

#define DAY_S 86400

static void
time_print(char out[16], time_t at)
{
    struct tm t;

    gmtime_r(&at, &t);
    strftime(out, 16, "%y%m%d%H%M%SZ", &t);
}

int
main(int argc, char **argv)
{
    size_t    count = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
    bool      revoked = argc == 3 && strcmp(argv[2], "revoked") == 0;
    time_t    now = time(NULL);
    uint8_t (*serials)[LOAD_SERIAL_LEN];
    char      end[16], at[16];

    if (count == 0 || (!revoked && strcmp(argv[2], "index") != 0)) {
        load_die("usage", "serials N index|revoked");
    }
    serials = load_serials(count);
    time_print(end, now + 90 * DAY_S);
    for (size_t i = 0; i < count; i++) {
        time_print(at, now - (time_t) (i % DAY_S));
        printf("%c\t%s\t%s%s\t", revoked ? 'R' : 'V', end, revoked ? at : "", revoked && i % 2 ? ",superseded" : "");
        for (size_t k = 0; k < LOAD_SERIAL_LEN; k++) {
            printf("%02X", serials[i][k]);
        }
        printf("\tunknown\t/CN=%zu\n", i);
    }
    free(serials);
    return 0;
}
