/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The route table, row by row, and the router.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>

#include "orchestrator/api/handlers.h"
#include "orchestrator/api/rights.h"

static pki_arena_t *a;

static void
setup(void)
{
    a = pki_arena_new(0);
}

static void
teardown(void)
{
    pki_arena_free(a);
}

TestSuite(route, .init = setup, .fini = teardown);

Test(route, every_row_declares_what_the_framework_relies_on)
{
    const route_t *r;

    cr_expect_gt(route_count(), 30);
    for (size_t i = 0; (r = route_at(i)) != NULL; i++) {
        cr_expect(r->method != NULL && r->path != NULL && r->path[0] == '/', "row %zu", i);
        cr_expect(r->permission != NULL && r->permission[0] != '\0', "%s %s has a permission", r->method, r->path);
        cr_expect(r->audit >= AUDIT_NONE && r->audit <= AUDIT_CALLEE, "%s %s has an audit class", r->method, r->path);
        cr_expect(r->action != NULL && strchr(r->action, '.') != NULL, "%s %s has an action", r->method, r->path);
        cr_expect_eq(r->handler != NULL, r != route_edge(), "%s %s has a handler", r->method, r->path);
        cr_expect(r->summary != NULL && strlen(r->summary) > 10, "%s %s has a summary", r->method, r->path);
        cr_expect(r->status >= 200 && r->status < 300, "%s %s has a status", r->method, r->path);
        cr_expect(r->limits < LIMITS_COUNT && limits_rows[r->limits].name != NULL, "%s has limits", r->path);
    }
}

Test(route, bodies_and_answers_have_tables)
{
    const route_t *r;

    for (size_t i = 0; (r = route_at(i)) != NULL; i++) {
        bool has_body = strcmp(r->method, "POST") == 0 || strcmp(r->method, "PUT") == 0;

        cr_expect_eq(r->body != NULL, has_body, "%s %s: a body table exactly where there is a body", r->method, r->path);
        cr_expect_eq(r->body != NULL, limits_rows[r->limits].body_max > 0 && has_body, "%s: a limit for it", r->path);
        if (r->body != NULL) {
            cr_expect(r->body->name != NULL && r->body->fields != NULL && r->body->size > 0, "%s", r->path);
            cr_expect_eq(r->body->open != NULL, r->body->open_shape != NULL, "%s", r->path);
        }
        cr_expect_eq(r->kind == ANSWER_OBJECT, r->answer != NULL, "%s: an object has a table", r->path);
        cr_expect_eq(r->kind == ANSWER_ROW || r->kind == ANSWER_LIST || r->kind == ANSWER_STREAM, r->resource != NULL,
                     "%s: rows are of a resource", r->path);
        cr_expect_eq(r->status == 204, r->kind == ANSWER_NONE, "%s: 204 is without an answer", r->path);
    }
}

Test(route, only_probes_and_logins_are_public_and_only_probes_unaudited)
{
    const route_t *r;

    for (size_t i = 0; (r = route_at(i)) != NULL; i++) {
        bool open = r->limits == LIMITS_PROBE || (r->limits == LIMITS_LOGIN && (r->flags & R_SECRET) != 0);

        cr_expect(strcmp(r->permission, ROUTE_PUBLIC) != 0 || open, "%s is public", r->path);
        cr_expect(r->audit != AUDIT_NONE || strcmp(r->permission, ROUTE_PUBLIC) == 0, "%s is not audited", r->path);
        cr_expect_eq(r->audit == AUDIT_CHANGE, strcmp(r->method, "GET") != 0 && strcmp(r->permission, ROUTE_EDGE) != 0,
                     "%s %s: what is not a GET changes something", r->method, r->path);
    }
}

/* Handlers ask for these besides their route's. */
static const char *const asked_by_handlers[] = { "auth.session.list.all", "auth.session.revoke", "audit.export" };

static bool
is_asked_for(const char *permission)
{
    const route_t *r;

    for (size_t i = 0; i < sizeof(asked_by_handlers) / sizeof(asked_by_handlers[0]); i++) {
        if (strcmp(asked_by_handlers[i], permission) == 0) {
            return true;
        }
    }
    for (size_t i = 0; (r = route_at(i)) != NULL; i++) {
        if (strcmp(r->permission, permission) == 0) {
            return true;
        }
    }
    return false;
}

static const permission_t *
permission_of(const char *name)
{
    const permission_t *p;

    for (size_t i = 0; (p = permission_at(i)) != NULL; i++) {
        if (strcmp(p->name, name) == 0) {
            return p;
        }
    }
    return NULL;
}

Test(route, every_permission_is_described_and_given_to_a_role)
{
    const route_t      *r;
    const permission_t *p;

    for (size_t i = 0; (r = route_at(i)) != NULL; i++) {
        bool given = r->reach == REACH_OPEN || r->reach == REACH_SELF;

        cr_expect(given || permission_of(r->permission) != NULL, "%s: a row of permissions.inc for %s", r->path, r->permission);
    }
    for (size_t i = 0; (p = permission_at(i)) != NULL; i++) {
        cr_expect(strlen(p->text) > 10, "%s is described", p->name);
        cr_expect_neq(p->roles, 0, "%s has a role, or ADMIN: nobody else", p->name);
        cr_expect(is_asked_for(p->name), "%s is asked for by nothing", p->name);
        cr_expect_eq(permission_of(p->name), p, "%s is twice", p->name);
        cr_expect_eq((p->roles & ROLE_AUDITOR) != 0, strncmp(p->name, "audit.", 6) == 0 || strcmp(p->name, "auth.user.read") == 0,
                     "an auditor has the audit and nothing else: %s", p->name);
    }
}

Test(route, rows_are_unique_and_every_row_is_found_by_its_own_path)
{
    const route_t *r, *other;

    for (size_t i = 0; (r = route_at(i)) != NULL; i++) {
        path_t        path;
        route_match_t match;

        cr_assert_eq(path_parse(a, bytes_str(r->path), &path, NULL), PKI_OK);
        route_match(r->method, &path, &match);
        cr_expect_eq(match.route, r == route_edge() ? NULL : r, "%s %s is hidden by another row", r->method, r->path);
        for (size_t j = 0; j < i; j++) {
            other = route_at(j);
            cr_expect(strcmp(r->action, other->action) != 0, "%s is twice", r->action);
        }
    }
}

Test(route, every_field_of_every_shape_has_help)
{
    const route_t *r;

    for (size_t i = 0; (r = route_at(i)) != NULL; i++) {
        const shape_t *shapes[] = { r->body, r->query, r->answer };

        for (size_t s = 0; s < 3; s++) {
            for (const field_t *f = shapes[s] != NULL ? shapes[s]->fields : NULL; f != NULL && f->type != FIELD_T_END; f++) {
                cr_expect(f->help != NULL && strlen(f->help) > 3, "%s.%s", shapes[s]->name, f->name);
            }
        }
    }
}

typedef struct {
    char method[8], path[64], found[64], param[32];
    bool known;
} match_case_t;

ParameterizedTestParameters(route, paths_find_their_row)
{
    static match_case_t cases[] = {
        { "GET", "/health", "/health", "", true },
        { "HEAD", "/health", "/health", "", true },
        { "POST", "/health", "", "", true },
        { "GET", "/", "", "", false },
        { "GET", "/api/v1/profiles", "/api/v1/profiles", "", true },
        { "GET", "/api/v1/profiles/prof-a", "/api/v1/profiles/{id}", "prof-a", true },
        { "PUT", "/api/v1/profiles/a%2Fb", "/api/v1/profiles/{id}", "a/b", true },
        { "PATCH", "/api/v1/profiles/prof-a", "", "", true },
        { "get", "/api/v1/profiles", "", "", true },
        { "GET", "/api/v1/profiles/x/y", "", "", false },
        { "GET", "/API/v1/profiles", "", "", false },
        { "POST", "/edge/v1/enrol", "", "", false },
    };
    return cr_make_param_array(match_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(match_case_t *c, route, paths_find_their_row)
{
    pki_arena_t  *mine = pki_arena_new(0);
    path_t        path;
    route_match_t match;

    cr_assert_eq(path_parse(mine, bytes_str(c->path), &path, NULL), PKI_OK);
    route_match(c->method, &path, &match);
    cr_expect_str_eq(match.route != NULL ? match.route->path : "", c->found, "%s %s", c->method, c->path);
    cr_expect_eq(match.path_known, c->known, "%s %s", c->method, c->path);
    cr_expect_str_eq(match.route != NULL && match.param[0] != NULL ? match.param[0] : "", c->param);
    pki_arena_free(mine);
}

typedef struct {
    char       path[96];
    pki_code_t code;
} path_case_t;

ParameterizedTestParameters(route, odd_paths_are_refused)
{
    static path_case_t cases[] = {
        { "/a/b", PKI_OK },
        { "/", PKI_OK },
        { "/a%20b", PKI_OK },
        { "/%c3%a9", PKI_OK },
        { "", PKI_E_INVALID },
        { "a", PKI_E_INVALID },
        { "//", PKI_E_NOT_FOUND },
        { "/a/", PKI_E_NOT_FOUND },
        { "/a//b", PKI_E_NOT_FOUND },
        { "/a%00", PKI_E_INVALID },
        { "/a%0a", PKI_E_INVALID },
        { "/a%7f", PKI_E_INVALID },
        { "/a%", PKI_E_INVALID },
        { "/a%4", PKI_E_INVALID },
        { "/a%zz", PKI_E_INVALID },
        { "/%ff", PKI_E_INVALID },
        { "/1/2/3/4/5/6/7/8/9/10/11/12", PKI_OK },
        { "/1/2/3/4/5/6/7/8/9/10/11/12/13", PKI_E_NOT_FOUND },
    };
    return cr_make_param_array(path_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(path_case_t *c, route, odd_paths_are_refused)
{
    pki_arena_t *mine = pki_arena_new(0);
    path_t       path;

    cr_expect_eq(path_parse(mine, bytes_str(c->path), &path, NULL), c->code, "%s", c->path);
    pki_arena_free(mine);
}

Test(route, allow_names_every_method_of_a_path)
{
    path_t path;

    cr_assert_eq(path_parse(a, BYTES_LIT("/api/v1/profiles/x"), &path, NULL), PKI_OK);
    cr_expect_str_eq(route_allow(a, &path), "GET, HEAD, PUT, DELETE");
    cr_assert_eq(path_parse(a, BYTES_LIT("/api/v1/certificates/x/revoke"), &path, NULL), PKI_OK);
    cr_expect_str_eq(route_allow(a, &path), "POST");
}

Test(route, parameters_are_named_by_the_template)
{
    const route_t *r;

    for (size_t i = 0; (r = route_at(i)) != NULL; i++) {
        if (strcmp(r->path, "/api/v1/certificates/{id}/versions/{serial}") == 0) {
            cr_expect(bytes_eq(route_param_name(r, 0), BYTES_LIT("id")));
            cr_expect(bytes_eq(route_param_name(r, 1), BYTES_LIT("serial")));
            cr_expect_null(route_param_name(r, 2).p);
            return;
        }
    }
    cr_assert(false, "the route is gone");
}
