/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * PEM (RFC 7468).  Text around blocks is ignored; what is inside one has to be base64.
 */
#include "pkiproto/x509/pem.h"

#include "pkiproto/base/text.h"

#define PEM_LINE 64

/* Take what is in front of a mark, and the mark; false when it does not come. */
static bool
take_until(bytes_t *in, const char *mark, bytes_t *front)
{
    size_t         len = strlen(mark);
    const uint8_t *at = in->len != 0 ? memmem(in->p, in->len, mark, len) : NULL;

    if (at == NULL) {
        return false;
    }
    *front = bytes_of(in->p, (size_t) (at - in->p));
    *in = bytes_of(at + len, in->len - front->len - len);
    return true;
}

static bool
label_wanted(bytes_t label, const char *const *labels)
{
    for (; *labels != NULL; labels++) {
        if (bytes_eq(label, bytes_str(*labels))) {
            return true;
        }
    }
    return false;
}

pki_code_t
pem_next(pki_arena_t *a, bytes_t *in, const char *const *labels, bytes_t *out, pki_err_t *err)
{
    bytes_t text, label, body, end;

    *out = BYTES_NONE;
    while (take_until(in, "-----BEGIN ", &text)) {
        if (!take_until(in, "-----", &label) || !take_until(in, "-----END ", &body)
            || !take_until(in, "-----", &end) || !bytes_eq(label, end))
        {
            return pki_fail(err, PKI_E_PARSE, "RFC 7468 2", "a PEM block has no end of its own");
        }
        if (label_wanted(label, labels)) {
            return base64_parse(a, body, BASE64_SPACE, out, err);
        }
    }
    return PKI_OK;
}

pki_code_t
pem_put(pki_buf_t *out, const char *label, bytes_t der, pki_err_t *err)
{
    char line[PEM_LINE + 1];

    pki_buf_printf(out, "-----BEGIN %s-----\n", label);
    while (der.len != 0) {
        size_t n = der.len < PEM_LINE / 4 * 3 ? der.len : PEM_LINE / 4 * 3;
        size_t len = base64_encode(bytes_of(der.p, n), line);

        line[len] = '\n';
        pki_buf_put(out, bytes_of(line, len + 1));
        der = bytes_of(der.p + n, der.len - n);
    }
    pki_buf_printf(out, "-----END %s-----\n", label);
    return pki_buf_check(out, "PEM text", err);
}
