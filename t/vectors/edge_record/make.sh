#!/bin/sh
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
#
# Seeds for fuzz_edge_record: the octet that chooses the kind, then a record of that kind.
set -eu
cd "$(dirname "$0")"

fill() { # N octets
    head -c "$1" /dev/zero | tr '\0' '\125'
}
{ printf '\0\1'; fill 32; printf '\1'; fill 16; } >state
{ printf '\1\021\1\0\0\0\7'; printf '\0\153\1\2\3\0\0\0\0\0\0\200\1\2\3\0'; } >status
{ printf '\2\1\0\0\0\11\11iss-local'; fill 328; printf '\2\0\0\0\3abc\0\0\0\2de'; fill 4; } >issuer
{ printf '\3\1\0\0\0\3abc\7k-1.pem'; fill 20; } >responder
{ printf '\4\1\5a.crl\2\0\200'; fill 32; fill 24; } >crl
{ printf '\5\1\7devices\0\0\0\4\0\0\0\100\3\1\0\0\0\3abc'; } >est_label
{ printf '\6\1\1\40'; fill 32; } >account
{ printf '\6\1\2\0'; } >account_orchestrator
