# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
Managed certificates by the million with all that operators say of them: owners, teams, environments, tags, renewal
policies, statuses, dates over a year.  Rows first, indexes after them.
"""

from chancery import program

SERIAL = "set_byte(substring(sha256(n::text::bytea) FROM 1 FOR 16), 0, 64)"

WORLD = """
INSERT INTO team (id, name) SELECT 'team-' || n, 'Team ' || n FROM generate_series(0, 19) n;
INSERT INTO owner (id, name, team_id) SELECT 'owner-' || n, 'Owner ' || n, 'team-' || n % 20 FROM generate_series(0, 199) n;
INSERT INTO renewal_policy (id, name, renewal_window_days, auto_renew, max_retries, retry_interval_seconds,
                            alert_thresholds_days, alert_severity_map)
SELECT 'rp-' || n, 'Policy ' || n, 7 * n, false, 3, 3600, '{30,14,7}', '{}' FROM generate_series(1, 4) n;
INSERT INTO profile SELECT (jsonb_populate_record(p, jsonb_build_object('id', 'prof-' || n, 'name', 'Profile ' || n))).*
  FROM profile p, generate_series(1, 9) n WHERE p.id = 'prof-device';
"""

# Names are in no order of time; an hour in the year has about as many as another; what is rare is rare throughout.
MANAGED = """
INSERT INTO managed_certificate (id, name, source, profile_id, issuer_no, est_label_id, common_name, subject, subject_der,
                                 sans, status, expires_at, last_serial, revoked_at, revocation_reason, owner_id, team_id,
                                 environment, renewal_policy_id, tags, archived_at, created_at, updated_at)
SELECT 'mc-bench-' || n, 'site ' || h % 9973 || ' host ' || n,
       CASE WHEN h % 5 < 2 THEN 'API' ELSE 'EST' END, CASE WHEN h % 10 = 0 THEN 'prof-device' ELSE 'prof-' || h % 10 END,
       i.no, CASE WHEN h % 5 < 2 THEN NULL ELSE 'est-devices' END, 'host-' || n || '.site-' || h % 9973 || '.example',
       'CN=host-' || n, '\\x3000',
       ARRAY['dns:host-' || n || '.site-' || h % 9973 || '.example', 'dns:alias-' || n || '.example'],
       CASE WHEN h % 31 = 0 THEN 'Revoked' ELSE 'Active' END,
       now() + make_interval(secs => h % (100 * 86400) - 10 * 86400), {serial},
       CASE WHEN h % 31 = 0 THEN now() END, CASE WHEN h % 31 = 0 THEN 1 END,
       CASE WHEN h % 5 > 0 THEN 'owner-' || h % 200 END, CASE WHEN h % 5 > 0 THEN 'team-' || h % 20 END,
       (ARRAY['production', 'staging', 'test', NULL])[1 + (h / 7) % 4], CASE WHEN h % 3 = 0 THEN 'rp-' || 1 + (h / 3) % 4 END,
       CASE WHEN h % 3 = 1 THEN jsonb_build_object('app', 'app-' || (h / 11) % 500, 'tier', (h % 3)::text) ELSE '{{}}' END,
       CASE WHEN h % 53 = 0 THEN now() END, d.at, d.at + make_interval(secs => h % 3600)
  FROM issuer i, generate_series(1, {count}) n,
       LATERAL (SELECT abs(hashint8(n)::bigint) AS h) AS s,
       LATERAL (SELECT now() - make_interval(secs => ({count} - n) * 31536000.0 / {count} + 3600) AS at) AS d
 WHERE i.id = '{issuer}';
"""

VERSION = """
INSERT INTO certificate_version (issuer_no, serial, managed_no, orphan, der, spki_sha256, fingerprint, not_before, not_after)
SELECT m.issuer_no, m.last_serial, m.no, false, decode(repeat('5a', {size}), 'hex'), sha256(m.last_serial),
       sha256(m.last_serial), m.created_at, m.expires_at
  FROM managed_certificate m WHERE m.id LIKE 'mc-bench-%';
"""
SEARCH = """
INSERT INTO certificate_search (no, text, sans, updated_at) SELECT no, text, sans, updated_at FROM certificate_names
ON CONFLICT (no) DO NOTHING;
UPDATE search_position SET at = now();
"""

PLAIN = """
SELECT i.indexrelid::regclass::text || '|' || pg_get_indexdef(i.indexrelid)
  FROM pg_index i WHERE i.indrelid = '{table}'::regclass AND NOT i.indisunique
"""


def _psql(stack, sql):
    return program(['psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-h', stack.path('run/pg'), '-U', 'chancery',
                    '-d', 'chancery'], input=sql, timeout=900).out.strip()


def _bare(stack, table, sql):
    """Run it while the table has no indexes but the unique ones."""
    plain = [each.split('|', 1) for each in stack.psql(PLAIN.format(table=table)).splitlines()]
    drop = 'DROP INDEX %s;\n' % ', '.join(name for name, _ in plain) if plain else ''
    make = "SET maintenance_work_mem = '512MB';\n" + ''.join(each + ';\n' for _, each in plain)
    _psql(stack, 'BEGIN;\n' + drop + sql + make + 'COMMIT;')


def seed_managed(stack, count, size=600):
    """size: octets of what stands for each certificate."""
    stack.psql(WORLD)
    _bare(stack, 'managed_certificate', MANAGED.format(serial=SERIAL, issuer=stack.issuer_id, count=count))
    _bare(stack, 'certificate_version', VERSION.format(size=size))
    _bare(stack, 'certificate_search', SEARCH)
    _psql(stack, 'VACUUM ANALYZE managed_certificate, certificate_version, certificate_search, owner, team, renewal_policy, '
                 'profile, issuer')
