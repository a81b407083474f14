/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * `import FILE...`: the certificates of all files, in as many requests as their size needs.  What else the operation
 * takes is given as flags, as with `certs import`.
 */
#include <stdio.h>

#include "cli/call.h"
#include "cli/input.h"
#include "cli/own.h"
#include "pkiproto/x509/cert.h"
#include "pkiproto/x509/pem.h"

#define IMPORT_PATH  "/api/v1/certificates/import"
#define FILE_MAX     (64u << 20)
#define REQUEST_MAX  (512u << 10) /* of PEM in one body; the API takes 1 MiB */

typedef struct {
    app_t         *app;
    call_t        *call;
    const param_t *member; /* of the body, that the PEM goes into */
    pki_buf_t      pem;
    size_t         certificates, sent;
    out_t          out;
    pki_err_t      err;
} import_t;

/* The operation with its PEM left to us, and arguments that are names of files. */
static pki_code_t
command_adapt(pki_arena_t *a, const command_t *c, command_t *out, const param_t **member, pki_err_t *err)
{
    static json_t *files;

    *out = *c;
    *member = NULL;
    PKI_TRY(PKI_NEW_N(a, c->param_count + 1, &out->params, err));
    if (files == NULL) {
        files = json_pack("{sss{ss}}", "type", "array", "items", "type", "string");
    }
    for (size_t i = 0; i < c->param_count; i++) {
        out->params[i] = c->params[i];
        if (c->params[i].in == IN_BODY && c->params[i].kind == VALUE_TEXT && strstr(c->params[i].name, "pem") != NULL) {
            out->params[i].required = false;
            *member = &out->params[i];
        }
    }
    out->params[out->param_count] = (param_t){ .name = "", .flag = "", .in = IN_BODY, .kind = VALUE_LIST, .schema = files,
                                               .help = "PEM files" };
    out->ids = &out->params[out->param_count++];
    out->words = "import";
    return *member != NULL ? PKI_OK : pki_fail(err, PKI_E_UNSUPPORTED, NULL, "the API's import takes no PEM");
}

static app_exit_t
import_send(import_t *m)
{
    http_answer_t answer;
    json_t       *pem;

    if (m->pem.len == 0) {
        return APP_OK;
    }
    pem = json_stringn((const char *) m->pem.p, m->pem.len);
    if (m->member->kind == VALUE_LIST) {
        pem = json_pack("[o]", pem);
    }
    json_object_set_new(m->call->body, m->member->name, pem);
    m->pem.len = 0;
    if (client_send(m->app, m->app->a, m->call, NULL, NULL, &answer, &m->err) != PKI_OK) {
        return app_failed(&m->err);
    }
    if (answer.status < 200 || answer.status > 299) {
        if (m->sent > 0) {
            fprintf(stderr, "chancery: %zu certificates were sent before this:\n", m->sent);
        }
        return client_refused(m->app, m->call->command, &answer);
    }
    m->sent = m->certificates;
    return answer_show(m->app, m->call->command->row, answer.body, &m->out, &m->err) == PKI_OK ? APP_OK : app_failed(&m->err);
}

static app_exit_t
file_import(import_t *m, const char *path)
{
    static const char *const labels[] = { "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE", NULL };
    pki_arena_t             *a = m->app->a;
    bytes_t                  text, der;
    size_t                   before = m->certificates;

    if (input_read(a, path, FILE_MAX, &text, &m->err) != PKI_OK) {
        return app_failed(&m->err);
    }
    for (;;) {
        app_exit_t status = m->pem.len > REQUEST_MAX ? import_send(m) : APP_OK;

        if (status != APP_OK) {
            return status;
        }
        if (pem_next(a, &text, labels, &der, &m->err) != PKI_OK) {
            return app_fail(APP_REFUSED, "%s: %s", path, m->err.text);
        }
        if (der.p == NULL) {
            break;
        }
        if (cert_pem(der, &m->pem, &m->err) != PKI_OK) {
            return app_failed(&m->err);
        }
        m->certificates++;
    }
    return m->certificates > before ? APP_OK : app_fail(APP_REFUSED, "%s holds no certificate in PEM", path);
}

static app_exit_t
files_import(import_t *m, const json_t *files)
{
    app_exit_t    status = client_open(m->app);
    const json_t *each;
    size_t        i;

    pki_buf_init(&m->pem, m->app->a, REQUEST_MAX + 2 * CERT_MAX);
    if (status == APP_OK && out_open(m->call->output, &m->out, &m->err) != PKI_OK) {
        return app_failed(&m->err);
    }
    json_array_foreach(files, i, each) {
        status = status == APP_OK ? file_import(m, json_string_value(each)) : status;
    }
    status = status == APP_OK ? import_send(m) : status;
    if (status == APP_OK && out_close(&m->out, &m->err) != PKI_OK) {
        status = app_failed(&m->err);
    }
    out_abandon(&m->out);
    return status;
}

app_exit_t
import_run(app_t *app, const own_t *own, const own_args_t *args)
{
    const command_t *c = command_of_path(&app->commands, "POST", IMPORT_PATH);
    command_t        adapted;
    call_t           call;
    import_t         m = { .app = app, .call = &call };
    app_exit_t       status;

    (void) own;
    if (c == NULL || command_adapt(app->a, c, &adapted, &m.member, &m.err) != PKI_OK) {
        return app_fail(APP_REFUSED, "the API has no route that takes PEM files in");
    }
    status = call_parse(app, &adapted, args->count, args->words, &call);
    if (status == APP_OK) {
        JSON_AUTO files = json_incref(json_object_get(call.body, ""));

        json_object_del(call.body, "");
        status = json_array_size(files) > 0 ? files_import(&m, files)
                                            : app_fail(APP_USAGE, "import needs the names of PEM files, or -");
    }
    call_free(&call);
    return status;
}
