/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The route table and the router.
 */
#include "orchestrator/api/route.h"

#include <pthread.h>

#include "orchestrator/api/handlers.h"
#include "pkiproto/edge/frame.h"

const limits_row_t limits_rows[LIMITS_COUNT] = {
    [LIMITS_PROBE] = { "probe", 0, 0 },
    [LIMITS_READ] = { "read", 0, L_CALLS },
    [LIMITS_WRITE] = { "write", 1u << 20, L_CALLS },
    [LIMITS_ISSUE] = { "issue", 256u << 10, L_CALLS },
    [LIMITS_EXPORT] = { "export", 64u << 10, L_CALLS | L_EXPORTS },
    [LIMITS_ENROL] = { "enrol", FRAME_ASK_MAX, 0 },
    [LIMITS_LOGIN] = { "login", 8u << 10, L_CALLS },
};

/* clang-format off */
#define OPEN            .reach = REACH_OPEN,
#define SELF            .reach = REACH_SELF,
#define EVERYWHERE      .reach = REACH_ALL,
#define INSIDE          .reach = REACH_LIST,
#define WITHIN(rows)    .reach = REACH_ROW, .reach_of = &(rows),
#define NAMED           .reach = REACH_BODY,
#define PART_NONE
#define QUERY(shape)    .query = &(shape),
#define BODY(shape)     .body = &(shape),
#define OBJECT(shape)   .kind = ANSWER_OBJECT, .answer = &(shape)
#define ROW(rows)       .kind = ANSWER_ROW, .resource = &(rows)
#define LIST(rows)      .kind = ANSWER_LIST, .resource = &(rows)
#define PEM             .kind = ANSWER_PEM
#define TEXT            .kind = ANSWER_TEXT
#define FILE_OF(...)    .kind = ANSWER_FILE, .media = { __VA_ARGS__ }
#define OR_FILE_OF(...) , .media = { __VA_ARGS__ }
#define EVENTS          .kind = ANSWER_EVENTS
#define STREAM(rows, ...) .kind = ANSWER_STREAM, .resource = &(rows), .media = { __VA_ARGS__ }
#define EMPTY           .kind = ANSWER_NONE
static const route_t routes[] = {
#define ROUTE(m, p, perm, far, lim, aud, act, in, out, st, fl, fn, sum) \
    { .method = m, .path = p, .permission = perm, far .limits = LIMITS_##lim, .audit = AUDIT_##aud, .action = act, \
      in out, .status = st, .flags = fl, .handler = fn, .summary = sum },
#include "orchestrator/api/routes.inc"
#undef ROUTE
};
/* clang-format on */

#define ROUTE_COUNT (sizeof(routes) / sizeof(routes[0]))

const route_t *
route_at(size_t i)
{
    return i < ROUTE_COUNT ? &routes[i] : NULL;
}

size_t
route_count(void)
{
    return ROUTE_COUNT;
}

const list_resource_t *
route_filtered(const route_t *route)
{
    return route->kind == ANSWER_LIST || route->kind == ANSWER_STREAM ? route->resource : NULL;
}

size_t
route_index(const route_t *route)
{
    return (size_t) (route - routes);
}

/* The next segment of a template; false at its end. */
static bool
template_take(const char **at, bytes_t *segment)
{
    const char *start = *at;

    if (*start != '/') {
        return false;
    }
    start++;
    segment->p = (const uint8_t *) start;
    segment->len = strcspn(start, "/");
    *at = start + segment->len;
    return true;
}

static bool
template_matches(const char *template, const path_t *path, const char *param[ROUTE_PARAMS_MAX])
{
    size_t  i = 0, params = 0;
    bytes_t segment;

    while (template_take(&template, &segment)) {
        if (i == path->count) {
            return false;
        }
        if (segment.len > 0 && segment.p[0] == '{') {
            param[params++] = path->segment[i];
        } else if (!bytes_eq(segment, bytes_str(path->segment[i]))) {
            return false;
        }
        i++;
    }
    return i == path->count;
}

/* ---- by noun ---- */

/* Rows by the third segment of their paths, or none, which is no parameter: few of so many need to be looked at. */
#define NOUNS 64
static struct {
    size_t first[NOUNS], next[ROUTE_COUNT]; /* from 1; 0 ends a list, which has the order of the table */
} by_noun;

static size_t
noun_place(bytes_t noun)
{
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (size_t i = 0; i < noun.len; i++) {
        hash = (hash ^ noun.p[i]) * 16777619u;
    }
    return hash % NOUNS;
}

static bytes_t
template_noun(const char *template)
{
    bytes_t noun = BYTES_NONE;

    for (size_t i = 0; i < 3; i++) {
        if (!template_take(&template, &noun)) {
            return BYTES_NONE;
        }
    }
    return noun;
}

static void
nouns_fill(void)
{
    for (size_t i = ROUTE_COUNT; i > 0; i--) {
        size_t place = noun_place(template_noun(routes[i - 1].path));

        by_noun.next[i - 1] = by_noun.first[place];
        by_noun.first[place] = i;
    }
}

/* ---- matching ---- */

static bool
route_is_edge(const route_t *route)
{
    return strcmp(route->permission, ROUTE_EDGE) == 0;
}

static bool
method_matches(const route_t *route, const char *method)
{
    return strcmp(route->method, method) == 0
           || (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

void
route_match(const char *method, const path_t *path, route_match_t *out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    bytes_t               noun = path->count > 2 ? bytes_str(path->segment[2]) : BYTES_NONE;

    (void) pthread_once(&once, nouns_fill);
    memset(out, 0, sizeof(*out));
    for (size_t i = by_noun.first[noun_place(noun)]; i > 0; i = by_noun.next[i - 1]) {
        const route_t *route = &routes[i - 1];
        const char    *param[ROUTE_PARAMS_MAX] = { NULL };

        if (route_is_edge(route) || !template_matches(route->path, path, param)) {
            continue;
        }
        out->path_known = true;
        if (method_matches(route, method)) {
            out->route = route;
            memcpy(out->param, param, sizeof(param));
            return;
        }
    }
}

const char *
route_allow(pki_arena_t *a, const path_t *path)
{
    const char *allow = "";

    for (size_t i = 0; i < ROUTE_COUNT && allow != NULL; i++) {
        const char *param[ROUTE_PARAMS_MAX];

        if (!route_is_edge(&routes[i]) && template_matches(routes[i].path, path, param)) {
            allow = pki_printf(a, "%s%s%s%s", allow, *allow != '\0' ? ", " : "", routes[i].method,
                               strcmp(routes[i].method, "GET") == 0 ? ", HEAD" : "");
        }
    }
    return allow;
}

const route_t *
route_edge(void)
{
    size_t i = 0;

    while (!route_is_edge(&routes[i])) {
        i++;
    }
    return &routes[i];
}

bytes_t
route_param_name(const route_t *route, size_t n)
{
    const char *at = route->path;
    bytes_t     segment;

    while (template_take(&at, &segment)) {
        if (segment.len > 2 && segment.p[0] == '{' && n-- == 0) {
            return bytes_of(segment.p + 1, segment.len - 2);
        }
    }
    return BYTES_NONE;
}
