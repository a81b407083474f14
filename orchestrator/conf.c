/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The configuration's keys, with their defaults, bounds and help: `chanceryd manual` prints these tables.
 * What a reload may change has no F_RESTART.
 */
#include "orchestrator/conf.h"

#define DAY_S  86400
#define YEAR_S (365 * DAY_S)

/* clang-format off */
static const field_t database_fields[] = {
    FIELD_STR(conf_database_t, url, F_SECRET | F_RESTART, "host=/run/postgresql dbname=chancery",
              "connection string or URI, as libpq reads it; a password is better kept in a pgpass file or in CHANCERY_DATABASE_URL"),
    FIELD_INT(conf_database_t, pool, F_RESTART, "16", 1, 1000, "connections at most"),
    FIELD_INT(conf_database_t, timeout_ms, F_RESTART, "1500", 100, 60000,
              "milliseconds for connecting, for a statement, and for waiting until a connection is free; after that "
              "the caller is told to try again"),
    FIELD_END,
};

static const field_t listen_fields[] = {
    FIELD_STR(conf_listen_t, api_socket, F_RESTART, "/run/chancery/api.sock",
              "unix socket of the management API, which nginx proxies to"),
    FIELD_STR(conf_listen_t, edge_socket, F_RESTART, "/run/chancery/edge.sock",
              "unix socket that nginx's protocol modules send enrolments to"),
    FIELD_STR(conf_listen_t, rows_socket, F_RESTART, "/run/chancery/rows.sock",
              "unix socket that nginx sends GETs of single certificates to, which are then read many at a time; empty: none"),
    FIELD_INT(conf_listen_t, workers, F_RESTART, "32", 1, 256, "threads that run requests"),
    FIELD_INT(conf_listen_t, queue, F_RESTART, "256", 1, 65536,
              "requests that may wait for a thread; more are told to try again"),
    { .name = "cors_origins", .type = FIELD_T_STRS, .offset = FIELD_CHECK_(conf_listen_t, cors_origins, str_list_t),
      .flags = F_RESTART, .def = "[]",
      .help = "origins whose pages may call the API from a browser, such as https://ops.example; *: any; none: no other's pages may" },
    FIELD_BOOL(conf_listen_t, cors_credentials, F_RESTART, "false",
              "whether they may do so with the browser's cookies; not together with *"),
    FIELD_INT(conf_listen_t, event_listeners, 0, "64", 0, 900, "callers that may listen to /api/v1/events at once"),
    FIELD_END,
};

static const field_t limits_fields[] = {
    FIELD_INT(conf_limits_t, source_rps, 0, "50", 0, 1000000,
              "calls in a second of one address (IPv6: /64) without good credentials, on average; 0: no limit"),
    FIELD_INT(conf_limits_t, source_burst, 0, "100", 1, 1000000, "such calls at once"),
    FIELD_INT(conf_limits_t, actor_rps, 0, "0", 0, 1000000,
              "calls in a second of one key, account or certificate, wherever they come from; 0: as source_rps and source_burst say"),
    FIELD_INT(conf_limits_t, actor_burst, 0, "100", 1, 1000000, "such calls at once, where actor_rps is given"),
    FIELD_INT(conf_limits_t, export_per_hour, 0, "50", 0, 1000000, "exports of one key, account or certificate in an hour; 0: no limit"),
    FIELD_END,
};

static const field_t signer_fields[] = {
    FIELD_STR(conf_signer_t, user, F_RESTART, "chancery-signer",
              "user of the signer process when chanceryd is started as root; empty: the same as `user`"),
    FIELD_STR(conf_signer_t, dir, F_RESTART, "/var/lib/chancery/signer",
              "folder of the signer alone, with keys/ and journal/ inside"),
    FIELD_STR(conf_signer_t, passphrase_file, F_RESTART, "/var/lib/chancery/signer/passphrase",
              "file with the passphrase that encrypts key files; nobody but the signer may read it"),
    FIELD_STR(conf_signer_t, pkcs11_module, F_RESTART, "",
              "shared object of a PKCS#11 token, such as /usr/lib/softhsm/libsofthsm2.so; empty: no token"),
    FIELD_STR(conf_signer_t, pkcs11_pin_file, F_RESTART, "", "file with the token's user PIN; empty: no login"),
    FIELD_END,
};

static const field_t edge_fields[] = {
    FIELD_STR(conf_edge_t, dir, F_RESTART, "/var/lib/chancery/edge",
              "folder that this host's nginx workers read: store/, crl/ and responder/"),
    FIELD_STR(conf_edge_t, public_url, F_RESTART, "http://localhost:8080",
              "base of the OCSP, CRL and CA URLs that certificates carry; plain http, without a slash at its end"),
    FIELD_INT(conf_edge_t, poll_ms, 0, "25", 10, 60000, "milliseconds between looks at the change feed"),
    FIELD_STR(conf_edge_t, metrics_socket, F_RESTART, "/run/chancery/nginx-metrics.sock",
              "unix socket where this host's nginx gives its figures, at /metrics; they are added to the orchestrator's own; "
              "empty: they are not"),
    FIELD_END,
};

static const field_t ocsp_fields[] = {
    FIELD_INT(conf_ocsp_t, validity_s, 0, "86400", 300, 10 * DAY_S, "seconds that an OCSP answer is valid"),
    FIELD_INT(conf_ocsp_t, responder_validity_s, 0, "2592000", 3600, YEAR_S,
              "seconds that a delegated responder certificate is valid"),
    FIELD_INT(conf_ocsp_t, responder_renew_s, 0, "604800", 60, YEAR_S,
              "seconds before its end that a responder certificate is renewed; less than it is valid, and more than "
              "an answer is"),
    FIELD_END,
};

static const field_t crl_fields[] = {
    FIELD_INT(conf_crl_t, validity_s, 0, "604800", 300, YEAR_S, "seconds from thisUpdate to nextUpdate"),
    FIELD_INT(conf_crl_t, refresh_s, 0, "86400", 60, YEAR_S,
              "seconds after which a new list is made when nothing was revoked; less than it is valid"),
    FIELD_END,
};

static const field_t session_fields[] = {
    FIELD_INT(conf_session_t, idle_s, F_RESTART, "3600", 300, 30 * DAY_S,
              "seconds after which a browser's session ends when it is not used"),
    FIELD_INT(conf_session_t, lifetime_s, F_RESTART, "28800", 300, 365 * DAY_S, "seconds after which it ends in any case"),
    FIELD_END };

static const field_t jobs_fields[] = {
    FIELD_INT(conf_jobs_t, workers, F_RESTART, "4", 1, 64, "jobs that run at a time"),
    FIELD_INT(conf_jobs_t, poll_ms, 0, "1000", 10, 60000,
              "milliseconds between looks for jobs that other orchestrators were asked for, or whose time has come"),
    FIELD_INT(conf_jobs_t, lease_s, 0, "60", 3, 3600,
              "seconds after which a job goes to another worker, when the one that had it is not heard of any more"),
    FIELD_INT(conf_jobs_t, renewal_scan_s, 0, "60", 1, 86400,
              "seconds between looks for certificates that their renewal policy wants renewed"),
    FIELD_INT(conf_jobs_t, keep_days, 0, "90", 1, 3650, "days for which jobs that are over can be looked up"),
    FIELD_END,
};

static const char *const log_levels[] = { "debug", "info", "warn", "error", NULL };

const field_t conf_fields[] = {
    FIELD_STR(conf_t, user, F_RESTART, "chancery", "user of the orchestrator when chanceryd is started as root"),
    FIELD_STR(conf_t, group, F_RESTART, "", "its group; empty: the user's own"),
    FIELD_STR(conf_t, edge_group, F_RESTART, "www-data",
              "group of the nginx workers, who may use the sockets and read the edge folder"),
    FIELD_ENUM(conf_t, log_level, 0, "info", log_levels, "least important events that are logged"),
    FIELD_INT(conf_t, drain_s, 0, "20", 0, 3600, "seconds to finish running requests after SIGTERM"),
    FIELD_INT(conf_t, retry_window_s, 0, "86400", 60, 30 * DAY_S,
              "seconds in which a repeated enrolment gets the same certificate again"),
    FIELD_STR(conf_t, bootstrap_token, F_SECRET | F_RESTART, "",
              "lets whoever shows it to POST /api/v1/auth/bootstrap make the first administrator's API key, once; at least 20 "
              "characters; better given as CHANCERY_BOOTSTRAP_TOKEN or in a file; empty: nobody"),
    FIELD_STR(conf_t, bootstrap_token_file, F_RESTART, "", "file with that token, which nobody else may read; empty: none"),
    FIELD_STR(conf_t, master_key_file, F_RESTART, "",
              "file with the master keys that seal secrets in the database, one a line, the first one seals; its contents are read "
              "again at a reload; empty: the systemd credential master-key, or the variable CHANCERY_MASTER_KEY, or none"),
    FIELD_STR(conf_t, seed_file, F_RESTART, "",
              "JSON list of issuers as POST /api/v1/issuers takes them, with their ids: those that are not there are made at start; "
              "empty: none"),
    FIELD_OBJECT(conf_t, database, 0, database_fields, "PostgreSQL"),
    FIELD_OBJECT(conf_t, listen, 0, listen_fields, "where requests come in"),
    FIELD_OBJECT(conf_t, limits, 0, limits_fields, "how much one caller of the management API may ask for"),
    FIELD_OBJECT(conf_t, signer, 0, signer_fields, "the process that holds the keys"),
    FIELD_OBJECT(conf_t, edge, 0, edge_fields, "what this host's nginx serves"),
    FIELD_OBJECT(conf_t, ocsp, 0, ocsp_fields, "certificate status on line"),
    FIELD_OBJECT(conf_t, crl, 0, crl_fields, "certificate revocation lists"),
    FIELD_OBJECT(conf_t, session, 0, session_fields, "people who are logged in"),
    FIELD_OBJECT(conf_t, jobs, 0, jobs_fields, "work that outlives a request: bulk operations, renewals"),
    FIELD_END,
};
/* clang-format on */

/* Variables of the same prefix that are for clients, tools/run or the command line. */
static const char *const other_variables[] = {
    "CHANCERY_CONFIG",       "CHANCERY_MIGRATIONS",     "CHANCERY_URL",      "CHANCERY_HTTP_URL",
    "CHANCERY_API_KEY",      "CHANCERY_CA_BUNDLE",      "CHANCERY_ISSUER",   "CHANCERY_EST_USER",
    "CHANCERY_EST_PASSWORD", "CHANCERY_SCEP_CHALLENGE", "CHANCERY_MASTER_KEY", NULL,
};

static void
problem_add(field_problems_t *problems, pki_code_t *code, pki_err_t *err, const char *field, const char *text)
{
    if (*code == PKI_OK) {
        *code = pki_fail(err, PKI_E_INVALID, NULL, "%s: %s", field, text);
    }
    if (problems == NULL) {
        return;
    }
    if (problems->count == sizeof(problems->item) / sizeof(problems->item[0])) {
        problems->more++;
        return;
    }
    problems->item[problems->count].field = field;
    problems->item[problems->count++].text = text;
}

typedef struct {
    const char *name, *value;
    bool        may_be_empty;
} path_row_t;

static void
paths_check(const conf_t *c, field_problems_t *problems, pki_code_t *code, pki_err_t *err)
{
    const path_row_t rows[] = {
        { "listen.api_socket", c->listen.api_socket, false },
        { "listen.edge_socket", c->listen.edge_socket, false },
        { "listen.rows_socket", c->listen.rows_socket, true },
        { "signer.dir", c->signer.dir, false },
        { "signer.passphrase_file", c->signer.passphrase_file, false },
        { "signer.pkcs11_module", c->signer.pkcs11_module, true },
        { "signer.pkcs11_pin_file", c->signer.pkcs11_pin_file, true },
        { "edge.dir", c->edge.dir, false },
        { "edge.metrics_socket", c->edge.metrics_socket, true },
        { "bootstrap_token_file", c->bootstrap_token_file, true },
        { "master_key_file", c->master_key_file, true },
        { "seed_file", c->seed_file, true },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool empty = rows[i].value[0] == '\0';

        if (empty ? !rows[i].may_be_empty : rows[i].value[0] != '/') {
            problem_add(problems, code, err, rows[i].name, "must be an absolute path");
        }
        if (strlen(rows[i].value) > 3000) {
            problem_add(problems, code, err, rows[i].name, "is too long for a path");
        }
    }
}

/* sun_path holds 107 characters and a NUL. */
static void
sockets_check(const conf_t *c, field_problems_t *problems, pki_code_t *code, pki_err_t *err)
{
    const path_row_t rows[] = {
        { "listen.api_socket", c->listen.api_socket, false },
        { "listen.edge_socket", c->listen.edge_socket, false },
        { "listen.rows_socket", c->listen.rows_socket, true },
        { "edge.metrics_socket", c->edge.metrics_socket, true },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strlen(rows[i].value) > 107) {
            problem_add(problems, code, err, rows[i].name, "is too long for a socket");
        }
    }
    if (strcmp(c->listen.api_socket, c->listen.edge_socket) == 0) {
        problem_add(problems, code, err, "listen.edge_socket", "must not be the API's socket");
    }
    if (strcmp(c->listen.rows_socket, c->listen.api_socket) == 0 || strcmp(c->listen.rows_socket, c->listen.edge_socket) == 0) {
        problem_add(problems, code, err, "listen.rows_socket", "must be a socket of its own");
    }
}

static bool
is_base_url(const char *s)
{
    size_t len = strlen(s);

    if (strncmp(s, "http://", 7) != 0 || len == 7 || s[len - 1] == '/') {
        return false;
    }
    for (; *s != '\0'; s++) {
        if (*s <= ' ' || *s > '~' || strchr("\"<>\\^`{|}?#", *s) != NULL) {
            return false;
        }
    }
    return true;
}

/* "https://host" or "http://host:port": as a browser writes it. */
static bool
is_origin(const char *s)
{
    const char *host = strncmp(s, "https://", 8) == 0 ? s + 8 : strncmp(s, "http://", 7) == 0 ? s + 7 : NULL;

    return host != NULL && *host != '\0' && host[strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-:[]")] == '\0';
}

static void
cors_check(const conf_listen_t *c, field_problems_t *problems, pki_code_t *code, pki_err_t *err)
{
    for (size_t i = 0; i < c->cors_origins.count; i++) {
        bool any = strcmp(c->cors_origins.v[i], "*") == 0;

        if (!any && !is_origin(c->cors_origins.v[i])) {
            problem_add(problems, code, err, "listen.cors_origins",
                        "must be https://HOST[:PORT] in lower case without a path, or *");
        }
        if (any && c->cors_credentials) {
            problem_add(problems, code, err, "listen.cors_credentials", "must not be true with the origin *");
        }
    }
}

static void
values_check(const conf_t *c, field_problems_t *problems, pki_code_t *code, pki_err_t *err)
{
    if (!is_base_url(c->edge.public_url)) {
        problem_add(problems, code, err, "edge.public_url", "must be http://HOST[/PATH] without a slash at its end");
    }
    if (c->ocsp.responder_renew_s >= c->ocsp.responder_validity_s) {
        problem_add(problems, code, err, "ocsp.responder_renew_s", "must be less than ocsp.responder_validity_s");
    }
    if (c->ocsp.responder_renew_s <= c->ocsp.validity_s) {
        problem_add(problems, code, err, "ocsp.responder_renew_s", "must be more than ocsp.validity_s");
    }
    if (c->crl.refresh_s >= c->crl.validity_s) {
        problem_add(problems, code, err, "crl.refresh_s", "must be less than crl.validity_s");
    }
    if (c->bootstrap_token[0] != '\0' && strlen(c->bootstrap_token) < BOOTSTRAP_TOKEN_MIN) {
        problem_add(problems, code, err, "bootstrap_token", "must have at least 20 characters");
    }
    if (c->session.idle_s > c->session.lifetime_s) {
        problem_add(problems, code, err, "session.idle_s", "must not be more than session.lifetime_s");
    }
    if (c->user[0] == '\0') {
        problem_add(problems, code, err, "user", "must not be empty");
    }
}

pki_code_t
conf_read(pki_arena_t *a, const char *path, conf_t *out, field_problems_t *problems, pki_err_t *err)
{
    pki_code_t code = PKI_OK;

    PKI_TRY(conf_load(a, conf_fields, path, "CHANCERY", other_variables, out, problems, err));
    paths_check(out, problems, &code, err);
    sockets_check(out, problems, &code, err);
    values_check(out, problems, &code, err);
    cors_check(&out->listen, problems, &code, err);
    return code;
}
