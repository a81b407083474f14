/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Permissions, the built-in roles, and who may give what to whom: nobody more than they have.
 */
#ifndef ORCHESTRATOR_API_RIGHTS_H
#define ORCHESTRATOR_API_RIGHTS_H

#include "orchestrator/api/request.h"

/* Built-in roles as bits, in the order of roles.inc. */
enum {
#define ROLE(word, id, name, text) ROLE_NO_##word,
#include "orchestrator/api/roles.inc"
#undef ROLE
    ROLE_COUNT
};
enum {
#define ROLE(word, id, name, text) ROLE_##word = 1 << ROLE_NO_##word,
#include "orchestrator/api/roles.inc"
#undef ROLE
};

typedef struct {
    const char *name;
    unsigned    roles; /* that have it, besides the administrator */
    const char *text;
} permission_t;
const permission_t *permission_at(size_t i); /* walks the table; NULL at its end */

/* Bring the built-in roles into the database. */
pki_code_t roles_sync(db_t *db, pki_err_t *err);

/* Problems of the field for permissions that there are not; "*" is one. */
void permissions_check(req_t *r, const char *field, const str_list_t *permissions);

/* Problems for patterns that are none. */
void allowed_names_check(req_t *r, const str_list_t *names);

/* Ends of rights, 0: never. */
bool ends_before(int64_t a, int64_t b);

/* FORBIDDEN unless the caller has all of its permissions, at least there, and for as long. */
pki_code_t give_grant(req_t *r, const grant_t *grant, pki_err_t *err);

/* FORBIDDEN unless somebody with these allowed names can ask for no name that the caller cannot ask for. */
pki_code_t give_names(req_t *r, const str_list_t *names, pki_err_t *err);

/* The roles of a body, good until (0: for ever): each is there (a problem otherwise), and the caller has what it allows. */
pki_code_t give_roles(req_t *r, const str_list_t *roles, int64_t until, pki_err_t *err);

/*
 * FORBIDDEN unless the caller has all that somebody has: before their secret is set, which is the same as being them, or
 * before they end later, at out->ends_at.
 */
pki_code_t give_actor(req_t *r, const actor_row_t *actor, pki_err_t *err);
pki_code_t give_identity(req_t *r, const char *actor_id, const char *type, actor_row_t *out, pki_err_t *err);

#endif
