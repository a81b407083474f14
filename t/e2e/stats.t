#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""Figures: statistics, reports and metrics against what is known to be in the database, and readiness."""

import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, like, note_skip, ok, program, unlike, wait_for  # noqa: E402
from seed import seed                                                                  # noqa: E402

V1 = '/api/v1'
COUNT = 3000  # more than any page

# By n: what is said of each.  The rest ends in 90 days.
WORLD = """
INSERT INTO team (id, name) VALUES ('team-a', 'A');
INSERT INTO owner (id, name, team_id) VALUES ('owner-a', 'Alice', 'team-a'), ('owner-b', 'Bob', NULL);
INSERT INTO renewal_policy (id, name, renewal_window_days, auto_renew, max_retries, retry_interval_seconds,
                            alert_thresholds_days, alert_severity_map)
VALUES ('rp-a', 'a', 1, false, 1, 60, '{20,3}', '{"20": "warning", "3": "critical"}');
CREATE TEMPORARY TABLE m AS
SELECT id, substr(id, 10)::integer AS n FROM managed_certificate WHERE id LIKE 'mc-bench-%';
UPDATE managed_certificate c SET expires_at = now() + interval '10 days' FROM m WHERE c.id = m.id AND n < 700;
UPDATE managed_certificate c SET owner_id = 'owner-a', team_id = 'team-a' FROM m WHERE c.id = m.id AND n < 100;
UPDATE managed_certificate c SET owner_id = 'owner-b', renewal_policy_id = 'rp-a' FROM m WHERE c.id = m.id AND n BETWEEN 100 AND 199;
UPDATE managed_certificate c SET expires_at = now() - interval '2 days' FROM m WHERE c.id = m.id AND n BETWEEN 700 AND 999;
UPDATE managed_certificate c SET status = 'Revoked', revoked_at = now(), revocation_reason = 4
  FROM m WHERE c.id = m.id AND n BETWEEN 1000 AND 1499;
UPDATE managed_certificate c SET archived_at = now() FROM m WHERE c.id = m.id AND n BETWEEN 1500 AND 1509;
INSERT INTO job (id, type, status, certificate_id, params, requested_by, requester_type, max_attempts, retry_s, run_at,
                 completed_at)
SELECT 'job-' || n, 'Renewal', CASE WHEN n < 1540 THEN 'RetryWait' ELSE 'Failed' END, id, '{}', 'key-x', 'api_key', 3, 60,
       now() + interval '1 day', CASE WHEN n < 1540 THEN NULL ELSE now() END
  FROM m WHERE n BETWEEN 1520 AND 1559;
"""
WANTED = {'Active': COUNT - 1500 - 10 - 40, 'Expiring': 700, 'Expired': 300, 'RenewalInProgress': 20, 'Failed': 20,
          'Revoked': 500, 'Archived': 10}


def get(s, path, **more):
    answer = s.api('GET', V1 + path, **more)
    if answer.status != 200:
        raise RuntimeError('%s: %r' % (path, answer))
    return answer.json


def statistics(s, others):
    wanted = dict(WANTED, Active=WANTED['Active'] + others)
    by = {each['status']: each['count'] for each in get(s, '/stats/certificates-by-status')['statuses']}
    is_(by, wanted, 'certificates by status, of %d' % COUNT)
    summary = get(s, '/stats/summary')
    is_((summary['total'], summary['expiring'], summary['expired'], summary['archived'], summary['jobs_open']),
        (COUNT + others, 700, 300, 10, 20), 'the summary says the same')
    days = get(s, '/stats/expiration-timeline?days=30')['days']
    is_((len(days), sum(each['count'] for each in days), days[10]['count'] + days[9]['count']), (30, 700, 700),
        'the timeline has every day, and those that end on it')
    days = get(s, '/stats/expiration-timeline?days=100')['days']
    is_(sum(each['count'] for each in days), COUNT - 300 - 500 - 10 + others, 'archived and revoked ones are not in it')
    rate = get(s, '/stats/issuance-rate?days=7')['days']
    is_((len(rate), rate[-1]['issued'], sum(each['renewed'] for each in rate)), (7, COUNT + others, 0), 'what was issued today')
    trend = get(s, '/stats/job-trends?days=3')['days']
    is_((len(trend), trend[-1]['created'], trend[-1]['failed'], trend[-1]['completed']), (3, 40, 20, 0), 'jobs of today')
    refused = s.api('GET', V1 + '/stats/issuance-rate?days=0')
    is_((refused.status, refused.json['error']['fields'][0]['field']), (400, 'days'), 'no days: 400')
    is_(s.api('GET', V1 + '/stats/job-trends?days=367').status, 400, 'more than a year: 400, and not less in silence')


def reports(s):
    rows = {(each['by'], each.get('id')): each for each in get(s, '/reports/expiry')['rows']}
    alice, bob, nobody = rows['owner', 'owner-a'], rows['owner', 'owner-b'], rows['owner', None]
    is_((alice['informational'], alice['warning'], alice['critical']), (0, 100, 0), 'without a policy 10 days are a warning')
    is_((bob['informational'], bob['warning'], bob['critical'], bob['name']), (0, 100, 0, 'Bob'), 'a policy says at which day')
    is_((nobody['warning'], nobody['expired']), (500, 300), 'those of nobody')
    is_((rows['team', 'team-a']['warning'], rows['issuer', s.issuer_id]['warning']), (100, 700), 'by team, and by issuer')
    s.psql("UPDATE managed_certificate SET expires_at = now() + interval '2 days' WHERE owner_id = 'owner-b'")
    rows = {(each['by'], each.get('id')): each for each in get(s, '/reports/expiry')['rows']}
    is_(rows['owner', 'owner-b']['critical'], 100, 'sooner is more severe')
    is_(get(s, '/reports/expiry?days=1')['rows'][0].get('expired'), 0, 'what ended longer ago is not told')

    risks = {each['risk']: each['count'] for each in get(s, '/reports/risk')['rows']}
    is_((risks['expiring_without_owner'], risks['expiring_without_auto_renewal'], risks['renewal_failed']), (500, 700, 20),
        'risks are counted')
    is_((risks['weak_key'], risks['weak_signature']), (0, 0), 'weak keys and signatures, of which we make none')
    rules = {each['rule']: each for each in get(s, '/reports/compliance')['rows']}
    total = int(s.psql("SELECT count(*) FROM managed_certificate WHERE status = 'Active' AND archived_at IS NULL AND expires_at > now()"))
    is_((rules['has_owner']['fulfilled'], rules['has_renewal_policy']['fulfilled']), (200, 100), 'rules that are kept')
    ok(all(each['fulfilled'] + each['violated'] == total for each in rules.values()), 'every rule counts every good certificate')
    s.psql("INSERT INTO policy (id, name, type, config, severity, enabled) VALUES ('pol-a', 'p', 'AllowedDomains', '{}', 'Error', true);"
           "INSERT INTO policy_violation (policy_id, message, severity, refused, actor) VALUES ('pol-a', 'm', 'Error', true, 'x'),"
           "('pol-a', 'm', 'Error', false, 'x'), ('pol-a', 'm', 'Error', false, 'x')")
    found = get(s, '/reports/compliance')['violations'][0]
    is_((found['policy_id'], found['warned'], found['refused']), ('pol-a', 2, 1), 'and the violations of policies')


def keys(s):
    for kind, wanted in (('rsa', ('RSA', 2048)), ('p-384', ('ECDSA', 384)), ('ed25519', ('Ed25519', 256))):
        answer = s.api('POST', V1 + '/certificates', {'name': 'key ' + kind, 'profile_id': 'prof-device', 'issuer_id': s.issuer_id,
                                                      'csr_pem': open(s.holder('key-' + kind, kind).csr).read()})
        row = get(s, '/certificates/%s/versions' % answer.json['id'])['data'][0]
        is_((row['key_algorithm'], row['key_size']), wanted, 'a version says which key it is for: %s' % kind)


def metrics(s, others):
    got = get(s, '/metrics')
    is_((got['gauges']['certificate_total'], got['gauges']['certificate_expired'], got['gauges']['certificate_revoked'],
         got['gauges']['job_pending'], got['counters']['job_failed_total']), (COUNT + others, 300, 500, 20, 20), 'metrics in JSON')
    ok(got['uptime_seconds'] >= 0, 'with the uptime')
    text = s.api('GET', V1 + '/metrics/prometheus').text
    found = dict(re.findall(r'^chancery_managed_certificates\{status="(\w+)"\} (\d+)$', text, re.M))
    is_({name: int(value) for name, value in found.items()}, dict(WANTED, Active=WANTED['Active'] + others), 'Prometheus: by status')
    like(text, r'(?m)^chancery_jobs\{type="Renewal",status="Failed"\} 20$', 'jobs by type and status')
    like(text, r'(?m)^chancery_job_duration_seconds_count\{type="BulkRevoke"\} 0$', 'the durations of jobs')
    if shutil.which('promtool'):
        checked = program(['promtool', 'check', 'metrics'], input=text, check=False)
        is_((checked.status, checked.err), (0, ''), 'promtool finds nothing to say')
    else:
        note_skip('promtool is not installed')
    key = s.api('POST', V1 + '/auth/keys', {'name': 'statistician', 'permissions': ['stats.read']}).json['key']
    is_(s.api('GET', V1 + '/stats/summary', key=key).status, 200, 'statistics have a permission of their own')
    is_(s.api('GET', V1 + '/metrics', key=key).status, 403, 'which is not that of the metrics')


def readiness(s):
    checks = {each['name']: each['ok'] for each in s.api('GET', '/ready').json['checks']}
    is_(checks, dict.fromkeys(('database', 'schema', 'signer', 'edge', 'issuance', 'scheduler'), True), '/ready asks every part')
    s.psql('ALTER TABLE job RENAME TO job_away')
    answer = wait_for('the scheduler to be missed', lambda: (lambda a: a if a.status == 503 else None)(s.api('GET', '/ready')), 45)
    s.psql('ALTER TABLE job_away RENAME TO job')
    missing = [each['name'] for each in answer.json['checks'] if not each['ok']] if answer else None
    is_(missing, ['scheduler'], 'and names the one that is missing')
    unlike(answer.text if answer else '', 'job_away|relation', 'without telling of the inside')
    ok(s.wait_ready(), 'it is ready again')


def main():
    with Stack() as s:
        others = int(s.psql('SELECT count(*) FROM managed_certificate'))
        seed(s, COUNT)
        s.psql(WORLD)
        statistics(s, others)
        metrics(s, others)
        reports(s)
        keys(s)
        readiness(s)
    done()


main()
