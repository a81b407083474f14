/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Field tables: one descriptor per struct member.  The same table decodes and encodes JSON, loads
 * configuration, reads a database row (orchestrator/store/row.c), prints OpenAPI schemas and the
 * reference manual, and masks secrets.
 *
 * Decoding reports all problems at once, names unknown keys, fills defaults, and copies values to
 * the arena (F_SECRET strings to memory that is cleansed with it).  An absent optional member keeps
 * its zero value: NULL, 0, false, a time of 0; the members of an absent object take their defaults.
 * null is the same as absent.  Encoding leaves out absent strings, octets and times and objects that
 * are all zero; numbers, booleans and lists are always there.
 */
#ifndef PKI_JSON_FIELD_H
#define PKI_JSON_FIELD_H

#include <jansson.h>

#include "pkiproto/base/buf.h"

typedef struct {
    const char **v; /* count NUL-terminated strings */
    size_t       count;
} str_list_t;

typedef struct {
    int64_t *v;
    size_t   count;
} int_list_t;

typedef struct {
    const char **names, **values; /* count of each */
    size_t       count;
} str_map_t;

typedef enum {
    FIELD_T_END = 0,
    FIELD_T_STR,     /* const char *        JSON string */
    FIELD_T_INT,     /* int64_t             JSON integer, min..max */
    FIELD_T_BOOL,    /* bool                JSON true/false */
    FIELD_T_TIME,    /* int64_t, seconds    JSON string, RFC 3339; 0 is absent */
    FIELD_T_BASE64,  /* bytes_t             JSON string, base64 */
    FIELD_T_HEX,     /* bytes_t             JSON string, hexadecimal */
    FIELD_T_STRS,    /* str_list_t          JSON array of strings */
    FIELD_T_INTS,    /* int_list_t          JSON array of integers, each min..max */
    FIELD_T_MAP,     /* str_map_t           JSON object of strings: names are the caller's */
    FIELD_T_OBJECT,  /* struct              JSON object, described by .sub */
    FIELD_T_OBJECTS, /* object_list_t       JSON array of objects, described by .sub and .sub_size */
} field_type_t;

typedef struct {
    void  *v; /* count structs of .sub_size octets each */
    size_t count;
} object_list_t;

#define F_REQUIRED  0x01u /* must be present (and not null) when decoding */
#define F_SECRET    0x02u /* encoded as "***", never in a log or an error text */
#define F_READONLY  0x04u /* encoded, refused when decoding */
#define F_WRITEONLY 0x08u /* decoded, never encoded */
#define F_NULLABLE  0x10u /* an absent value is encoded as null; otherwise it is left out */
#define F_RESTART   0x20u /* configuration: a reload does not change it */
#define F_CARRIED   0x40u /* with F_SECRET: a message between our own processes, encoded in clear */
#define F_FIXED     0x80u /* of a thing's configuration: what it was made with, and not to be changed */

/* A max of 0: strings have at most FIELD_STR_MAX characters, numbers (with min 0) and octets no bound. */
#define FIELD_STR_MAX  4096
#define FIELD_LIST_MAX 10000 /* elements of a list, where max of OBJECTS does not say otherwise */
#define FIELD_MAP_MAX  64    /* members of a MAP */
#define FIELD_NAME_MAX 128   /* length of their names */

typedef struct field {
    const char         *name;
    field_type_t        type;
    size_t              offset;
    unsigned            flags;
    const char         *def;      /* default, as text; NULL: none */
    int64_t             min, max; /* INT, INTS: value; STR, MAP, HEX, BASE64: length of the text; max 0: see below */
    const char *const  *choices;  /* STR, STRS, MAP: allowed values, NULL-terminated; NULL: any */
    const struct field *sub;
    size_t              sub_size;
    const char         *help;     /* one sentence; every field has one */
} field_t;

/* clang-format off */
/* The member's C type is checked: a wrong one does not compile. */
#define FIELD_CHECK_(s, m, type) \
    (offsetof(s, m) + 0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((s *) 0)->m), type) ? 1 : -1]))

#define FIELD_STR(s, m, fl, dflt, text)     { .name = #m, .type = FIELD_T_STR, .offset = FIELD_CHECK_(s, m, const char *), .flags = (fl), .def = (dflt), .help = (text) }
#define FIELD_ENUM(s, m, fl, dflt, list, text) { .name = #m, .type = FIELD_T_STR, .offset = FIELD_CHECK_(s, m, const char *), .flags = (fl), .def = (dflt), .choices = (list), .help = (text) }
#define FIELD_INT(s, m, fl, dflt, lo, hi, text) { .name = #m, .type = FIELD_T_INT, .offset = FIELD_CHECK_(s, m, int64_t), .flags = (fl), .def = (dflt), .min = (lo), .max = (hi), .help = (text) }
#define FIELD_BOOL(s, m, fl, dflt, text)    { .name = #m, .type = FIELD_T_BOOL, .offset = FIELD_CHECK_(s, m, bool), .flags = (fl), .def = (dflt), .help = (text) }
#define FIELD_TIME(s, m, fl, text)          { .name = #m, .type = FIELD_T_TIME, .offset = FIELD_CHECK_(s, m, int64_t), .flags = (fl), .help = (text) }
#define FIELD_BASE64(s, m, fl, text)        { .name = #m, .type = FIELD_T_BASE64, .offset = FIELD_CHECK_(s, m, bytes_t), .flags = (fl), .help = (text) }
#define FIELD_HEX(s, m, fl, text)           { .name = #m, .type = FIELD_T_HEX, .offset = FIELD_CHECK_(s, m, bytes_t), .flags = (fl), .help = (text) }
#define FIELD_STRS(s, m, fl, list, text)    { .name = #m, .type = FIELD_T_STRS, .offset = FIELD_CHECK_(s, m, str_list_t), .flags = (fl), .choices = (list), .help = (text) }
#define FIELD_INTS(s, m, fl, dflt, lo, hi, text) { .name = #m, .type = FIELD_T_INTS, .offset = FIELD_CHECK_(s, m, int_list_t), .flags = (fl), .def = (dflt), .min = (lo), .max = (hi), .help = (text) }
#define FIELD_MAP(s, m, fl, dflt, longest, list, text) { .name = #m, .type = FIELD_T_MAP, .offset = FIELD_CHECK_(s, m, str_map_t), .flags = (fl), .def = (dflt), .max = (longest), .choices = (list), .help = (text) }
#define FIELD_OBJECT(s, m, fl, table, text) { .name = #m, .type = FIELD_T_OBJECT, .offset = offsetof(s, m), .flags = (fl), .sub = (table), .sub_size = sizeof(((s *) 0)->m), .help = (text) }
#define FIELD_OBJECTS(s, m, fl, table, size, text) { .name = #m, .type = FIELD_T_OBJECTS, .offset = FIELD_CHECK_(s, m, object_list_t), .flags = (fl), .sub = (table), .sub_size = (size), .help = (text) }
#define FIELD_END                           { .type = FIELD_T_END }
/* clang-format on */

/* Every problem found while decoding: the path with dots ("names.0.value"), and what is wrong. */
typedef struct {
    struct {
        const char *field; /* "ocsp.validity_s" */
        const char *text;
    } item[32];
    size_t count; /* further problems are counted in `more` */
    size_t more;
} field_problems_t;

/*
 * Fill *out (zeroed by the callee) from a JSON object.  INVALID when there is any problem; err then
 * holds the first, problems (may be NULL) all of them, in the arena.
 */
pki_code_t fields_decode(pki_arena_t *a, const field_t *table, const json_t *in, void *out,
                         field_problems_t *problems, pki_err_t *err);

/*
 * As fields_decode(), but *out keeps the members that are absent in the input: for PATCH and for
 * configuration from several places.  F_REQUIRED and defaults do not apply to them; a null puts a
 * member back to its default.
 */
pki_code_t fields_merge(pki_arena_t *a, const field_t *table, const json_t *in, void *out,
                        field_problems_t *problems, pki_err_t *err);

/* A new object, or NULL when out of memory. */
json_t *fields_encode(const field_t *table, const void *in);

/* The same as text in the arena; of one member alone when a name is given, which then has to be present. */
pki_code_t fields_print(pki_arena_t *a, const field_t *table, const char *name, const void *in, const char **out,
                        pki_err_t *err);
/* Whether a table has F_SECRET members, also in objects inside; whether an object has one of them that is not null. */
bool fields_secret(const field_t *table);
bool fields_secret_given(const field_t *table, const json_t *in);

/*
 * One member from text (environment variables, database columns in text form), out being the whole
 * struct.  Booleans in the usual words, times also as decimal seconds, lists of strings separated by
 * commas or as a JSON array, objects as JSON.
 */
pki_code_t field_from_text(pki_arena_t *a, const field_t *f, const char *text, void *out, pki_err_t *err);

/* JSON Schema (as OpenAPI 3.1 has it) of a table.  for_input leaves out F_READONLY, otherwise F_WRITEONLY. */
json_t *fields_schema(const field_t *table, bool for_input);

/* Parse JSON text strictly: duplicate keys and trailing octets are errors.  Depth and size are bounded. */
#define JSON_TEXT_MAX  (8u << 20)
#define JSON_DEPTH_MAX 32u
pki_code_t json_parse(bytes_t text, json_t **out, pki_err_t *err);

static inline void
pki_auto_json(json_t **p)
{
    json_decref(*p);
}
#define JSON_AUTO __attribute__((cleanup(pki_auto_json))) json_t *

#endif
