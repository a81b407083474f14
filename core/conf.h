/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Configuration: a YAML file and environment variables through one field table.  Unknown keys,
 * wrong types and values out of bounds are errors, all of them reported at once.
 *
 * YAML is turned into a JSON value (core/yaml.c on libyaml) and decoded by pkiproto/json/field.h, so
 * that configuration, API bodies and their manual share one kind of descriptor.
 */
#ifndef CORE_CONF_H
#define CORE_CONF_H

#include "pkiproto/base/buf.h"
#include "pkiproto/json/field.h"

/* Plain scalars become null, booleans, integers or strings; anchors, tags and duplicate keys are errors. */
pki_code_t yaml_parse(bytes_t text, json_t **out, pki_err_t *err);

/*
 * Load path (NULL: no file), then every environment variable PREFIX_SECTION_KEY over it.  An unknown
 * variable that starts with the prefix and an underscore is an error, but for those listed in ignore.
 */
pki_code_t conf_load(pki_arena_t *a, const field_t *table, const char *path, const char *env_prefix,
                     const char *const *ignore, void *out, field_problems_t *problems, pki_err_t *err);

/* The reference manual of a table: commented YAML with every key, its help and its default. */
pki_code_t conf_manual(const field_t *table, pki_buf_t *out, pki_err_t *err);

#endif
