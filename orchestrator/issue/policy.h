/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Profile and policy: what a certificate for this request is to be, or why there is none.  Pure; extensions
 * come from the profile, and of the request only the names that the profile accepts.
 */
#ifndef ORCHESTRATOR_ISSUE_POLICY_H
#define ORCHESTRATOR_ISSUE_POLICY_H

#include "orchestrator/issuer/issuer.h"
#include "orchestrator/store/profile.h"

/* A profile compiled once; rows is borrowed. */
typedef struct {
    const profile_row_t *row;
    unsigned             key_kinds;  /* 1 << pki_key_kind_t */
    unsigned             name_kinds; /* 1 << general_name_kind_t */
    unsigned             eku;
    bool                 subject_from_san;
} policy_t;

/* INVALID for a word that is not known. */
pki_code_t policy_compile(const profile_row_t *row, policy_t *out, pki_err_t *err);

/*
 * Decide.  The order's slices are borrowed from the request or live in the arena; its URLs are left to the
 * caller.  CSR, KEY or POLICY with a text for the requester.
 */
pki_code_t policy_apply(pki_arena_t *a, const policy_t *policy, const csr_t *csr, const cert_t *ca, int64_t now,
                        issuer_order_t *out, pki_err_t *err);

/*
 * Whether an order stays within the names that whoever asks may ask for; no patterns: any.  What is looked at is what
 * would be certified: every common name and every alternative name, of which there has to be one.  A pattern with "://" is
 * of URIs, one with an at sign of mail addresses, others of DNS names and addresses, and "*" of everything.  POLICY.
 */
pki_code_t policy_names_check(pki_arena_t *a, const str_list_t *allowed, const issuer_order_t *order, pki_err_t *err);

/* * stands for any run of characters; ASCII letters match in either case. */
bool pattern_match(const char *pattern, const char *text);

#endif
