#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""Jobs: bulk revocation and renewal of more than a page of certificates, renewals by hand and by policy, death at work."""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, like, ok, openssl, wait_for  # noqa: E402
from second import Second                                           # noqa: E402
from seed import known, seed                                        # noqa: E402

V1 = '/api/v1'
OVER = ('Completed', 'Failed', 'Cancelled')
LEASE_S = 3


def job(s, id):
    return s.api('GET', V1 + '/jobs/' + id).json


def over(s, id, seconds=30):
    """The job when it is over."""
    wait_for('the end of ' + id, lambda: job(s, id)['status'] in OVER, seconds)
    return job(s, id)


def figures(row):
    return tuple(row[name] for name in ('status', 'total', 'done', 'skipped', 'failed'))


def number(s, sql):
    return int(s.psql(sql))


def owned(s, owner, first, count):
    """Seeded certificates of an owner of their own: something to name them by."""
    seed(s, count, first=first)
    s.psql("INSERT INTO owner (id, name) VALUES ('%s', '%s');" % (owner, owner))
    s.psql("UPDATE managed_certificate SET owner_id = '%s' WHERE id IN (SELECT 'mc-bench-' || n FROM "
           "generate_series(%d, %d) n)" % (owner, first, first + count - 1))


def once(s, owner, count, name):
    """Each of them was revoked, and once: a row, its first revision, one line in the feed."""
    rows = s.psql("SELECT count(*), count(DISTINCT r.serial), max(r.revision) FROM revocation r JOIN managed_certificate m "
                  "ON m.last_serial = r.serial WHERE m.owner_id = '%s' AND m.status = 'Revoked'" % owner)
    told = number(s, "SELECT count(*) FROM change_feed f JOIN managed_certificate m ON m.last_serial = f.serial "
                     "WHERE m.owner_id = '%s' AND f.kind = 'status'" % owner)
    is_((rows, told), ('%d|%d|1' % (count, count), count), name)


def events(s, id):
    return s.psql("SELECT action FROM audit_event WHERE resource_id = '%s' AND action NOT LIKE '%%.read' ORDER BY id" % id).split()


# ---- bulk revocation ---------------------------------------------------------------------------------------------


def bulk(s):
    owned(s, 'owner-first', 0, 1200)
    wrong = s.api('POST', V1 + '/certificates/bulk-revoke', {'reason': 'superseded'})
    is_((wrong.status, wrong.json['error']['fields'][0]['field']), (400, 'certificate_ids'), 'without a criterion: 400')
    wrong = s.api('POST', V1 + '/certificates/bulk-revoke', {'reason': 'nothing', 'source': 'x', 'colour': 1})
    is_(sorted(each['field'] for each in wrong.json['error']['fields']), ['colour', 'reason', 'source'],
        'every wrong member is named')

    answer = s.api('POST', V1 + '/certificates/bulk-revoke', {'reason': 'cessationOfOperation', 'owner_id': 'owner-first'})
    is_((answer.status, answer.json['affected_count'], answer.json['status'], answer.json['criteria']['reason']),
        (202, 1200, 'Pending', 'cessationOfOperation'), 'bulk revocation is accepted, and says of how many')
    is_(answer.headers['Location'], V1 + '/jobs/' + answer.json['job_id'], 'and where its job is')
    is_(figures(over(s, answer.json['job_id'])), ('Completed', 1200, 1200, 0, 0), 'all 1200 are revoked, not a page of them')
    once(s, 'owner-first', 1200, 'each once, and the other hosts are told')
    is_(events(s, answer.json['job_id']), ['certificate.bulk_revoke', 'job.completed'], 'the audit: one event at its start, one at its end')
    serial = s.psql("SELECT encode(last_serial, 'hex') FROM managed_certificate WHERE id = 'mc-bench-1199'")
    ok(known(s, serial)(), 'the edge has an answer about the last of them')
    ok(wait_for('the CRL', lambda: s.crl().count('Serial Number: ') >= 1200), 'the CRL lists them')

    items = s.api('GET', V1 + '/jobs/%s/items?limit=1000&status=Done' % answer.json['job_id']).json
    is_((items['total'], len(items['data'])), (1200, 1000), 'its items can be listed')
    again = s.api('POST', V1 + '/certificates/bulk-revoke', {'owner_id': 'owner-first'})
    is_(again.json['affected_count'], 0, 'what is revoked is not meant again')
    named = s.api('POST', V1 + '/certificates/bulk-revoke', {'certificate_ids': ['mc-bench-1', 'mc-nobody'], 'reason': 'superseded'})
    is_(named.json['affected_count'], 1, 'of two that are named one is there')
    is_(figures(over(s, named.json['job_id'])), ('Completed', 2, 0, 1, 1), 'one is skipped, one has failed, the job is complete')
    errors = {each['certificate_id']: each['error'] for each in
              s.api('GET', V1 + '/jobs/%s/items' % named.json['job_id']).json['data']}
    like(str(errors), 'mc-nobody.*there is no certificate', 'and each says why')


def est_only(s):
    device = s.enrol('bulk-device')
    s.psql("UPDATE managed_certificate SET owner_id = 'owner-first' WHERE source = 'EST'")
    seed(s, 1, first=5000)
    s.psql("UPDATE managed_certificate SET owner_id = 'owner-first' WHERE id = 'mc-bench-5000'")
    answer = s.api('POST', V1 + '/est/certificates/bulk-revoke', {'owner_id': 'owner-first', 'source': 'API'})
    is_(answer.status, 400, 'EST only: another source is refused')
    answer = s.api('POST', V1 + '/est/certificates/bulk-revoke', {'owner_id': 'owner-first', 'reason': 'keyCompromise'})
    is_((answer.status, answer.json['affected_count']), (202, 1), 'EST only: those of EST')
    over(s, answer.json['job_id'])
    is_(s.ocsp(device), 'revoked', 'and OCSP says so when the job is complete')
    is_(s.psql("SELECT status FROM managed_certificate WHERE id = 'mc-bench-5000'"), 'Active', 'the others stay')


def killed_while_revoking(s):
    owned(s, 'owner-killed', 10000, 6000)
    id = s.api('POST', V1 + '/certificates/bulk-revoke', {'owner_id': 'owner-killed'}).json['job_id']
    part = wait_for('some of it', lambda: 0 < number(s, "SELECT done FROM job WHERE id = '%s'" % id) < 6000)
    killed = s.kill('orchestrator')
    ok(part and number(s, "SELECT done FROM job WHERE id = '%s'" % id) < 6000, 'kill -9 in the middle of a bulk revocation')
    s.wait_again('orchestrator', killed)
    s.wait_ready()
    is_(figures(over(s, id)), ('Completed', 6000, 6000, 0, 0), 'it goes on where it was')
    once(s, 'owner-killed', 6000, 'and nothing is done twice')
    is_(events(s, id).count('job.completed'), 1, 'its end is told once')


# ---- renewal -----------------------------------------------------------------------------------------------------


def issued(s, name, holder, profile='prof-device'):
    with open(holder.csr) as file:
        answer = s.api('POST', V1 + '/certificates', {'name': name, 'profile_id': profile, 'issuer_id': s.issuer_id,
                                                      'csr_pem': file.read()})
    if answer.status != 201:
        raise RuntimeError('%s: %r' % (name, answer))
    return answer.json['id']


def versions(s, id):
    return s.api('GET', V1 + '/certificates/%s/versions' % id).json['data']


def renew(s, id, body=None, force=False):
    return s.api('POST', V1 + '/certificates/%s/renew%s' % (id, '?force=true' if force else ''), body or {})


def by_hand(s):
    first = s.holder('renewed')
    id = issued(s, 'renewed', first)
    answer = renew(s, id)
    is_((answer.status, answer.json['type'], answer.json['certificate_id']), (202, 'Renewal', id), 'a renewal is a job')
    is_(over(s, answer.json['id'])['status'], 'Completed', 'which completes')
    two = versions(s, id)
    ok(len(two) == 2 and two[0]['spki_sha256'] == two[1]['spki_sha256'] and two[0]['serial'] != two[1]['serial'],
       'without a request: another certificate for the same key')
    is_(s.psql("SELECT last_renewal_at IS NOT NULL FROM managed_certificate WHERE id = '%s'" % id), 't', 'and when is noted')
    like(str(events(s, id)), 'certificate.issue.*certificate.renewal.*certificate.renew', 'the audit has the call and the certificate')

    other = s.holder('rekeyed', subject='/CN=renewed', san='DNS:renewed.example.net')
    with open(other.csr) as file:
        answer = renew(s, id, {'csr_pem': file.read()})
    is_(over(s, answer.json['id'])['status'], 'Completed', 'with a request')
    three = versions(s, id)
    ok(len(three) == 3 and three[0]['spki_sha256'] != three[1]['spki_sha256'], 'a certificate for its key')
    with open(s.holder('stranger').csr) as file:
        answer = renew(s, id, {'csr_pem': file.read()})
    is_((answer.status, answer.json['error']['code']), (403, 'policy'), 'a request that names somebody else: 403')
    is_(renew(s, id, {'csr_pem': 'x'}).status, 400, 'one that is none: 400')
    is_(renew(s, 'mc-nobody').status, 404, 'of nothing: 404')

    s.api('POST', V1 + '/certificates/%s/revoke' % id, {'reason': 'superseded'})
    is_(renew(s, id).status, 409, 'a revoked one: 409')
    answer = renew(s, id, force=True)
    is_((answer.status, over(s, answer.json['id'])['status']), (202, 'Completed'), 'unless it is forced')
    s.api('POST', V1 + '/certificates/%s/revoke' % id, {'reason': 'keyCompromise'})
    is_(renew(s, id, force=True).status, 409, 'a compromised key is not certified again')


def killed_while_renewing(s):
    holder = s.holder('many')
    ids = [issued(s, 'many-%d' % n, holder) for n in range(120)]
    id = s.api('POST', V1 + '/certificates/bulk-renew', {'certificate_ids': ids}).json['job_id']
    done_ = "SELECT count(*) FROM job WHERE parent_no = (SELECT no FROM job WHERE id = '%s') AND status = 'Completed'" % id
    part = wait_for('some renewals', lambda: 0 < number(s, done_) < 120)
    killed = s.kill('orchestrator')
    ok(part, 'kill -9 in the middle of renewals')
    s.wait_again('orchestrator', killed)
    s.wait_ready()
    is_(figures(over(s, id)), ('Completed', 120, 120, 0, 0), 'all are renewed')
    counts = s.psql("SELECT min(n), max(n) FROM (SELECT count(*) AS n FROM certificate_version v JOIN managed_certificate m "
                    "ON m.no = v.managed_no WHERE m.id LIKE 'mc-many-%' AND NOT v.orphan GROUP BY m.no) x")
    is_(counts, '2|2', 'and none of them twice')


def renewal_shown(s, id):
    """What the view says of a certificate, and its row."""
    return (s.psql("SELECT status FROM certificate_renewal WHERE certificate_id = '%s'" % id),
            s.api('GET', V1 + '/certificates/' + id).json['status'])


def failing(s):
    """Recording fails: the job waits, is tried again, blocks another one, can be cancelled."""
    id = issued(s, 'failing', s.holder('failing'))
    s.psql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$;"
           "CREATE TRIGGER refuse BEFORE UPDATE ON managed_certificate FOR EACH ROW WHEN (OLD.id = 'mc-failing') "
           "EXECUTE FUNCTION refuse()")
    usual = renewal_shown(s, id)[1]
    answer = renew(s, id)
    row = wait_for('a failed attempt', lambda: (lambda r: r if r['status'] == 'RetryWait' else None)(job(s, answer.json['id'])))
    ok(row and row['attempts'] == 1 and row['last_error'] and row['next_at'], 'an attempt that fails is tried again later', row)
    is_(renew(s, id).status, 409, 'while it waits there is no second renewal of the same certificate')
    is_(renewal_shown(s, id), ('RenewalInProgress', 'RenewalInProgress'), 'it is in progress')
    s.psql("UPDATE job SET run_at = now(), attempts = max_attempts - 1 WHERE id = '%s'" % row['id'])
    is_(over(s, row['id'])['status'], 'Failed', 'the last attempt is the last')
    is_(renewal_shown(s, id), ('Failed', 'Failed'), 'the certificate says so')
    ok('job.failed' in events(s, id), 'and the audit')
    answer = renew(s, id)
    wait_for('a failed attempt', lambda: job(s, answer.json['id'])['status'] == 'RetryWait')
    reader = s.api('POST', V1 + '/auth/keys', {'name': 'job reader', 'permissions': ['job.read']}).json['key']
    cancel = V1 + '/jobs/%s/cancel' % answer.json['id']
    is_(s.api('POST', cancel, {}, key=reader).status, 403, 'cancelling needs a permission')
    answer = s.api('POST', cancel, {'reason': 'a test'})
    is_((answer.status, answer.json['status']), (200, 'Cancelled'), 'it is cancelled')
    is_(renewal_shown(s, id), ('', usual), 'and no longer fails')
    is_(s.api('POST', cancel, {}).status, 409, 'and cannot be cancelled twice')
    s.psql("DROP TRIGGER refuse ON managed_certificate; DROP FUNCTION refuse()")
    answer = renew(s, id)
    is_(over(s, answer.json['id'])['status'], 'Completed', 'the cause is gone: a renewal completes')
    is_(renewal_shown(s, id), ('', usual), 'and nothing sticks')
    total = s.api('GET', V1 + '/jobs?type=Renewal&certificate_id=%s' % id).json['total']
    is_(total, 3, 'the jobs of a certificate can be listed')
    is_(s.api('GET', V1 + '/jobs?status=Sleeping').status, 400, 'a status that is none: 400')


def retries(s):
    """As often as the renewal policy of the certificate says, whoever asks."""
    is_(s.api('POST', V1 + '/renewal-policies', {'name': 'Patient', 'id': 'rp-patient', 'renewal_window_days': 30, 'auto_renew': False,
                                                 'max_retries': 6, 'retry_interval_seconds': 77}).status, 201, 'a policy of six retries')
    ids = [issued(s, 'patient-%d' % n, s.holder('patient')) for n in range(2)]
    s.psql("UPDATE managed_certificate SET renewal_policy_id = 'rp-patient' WHERE id LIKE 'mc-patient-%'")
    one = renew(s, ids[0]).json
    is_(one['max_attempts'], 7, 'a renewal by hand is tried seven times')
    id = s.api('POST', V1 + '/certificates/bulk-renew', {'certificate_ids': ids[1:]}).json['job_id']
    over(s, id)
    is_(s.api('GET', V1 + '/jobs?type=Renewal&certificate_id=%s' % ids[1]).json['data'][0]['max_attempts'], 7, 'and one of many')
    is_(s.psql("SELECT DISTINCT retry_s FROM job WHERE certificate_id LIKE 'mc-patient-%'"), '77', 'at the interval of the policy')


LIFE_S = 24


def policy_begin(s):
    s.psql("INSERT INTO renewal_policy (id, name, renewal_window_days, auto_renew, max_retries, retry_interval_seconds, "
           "alert_thresholds_days, alert_severity_map) VALUES ('rp-short', 'short', 30, true, 3, 1, '{30,7}', "
           "'{\"30\": \"warning\", \"7\": \"critical\"}')")
    answer = s.api('POST', V1 + '/profiles', {'name': 'Brief', 'validity_s': 60, 'key_kinds': ['p-256'],
                                              'eku': ['clientAuth'], 'name_kinds': ['dns'], 'subject_rule': 'csr'})
    if answer.status != 201:
        raise RuntimeError(answer)
    s.psql("UPDATE profile SET validity_s = %d WHERE id = 'prof-brief'" % LIFE_S)
    id = issued(s, 'brief', s.holder('brief'), answer.json['id'])
    began = time.time()
    s.psql("UPDATE managed_certificate SET renewal_policy_id = 'rp-short' WHERE id = '%s'" % id)
    return id, began


def policy_end(s, id, began):
    wait_for('a renewal by policy', lambda: len(versions(s, id)) > 1, LIFE_S + 5)
    second = versions(s, id)[-2]  # there may be a third by now
    took = time.mktime(time.strptime(second['issued_at'], '%Y-%m-%dT%H:%M:%SZ')) - time.timezone - began
    ok(LIFE_S / 2 < took <= LIFE_S, 'a policy renews it in the last third of its life, and not as soon as its window says', took)
    jobs = s.api('GET', V1 + '/jobs?certificate_id=%s' % id).json['data']
    is_((jobs[-1]['requested_by'], jobs[-1]['max_attempts'], jobs[-1]['params'].get('renewal_policy_id')),
        ('chanceryd', 4, 'rp-short'), 'the job is as the policy says')
    ok(len(versions(s, id)) <= 2 + (time.time() - began) / (LIFE_S / 2), 'it is not renewed each time that somebody looks')
    s.psql("UPDATE renewal_policy SET auto_renew = false")


# ---- two orchestrators -------------------------------------------------------------------------------------------


def two(s):
    holder = s.holder('pair')
    owned(s, 'owner-frozen', 30000, 6000)
    with Second(s) as other:
        ids = [issued(s, 'pair-%d' % n, holder) for n in range(60)]
        id = s.api('POST', V1 + '/certificates/bulk-renew', {'certificate_ids': ids}).json['job_id']
        is_(figures(over(s, id)), ('Completed', 60, 60, 0, 0), 'two orchestrators renew')
        is_(number(s, "SELECT count(*) FROM certificate_version v JOIN managed_certificate m ON m.no = v.managed_no "
                      "WHERE m.id LIKE 'mc-pair-%'"), 120, 'each certificate once')

        other.signal(signal.SIGSTOP)
        id = s.api('POST', V1 + '/certificates/bulk-revoke', {'owner_id': 'owner-frozen'}).json['job_id']
        wait_for('some of it', lambda: number(s, "SELECT done FROM job WHERE id = '%s'" % id) > 0)
        frozen = s.freeze('orchestrator')
        s.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")
        part = number(s, "SELECT done FROM job WHERE id = '%s'" % id)
        other.signal(signal.SIGCONT)
        status = "SELECT status FROM job WHERE id = '%s'" % id
        wait_for('the other one', lambda: s.psql(status) == 'Completed', 30)
        s.thaw(frozen)
        ok(0 < part < 6000 and s.psql(status) == 'Completed', 'one is frozen at work: the other one takes over', part)
        s.wait_ready()
        ok(wait_for('the first to notice', lambda: 'job.lost' in s.log()), 'the first notices that the job is not its own any more')
        is_(figures(job(s, id)), ('Completed', 6000, 6000, 0, 0), 'and changes nothing')
        once(s, 'owner-frozen', 6000, 'nothing was done twice')


def main():
    with Stack(env={'CHANCERY_JOBS_LEASE_S': str(LEASE_S), 'CHANCERY_JOBS_RENEWAL_SCAN_S': '1',
                    'CHANCERY_JOBS_POLL_MS': '100'}) as s:
        id, began = policy_begin(s)
        bulk(s)
        est_only(s)
        by_hand(s)
        failing(s)
        retries(s)
        policy_end(s, id, began)  # nobody is killed in the third of a life in which it has to be renewed
        killed_while_revoking(s)
        killed_while_renewing(s)
        two(s)
    done()


main()
