#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""The signer is killed again and again under load: every call is answered, nothing signed is missing from its journal."""

import os
import shutil
import subprocess
import sys
import tempfile

BUILD = os.environ.get('BUILD', 'build')
SECONDS = '5'


def verify(folder):
    env = dict(os.environ, CHANCERY_SIGNER_DIR=folder, CHANCERY_SIGNER_PASSPHRASE_FILE=folder + '/passphrase')
    return subprocess.run([BUILD + '/chanceryd', 'signer-journal', 'verify'], env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)


def main():
    folder, results = tempfile.mkdtemp(prefix='chancery-signer-'), []
    try:
        with open(os.open(folder + '/passphrase', os.O_CREAT | os.O_WRONLY, 0o600), 'w') as f:
            f.write('correct horse\n')
        load = subprocess.run([BUILD + '/t/lib/signer_load', folder, SECONDS], stdout=subprocess.PIPE, text=True)
        lines = load.stdout.splitlines()
        print('\n'.join(line for line in lines if not line.startswith('1..')))
        count = sum(line.startswith(('ok', 'not ok')) for line in lines)

        clean = verify(folder)
        results.append((clean.returncode == 0 and 'verified' in clean.stdout, 'the journal verifies', clean.stdout))

        segment = sorted(name for name in os.listdir(folder + '/journal') if name.endswith('.journal'))[0]
        with open(folder + '/journal/' + segment, 'r+b') as f:
            f.seek(500)
            octet = f.read(1)
            f.seek(500)
            f.write(bytes([octet[0] ^ 1]))
        changed = verify(folder)
        results.append((changed.returncode == 1 and 'FAULT' in changed.stdout, 'one changed bit is found', changed.stdout))

        for good, name, text in results:
            count += 1
            print('%sok %d - %s' % ('' if good else 'not ', count, name))
            if not good:
                print('\n'.join('# ' + line for line in text.splitlines()))
        print('1..%d' % count)
        return 0 if load.returncode == 0 else 1
    finally:
        shutil.rmtree(folder)


if __name__ == '__main__':
    sys.exit(main())
