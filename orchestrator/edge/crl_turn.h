/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Between crl_build.c and crl_make.c: a turn of a job, and the lists that it makes.
 */
#ifndef ORCHESTRATOR_EDGE_CRL_TURN_H
#define ORCHESTRATOR_EDGE_CRL_TURN_H

#include "orchestrator/edge/crl.h"

/* One turn. */
typedef struct {
    edge_t            *edge;
    const crl_order_t *order;
    pki_arena_t       *arena;
    issuer_chain_t     issuer;
    issuer_ca_t        ca;
    crl_number_t       number;
    int64_t            this_update, floor;
    crl_state_t        state;
    crl_spool_t       *spool;   /* entries, when all were read */
    crl_map_t          spooled, served;
    crl_view_t         now;     /* the list that is served; tbs absent: none that can be used */
    bool               clamped; /* a date of an entry is that of the list: the other clock is ahead */
    int64_t            started_us;
} crl_turn_t;

/* One list of it. */
typedef struct {
    crl_turn_t    *turn;
    crl_id_t       id;
    crl_t         *crl;
    crl_template_t t;
    crl_row_t      row;
    crl_list_t     list;
    file_new_t     file;
    uint8_t        number[CRL_NUMBER_OCTETS], base[CRL_NUMBER_OCTETS];
} crl_make_t;

/* A list of a turn, to which entries are to be added.  Closing it is for any outcome. */
pki_code_t crl_make_open(crl_turn_t *u, crl_scope_t scope, crl_make_t **out, pki_err_t *err);
void       crl_make_close(crl_make_t *m); /* accepts NULL */

/* Everything that the list says beside its entries; then, with them: signature, file, checks, publication. */
pki_code_t crl_make_frame(crl_make_t *m, pki_err_t *err);
pki_code_t crl_make_finish(crl_make_t *m, pki_err_t *err);

/* Note that it failed. */
void crl_make_failed(crl_make_t *m, const pki_err_t *err);

/* The compressed form of a large list, after everybody has the list; a newer list comes first. */
void crl_make_compress(crl_make_t *m);

#endif
