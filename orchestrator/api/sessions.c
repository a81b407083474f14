/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Sessions of browsers: log in with an API key or an account, log out, see and end sessions.
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>

#include "core/clock.h"
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/account.h"
#include "orchestrator/store/session.h"
#include "pkiproto/base/text.h"

#define AGENT_MAX    200 /* of what a browser calls itself */
#define COOKIE_ATTRS "; Path=/; Secure; HttpOnly; SameSite=Strict"

static const account_limits_t limits = { .failures = 5, .lock_s = 900, .forget_s = 3600 };

typedef struct {
    const char *key, *name, *password;
} login_t;

typedef struct {
    const char *session_id, *actor, *actor_type, *csrf_token;
    int64_t     expires_at;
} logged_in_t;

typedef struct {
    bool unused;
} empty_t;

/* clang-format off */
static const field_t login_fields[] = {
    FIELD_TEXT(login_t, key,      F_SECRET | F_WRITEONLY, 1, 256,          "an API key; or:"),
    FIELD_TEXT(login_t, name,     0, 1, 128,                               "name of an account"),
    FIELD_TEXT(login_t, password, F_SECRET | F_WRITEONLY, 1, PASSWORD_MAX, "its password"),
    FIELD_END };

static const field_t logged_in_fields[] = {
    FIELD_STR (logged_in_t, session_id, F_REQUIRED, NULL,                        "id of the session; its secret is in the cookie"),
    FIELD_STR (logged_in_t, actor,      F_REQUIRED, NULL,                        "who is logged in"),
    FIELD_STR (logged_in_t, actor_type, F_REQUIRED, NULL,                        "api_key or account"),
    FIELD_STR (logged_in_t, csrf_token, F_REQUIRED | F_SECRET | F_CARRIED, NULL, "what X-CSRF-Token has to say with everything that changes something"),
    FIELD_TIME(logged_in_t, expires_at, F_REQUIRED,                              "when the session ends, whatever its use"),
    FIELD_END };

static const field_t empty_fields[] = { FIELD_END };
/* clang-format on */

const shape_t shape_login = SHAPE("Login", login_t, login_fields);
const shape_t shape_logged_in = SHAPE("LoggedIn", logged_in_t, logged_in_fields);
const shape_t shape_empty = SHAPE("Empty", empty_t, empty_fields);

/* ---- logging in ---- */

static pki_code_t
login_check(req_t *r, const login_t *in, pki_err_t *err)
{
    bool by_name = in->name != NULL || in->password != NULL;

    if (in->key != NULL && by_name) {
        check_problem(r, "key", "and a name with a password cannot both be given");
    } else if (in->key == NULL && in->name == NULL) {
        check_problem(r, "name", "is needed, or key");
    } else if (in->key == NULL && in->password == NULL) {
        check_problem(r, "password", "is needed");
    }
    return check_done(r, err);
}

static pki_code_t
login_by_key(req_t *r, const char *key, pki_err_t *err)
{
    uint8_t     digest[32];
    actor_row_t actor;
    pki_code_t  code;

    if (EVP_Digest(key, strlen(key), digest, NULL, EVP_sha256(), NULL) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "SHA-256 failed");
    }
    code = actor_of_key(r->api->parts.db, r->a, BYTES_ARR(digest), &actor, err);
    if (code == PKI_E_NOT_FOUND || (code == PKI_OK && !bytes_eq_secret(actor.digest, BYTES_ARR(digest)))) {
        return pki_fail(err, PKI_E_UNAUTHENTICATED, NULL, "this API key is not valid");
    }
    PKI_TRY(code);
    r->identity.actor = actor.id;
    r->identity.type = actor.type;
    return PKI_OK;
}

/* An unknown name, a disabled or locked account and a wrong password cost and say the same. */
static pki_code_t
login_by_name(req_t *r, const login_t *in, pki_err_t *err)
{
    account_row_t account;
    pki_code_t    code = account_attempt(r->api->parts.db, r->a, in->name, &limits, &account, err);

    if (code == PKI_E_NOT_FOUND) {
        return password_check_nobody(r->api->passwords, in->password, err);
    }
    PKI_TRY(code);
    r->resource = account.id;
    PKI_TRY(password_check(r->api->passwords, &account.password, in->password, err));
    PKI_TRY(account_cleared(r->api->parts.db, account.id, err));
    r->identity.actor = account.id;
    r->identity.type = "account";
    return PKI_OK;
}

/* What is shown in lists: printable ASCII alone. */
static const char *
agent_shown(req_t *r)
{
    char *out = r->user_agent != NULL ? pki_strndup(r->a, r->user_agent, strnlen(r->user_agent, AGENT_MAX)) : NULL;

    for (char *p = out; p != NULL && *p != '\0'; p++) {
        *p = *p >= ' ' && *p <= '~' ? *p : '?';
    }
    return out;
}

static pki_code_t
session_id(req_t *r, const char **out, pki_err_t *err)
{
    uint8_t random[8];
    char    hex[2 * sizeof(random) + 1];

    if (RAND_bytes(random, sizeof(random)) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "no random octets");
    }
    hex_encode(BYTES_ARR(random), hex);
    *out = pki_printf(r->a, "sess-%s", hex);
    return *out != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

static pki_code_t
session_begin(req_t *r, pki_err_t *err)
{
    int64_t       lifetime_s = r->api->parts.conf->session.lifetime_s;
    char          cookie[SESSION_TOKEN_LEN + 1], csrf[SESSION_TOKEN_LEN + 1];
    uint8_t       digest[32];
    session_row_t row = { .digest = BYTES_ARR(digest), .actor_id = r->identity.actor, .source = r->source,
                          .user_agent = agent_shown(r), .lifetime_s = lifetime_s };
    logged_in_t   out = { .actor = r->identity.actor, .actor_type = r->identity.type, .csrf_token = csrf,
                          .expires_at = clock_now() + lifetime_s };
    pki_secret_t  set;
    audit_t       audit;

    PKI_TRY(session_generate(cookie, digest, err));
    PKI_TRY(session_csrf(cookie, csrf, err));
    PKI_TRY(session_id(r, &row.id, err));
    r->resource = out.session_id = row.id;
    audit = audit_of(r, 200);
    PKI_TRY(session_insert(r->api->parts.db, &row, &audit, err));
    audit_kept(r, &audit);
    PKI_TRY(pki_secret_new(r->a, bytes_str(pki_printf(r->a, SESSION_COOKIE "=%s" COOKIE_ATTRS, cookie)), &set, err));
    r->answer.set_cookie = (const char *) set.p;
    r->answer.secret = true;
    OPENSSL_cleanse(cookie, sizeof(cookie));
    return answer_struct(r, &out, err);
}

pki_code_t
session_create(req_t *r, pki_err_t *err)
{
    const login_t *in = r->in;

    PKI_TRY(login_check(r, in, err));
    PKI_TRY(in->key != NULL ? login_by_key(r, in->key, err) : login_by_name(r, in, err));
    return session_begin(r, err);
}

/* ---- ending sessions ---- */

/* An identity that is not a session's has nothing to end. */
pki_code_t
session_end(req_t *r, pki_err_t *err)
{
    audit_t audit;

    r->answer.set_cookie = SESSION_COOKIE "=" COOKIE_ATTRS "; Max-Age=0";
    if (r->identity.session == NULL) {
        return PKI_OK;
    }
    r->resource = r->identity.session;
    audit = audit_of(r, 204);
    PKI_TRY(session_revoke(r->api->parts.db, r->identity.session, r->identity.actor, &audit, err));
    audit_kept(r, &audit);
    identity_forget(r->api->identities, r->identity.actor);
    return PKI_OK;
}

/* Everybody may end their own; those of others are not there for who may not. */
pki_code_t
session_remove(req_t *r, pki_err_t *err)
{
    scope_t scope;
    bool    any = identity_may(r->a, &r->identity, "auth.session.revoke", &scope) && scope.all;
    audit_t audit = audit_of(r, 204);

    PKI_TRY(session_revoke(r->api->parts.db, r->param[0], any ? NULL : r->identity.actor, &audit, err));
    audit_kept(r, &audit);
    identity_forget(r->api->identities, any ? NULL : r->identity.actor);
    return PKI_OK;
}

pki_code_t
session_remove_others(req_t *r, pki_err_t *err)
{
    audit_t audit = audit_of(r, 204);

    PKI_TRY(session_revoke_all(r->api->parts.db, r->identity.actor, r->identity.session, &audit, err));
    audit_kept(r, &audit);
    identity_forget(r->api->identities, r->identity.actor);
    return PKI_OK;
}

/* ---- seeing them ---- */

pki_code_t
session_list(req_t *r, pki_err_t *err)
{
    scope_t all = { .all = true }, scope;

    if (identity_may(r->a, &r->identity, "auth.session.list.all", &scope) && scope.all) {
        permission_used(r->api->keeper, r->identity.actor, "auth.session.list.all");
    } else if (r->arg_count == REQUEST_ARGS_MAX) {
        return pki_fail(err, PKI_E_INVALID, NULL, "too many query parameters");
    } else {
        r->args[r->arg_count++] = (list_arg_t){ "actor_id", r->identity.actor };
    }
    r->scope = all; /* what is left out is left out by the actor */
    return list_serve(r, err);
}
