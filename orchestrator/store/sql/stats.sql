-- Figures over many certificates.  $1 to $5 are a scope: everything, or issuers, profiles, teams, owners; with "everything"
-- the planner leaves the condition out, and what is counted comes out of indexes alone.  Archived certificates are
-- few: they are counted by themselves and taken off.

-- name: stats_certificates
-- The large rest is counted without looking at it: what is neither revoked nor ends soon or has ended is active.
WITH plain AS (
    SELECT (SELECT count(*)
              FROM managed_certificate m
             WHERE ($1::boolean OR m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[]))
                    OR m.profile_id = ANY ($3::text[]) OR m.team_id = ANY ($4::text[])
                    OR m.owner_id = ANY ($5::text[]))) AS total,
           (SELECT count(*)
              FROM managed_certificate m
             WHERE m.status = 'Active' AND m.expires_at > now()
               AND m.expires_at <= now() + make_interval(days => $6::integer)
               AND ($1::boolean OR m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[]))
                    OR m.profile_id = ANY ($3::text[]) OR m.team_id = ANY ($4::text[])
                    OR m.owner_id = ANY ($5::text[]))) AS expiring,
           (SELECT count(*)
              FROM managed_certificate m
             WHERE m.status = 'Active' AND m.expires_at <= now()
               AND ($1::boolean OR m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[]))
                    OR m.profile_id = ANY ($3::text[]) OR m.team_id = ANY ($4::text[])
                    OR m.owner_id = ANY ($5::text[]))) AS expired,
           (SELECT count(*)
              FROM managed_certificate m
             WHERE m.status = 'Revoked'
               AND ($1::boolean OR m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[]))
                    OR m.profile_id = ANY ($3::text[]) OR m.team_id = ANY ($4::text[])
                    OR m.owner_id = ANY ($5::text[]))) AS revoked
), archived AS (
    SELECT count(*) FILTER (WHERE m.status = 'Active' AND m.expires_at > now() + make_interval(days => $6::integer)) AS active,
           count(*) FILTER (WHERE m.status = 'Active' AND m.expires_at > now()
                              AND m.expires_at <= now() + make_interval(days => $6::integer)) AS expiring,
           count(*) FILTER (WHERE m.status = 'Active' AND m.expires_at <= now()) AS expired,
           count(*) FILTER (WHERE m.status <> 'Active') AS revoked,
           count(*) AS total
      FROM managed_certificate m
     WHERE m.archived_at IS NOT NULL
       AND ($1::boolean OR m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[]))
            OR m.profile_id = ANY ($3::text[]) OR m.team_id = ANY ($4::text[]) OR m.owner_id = ANY ($5::text[]))
), renewal AS (
    SELECT count(*) FILTER (WHERE r.status = 'RenewalInProgress') AS open,
           count(*) FILTER (WHERE r.status = 'Failed') AS failed,
           count(*) FILTER (WHERE m.expires_at > now() + make_interval(days => $6::integer)) AS active,
           count(*) FILTER (WHERE m.expires_at <= now() + make_interval(days => $6::integer)) AS expiring
      FROM certificate_renewal r
      JOIN managed_certificate m ON m.id = r.certificate_id
     WHERE m.status = 'Active' AND m.expires_at > now() AND m.archived_at IS NULL
       AND ($1::boolean OR m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[]))
            OR m.profile_id = ANY ($3::text[]) OR m.team_id = ANY ($4::text[]) OR m.owner_id = ANY ($5::text[]))
)
SELECT p.total - p.expiring - p.expired - p.revoked - a.active - r.active AS active,
       p.expiring - a.expiring - r.expiring AS expiring, p.expired - a.expired AS expired,
       r.open AS renewal_in_progress, r.failed, p.revoked - a.revoked AS revoked,
       a.total AS archived, p.total,
       (SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'certificate_version'::regclass) AS versions,
       now() AS as_of
  FROM plain p, archived a, renewal r;

-- name: stats_timeline
-- Of certificates that are good: the days, those without any, too.
SELECT to_char(d.day, 'YYYY-MM-DD') AS date, coalesce(sum(n.count), 0)::bigint AS count
  FROM generate_series(date_trunc('day', now() AT TIME ZONE 'UTC'),
                       date_trunc('day', now() AT TIME ZONE 'UTC') + make_interval(days => $6::integer - 1),
                       interval '1 day') AS d (day)
  LEFT JOIN (SELECT (m.expires_at AT TIME ZONE 'UTC')::date AS day, count(*)
               FROM managed_certificate m
              WHERE m.status = 'Active' AND m.expires_at > now()
                AND m.expires_at < (date_trunc('day', now() AT TIME ZONE 'UTC') + make_interval(days => $6::integer))
                                   AT TIME ZONE 'UTC'
                AND ($1::boolean OR m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[]))
                     OR m.profile_id = ANY ($3::text[]) OR m.team_id = ANY ($4::text[]) OR m.owner_id = ANY ($5::text[]))
              GROUP BY 1
             UNION ALL
             SELECT (m.expires_at AT TIME ZONE 'UTC')::date AS day, -count(*)
               FROM managed_certificate m
              WHERE m.status = 'Active' AND m.expires_at > now() AND m.archived_at IS NOT NULL
                AND ($1::boolean OR m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[]))
                     OR m.profile_id = ANY ($3::text[]) OR m.team_id = ANY ($4::text[]) OR m.owner_id = ANY ($5::text[]))
              GROUP BY 1) AS n ON n.day = d.day::date
 GROUP BY d.day
 ORDER BY d.day;

-- name: stats_jobs
-- By the day on which they were asked for, or over.
SELECT to_char(d.day, 'YYYY-MM-DD') AS date, coalesce(sum(n.created), 0)::bigint AS created,
       coalesce(sum(n.completed), 0)::bigint AS completed, coalesce(sum(n.failed), 0)::bigint AS failed,
       coalesce(sum(n.cancelled), 0)::bigint AS cancelled
  FROM generate_series(date_trunc('day', now() AT TIME ZONE 'UTC') - make_interval(days => $6::integer - 1),
                       date_trunc('day', now() AT TIME ZONE 'UTC'), interval '1 day') AS d (day)
  LEFT JOIN (SELECT (j.created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS created, 0 AS completed,
                    0 AS failed, 0 AS cancelled
               FROM job j
               LEFT JOIN managed_certificate m ON m.id = j.certificate_id
              WHERE j.created_at >= now() - make_interval(days => $6::integer)
                AND ($1::boolean OR m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[]))
                     OR m.profile_id = ANY ($3::text[]) OR m.team_id = ANY ($4::text[]) OR m.owner_id = ANY ($5::text[]))
              GROUP BY 1
             UNION ALL
             SELECT (j.completed_at AT TIME ZONE 'UTC')::date, 0,
                    count(*) FILTER (WHERE j.status = 'Completed'), count(*) FILTER (WHERE j.status = 'Failed'),
                    count(*) FILTER (WHERE j.status = 'Cancelled')
               FROM job j
               LEFT JOIN managed_certificate m ON m.id = j.certificate_id
              WHERE j.completed_at >= now() - make_interval(days => $6::integer)
                AND ($1::boolean OR m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[]))
                     OR m.profile_id = ANY ($3::text[]) OR m.team_id = ANY ($4::text[]) OR m.owner_id = ANY ($5::text[]))
              GROUP BY 1) AS n ON n.day = d.day::date
 GROUP BY d.day
 ORDER BY d.day;

-- name: stats_issued
-- What was issued for managed certificates: the second version of one, and those after it, are renewals.  Imported ones
-- were issued by others.
SELECT to_char(d.day, 'YYYY-MM-DD') AS date, coalesce(sum(n.issued), 0)::bigint AS issued,
       (coalesce(sum(n.issued), 0) - coalesce(sum(n.first), 0))::bigint AS renewed
  FROM generate_series(date_trunc('day', now() AT TIME ZONE 'UTC') - make_interval(days => $6::integer - 1),
                       date_trunc('day', now() AT TIME ZONE 'UTC'), interval '1 day') AS d (day)
  LEFT JOIN (SELECT (v.issued_at AT TIME ZONE 'UTC')::date AS day, count(*) AS issued, 0 AS first
               FROM certificate_version v
              WHERE v.managed_no IS NOT NULL AND v.issued_at >= now() - make_interval(days => $6::integer)
                AND ($1::boolean
                     OR v.managed_no IN (SELECT m.no
                                           FROM managed_certificate m
                                          WHERE m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[]))
                                             OR m.profile_id = ANY ($3::text[]) OR m.team_id = ANY ($4::text[])
                                             OR m.owner_id = ANY ($5::text[])))
              GROUP BY 1
             UNION ALL
             SELECT (m.created_at AT TIME ZONE 'UTC')::date, -count(*) FILTER (WHERE m.source = 'Import'),
                    count(*) FILTER (WHERE m.source <> 'Import')
               FROM managed_certificate m
              WHERE m.created_at >= now() - make_interval(days => $6::integer)
                AND ($1::boolean OR m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[]))
                     OR m.profile_id = ANY ($3::text[]) OR m.team_id = ANY ($4::text[]) OR m.owner_id = ANY ($5::text[]))
              GROUP BY 1) AS n ON n.day = d.day::date
 GROUP BY d.day
 ORDER BY d.day;

-- name: stats_expiry
-- Good certificates by how soon they end, as the thresholds of their renewal policy judge that; those without a policy by
-- 30, 14 and 7 days.  Each is counted under its owner, its team and its issuer.  $6: days for which an end is told.
WITH soon AS (
    SELECT m.owner_id, m.team_id, m.issuer_no, m.expires_at <= now() AS expired,
           (SELECT coalesce(p.alert_severity_map, '{"30": "informational", "14": "warning", "7": "critical", "0": "critical"}')
                   ->> t.days::text
              FROM unnest(coalesce(p.alert_thresholds_days, '{30,14,7,0}')) AS t (days)
             WHERE m.expires_at <= now() + make_interval(days => t.days)
             ORDER BY t.days
             LIMIT 1) AS severity
      FROM managed_certificate m
      LEFT JOIN renewal_policy p ON p.id = m.renewal_policy_id
     WHERE m.status = 'Active' AND m.archived_at IS NULL AND m.expires_at > now() - make_interval(days => $6::integer)
       AND m.expires_at <= now() + make_interval(days => (SELECT greatest(30, max(t.days))
                                                            FROM renewal_policy q, unnest(q.alert_thresholds_days) AS t (days)))
       AND ($1::boolean OR m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[]))
            OR m.profile_id = ANY ($3::text[]) OR m.team_id = ANY ($4::text[]) OR m.owner_id = ANY ($5::text[]))
), counted AS (
    SELECT grouping(owner_id, team_id, issuer_no) AS set, owner_id, team_id, issuer_no,
           count(*) FILTER (WHERE severity = 'informational' AND NOT expired) AS informational,
           count(*) FILTER (WHERE severity = 'warning' AND NOT expired) AS warning,
           count(*) FILTER (WHERE severity = 'critical' AND NOT expired) AS critical,
           count(*) FILTER (WHERE expired) AS expired
      FROM soon
     WHERE expired OR severity IS NOT NULL
     GROUP BY GROUPING SETS ((owner_id), (team_id), (issuer_no))
)
SELECT CASE c.set WHEN 3 THEN 'owner' WHEN 5 THEN 'team' ELSE 'issuer' END AS by,
       CASE c.set WHEN 3 THEN c.owner_id WHEN 5 THEN c.team_id ELSE i.id END AS id,
       CASE c.set WHEN 3 THEN o.name WHEN 5 THEN t.name ELSE i.name END AS name,
       c.informational, c.warning, c.critical, c.expired
  FROM counted c
  LEFT JOIN owner o ON o.id = c.owner_id
  LEFT JOIN team t ON t.id = c.team_id
  LEFT JOIN issuer i ON i.no = c.issuer_no
 ORDER BY c.set, c.critical DESC, c.warning DESC, 2;

-- name: stats_risk
-- Facts that somebody should look at.  $6: what "soon" and "lately" are, in days.
WITH soon AS (
    SELECT count(*) FILTER (WHERE m.owner_id IS NULL AND m.team_id IS NULL) AS unowned,
           count(*) FILTER (WHERE p.auto_renew IS NOT TRUE) AS manual
      FROM managed_certificate m
      LEFT JOIN renewal_policy p ON p.id = m.renewal_policy_id
     WHERE m.status = 'Active' AND m.archived_at IS NULL AND m.expires_at > now()
       AND m.expires_at <= now() + make_interval(days => $6::integer)
       AND ($1::boolean OR m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[]))
            OR m.profile_id = ANY ($3::text[]) OR m.team_id = ANY ($4::text[]) OR m.owner_id = ANY ($5::text[]))
)
SELECT 'expiring_without_owner' AS risk, unowned AS count FROM soon
UNION ALL
SELECT 'expiring_without_auto_renewal', manual FROM soon
UNION ALL
SELECT 'renewal_failed', count(*)
  FROM certificate_renewal r
  JOIN managed_certificate m ON m.id = r.certificate_id
 WHERE r.status = 'Failed' AND m.status = 'Active' AND m.archived_at IS NULL
   AND ($1::boolean OR m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[]))
        OR m.profile_id = ANY ($3::text[]) OR m.team_id = ANY ($4::text[]) OR m.owner_id = ANY ($5::text[]))
UNION ALL
SELECT 'key_older_than_a_year', count(*)
  FROM managed_certificate m
  JOIN certificate_version v ON v.issuer_no = m.issuer_no AND v.serial = m.last_serial
 WHERE m.status = 'Active' AND m.archived_at IS NULL AND m.expires_at > now() AND m.created_at < now() - interval '1 year'
   AND EXISTS (SELECT FROM certificate_version w
                WHERE w.managed_no = m.no AND w.issued_at < now() - interval '1 year' AND w.spki_sha256 = v.spki_sha256)
   AND ($1::boolean OR m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[]))
        OR m.profile_id = ANY ($3::text[]) OR m.team_id = ANY ($4::text[]) OR m.owner_id = ANY ($5::text[]))
UNION ALL
SELECT 'weak_' || w.weakness, count(m.no)
  FROM (VALUES ('key'), ('signature')) AS w (weakness)
  LEFT JOIN certificate_version v ON v.weakness = w.weakness AND v.weakness IS NOT NULL
  LEFT JOIN managed_certificate m
         ON m.no = v.managed_no AND m.issuer_no = v.issuer_no AND m.last_serial = v.serial
        AND m.status = 'Active' AND m.archived_at IS NULL AND m.expires_at > now()
        AND ($1::boolean OR m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[]))
             OR m.profile_id = ANY ($3::text[]) OR m.team_id = ANY ($4::text[]) OR m.owner_id = ANY ($5::text[]))
 GROUP BY w.weakness
UNION ALL
SELECT 'on_hold', count(*)
  FROM managed_certificate m
 WHERE m.status = 'Revoked' AND m.revocation_reason = 6 AND m.expires_at > now()
   AND ($1::boolean OR m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[]))
        OR m.profile_id = ANY ($3::text[]) OR m.team_id = ANY ($4::text[]) OR m.owner_id = ANY ($5::text[]))
UNION ALL
SELECT 'revoked_certificate_is_identity', count(*)
  FROM certificate_identity c
  JOIN managed_certificate m ON m.id = c.managed_id
 WHERE m.status = 'Revoked'
   AND ($1::boolean OR m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[]))
        OR m.profile_id = ANY ($3::text[]) OR m.team_id = ANY ($4::text[]) OR m.owner_id = ANY ($5::text[]))
UNION ALL
SELECT 'revoked_key_lately_used', count(*)
  FROM api_key k
 WHERE $1 AND k.revoked_at IS NOT NULL AND k.last_used_at > now() - make_interval(days => $6::integer)
UNION ALL
SELECT 'issuer_ends_soon', count(*)
  FROM ca_certificate c
  JOIN issuer x ON x.no = c.issuer_no
 WHERE c.active AND c.position = 0 AND c.not_after <= now() + make_interval(days => $6::integer)
   AND ($1 OR x.id = ANY ($2::text[]));

-- name: stats_compliance
-- Rules and how many good certificates keep them: lifetime and key by what their profile allows.
WITH good AS (
    SELECT m.profile_id, count(*) AS total, count(m.owner_id) AS owned, count(m.renewal_policy_id) AS renewed
      FROM managed_certificate m
     WHERE m.status = 'Active' AND m.archived_at IS NULL AND m.expires_at > now()
       AND ($1::boolean OR m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[]))
            OR m.profile_id = ANY ($3::text[]) OR m.team_id = ANY ($4::text[]) OR m.owner_id = ANY ($5::text[]))
     GROUP BY m.profile_id
), judged AS (
    SELECT coalesce(sum(g.total), 0) AS total, coalesce(sum(g.owned), 0) AS owned, coalesce(sum(g.renewed), 0) AS renewed,
           coalesce(sum(g.total) FILTER (WHERE p.validity_s <= 398 * 86400), 0) AS brief,
           coalesce(sum(g.total) FILTER (WHERE NOT 'rsa' = ANY (p.key_kinds) OR p.min_rsa_bits >= 3072), 0) AS strong,
           coalesce(sum(g.total) FILTER (WHERE p.id IS NOT NULL), 0) AS profiled
      FROM good g
      LEFT JOIN profile p ON p.id = g.profile_id
)
SELECT r.rule, r.fulfilled::bigint AS fulfilled, (j.total - r.fulfilled)::bigint AS violated
  FROM judged j
 CROSS JOIN LATERAL (VALUES (1, 'has_owner', j.owned), (2, 'has_renewal_policy', j.renewed), (3, 'has_profile', j.profiled),
                            (4, 'lifetime_at_most_398_days', j.brief), (5, 'key_not_weaker_than_rsa_3072', j.strong))
       AS r (place, rule, fulfilled)
 ORDER BY r.place;

-- name: stats_violations
SELECT p.id AS policy_id, p.name, p.severity, count(v.id) FILTER (WHERE NOT v.refused) AS warned,
       count(v.id) FILTER (WHERE v.refused) AS refused
  FROM policy p
  LEFT JOIN policy_violation v ON v.policy_id = p.id AND v.at > now() - make_interval(days => $6::integer)
   AND ($1::boolean OR EXISTS (
        SELECT FROM managed_certificate m
         WHERE m.id = v.certificate_id
           AND (m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[])) OR m.profile_id = ANY ($3::text[])
                OR m.team_id = ANY ($4::text[]) OR m.owner_id = ANY ($5::text[]))))
 GROUP BY p.id
 ORDER BY p.id;
