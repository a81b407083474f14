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

# Requests that the openssl command does not write: with extensions and a requestor's name; and refused ones.
python3 - "$here/ocsp_request" <<'PY'
import sys


def tlv(tag, *parts):
    body = b''.join(parts)
    size = len(body)
    head = bytes([size]) if size < 128 else bytes([0x81, size]) if size < 256 else bytes([0x82, size >> 8, size & 255])
    return bytes([tag]) + head + body


def oid(last):
    return tlv(6, bytes.fromhex('2b06010505073001') + bytes([last]))


SHA1, NULL = tlv(6, bytes.fromhex('2b0e03021a')), tlv(5)
CERT_ID = tlv(0x30, tlv(0x30, SHA1, NULL), tlv(4, b'n' * 20), tlv(4, b'k' * 20), tlv(2, b'\x12\x34'))
ONE = tlv(0x30, CERT_ID)
EC = tlv(0x30, tlv(6, bytes.fromhex('2a8648ce3d040302')))


def extension(last, value, *critical):
    return tlv(0x30, oid(last), *critical, tlv(4, value))


def request(name, *parts, requests=ONE, extensions=None, signature=b''):
    more = b'' if extensions is None else tlv(0xa2, tlv(0x30, extensions))
    with open('%s/%s.der' % (sys.argv[1], name), 'wb') as file:
        file.write(tlv(0x30, tlv(0x30, *parts, tlv(0x30, requests), more), signature))


TRUE, FALSE, ODD = tlv(1, b'\xff'), tlv(1, b'\0'), tlv(1, b'\1')
NONCE, BASIC, PREFERRED = tlv(4, b'0123456789abcdef'), tlv(0x30, oid(1)), tlv(0x30, tlv(0x30, EC, EC), tlv(0x30, EC))
DIRECTORY = tlv(0xa1, tlv(0xa4, tlv(0x30, tlv(0x31, tlv(0x30, tlv(6, b'\x55\4\3'), tlv(12, b'requestor'))))))
request('extensions', DIRECTORY, extensions=extension(2, NONCE) + extension(4, BASIC, TRUE) + extension(8, PREFERRED))
request('raw-nonce', tlv(0xa0, tlv(2, b'\0')), extensions=extension(2, b'\x99' * 16, FALSE))
request('single', requests=tlv(0x30, CERT_ID, tlv(0xa0, tlv(0x30, extension(2, NONCE) + extension(7, tlv(0x30))))))

request('refused/version', tlv(0xa0, tlv(2, b'\1')))
request('refused/critical', extensions=extension(99, b'?', TRUE))
request('refused/single-critical', requests=tlv(0x30, CERT_ID, tlv(0xa0, tlv(0x30, extension(99, b'?', TRUE)))))
request('refused/boolean', extensions=extension(2, NONCE, ODD))
request('refused/nonce-empty', extensions=extension(2, tlv(4)))
request('refused/nonce-long', extensions=extension(2, tlv(4, b'n' * 129)))
request('refused/nonce-length', extensions=extension(2, bytes([4, 0x81, 126]) + b'n' * 126))
request('refused/nonces', extensions=extension(2, NONCE) + extension(2, NONCE))
request('refused/not-basic', extensions=extension(4, tlv(0x30, oid(3))))
request('refused/preferred', extensions=extension(8, tlv(0x30, NULL)))
request('refused/preferred-length', extensions=extension(8, bytes.fromhex('3003308100')))
request('refused/extensions', extensions=b'')
request('refused/many-extensions', extensions=b''.join(extension(100 + i, b'?') for i in range(17)))
request('refused/many-ids', requests=ONE * 17)
request('refused/no-ids', requests=b'')
request('refused/large', extensions=extension(99, b'?' * 11000))
request('refused/hashes', requests=tlv(0x30, tlv(0x30, tlv(0x30, SHA1, NULL), tlv(4, b'n' * 19), tlv(4, b'k' * 21),
                                                 tlv(2, b'\1'))))
request('refused/signature-bits', signature=tlv(0xa0, tlv(0x30, EC, tlv(3, b'\1\2'))))
request('refused/ber', requests=tlv(0x30, tlv(0x30, tlv(0x30, SHA1, NULL), bytes([4, 0x81, 20]) + b'n' * 20, tlv(4, b'k' * 20),
                                              tlv(2, b'\1'))))
request('refused/parameters', requests=tlv(0x30, tlv(0x30, tlv(0x30, SHA1, tlv(0x30)), tlv(4, b'n' * 20), tlv(4, b'k' * 20),
                                                     tlv(2, b'\1'))))
PY
