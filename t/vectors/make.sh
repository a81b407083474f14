#!/bin/sh
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
#
# How the vectors in csr, cert, certs_only, base64, json, basic, name, journal and hop were made: keys, requests and
# certificates with the openssl command, and what it refuses to write (hostile requests) put together octet by octet and
# signed with it.  The vectors are committed; running this again makes new ones of the same kinds.
set -eu
cd "$(dirname "$0")"
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT

printf '[req]\ndistinguished_name=dn\n[dn]\n[dir]\nC=GB\nCN=directory\n' >"$T/req.cnf"
ec() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:"$1" -pkeyopt ec_param_enc:"${2:-named_curve}"; }
ec P-256 >"$T/p256.pem"
ec P-384 >"$T/p384.pem"
ec P-521 >"$T/p521.pem"
ec secp256k1 >"$T/secp256k1.pem"
ec P-256 explicit >"$T/explicit.pem"
openssl ec -in "$T/p256.pem" -conv_form compressed -out "$T/compressed.pem" 2>/dev/null
openssl genpkey -algorithm ED25519 >"$T/ed25519.pem"
for bits in 1024 2048 3072 4096; do
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:$bits -quiet >"$T/rsa$bits.pem"
done

# req NAME KEY SUBJECT [more options]
req() {
    name=$1 key=$2 subject=$3
    shift 3
    openssl req -new -config "$T/req.cnf" -key "$T/$key.pem" -subj "$subject" -outform DER -out "csr/$name.der" "$@"
}
for key in p256 p384 ed25519 rsa2048 rsa3072 rsa4096; do
    req "good-$key" $key "/C=GB/O=Example/CN=$key.example" -addext "subjectAltName=DNS:$key.example"
done
req good-names p256 /CN=names -addext 'subjectAltName=critical,DNS:a.example,DNS:*.b.example,IP:192.0.2.1,IP:2001:db8::1,email:a@b.example,URI:https://c.example/,dirName:dir' \
    -addext 'keyUsage=critical,digitalSignature,keyEncipherment' -addext 'extendedKeyUsage=serverAuth,1.2.3.4' -addext 'basicConstraints=CA:FALSE'
req good-other-names p256 /CN=other -addext 'subjectAltName=otherName:1.3.6.1.4.1.311.20.2.3;UTF8:u@b.example,RID:1.2.3'
req good-san-only p256 / -addext 'subjectAltName=DNS:only.example'
req good-sha512 rsa2048 /CN=sha512 -sha512
printf '[req]\ndistinguished_name=dn\nattributes=a\nprompt=no\n[dn]\nCN=challenge\n[a]\nchallengePassword=correct horse\nunstructuredName=u\n' >"$T/challenge.cnf"
openssl req -new -config "$T/challenge.cnf" -key "$T/p256.pem" -outform DER -out csr/good-challenge.der
openssl req -inform DER -in csr/good-p256.der -out csr/good-p256.pem
openssl req -new -newhdr -config "$T/req.cnf" -key "$T/p256.pem" -subj /CN=newhdr -out csr/good-newhdr.pem
req hostile-ca-true p256 /CN=ca -addext 'basicConstraints=critical,CA:TRUE'
req hostile-nobody p256 /
req hostile-rsa1024 rsa1024 /CN=small
req hostile-secp256k1 secp256k1 /CN=koblitz
req hostile-p521 p521 /CN=p521
req hostile-explicit explicit /CN=explicit
req hostile-compressed compressed /CN=compressed
req hostile-sha1 rsa2048 /CN=sha1 -sha1

python3 - "$T" <<'EOF'
import subprocess, sys
T = sys.argv[1]

def tlv(tag, *parts):
    body = b''.join(parts)
    n = len(body)
    head = bytes([n]) if n < 128 else bytes([0x81, n]) if n < 256 else bytes([0x82, n >> 8, n & 255])
    return bytes([tag]) + head + body

def run(*args, data=None):
    return subprocess.run(args, input=data, check=True, capture_output=True).stdout

def oid(text):
    arcs = [int(a) for a in text.split('.')]
    out = b''
    for a in [arcs[0] * 40 + arcs[1]] + arcs[2:]:
        part = [a & 127]
        while a > 127:
            a >>= 7
            part.insert(0, 128 | (a & 127))
        out += bytes(part)
    return tlv(6, out)

def spki(key):
    return run('openssl', 'pkey', '-in', f'{T}/{key}.pem', '-pubout', '-outform', 'DER')

def name(value=b'host', tag=12, kind='2.5.4.3'):
    return tlv(0x30, tlv(0x31, tlv(0x30, oid(kind), tlv(tag, value))))

ECDSA256 = tlv(0x30, oid('1.2.840.10045.4.3.2'))

def request(tbs, algorithm=ECDSA256, key='p256'):
    sig = run('openssl', 'dgst', '-sha256', '-sign', f'{T}/{key}.pem', data=tbs)
    return tlv(0x30, tbs, algorithm, tlv(3, b'\0', sig))

def info(subject=None, key=None, attributes=(), version=0):
    return tlv(0x30, tlv(2, bytes([version])), subject if subject is not None else name(), key or spki('p256'),
               tlv(0xa0, *attributes))

def attribute(kind, *values):
    return tlv(0x30, oid(kind), tlv(0x31, *values))

def extension(kind, value, critical=b''):
    return tlv(0x30, oid(kind), critical, tlv(4, value))

def extensions(*exts, kind='1.2.840.113549.1.9.14'):
    return attribute(kind, tlv(0x30, *exts))

def san(*names):
    return extension('2.5.29.17', tlv(0x30, *names))

def save(what, der):
    open(f'csr/{what}.der', 'wb').write(der)

dns = san(tlv(0x82, b'a.example'))
challenge = '1.2.840.113549.1.9.7'
rows = {
    'hostile-duplicate-extension': info(attributes=[extensions(dns, dns)]),
    'hostile-two-extension-requests': info(attributes=[extensions(dns), extensions(dns)]),
    'hostile-two-extension-requests-ms': info(attributes=[extensions(dns),
                                              extensions(dns, kind='1.3.6.1.4.1.311.2.1.14')]),
    'hostile-extension-request-two-values': info(attributes=[attribute('1.2.840.113549.1.9.14', tlv(0x30, dns),
                                                                       tlv(0x30, dns))]),
    'hostile-nul-in-cn': info(name(b'good.example\0.evil')),
    'hostile-control-in-cn': info(name(b'line\nbreak')),
    'hostile-long-cn': info(name(b'x' * 65)),
    'hostile-empty-cn': info(name(b'')),
    'hostile-utf8-cn': info(name(b'\xc0\x80')),
    'hostile-country-3': info(name(b'GBR', 19, '2.5.4.6')),
    'hostile-name-no-string': info(name(b'\1', 2)),
    'hostile-multi-valued-rdn': info(tlv(0x30, tlv(0x31, tlv(0x30, oid('2.5.4.3'), tlv(12, b'a')),
                                                   tlv(0x30, oid('2.5.4.10'), tlv(12, b'b'))))),
    'hostile-nul-in-dns': info(attributes=[extensions(san(tlv(0x82, b'good.example\0.evil')))]),
    'hostile-dns-space': info(attributes=[extensions(san(tlv(0x82, b'a b')))]),
    'hostile-dns-wildcard': info(attributes=[extensions(san(tlv(0x82, b'a.*.example')))]),
    'hostile-ip-5': info(attributes=[extensions(san(tlv(0x87, b'\1\2\3\4\5')))]),
    'hostile-san-empty': info(attributes=[extensions(san())]),
    'hostile-san-101': info(attributes=[extensions(san(*[tlv(0x82, b'n%d.example' % i) for i in range(101)]))]),
    'hostile-san-tag': info(attributes=[extensions(san(tlv(0xa2, b'a.example')))]),
    'hostile-challenge-null': info(attributes=[attribute(challenge, tlv(5))]),
    'hostile-challenge-boolean': info(attributes=[attribute(challenge, tlv(1, b'\xff'))]),
    'hostile-challenge-empty-set': info(attributes=[attribute(challenge)]),
    'hostile-challenge-two-values': info(attributes=[attribute(challenge, tlv(12, b'a'), tlv(12, b'b'))]),
    'hostile-challenge-twice': info(attributes=[attribute(challenge, tlv(12, b'a')), attribute(challenge, tlv(12, b'b'))]),
    'hostile-version-1': info(version=1),
    'hostile-critical-false': info(attributes=[extensions(extension('2.5.29.17', tlv(0x30, tlv(0x82, b'a.example')),
                                                                    tlv(1, b'\0')))]),
    'hostile-ca-false-encoded': info(attributes=[extensions(extension('2.5.29.19', tlv(0x30, tlv(1, b'\0'))))]),
    'hostile-key-usage-padded': info(attributes=[extensions(extension('2.5.29.15', tlv(3, b'\0\x80')))]),
    'hostile-key-usage-none': info(attributes=[extensions(extension('2.5.29.15', tlv(3, b'\0')))]),
    'hostile-no-attributes': info()[:0] + tlv(0x30, tlv(2, b'\0'), name(), spki('p256')),
    'good-ms-extensions': info(attributes=[extensions(dns, kind='1.3.6.1.4.1.311.2.1.14')]),
    'good-unsorted-attributes': info(attributes=[extensions(dns), attribute('1.2.3', tlv(5)), attribute(challenge, tlv(19, b'a'))]),
}
for what, tbs in rows.items():
    save(what, request(tbs))

def rsa_key(n, e, null=b'\5\0'):
    def integer(v):
        return tlv(2, v.to_bytes(v.bit_length() // 8 + 1, 'big'))
    return tlv(0x30, tlv(0x30, oid('1.2.840.113549.1.1.1'), null), tlv(3, b'\0', tlv(0x30, integer(n), integer(e))))

n = int(run('openssl', 'rsa', '-in', f'{T}/rsa2048.pem', '-noout', '-modulus').split(b'=')[1], 16)
for what, key in {'even-exponent': rsa_key(n, 65536), 'exponent-1': rsa_key(n, 1), 'even-modulus': rsa_key(n - 1, 65537),
                  'exponent-large': rsa_key(n, 2 ** 33 + 1), 'no-null': rsa_key(n, 65537, b''),
                  'exponent-2': rsa_key(n, 2)}.items():
    save(f'hostile-rsa-{what}', request(info(key=key)))
off = bytearray(spki('p256'))
off[-1] ^= 1
save('hostile-off-curve', request(info(key=bytes(off))))
good = request(info(attributes=[extensions(dns)]))
bad = bytearray(good)
bad[-1] ^= 1
save('hostile-bad-signature', bytes(bad))
save('hostile-other-tbs', good.replace(b'a.example', b'b.example'))
save('hostile-wrong-algorithm', request(info(), tlv(0x30, oid('1.3.101.112'))))
save('hostile-unknown-algorithm', request(info(), tlv(0x30, oid('1.2.3.4'))))
save('hostile-algorithm-parameters', request(info(), tlv(0x30, oid('1.2.840.10045.4.3.2'), tlv(5))))
save('hostile-trailing', good + b'\0')
body = good[4:] if good[1] == 0x82 else good[3:]
save('hostile-indefinite', b'\x30\x80' + body + b'\0\0')
save('hostile-long-length', b'\x30\x83\0' + len(body).to_bytes(2, 'big') + body)
EOF

# certificates: a root, an issuing CA, a leaf, an old one
ca() { printf '[v3]\nbasicConstraints=critical,CA:TRUE%s\nkeyUsage=critical,%s\nsubjectKeyIdentifier=hash\n%s\n' "$1" "$2" "${3:-}" >"$T/ext.cnf"; }
x509() {
    name=$1 csr=$2
    shift 2
    openssl x509 -req -inform DER -in "csr/$csr.der" -days 36500 -outform DER -out "cert/$name.der" "$@" 2>/dev/null
}
ca '' keyCertSign,cRLSign
x509 root good-rsa3072 -signkey "$T/rsa3072.pem" -extfile "$T/ext.cnf" -extensions v3 -set_serial 1
openssl x509 -inform DER -in cert/root.der -out "$T/root.pem"
ca ',pathlen:0' keyCertSign,cRLSign,digitalSignature 'authorityKeyIdentifier=keyid'
x509 issuing good-p384 -CA "$T/root.pem" -CAkey "$T/rsa3072.pem" -extfile "$T/ext.cnf" -extensions v3 -set_serial 0x7fabcdef
openssl x509 -inform DER -in cert/issuing.der -out "$T/issuing.pem"
printf '[v3]\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\nsubjectAltName=DNS:leaf.example,IP:192.0.2.7\n' >"$T/ext.cnf"
x509 leaf good-p256 -CA "$T/issuing.pem" -CAkey "$T/p384.pem" -extfile "$T/ext.cnf" -extensions v3 -set_serial 0x0080ff
x509 ed25519 good-ed25519 -CA "$T/issuing.pem" -CAkey "$T/p384.pem" -extfile "$T/ext.cnf" -extensions v3 -set_serial 5
printf '[v3]\n' >"$T/ext.cnf"
x509 v1 good-rsa2048 -signkey "$T/rsa2048.pem" -set_serial 7
ca '' keyCertSign 'nameConstraints=critical,permitted;DNS:example'
x509 constrained good-rsa2048 -signkey "$T/rsa2048.pem" -extfile "$T/ext.cnf" -extensions v3 -set_serial 8
openssl x509 -inform DER -in cert/leaf.der >cert/chain.pem
cat "$T/issuing.pem" "$T/root.pem" >>cert/chain.pem
openssl crl2pkcs7 -nocrl -certfile cert/chain.pem -outform DER -out certs_only/chain.der
openssl crl2pkcs7 -nocrl -certfile "$T/root.pem" -outform DER -out certs_only/one.der

# seeds of the text fuzzers
openssl base64 -in csr/good-p256.der -out base64/lines.txt
openssl base64 -A -in csr/good-p256.der -out base64/line.txt
printf 'Zg==' >base64/padded.txt
printf 'Zm9v YmFy\t\r\n' >base64/space.txt
printf '{"name":"n","list":[1,-2.5e3,true,null,"\\u00e9"],"o":{}}' >json/object.json
printf '[[[[]]]]' >json/deep.json
printf 'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==' >basic/rfc7617.txt
printf 'basic Og==' >basic/empty.txt
printf '/label/simpleenroll' >basic/labelled.txt
printf '/%%6cabel/cacerts' >basic/percent.txt
printf '{"protocol":"est","operation":"simpleenroll","label":"iot","identity_kind":"basic","identity":"d","password":"p","csr":"MAA=","transaction_key":"AAAA"}' >json/enrol.json
printf '{"status":"pending","retry_after_s":60}' >json/answer.json
printf 'CN=Issuing CA,O=Example\\, Inc,C=GB' >name/rfc4514.txt
printf '2.5.4.3=#0C0161,DC=a;emailAddress=a@b , 1.2.3.4=\\ x\\C3\\A9' >name/odd.txt

# The signer's journal, after the description in journal_format.h.
python3 - <<'EOF_'
import hashlib, struct

def sha(octets):
    return hashlib.sha256(octets).digest()

def record(chain, kind, at, issuer_no, ref, name, data):
    body = struct.pack('>qIH', at, issuer_no, len(ref)) + ref + struct.pack('>H', len(name)) + name + data
    frame = struct.pack('>IB', len(body), kind) + body
    return frame, sha(chain + sha(frame))

def save(name, octets):
    with open('journal/' + name, 'wb') as f:
        f.write(octets)

cert, one = record(bytes(32), 1, 1700000000, 7, b'file:ca', b'\x11\x22', b'0' * 20)
crl, two = record(one, 2, 1700000001, 7, b'file:ca', b'\x01', b'd' * 32)
save('frame', cert)
save('records', cert + one + crl + two + bytes(100))
identity = bytes(range(16))
head = b'CHNCYJN1' + identity + bytes(8) + sha(identity)
cert, one = record(sha(identity), 1, 1700000000, 7, b'file:ca', b'\x11\x22', b'0' * 20)
save('segment', head + sha(head) + cert + one + bytes(200))
EOF_

# What nginx asks of the orchestrator, and an answer.
python3 - <<'EOF_'
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, '../lib')
import frame, record

def save(name, octets):
    with open('hop/' + name, 'wb') as f:
        f.write(octets)

enrol = record.pack(record.REQUEST, {
    'protocol': 'est', 'operation': 'simpleenroll', 'label': 'devices', 'identity_kind': 'basic', 'identity': 'device',
    'password': 'correct horse', 'csr': b'0\0', 'transaction_key': 32 * b'k', 'source': '192.0.2.1', 'request_id': 'r'})
renew = record.pack(record.REQUEST, {
    'protocol': 'est', 'operation': 'simplereenroll', 'label': 'devices', 'identity_kind': 'certificate', 'identity': 64 * 'a',
    'certificate': b'0\x82\0\0', 'csr': b'0\0', 'transaction_key': 32 * b'k'})
get = frame.relay([(':target', '/api/v1/certificates/mc-1?fields=id'), ('X-Request-ID', 'r'), ('Authorization', 'Bearer ck_x'),
                   ('Cookie', ''), ('If-None-Match', '"7-0123456789abcdef"')])
answer = frame.relay([(':status', '200'), ('Content-Type', 'application/json'), ('ETag', '"7-0123456789abcdef"'), (':body', '{}')])
save('enrol', enrol)
save('renew', renew)
save('relay', get)
save('answer', answer)
save('frames', frame.frame(1, get) + frame.frame(2, enrol) + frame.frame(0, b'') + frame.frame(0xffffffff, answer))
save('piece', frame.frame(3, renew)[:-1])
EOF_
