/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * YAML: whatever parses can be printed as JSON and read back to the same value.
 */
#include "core/conf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    JSON_AUTO value = NULL;
    JSON_AUTO again = NULL;
    char     *text;

    if (yaml_parse(bytes_of(data, size), &value, NULL) != PKI_OK) {
        return 0;
    }
    text = json_dumps(value, JSON_ENCODE_ANY);
    again = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (!json_equal(value, again)) {
        abort();
    }
    free(text);
    return 0;
}
