/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The printed document: the committed one is the same, it holds every route, and it hangs together.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/api/openapi.h"
#include "orchestrator/api/route.h"

Test(openapi, the_committed_document_is_what_the_tables_say)
{
    json_t      *made = openapi_document();
    json_error_t error;
    json_t      *kept = json_load_file("docs/openapi.json", 0, &error);

    cr_assert_not_null(made);
    cr_assert_not_null(kept, "docs/openapi.json: %s", error.text);
    cr_expect(json_equal(made, kept), "docs/openapi.json drifts: run `build/chanceryd openapi >docs/openapi.json`");
    json_decref(made);
    json_decref(kept);
}

Test(openapi, has_every_route_but_the_edge)
{
    json_t        *made = openapi_document(), *paths = json_object_get(made, "paths"), *path;
    const char    *name;
    size_t         want = 0, have = 0;
    const route_t *route;

    for (size_t i = 0; (route = route_at(i)) != NULL; i++) {
        want += strcmp(route->permission, ROUTE_EDGE) != 0;
    }
    json_object_foreach(paths, name, path) {
        have += json_object_size(path);
    }
    cr_expect_eq(have, want);
    cr_expect_null(json_object_get(paths, "/edge/v1/enrol"));
    json_decref(made);
}

/* Every "$ref" below a value names a schema that is there. */
static void
refs_check(const json_t *schemas, const json_t *value, size_t *count)
{
    static const char place[] = "#/components/schemas/";
    const char       *name;
    json_t           *part;
    size_t            i;

    if (json_is_array(value)) {
        json_array_foreach(value, i, part) {
            refs_check(schemas, part, count);
        }
    }
    json_object_foreach((json_t *) (uintptr_t) value, name, part) {
        if (strcmp(name, "$ref") == 0) {
            const char *ref = json_string_value(part);

            cr_assert_not_null(ref);
            cr_assert_eq(strncmp(ref, place, sizeof(place) - 1), 0, "%s", ref);
            cr_expect_not_null(json_object_get(schemas, ref + sizeof(place) - 1), "%s is nowhere", ref);
            (*count)++;
        }
        refs_check(schemas, part, count);
    }
}

Test(openapi, every_reference_is_resolved)
{
    json_t *made = openapi_document();
    size_t  count = 0;

    refs_check(json_object_get(json_object_get(made, "components"), "schemas"), made, &count);
    cr_expect_gt(count, 100);
    json_decref(made);
}

Test(openapi, every_operation_says_what_it_needs)
{
    json_t     *made = openapi_document(), *path, *operation;
    const char *path_name, *method;

    json_object_foreach(json_object_get(made, "paths"), path_name, path) {
        json_object_foreach(path, method, operation) {
            json_t *responses = json_object_get(operation, "responses");

            cr_expect(json_is_string(json_object_get(operation, "operationId")), "%s %s", method, path_name);
            cr_expect(json_is_string(json_object_get(operation, "summary")), "%s %s", method, path_name);
            cr_expect_gt(json_object_size(responses), 2, "%s %s", method, path_name);
            cr_expect_eq(json_object_get(operation, "requestBody") != NULL,
                         strcmp(method, "post") == 0 || strcmp(method, "put") == 0, "%s %s", method, path_name);
        }
    }
    json_decref(made);
}
