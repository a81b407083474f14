/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * One table: flags, variables, help.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli/options.h"

/* clang-format off */
const option_t option_table[] = {
    { "server",       "CHANCERY_URL",          "URL",        offsetof(options_t, server),       "the service: https://HOST[:PORT], or unix:PATH of the API's socket on its own host (https://localhost:8443)" },
    { "api-key",      "CHANCERY_API_KEY",      "KEY",        offsetof(options_t, api_key),      "who asks; other users of this host may see arguments: prefer the variable or a file" },
    { "api-key-file", "CHANCERY_API_KEY_FILE", "FILE",       offsetof(options_t, api_key_file), "the same from a file that nobody else can read" },
    { "ca-bundle",    "CHANCERY_CA_BUNDLE",    "FILE",       offsetof(options_t, ca_bundle),    "certificates that are trusted, PEM; without it the system's" },
    { "cert",         "CHANCERY_CERT",         "FILE",       offsetof(options_t, cert),         "client certificate, PEM" },
    { "key",          "CHANCERY_KEY",          "FILE",       offsetof(options_t, key),          "its private key, PEM, when it is not in the same file" },
    { "format",       "CHANCERY_FORMAT",       "table|json", offsetof(options_t, format),       "tables for people, or the API's own answers (table)" },
    { "timeout",      "CHANCERY_TIMEOUT",      "SECONDS",    offsetof(options_t, timeout),      "for an answer; for what comes as a stream: of silence (30)" },
    { "yes",          NULL,                    NULL,         offsetof(options_t, yes),          "do not ask before something is destroyed" },
    { "help",         NULL,                    NULL,         offsetof(options_t, help),         "what can be said, at every level" },
    { "version",      NULL,                    NULL,         offsetof(options_t, version),      "version of this program" },
    { NULL,           NULL,                    NULL,         0,                                 NULL },
};
/* clang-format on */

static void
option_set(options_t *o, const option_t *option, const char *value)
{
    void *member = (char *) o + option->offset;

    if (option->value != NULL) {
        *(const char **) member = value;
    } else {
        *(bool *) member = true;
    }
}

void
options_from_environment(options_t *o)
{
    for (const option_t *each = option_table; each->flag != NULL; each++) {
        const char *value = each->variable != NULL ? getenv(each->variable) : NULL;

        if (value != NULL && value[0] != '\0') {
            option_set(o, each, value);
        }
    }
}

/* Whoever lists processes sees what is left of this word. */
static char *
word_hide(char *value)
{
    static char kept[1024];
    size_t      len = strlen(value);

    if (len >= sizeof(kept)) {
        return value;
    }
    memcpy(kept, value, len + 1);
    memset(value, 'x', len);
    return kept;
}

int
options_take(options_t *o, size_t count, char **words)
{
    size_t len = strcspn(words[0], "=");
    char  *value = words[0][len] == '=' ? words[0] + len + 1 : NULL;
    int    used = 1;

    if (strcmp(words[0], "-h") == 0) {
        o->help = true;
        return 1;
    }
    for (const option_t *each = option_table; each->flag != NULL; each++) {
        if (strncmp(words[0], "--", 2) != 0 || strlen(each->flag) != len - 2
            || memcmp(each->flag, words[0] + 2, len - 2) != 0) {
            continue;
        }
        if (each->value == NULL) {
            option_set(o, each, NULL);
            return value == NULL ? 1 : -1;
        }
        if (value == NULL && count < 2) {
            return -1;
        }
        if (value == NULL) {
            value = words[1];
            used = 2;
        }
        if (each->offset == offsetof(options_t, api_key)) {
            value = word_hide(value);
            o->api_key_file = NULL;
        } else if (each->offset == offsetof(options_t, api_key_file)) {
            o->api_key = NULL; /* what is said comes over what a variable says */
        }
        option_set(o, each, value);
        return used;
    }
    return 0;
}
