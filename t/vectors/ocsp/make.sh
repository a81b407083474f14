#!/bin/sh
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
#
# Makes the OCSP requests (../ocsp_request), GET paths of them (../ocsp_get) and the CRLs (../crl) with the
# openssl command, in a folder of its own.  Keys are thrown away; what is committed are the files.
# Run it again only to add a case.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >ca.cnf <<'CNF'
[ca]
default_ca = ca_default
[ca_default]
database = index.txt
crlnumber = crlnumber
certificate = ca.pem
private_key = ca.key
default_md = sha256
default_crl_days = 7
[plain]
authorityKeyIdentifier = keyid
[idp]
authorityKeyIdentifier = keyid
issuingDistributionPoint = critical,@point
[point]
fullname = URI:http://crl.example/1.crl
onlyuser = TRUE
[delta]
authorityKeyIdentifier = keyid
2.5.29.27 = critical,DER:020107
CNF
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 3650 \
    -subj "/C=GB/O=Example/CN=Vector CA" 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout leaf.key -out leaf.csr -subj /CN=leaf 2>/dev/null
openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -set_serial 0x0123456789abcdef0123456789abcdef -days 3650 \
    -out leaf.pem 2>/dev/null

request() {
    name=$1
    shift
    openssl ocsp -issuer ca.pem "$@" -reqout "$here/ocsp_request/$name.der"
}
for hash in sha1 sha256 sha384 sha512; do
    request $hash -no_nonce -$hash -cert leaf.pem
    request $hash-nonce -$hash -cert leaf.pem
done
request three -no_nonce -serial 1 -serial 0xffffffffffffffffffffffffffffffffffffffff -cert leaf.pem
request mixed -sha1 -serial 0 -sha256 -serial 128
request negative -no_nonce -serial -129
request signed -cert leaf.pem -signer leaf.pem -signkey leaf.key
request signed-nocerts -cert leaf.pem -signer leaf.pem -signkey leaf.key -no_certs

path() {
    openssl base64 -A -in "$here/ocsp_request/$1.der"
}
path sha1 >"$here/ocsp_get/plain"
path sha256-nonce | sed 's/^/\/\//; s/+/%2B/g; s/\//%2F/g; s/=/%3D/g; s/$/?x/' >"$here/ocsp_get/encoded"
path sha512 | tr -d = | tr + ' ' >"$here/ocsp_get/spaces"
path sha384 | tr +/ -_ >"$here/ocsp_get/url"

crl() {
    name=$1
    shift
    openssl ca -config ca.cnf -gencrl "$@" -out crl.pem 2>/dev/null
    openssl crl -in crl.pem -outform DER -out "$here/crl/$name.der"
}
echo 07 >crlnumber
: >index.txt
crl empty -crlexts plain
i=1
for reason in "" keyCompromise CACompromise affiliationChanged superseded cessationOfOperation certificateHold \
    keyTime,20250101000000Z; do
    printf 'R\t350101000000Z\t2601020304%02dZ%s\t%032X\tunknown\t/CN=%d\n' $i "${reason:+,$reason}" $((i * 1000003)) $i
    i=$((i + 1))
done >index.txt
crl reasons -crlexts plain
crl idp -crlexts idp
crl delta -crlexts delta
