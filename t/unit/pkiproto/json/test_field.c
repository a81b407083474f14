/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Field tables and the strict JSON parser.  Expected values are JSON texts, compared by jansson.
 */
#include "pkiproto/json/field.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>

typedef struct {
    const char *host;
    int64_t     port;
} peer_t;

typedef struct {
    const char   *name, *token, *note, *mode, *id;
    int64_t       ttl_s, at;
    bool          on;
    bytes_t       der, digest;
    str_list_t    names;
    peer_t        peer;
    object_list_t peers;
} thing_t;

static const char *const modes[] = { "fast", "safe", NULL };

static const field_t peer_fields[] = {
    FIELD_STR(peer_t, host, F_REQUIRED, NULL, "host name"),
    FIELD_INT(peer_t, port, 0, "443", 1, 65535, "port"),
    FIELD_END,
};

static const field_t thing_fields[] = {
    FIELD_STR(thing_t, name, F_REQUIRED, NULL, "name"),
    FIELD_STR(thing_t, token, F_SECRET, NULL, "token"),
    FIELD_STR(thing_t, note, F_NULLABLE, NULL, "note"),
    FIELD_ENUM(thing_t, mode, 0, "safe", modes, "mode"),
    FIELD_STR(thing_t, id, F_READONLY, NULL, "id"),
    FIELD_INT(thing_t, ttl_s, 0, "3600", 60, 86400, "lifetime"),
    FIELD_TIME(thing_t, at, 0, "time"),
    FIELD_BOOL(thing_t, on, 0, "true", "switch"),
    FIELD_BASE64(thing_t, der, 0, "octets"),
    FIELD_HEX(thing_t, digest, F_WRITEONLY, "digest"),
    FIELD_STRS(thing_t, names, 0, NULL, "names"),
    FIELD_OBJECT(thing_t, peer, 0, peer_fields, "peer"),
    FIELD_OBJECTS(thing_t, peers, 0, peer_fields, sizeof(peer_t), "peers"),
    FIELD_END,
};

static pki_arena_t *arena;

static void
setup(void)
{
    arena = pki_arena_new(0);
}

static void
teardown(void)
{
    pki_arena_free(arena);
}

TestSuite(field, .init = setup, .fini = teardown);

static json_t *
json_of(const char *text)
{
    json_t *out = json_loads(text, JSON_DECODE_ANY, NULL);

    cr_assert_not_null(out, "the test's own JSON is wrong: %s", text);
    return out;
}

static pki_code_t
decode(const char *text, thing_t *out, field_problems_t *problems, pki_err_t *err)
{
    JSON_AUTO in = json_of(text);

    memset(out, 0xa5, sizeof(*out));
    return fields_decode(arena, thing_fields, in, out, problems, err);
}

Test(field, decodes_every_type)
{
    thing_t   t;
    pki_err_t err;

    cr_assert_eq(decode("{\"name\":\"n\",\"token\":\"s3\",\"mode\":\"fast\",\"ttl_s\":61,\"on\":false,"
                        "\"at\":\"1970-01-02T00:00:00Z\",\"der\":\"AQID\",\"digest\":\"00Ff\","
                        "\"names\":[\"a\",\"b\"],\"peer\":{\"host\":\"h\"},"
                        "\"peers\":[{\"host\":\"x\",\"port\":1},{\"host\":\"y\"}]}", &t, NULL, &err),
                 PKI_OK, "%s", err.text);
    cr_expect_str_eq(t.name, "n");
    cr_expect_str_eq(t.token, "s3");
    cr_expect_null(t.note);
    cr_expect_str_eq(t.mode, "fast");
    cr_expect_eq(t.ttl_s, 61);
    cr_expect_eq(t.at, 86400);
    cr_expect_not(t.on);
    cr_expect(bytes_eq(t.der, BYTES_LIT("\x01\x02\x03")));
    cr_expect(bytes_eq(t.digest, BYTES_LIT("\x00\xff")));
    cr_assert_eq(t.names.count, 2);
    cr_expect_str_eq(t.names.v[1], "b");
    cr_expect_str_eq(t.peer.host, "h");
    cr_expect_eq(t.peer.port, 443);
    cr_assert_eq(t.peers.count, 2);
    cr_expect_eq(((peer_t *) t.peers.v)[0].port, 1);
    cr_expect_str_eq(((peer_t *) t.peers.v)[1].host, "y");
}

Test(field, fills_defaults_and_zeroes_the_rest)
{
    thing_t t;

    cr_assert_eq(decode("{\"name\":\"n\",\"note\":null}", &t, NULL, NULL), PKI_OK);
    cr_expect_str_eq(t.mode, "safe");
    cr_expect_eq(t.ttl_s, 3600);
    cr_expect(t.on);
    cr_expect_null(t.token);
    cr_expect_null(t.note);
    cr_expect_null(t.id);
    cr_expect_eq(t.at, 0);
    cr_expect_null(t.der.p);
    cr_expect_eq(t.names.count, 0);
    cr_expect_null(t.peer.host);
    cr_expect_eq(t.peer.port, 443, "members of an absent object take their defaults");
    cr_expect_eq(t.peers.count, 0);
}

typedef struct {
    char json[256], field[40], text[64];
} problem_case_t;

ParameterizedTestParameters(field, names_what_is_wrong)
{
    static problem_case_t cases[] = {
        { "{}", "name", "is missing" },
        { "{\"name\":null}", "name", "must not be null" },
        { "{\"name\":5}", "name", "must be a string" },
        { "{\"name\":\"n\",\"nane\":1}", "nane", "is not a known field" },
        { "{\"name\":\"n\",\"ttl_s\":59}", "ttl_s", "must be at least 60" },
        { "{\"name\":\"n\",\"ttl_s\":86401}", "ttl_s", "must be at most 86400" },
        { "{\"name\":\"n\",\"ttl_s\":60.5}", "ttl_s", "must be an integer" },
        { "{\"name\":\"n\",\"ttl_s\":\"60\"}", "ttl_s", "must be an integer" },
        { "{\"name\":\"n\",\"on\":1}", "on", "must be true or false" },
        { "{\"name\":\"n\",\"mode\":\"slow\"}", "mode", "must be one of: fast, safe" },
        { "{\"name\":\"n\",\"id\":\"x\"}", "id", "cannot be set" },
        { "{\"name\":\"n\",\"at\":\"2026-02-29T00:00:00Z\"}", "at", "must be a time" },
        { "{\"name\":\"n\",\"der\":\"AQI\"}", "der", "is not base64" },
        { "{\"name\":\"n\",\"digest\":\"0\"}", "digest", "is not hexadecimal" },
        { "{\"name\":\"n\",\"names\":\"a\"}", "names", "must be an array of strings" },
        { "{\"name\":\"n\",\"names\":[\"a\",7]}", "names.1", "must be a string" },
        { "{\"name\":\"n\",\"peer\":{}}", "peer.host", "is missing" },
        { "{\"name\":\"n\",\"peers\":[{\"host\":\"h\"},{\"host\":\"h\",\"port\":0}]}", "peers.1.port",
          "must be at least 1" },
        { "{\"name\":\"n\",\"peers\":[5]}", "peers.0", "must be an object" },
        { "{\"name\":\"n\",\"peer\":{\"host\":\"h\",\"x\":1}}", "peer.x", "is not a known field" },
    };

    return cr_make_param_array(problem_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(problem_case_t *c, field, names_what_is_wrong)
{
    field_problems_t problems;
    pki_err_t        err;
    thing_t          t;

    cr_assert_eq(decode(c->json, &t, &problems, &err), PKI_E_INVALID);
    cr_assert_eq(problems.count, 1);
    cr_expect_str_eq(problems.item[0].field, c->field);
    cr_expect_eq(strncmp(problems.item[0].text, c->text, strlen(c->text)), 0, "%s", problems.item[0].text);
    cr_expect_eq(strncmp(err.text, c->field, strlen(c->field)), 0, "%s", err.text);
}

Test(field, reports_all_problems_at_once)
{
    field_problems_t problems;
    thing_t          t;

    cr_assert_eq(decode("{\"ttl_s\":1,\"on\":\"x\",\"zzz\":0}", &t, &problems, NULL), PKI_E_INVALID);
    cr_expect_eq(problems.count, 4);
    cr_expect_eq(problems.more, 0);
}

Test(field, counts_problems_beyond_the_list)
{
    JSON_AUTO        in = json_object();
    field_problems_t problems;
    thing_t          t;
    char             key[16];

    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        json_object_set_new(in, key, json_null());
    }
    json_object_set_new(in, "name", json_string("n"));
    cr_assert_eq(fields_decode(arena, thing_fields, in, &t, &problems, NULL), PKI_E_INVALID);
    cr_expect_eq(problems.count, 32);
    cr_expect_eq(problems.more, 8);
}

Test(field, never_repeats_a_value_in_an_error)
{
    field_problems_t problems;
    pki_err_t        err;
    thing_t          t;

    cr_assert_neq(decode("{\"name\":\"n\",\"mode\":\"hunter2\",\"der\":\"hunter2\",\"at\":\"hunter2\"}", &t,
                         &problems, &err), PKI_OK);
    cr_expect_eq(problems.count, 3);
    cr_expect_null(strstr(err.text, "hunter2"));
    for (size_t i = 0; i < problems.count; i++) {
        cr_expect_null(strstr(problems.item[i].text, "hunter2"));
    }
}

Test(field, refuses_a_nul_in_a_string_and_strings_that_are_too_long)
{
    JSON_AUTO in = json_pack("{s:s#}", "name", "a\0b", 3);
    JSON_AUTO big = json_object();
    char      text[FIELD_STR_MAX + 2];
    thing_t   t;

    cr_expect_eq(fields_decode(arena, thing_fields, in, &t, NULL, NULL), PKI_E_INVALID);
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    json_object_set_new(big, "name", json_string(text));
    cr_expect_eq(fields_decode(arena, thing_fields, big, &t, NULL, NULL), PKI_E_INVALID);
    json_object_set_new(big, "name", json_string(text + 1));
    cr_expect_eq(fields_decode(arena, thing_fields, big, &t, NULL, NULL), PKI_OK);
}

Test(field, merge_keeps_absent_members_and_null_restores_the_default)
{
    JSON_AUTO in = json_of("{\"ttl_s\":100,\"mode\":null,\"peer\":{\"port\":8443}}");
    thing_t   t;

    cr_assert_eq(decode("{\"name\":\"n\",\"mode\":\"fast\",\"note\":\"keep\",\"peer\":{\"host\":\"h\"}}", &t,
                        NULL, NULL), PKI_OK);
    cr_assert_eq(fields_merge(arena, thing_fields, in, &t, NULL, NULL), PKI_OK);
    cr_expect_str_eq(t.name, "n");
    cr_expect_str_eq(t.note, "keep");
    cr_expect_str_eq(t.mode, "safe");
    cr_expect_eq(t.ttl_s, 100);
    cr_expect_str_eq(t.peer.host, "h");
    cr_expect_eq(t.peer.port, 8443);
}

Test(field, merge_refuses_null_for_a_required_member_and_incomplete_list_elements)
{
    JSON_AUTO null = json_of("{\"name\":null}");
    JSON_AUTO list = json_of("{\"peers\":[{\"port\":1}]}");
    thing_t   t = { .name = "n" };

    cr_expect_eq(fields_merge(arena, thing_fields, null, &t, NULL, NULL), PKI_E_INVALID);
    cr_expect_eq(fields_merge(arena, thing_fields, list, &t, NULL, NULL), PKI_E_INVALID);
}

static void
expect_json(json_t *got, const char *want)
{
    JSON_AUTO expected = json_of(want);
    char     *text = json_dumps(got, JSON_SORT_KEYS | JSON_ENCODE_ANY);

    cr_expect(json_equal(got, expected), "%s", text);
    free(text);
    json_decref(got);
}

Test(field, encodes_masks_secrets_and_leaves_out_what_is_absent)
{
    thing_t t = { .name = "n", .token = "s3", .id = "x-1", .ttl_s = 5, .at = 86400,
                  .der = BYTES_LIT("\1\2\3"), .digest = BYTES_LIT("\1") };
    thing_t none = { .name = "n" };

    expect_json(fields_encode(thing_fields, &t),
                "{\"name\":\"n\",\"token\":\"***\",\"note\":null,\"id\":\"x-1\",\"ttl_s\":5,"
                "\"at\":\"1970-01-02T00:00:00Z\",\"on\":false,\"der\":\"AQID\",\"names\":[],\"peers\":[]}");
    expect_json(fields_encode(thing_fields, &none),
                "{\"name\":\"n\",\"note\":null,\"ttl_s\":0,\"on\":false,\"names\":[],\"peers\":[]}");
}

Test(field, encodes_nested_objects_and_lists)
{
    peer_t      peers[] = { { "a", 1 }, { "b", 2 } };
    const char *names[] = { "x", "y" };
    thing_t     t = { .name = "n", .peer = { "h", 443 }, .peers = { peers, 2 }, .names = { names, 2 } };

    expect_json(fields_encode(thing_fields, &t),
                "{\"name\":\"n\",\"note\":null,\"ttl_s\":0,\"on\":false,\"names\":[\"x\",\"y\"],"
                "\"peer\":{\"host\":\"h\",\"port\":443},"
                "\"peers\":[{\"host\":\"a\",\"port\":1},{\"host\":\"b\",\"port\":2}]}");
}

Test(field, a_carried_secret_is_encoded_in_clear)
{
    static const field_t fields[] = {
        FIELD_STR(peer_t, host, F_SECRET | F_CARRIED, NULL, "password"),
        FIELD_END,
    };
    peer_t p = { "pw", 0 };

    expect_json(fields_encode(fields, &p), "{\"host\":\"pw\"}");
}

Test(field, encoding_invalid_utf8_fails)
{
    thing_t t = { .name = "\xff" };

    cr_expect_null(fields_encode(thing_fields, &t));
}

static const field_t *
field_named(const char *name)
{
    const field_t *f = thing_fields;

    while (strcmp(f->name, name) != 0) {
        f++;
    }
    return f;
}

static pki_code_t
from_text(const char *name, const char *text, thing_t *out)
{
    return field_from_text(arena, field_named(name), text, out, NULL);
}

Test(field, reads_members_from_text)
{
    thing_t t = { 0 };

    cr_expect_eq(from_text("name", "x", &t), PKI_OK);
    cr_expect_str_eq(t.name, "x");
    cr_expect_eq(from_text("ttl_s", "60", &t), PKI_OK);
    cr_expect_eq(t.ttl_s, 60);
    cr_expect_eq(from_text("on", "yes", &t), PKI_OK);
    cr_expect(t.on);
    cr_expect_eq(from_text("on", "f", &t), PKI_OK);
    cr_expect_not(t.on);
    cr_expect_eq(from_text("at", "1970-01-01 01:00:00+01:00", &t), PKI_OK);
    cr_expect_eq(t.at, 0);
    cr_expect_eq(from_text("at", "77", &t), PKI_OK);
    cr_expect_eq(t.at, 77);
    cr_expect_eq(from_text("digest", "abcd", &t), PKI_OK);
    cr_expect(bytes_eq(t.digest, BYTES_LIT("\xab\xcd")));
    cr_expect_eq(from_text("names", "a, b ,,c", &t), PKI_OK);
    cr_assert_eq(t.names.count, 3);
    cr_expect_str_eq(t.names.v[1], "b");
    cr_expect_eq(from_text("names", "[\"q\"]", &t), PKI_OK);
    cr_assert_eq(t.names.count, 1);
    cr_expect_eq(from_text("names", "", &t), PKI_OK);
    cr_expect_eq(t.names.count, 0);
    cr_expect_eq(from_text("peer", "{\"host\":\"h\"}", &t), PKI_OK);
    cr_expect_str_eq(t.peer.host, "h");
}

Test(field, refuses_text_of_the_wrong_kind)
{
    static const char *const wrong[][2] = {
        { "ttl_s", "" },     { "ttl_s", " 60" },   { "ttl_s", "60s" }, { "ttl_s", "99999999999999999999" },
        { "ttl_s", "5" },    { "on", "maybe" },    { "at", "today" },  { "digest", "abc" },
        { "der", "A" },      { "mode", "slow" },   { "peer", "{" },    { "peer", "[]" },
        { "names", "[1]" },  { "ttl_s", "+60" },
    };
    thing_t t;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        pki_code_t rc = from_text(wrong[i][0], wrong[i][1], &t);

        cr_expect_eq(rc, PKI_E_INVALID, "%s=%s", wrong[i][0], wrong[i][1]);
    }
}

Test(field, schema_tells_types_bounds_and_requirements)
{
    JSON_AUTO in = fields_schema(thing_fields, true);
    JSON_AUTO out = fields_schema(thing_fields, false);
    json_t   *props = json_object_get(in, "properties");

    cr_assert_not_null(props);
    cr_assert_not_null(out);
    cr_expect_null(json_object_get(props, "id"));
    cr_expect_not_null(json_object_get(props, "digest"));
    cr_expect_null(json_object_get(json_object_get(out, "properties"), "digest"));
    cr_expect_not_null(json_object_get(json_object_get(out, "properties"), "id"));
    expect_json(json_incref(json_object_get(props, "ttl_s")),
                "{\"type\":\"integer\",\"minimum\":60,\"maximum\":86400,\"default\":3600,"
                "\"description\":\"lifetime\"}");
    expect_json(json_incref(json_object_get(props, "mode")),
                "{\"type\":\"string\",\"enum\":[\"fast\",\"safe\"],\"default\":\"safe\","
                "\"description\":\"mode\"}");
    expect_json(json_incref(json_object_get(props, "note")),
                "{\"type\":[\"string\",\"null\"],\"maxLength\":4096,\"description\":\"note\"}");
    expect_json(json_incref(json_object_get(in, "required")), "[\"name\"]");
    cr_expect(json_is_false(json_object_get(in, "additionalProperties")));
    props = json_object_get(json_object_get(props, "peers"), "items");
    expect_json(json_incref(json_object_get(props, "required")), "[\"host\"]");
}

Test(field, every_failing_allocation_is_an_ordinary_error)
{
    size_t n = 1;

    for (;; n++) {
        field_problems_t problems;
        thing_t          t;
        pki_code_t       rc;

        arena = (pki_arena_free(arena), pki_arena_new(0));
        pki_arena_fail_after(arena, n);
        rc = decode("{\"name\":\"n\",\"token\":\"s\",\"der\":\"AQID\",\"names\":[\"a\"],"
                    "\"peers\":[{\"host\":\"h\"}],\"note\":\"x\"}", &t, &problems, NULL);
        if (rc == PKI_OK) {
            break;
        }
        cr_assert_eq(rc, PKI_E_NOMEM, "allocation %zu", n);
    }
    cr_expect_gt(n, 6);
}

typedef struct {
    char       json[64];
    pki_code_t code;
} parse_case_t;

ParameterizedTestParameters(field, json_parse_is_strict)
{
    static parse_case_t cases[] = {
        { "{\"a\":[1,\"x\",null]}", PKI_OK },
        { "[]", PKI_OK },
        { "", PKI_E_PARSE },
        { "{", PKI_E_PARSE },
        { "{}x", PKI_E_PARSE },
        { "{} {}", PKI_E_PARSE },
        { "{\"a\":1,\"a\":2}", PKI_E_PARSE },
        { "{\"a\":\"\\u0000\"}", PKI_E_PARSE },
        { "{\"a\":\"\xff\"}", PKI_E_PARSE },
        { "{\"a\":01}", PKI_E_PARSE },
        { "{'a':1}", PKI_E_PARSE },
        { "{\"a\":99999999999999999999}", PKI_E_PARSE },
        { "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", PKI_E_PARSE },
    };

    memset(cases[12].json, '[', 33);
    return cr_make_param_array(parse_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(parse_case_t *c, field, json_parse_is_strict)
{
    JSON_AUTO out = NULL;
    bytes_t   text = bytes_of(c->json, strnlen(c->json, sizeof(c->json)));

    cr_expect_eq(json_parse(text, &out, NULL), c->code, "%s", c->json);
    cr_expect_eq(out != NULL, c->code == PKI_OK);
}

Test(field, json_parse_bounds_depth_and_never_quotes_the_input)
{
    char      deep[2 * JSON_DEPTH_MAX + 2];
    JSON_AUTO out = NULL;
    JSON_AUTO none = NULL;
    pki_err_t err;

    memset(deep, '[', JSON_DEPTH_MAX);
    memset(deep + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    cr_expect_eq(json_parse(bytes_of(deep, 2 * JSON_DEPTH_MAX), &out, NULL), PKI_OK);
    memset(deep, '[', JSON_DEPTH_MAX + 1);
    memset(deep + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    cr_expect_eq(json_parse(bytes_of(deep, sizeof(deep)), &none, &err), PKI_E_PARSE);
    cr_expect_not_null(strstr(err.text, "nested"));
    cr_expect_eq(json_parse(BYTES_LIT("{\"password\":\"hunter2\" x"), &none, &err), PKI_E_PARSE);
    cr_expect_null(strstr(err.text, "hunter2"));
}

typedef struct {
    int_list_t days;
    str_map_t  words;
} bag_t;

static const char *const loudness[] = { "low", "high", NULL };

static const field_t bag_fields[] = {
    FIELD_INTS(bag_t, days, 0, "[7, 0]", 0, 30, "days"),
    FIELD_MAP(bag_t, words, 0, NULL, 0, loudness, "words"),
    FIELD_END,
};

static pki_code_t
bag_decode(const char *text, bag_t *out, field_problems_t *problems)
{
    JSON_AUTO in = json_of(text);

    return fields_decode(arena, bag_fields, in, out, problems, NULL);
}

Test(field, lists_of_integers_and_maps_of_strings_go_in_and_out)
{
    bag_t       bag;
    const char *text;

    cr_assert_eq(bag_decode("{\"days\":[30,14],\"words\":{\"a b\":\"low\",\"c\":\"high\"}}", &bag, NULL), PKI_OK);
    cr_assert_eq(bag.days.count, 2);
    cr_expect_eq(bag.days.v[1], 14);
    cr_assert_eq(bag.words.count, 2);
    cr_expect_str_eq(bag.words.names[0], "a b");
    cr_expect_str_eq(bag.words.values[1], "high");
    cr_assert_eq(fields_print(arena, bag_fields, NULL, &bag, &text, NULL), PKI_OK);
    cr_expect_str_eq(text, "{\"days\":[30,14],\"words\":{\"a b\":\"low\",\"c\":\"high\"}}");
    cr_assert_eq(fields_print(arena, bag_fields, "days", &bag, &text, NULL), PKI_OK);
    cr_expect_str_eq(text, "[30,14]");

    cr_assert_eq(bag_decode("{}", &bag, NULL), PKI_OK);
    cr_assert_eq(bag.days.count, 2, "a default is JSON");
    cr_expect_eq(bag.days.v[0], 7);
    cr_assert_eq(fields_print(arena, bag_fields, NULL, &bag, &text, NULL), PKI_OK);
    cr_expect_str_eq(text, "{\"days\":[7,0],\"words\":{}}", "they are never absent");
}

Test(field, names_every_wrong_element_of_lists_and_maps)
{
    static const struct {
        const char *text, *field;
    } bad[] = {
        { "{\"days\":[1,\"2\"]}", "days.1" },  { "{\"days\":[1.5]}", "days.0" },     { "{\"days\":[1,2,31]}", "days.2" },
        { "{\"days\":[-1]}", "days.0" },       { "{\"days\":{}}", "days" },          { "{\"words\":[]}", "words" },
        { "{\"words\":{\"a\":1}}", "words.a" },  { "{\"words\":{\"a\":null}}", "words.a" }, { "{\"words\":{\"a\":\"loud\"}}", "words.a" },
        { "{\"words\":{\"\":\"low\"}}", "words." },
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        field_problems_t problems;
        bag_t            bag;

        cr_assert_eq(bag_decode(bad[i].text, &bag, &problems), PKI_E_INVALID, "%s", bad[i].text);
        cr_assert_eq(problems.count, 1, "%s", bad[i].text);
        cr_expect_str_eq(problems.item[0].field, bad[i].field);
    }
}

Test(field, a_map_has_a_bound)
{
    JSON_AUTO        in = json_object();
    field_problems_t problems;
    bag_t            bag;
    char             name[16];

    json_t *words = json_object();

    json_object_set_new(in, "words", words);
    for (int i = 0; i < FIELD_MAP_MAX; i++) {
        snprintf(name, sizeof(name), "w%d", i);
        json_object_set_new(words, name, json_string("low"));
    }
    cr_expect_eq(fields_decode(arena, bag_fields, in, &bag, &problems, NULL), PKI_OK);
    json_object_set_new(words, "one more", json_string("low"));
    cr_expect_eq(fields_decode(arena, bag_fields, in, &bag, &problems, NULL), PKI_E_INVALID);
}

Test(field, schema_bounds_the_elements_of_lists_and_maps)
{
    JSON_AUTO schema = fields_schema(bag_fields, true);
    json_t   *properties = json_object_get(schema, "properties");
    json_t   *days = json_object_get(json_object_get(properties, "days"), "items");
    json_t   *words = json_object_get(json_object_get(properties, "words"), "additionalProperties");

    cr_expect_eq(json_integer_value(json_object_get(days, "maximum")), 30);
    cr_expect_eq(json_array_size(json_object_get(words, "enum")), 2);
    cr_expect_eq(json_array_size(json_object_get(json_object_get(properties, "days"), "default")), 2);
}
