/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * OpenAPI 3.1 from the route table, the field tables and the resource descriptors.  Nothing is written down
 * twice: what is printed here is what the API checks.
 */
#include <stdio.h>
#include <stdlib.h>

#include "orchestrator/api/auth.h"
#include "orchestrator/api/error.h"
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/openapi.h"
#include "orchestrator/issuer/issuer.h"

#define JSON_REF(name) json_pack("{so}", "$ref", json_sprintf("#/components/schemas/%s", (name)))

/* ---- schemas ---- */

static json_t *
column_schema(const list_column_t *c)
{
    static const char *const types[][2] = {
        [LIST_TEXT] = { "string", NULL },       [LIST_INT] = { "integer", NULL }, [LIST_BOOL] = { "boolean", NULL },
        [LIST_INSTANT] = { "string", "date-time" },
        [LIST_TIME] = { "string", "date-time" }, [LIST_HEX] = { "string", NULL },  [LIST_TEXTS] = { "array", NULL },
        [LIST_PEM] = { "string", NULL },        [LIST_JSON] = { "object", NULL },
        [LIST_TAG] = { "string", NULL },
    };
    json_t *out = json_object();

    /* A column may be NULL in the database: then the member is null. */
    json_object_set_new(out, "type", json_pack("[ss]", types[c->type][0], "null"));
    if (c->type == LIST_JSON) {
        json_array_append_new(json_object_get(out, "type"), json_string("array"));
    }
    if (types[c->type][1] != NULL) {
        json_object_set_new(out, "format", json_string(types[c->type][1]));
    }
    if (c->type == LIST_TEXTS) {
        json_object_set_new(out, "items", json_pack("{ss}", "type", "string"));
    }
    json_object_set_new(out, "description", json_string(c->help));
    return out;
}

/* Nothing is required: a caller may ask for some of the members only. */
static json_t *
row_schema(const list_resource_t *r)
{
    json_t *properties = json_object();

    for (const list_column_t *c = r->columns; c->name != NULL; c++) {
        json_object_set_new(properties, c->name, column_schema(c));
    }
    return json_pack("{ssso}", "type", "object", "properties", properties);
}

static void
property_add(json_t *properties, const char *name, const char *type, const char *help)
{
    json_object_set_new(properties, name, json_pack("{ssss}", "type", type, "description", help));
}

static json_t *
list_schema(const char *row)
{
    json_t *properties = json_object();

    json_object_set_new(properties, "data", json_pack("{ssssso}", "type", "array", "description", "the rows of this page",
                                                      "items", JSON_REF(row)));
    property_add(properties, "total", "integer", "rows that match the filters, on all pages");
    property_add(properties, "total_is_estimate", "boolean", "there are too many to count: total is about right");
    json_object_set_new(properties, "next_cursor", json_pack("{s[ss]ss}", "type", "string", "null", "description",
                                                             "cursor of the next page; null on the last one"));
    property_add(properties, "page_size", "integer", "most rows that a page has, where no page was asked for");
    property_add(properties, "page", "integer", "number of the page, where one was asked for");
    property_add(properties, "per_page", "integer", "most rows that it has");
    return json_pack("{sssos[ssss]}", "type", "object", "properties", properties, "required", "data", "total",
                     "total_is_estimate", "next_cursor");
}

/* "EST labels" -> "ESTLabelsRow" */
static char *
row_name(const list_resource_t *r)
{
    char  *out = malloc(strlen(r->name) + 8), *at = out;
    bool   up = true;

    for (const char *p = r->name; out != NULL && *p != '\0'; p++) {
        if (*p == '_' || *p == '-' || *p == ' ') {
            up = true;
        } else {
            *at++ = up && *p >= 'a' && *p <= 'z' ? (char) (*p - 'a' + 'A') : *p;
            up = false;
        }
    }
    if (out != NULL) {
        memcpy(at, "Row", sizeof("Row"));
    }
    return out;
}

/* The member whose shape depends on another: a connector's configuration, a policy's. */
static json_t *
open_schema(const shape_t *shape)
{
    json_t *any = json_array();
    shape_t one;

    for (size_t i = 0; shape->open_at(i, &one); i++) {
        json_t *schema = fields_schema(one.fields, true);

        json_object_set_new(schema, "title", json_string(one.name));
        json_array_append_new(any, schema);
    }
    return json_pack("{soss}", "anyOf", any, "description", "what the type takes");
}

static json_t *
body_schema(const shape_t *shape)
{
    json_t *out = fields_schema(shape->fields, true);

    if (shape->open != NULL) {
        json_object_set_new(json_object_get(out, "properties"), shape->open, open_schema(shape));
    }
    return out;
}

static json_t *
schemas(void)
{
    json_t        *out = json_object();
    const route_t *route;

    json_object_set_new(out, "Error", fields_schema(error_fields, false));
    for (size_t i = 0; (route = route_at(i)) != NULL; i++) {
        if (strcmp(route->permission, ROUTE_EDGE) == 0) {
            continue;
        }
        if (route->body != NULL) {
            json_object_set_new(out, route->body->name, body_schema(route->body));
        }
        if (route->answer != NULL) {
            json_object_set_new(out, route->answer->name, fields_schema(route->answer->fields, false));
        }
        if (route->resource != NULL) {
            char *name = row_name(route->resource);

            json_object_set_new(out, name, row_schema(route->resource));
            free(name);
        }
    }
    return out;
}

/* ---- operations ---- */

static void
parameter_add(json_t *list, const char *in, const char *name, bool required, const char *help, json_t *schema)
{
    json_array_append_new(list, json_pack("{sssssbssso}", "name", name, "in", in, "required", required, "description",
                                          help, "schema", schema));
}

static json_t *
filter_schema(const list_filter_t *f)
{
    static const char *const types[] = { [LIST_INT] = "integer", [LIST_BOOL] = "boolean" };
    bool    plain = f->type != LIST_INT && f->type != LIST_BOOL;
    json_t *out = json_pack("{ss}", "type", plain ? "string" : types[f->type]), *list = json_array();

    if (f->type == LIST_TIME) {
        json_object_set_new(out, "format", json_string("date-time"));
    }
    if (f->least > 0) {
        json_object_set_new(out, "minLength", json_integer((json_int_t) f->least));
    }
    for (const char *const *c = f->choices; c != NULL && *c != NULL; c++) {
        json_array_append_new(list, json_string(*c));
    }
    if (json_array_size(list) > 0) {
        json_object_set(out, "enum", list);
    }
    json_decref(list);
    return out;
}

/* One that may be given several times: "tag=a&tag=b", as OpenAPI has it by default. */
static json_t *
repeated(json_t *items)
{
    return json_pack("{ssso}", "type", "array", "items", items);
}

/* "name", "-name" and so on */
static void
sorts_put(json_t *schema, const list_resource_t *r)
{
    json_t *names = json_array();

    for (const list_sort_t *s = r->sorts; s->name != NULL; s++) {
        json_array_append_new(names, json_string(s->name));
        json_array_append_new(names, json_sprintf("-%s", s->name));
    }
    json_object_set_new(schema, "enum", names);
}

static void
fields_parameters(json_t *list, const route_t *route, const shape_t *shape)
{
    json_t *schema = fields_schema(shape->fields, true);

    for (const field_t *f = shape->fields; f->type != FIELD_T_END; f++) {
        json_t *one = json_incref(json_object_get(json_object_get(schema, "properties"), f->name));

        json_object_del(one, "description");
        if (shape == &shape_list_query && strcmp(f->name, "sort") == 0) {
            sorts_put(one, route->resource);
        }
        parameter_add(list, "query", f->name, (f->flags & F_REQUIRED) != 0, f->help, one);
    }
    json_decref(schema);
}

static json_t *
parameters(const route_t *route)
{
    json_t *list = json_array();
    bytes_t name;
    char    text[64];

    for (size_t n = 0; (name = route_param_name(route, n)).p != NULL; n++) {
        snprintf(text, sizeof(text), "%.*s", (int) name.len, (const char *) name.p);
        parameter_add(list, "path", text, true, "names the thing", json_pack("{ss}", "type", "string"));
    }
    if (route_query(route) != NULL) {
        fields_parameters(list, route, route_query(route));
    }
    if (route_filtered(route) != NULL) {
        for (const list_filter_t *f = route->resource->filters; f->name != NULL; f++) {
            parameter_add(list, "query", f->name, false, f->help, f->many ? repeated(filter_schema(f)) : filter_schema(f));
        }
    }
    if (strcmp(route->method, "POST") == 0 && route->reach != REACH_OPEN) {
        parameter_add(list, "header", "Idempotency-Key", false,
                      "the same key with the same request has one effect and one answer, for a day",
                      json_pack("{sssisi}", "type", "string", "minLength", 1, "maxLength", 255));
    }
    if (route->kind == ANSWER_EVENTS) {
        parameter_add(list, "header", "Last-Event-ID", false, "id of the last event that was heard: begin after it",
                      json_pack("{ss}", "type", "string"));
    }
    return list;
}

static json_t *
content(const char *type, json_t *schema)
{
    return json_pack("{s{so}}", type, "schema", schema);
}

static json_t *
answer_content(const route_t *route)
{
    char   *name = route->resource != NULL ? row_name(route->resource) : NULL;
    json_t *out = NULL;

    switch (route->kind) {
    case ANSWER_OBJECT:
        out = content("application/json", JSON_REF(route->answer->name));
        break;
    case ANSWER_ROW:
        out = content("application/json", JSON_REF(name));
        break;
    case ANSWER_LIST:
        out = content("application/json", list_schema(name));
        break;
    case ANSWER_PEM:
        out = json_pack("{s{s{ss}}s{s{ss}}}", "application/x-pem-file", "schema", "type", "string",
                        "application/pkix-cert", "schema", "type", "string");
        break;
    case ANSWER_TEXT:
        out = content("text/plain", json_pack("{ss}", "type", "string"));
        break;
    case ANSWER_FILE:
    case ANSWER_STREAM:
        out = json_object();
        break;
    case ANSWER_EVENTS:
        out = content("text/event-stream", json_pack("{ss}", "type", "string"));
        break;
    case ANSWER_NONE:
        break;
    }
    for (size_t i = 0; i < sizeof(route->media) / sizeof(route->media[0]) && route->media[i] != NULL; i++) {
        json_object_set_new(out, route->media[i], json_pack("{s{ss}}", "schema", "type", "string"));
    }
    free(name);
    return out;
}

static void
refusal_add(json_t *responses, pki_code_t code)
{
    char status[8];

    snprintf(status, sizeof(status), "%d", pki_code_http(code));
    if (json_object_get(responses, status) == NULL) {
        json_object_set_new(responses, status, json_pack("{ssso}", "description", pki_code_text(code), "content",
                                                         content("application/json", JSON_REF("Error"))));
    }
}

/* The refusals that the framework itself can make of a route, and what handlers add by the kind of call. */
static json_t *
responses(const route_t *route)
{
    json_t *out = json_object(), *success = json_pack("{ss}", "description", "done");
    json_t *body = answer_content(route);
    bool    keyed = strcmp(route->permission, ROUTE_PUBLIC) != 0, changes = route->audit == AUDIT_CHANGE;
    bool    secret = (route->flags & R_SECRET) != 0;
    char    status[8];
    const struct {
        bool       applies;
        pki_code_t code;
    } refusals[] = {
        { true, PKI_E_INVALID },
        { keyed || secret, PKI_E_UNAUTHENTICATED },
        { keyed, PKI_E_FORBIDDEN },
        { secret, PKI_E_RATE },
        { route_param_name(route, 0).p != NULL, PKI_E_NOT_FOUND },
        { changes, PKI_E_CONFLICT },
        { route->body != NULL, PKI_E_TOO_LARGE },
        { route->body != NULL, PKI_E_MEDIA_TYPE },
        { limits_rows[route->limits].rates != 0, PKI_E_RATE },
        { true, PKI_E_INTERNAL },
        { !(route->flags & R_INLINE) && route->limits != LIMITS_PROBE, PKI_E_UNAVAILABLE },
    };

    if (body != NULL) {
        json_object_set_new(success, "content", body);
    }
    snprintf(status, sizeof(status), "%d", route->status);
    json_object_set(out, status, success);
    if (route->handler == ready_get) {
        json_object_set(out, "503", success);
    }
    json_decref(success);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (refusals[i].applies) {
            refusal_add(out, refusals[i].code);
        }
    }
    return out;
}

/* How far a permission has to reach: route.h. */
static const char *const reach_names[] = {
    [REACH_OPEN] = "open", [REACH_SELF] = "self",    [REACH_ALL] = "everywhere",
    [REACH_LIST] = "inside", [REACH_ROW] = "within", [REACH_BODY] = "named",
};

static json_t *
operation(const route_t *route)
{
    json_t *out = json_object(), *list = parameters(route);
    char    id[64], *dot;

    snprintf(id, sizeof(id), "%s", route->action);
    for (dot = id; *dot != '\0'; dot++) {
        *dot = *dot == '.' ? '_' : *dot;
    }
    json_object_set_new(out, "operationId", json_string(id));
    json_object_set_new(out, "summary", json_string(route->summary));
    json_object_set_new(out, "tags", json_pack("[o]", json_stringn(route->action, strcspn(route->action, "."))));
    json_object_set_new(out, "x-permission", json_string(route->permission));
    json_object_set_new(out, "x-reach", json_string(reach_names[route->reach]));
    if (route->reach == REACH_ROW) {
        json_object_set_new(out, "x-reach-of", json_string(route->reach_of->name));
    }
    if (strcmp(route->permission, ROUTE_PUBLIC) == 0) {
        json_object_set_new(out, "security", json_array());
    }
    if (json_array_size(list) > 0) {
        json_object_set(out, "parameters", list);
    }
    json_decref(list);
    if (route->body != NULL) {
        json_object_set_new(out, "requestBody", json_pack("{so}", "content", content("application/json",
                                                                                     JSON_REF(route->body->name))));
    }
    json_object_set_new(out, "responses", responses(route));
    return out;
}

static json_t *
paths(void)
{
    json_t        *out = json_object();
    const route_t *route;

    for (size_t i = 0; (route = route_at(i)) != NULL; i++) {
        json_t *path = json_object_get(out, route->path);
        char    method[16];
        size_t  n;

        if (strcmp(route->permission, ROUTE_EDGE) == 0) {
            continue;
        }
        if (path == NULL) {
            path = json_object();
            json_object_set_new(out, route->path, path);
        }
        for (n = 0; route->method[n] != '\0'; n++) {
            method[n] = (char) (route->method[n] - 'A' + 'a');
        }
        method[n] = '\0';
        json_object_set_new(path, method, operation(route));
    }
    return out;
}

json_t *
openapi_document(void)
{
    return json_pack("{ss s{ss ss ss} s[{ss}] so s{so s{s{ss ss} s{ss ss ss} s{ss}}} s[{s[]} {s[]} {s[]}]}", "openapi", "3.1.0",
                     "info", "title",
                     "Chancery management API", "version", "1", "description",
                     "Certificates, issuers, profiles and enrolment of a Chancery installation.", "servers", "url", "/",
                     "paths", paths(), "components", "schemas", schemas(), "securitySchemes", "key", "type", "http",
                     "scheme", "bearer", "session", "type", "apiKey", "in", "cookie", "name", SESSION_COOKIE, "certificate",
                     "type", "mutualTLS", "security", "key", "session", "certificate");
}

int
api_openapi_print(void)
{
    JSON_AUTO document = openapi_document();

    if (document == NULL || json_dumpf(document, stdout, JSON_INDENT(2)) != 0 || putchar('\n') == EOF
        || fflush(stdout) != 0) {
        return 1;
    }
    return 0;
}
