/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * JSON through field tables: what decodes as an enrolment encodes to what decodes to the same.
 */
#include <stdlib.h>

#include "pkiproto/edge/enrol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
round_trip(pki_arena_t *a, const field_t *table, const json_t *in, void *out)
{
    field_problems_t problems;
    JSON_AUTO        first = NULL;
    JSON_AUTO        second = NULL;

    if (fields_decode(a, table, in, out, &problems, NULL) != PKI_OK) {
        if (json_is_object(in) && problems.count == 0) {
            abort();
        }
        return;
    }
    first = fields_encode(table, out);
    if (first == NULL || fields_decode(a, table, first, out, NULL, NULL) != PKI_OK) {
        abort();
    }
    second = fields_encode(table, out);
    if (!json_equal(first, second)) {
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pki_arena_t    *a = pki_arena_new(0);
    JSON_AUTO       in = NULL;
    enrol_request_t request;
    enrol_answer_t  answer;

    if (json_parse(bytes_of(data, size), &in, NULL) == PKI_OK) {
        round_trip(a, enrol_request_fields, in, &request);
        round_trip(a, enrol_answer_fields, in, &answer);
    }
    pki_arena_free(a);
    return 0;
}
