-- Jobs, their items, and what makes them.

-- name: job_claim
-- The first that is due: waiting, or left behind by a worker whose lease has ended.
UPDATE job AS j
   SET status = 'Running', fence = j.fence + 1, run_at = now() + make_interval(secs => $2::bigint),
       losses = j.losses + (j.status = 'Running')::integer, started_at = coalesce(j.started_at, now())
 WHERE j.no = (SELECT d.no
                 FROM job d
                WHERE d.type = $1 AND d.status IN ('Pending', 'Running', 'RetryWait') AND d.run_at <= now()
                ORDER BY d.run_at, d.no
                LIMIT 1
                  FOR UPDATE SKIP LOCKED)
RETURNING no, fence, id, type, certificate_id, params, requested_by, requester_type, request_id, attempts, max_attempts,
          retry_s;

-- name: job_keep
UPDATE job
   SET run_at = now() + make_interval(secs => $3::bigint)
 WHERE no = $1 AND fence = $2 AND status = 'Running';

-- name: job_hold
-- Locks it: a cancellation, or another worker, comes before or after the transaction of this one.
SELECT no FROM job WHERE no = $1 AND fence = $2 AND status = 'Running' FOR NO KEY UPDATE;

-- name: job_finish
UPDATE job
   SET status = $3, last_error = $4, attempts = attempts + $5::integer, losses = 0,
       run_at = now() + make_interval(secs => $6::bigint / 1000.0),
       completed_at = CASE WHEN $3 IN ('Completed', 'Failed') THEN now() END
 WHERE no = $1 AND fence = $2 AND status = 'Running'
RETURNING jsonb_strip_nulls(jsonb_build_object('job', id, 'status', status, 'error', last_error, 'total', total,
                                               'done', done, 'skipped', skipped, 'failed', failed))::text AS figures;

-- name: job_lock
SELECT xmin::text AS version, status FROM job WHERE id = $1 FOR NO KEY UPDATE;

-- name: job_cancel
UPDATE job SET status = 'Cancelled', fence = fence + 1, completed_at = now() WHERE id = $1;

-- name: job_backlog
SELECT count(*) AS count FROM job WHERE status IN ('Pending', 'Running', 'RetryWait') AND run_at <= now();

-- name: job_cancel_renewals
-- Of a bulk job: those that nobody has begun.
UPDATE job
   SET status = 'Cancelled', fence = fence + 1, completed_at = now()
 WHERE parent_no = (SELECT no FROM job WHERE id = $1) AND status IN ('Pending', 'RetryWait');

-- name: job_reap
UPDATE job
   SET status = 'Failed', completed_at = now(), last_error = 'the workers that had it died, one after the other'
 WHERE status = 'Running' AND run_at <= now() AND losses >= $1;

-- name: job_prune
-- A few at a time, with their items.
WITH old AS MATERIALIZED (
    SELECT no
      FROM job
     WHERE completed_at < now() - make_interval(days => $1::integer)
     ORDER BY completed_at
     LIMIT 100
), items AS (
    DELETE FROM job_item WHERE job_no IN (SELECT no FROM old)
)
DELETE FROM job WHERE no IN (SELECT no FROM old);

-- name: job_insert
-- One of a certificate ($2) is tried as often as its renewal policy says.
INSERT INTO job (id, type, status, certificate_id, params, requested_by, requester_type, request_id, max_attempts, retry_s,
                 total)
SELECT 'job-' || left(replace(gen_random_uuid()::text, '-', ''), 20), $1, 'Pending', $2, $3::jsonb, $4, $5, $6,
       coalesce(p.max_retries + 1, $7::integer), coalesce(p.retry_interval_seconds, $8::integer), 0
  FROM (VALUES (1)) AS one
  LEFT JOIN managed_certificate m ON m.id = $2
  LEFT JOIN renewal_policy p ON p.id = m.renewal_policy_id
ON CONFLICT DO NOTHING
RETURNING no, id;

-- name: job_items_insert
-- Written down once: what changes later changes neither the members nor their number.  By a filter, only what there is
-- something to do for; what is named by id is there, whatever becomes of it.
INSERT INTO job_item (job_no, certificate_id)
SELECT $1, m.id
  FROM managed_certificate m
  JOIN issuer i ON i.no = m.issuer_no
 WHERE ($3::text IS NULL OR m.profile_id = $3)
   AND ($4::text IS NULL OR m.owner_id = $4)
   AND ($5::text IS NULL OR i.id = $5)
   AND ($6::text IS NULL OR m.team_id = $6 OR m.owner_id IN (SELECT o.id FROM owner o WHERE o.team_id = $6))
   AND ($7::text IS NULL OR m.source = $7)
   AND ($8::text[] IS NULL OR m.id = ANY ($8))
   AND ($9::boolean OR i.id = ANY ($10::text[]) OR m.profile_id = ANY ($11::text[]) OR m.team_id = ANY ($12::text[])
        OR m.owner_id = ANY ($13::text[]))
   AND ($8 IS NOT NULL
        OR CASE WHEN $2 = 'BulkRevoke'
                THEN (m.status <> 'Revoked' OR m.revocation_reason = 6)
                     AND (m.expires_at > now()
                          OR EXISTS (SELECT FROM certificate_version v WHERE v.managed_no = m.no AND v.not_after > now()))
                ELSE m.status = 'Active' AND m.archived_at IS NULL AND m.expires_at > now() END);

-- name: job_items_unknown
INSERT INTO job_item (job_no, certificate_id, status, error)
SELECT DISTINCT $1::bigint, x, 'Failed', 'there is no certificate with this id'
  FROM unnest($2::text[]) AS x
ON CONFLICT DO NOTHING;

-- name: job_total
UPDATE job SET total = $2::bigint + $3::bigint, failed = $3 WHERE no = $1;

-- name: job_renewals_lock
-- One orchestrator at a time looks for what is due.
SELECT pg_try_advisory_xact_lock(4711006) AS ours;

-- name: job_renewals_due
-- The window is that of the policy, and at most a third of the lifetime: one that lives for six days is not renewed each
-- time that somebody looks.  After a renewal that has failed for good the next one waits: a day, or a tenth of the
-- lifetime.  What has ended longer ago than the window is nobody's any more.  Policy by policy, so that only what is in a
-- window is looked at.
INSERT INTO job (id, type, status, certificate_id, params, requested_by, requester_type, max_attempts, retry_s)
SELECT 'job-' || left(replace(gen_random_uuid()::text, '-', ''), 20), 'Renewal', 'Pending', d.id,
       jsonb_build_object('renewal_policy_id', p.id), 'chanceryd', 'system', p.max_retries + 1, p.retry_interval_seconds
  FROM renewal_policy p
 CROSS JOIN LATERAL (
       SELECT m.id, m.expires_at
         FROM managed_certificate m
         JOIN issuer i ON i.no = m.issuer_no AND i.enabled AND i.type <> 'external'
         JOIN certificate_version v ON v.issuer_no = m.issuer_no AND v.serial = m.last_serial
        WHERE m.renewal_policy_id = p.id
          AND m.expires_at <= now() + make_interval(days => p.renewal_window_days)
          AND m.expires_at > now() - make_interval(days => p.renewal_window_days)
          AND m.status = 'Active' AND m.archived_at IS NULL
          AND m.expires_at <= now() + (m.expires_at - v.not_before) / 3
          AND NOT EXISTS (SELECT FROM job j
                           WHERE j.certificate_id = m.id AND j.type = 'Renewal'
                             AND (j.status IN ('Pending', 'Running', 'RetryWait')
                                  OR (j.status = 'Failed'
                                      AND j.completed_at > now() - least(interval '1 day',
                                                                         (m.expires_at - v.not_before) / 10))))
        ORDER BY m.expires_at
        LIMIT $1) d
 WHERE p.auto_renew
 ORDER BY d.expires_at
 LIMIT $1
ON CONFLICT DO NOTHING;

-- name: job_counts
-- $1 to $5: as in stats.sql.
SELECT j.type, j.status, count(*) AS count
  FROM job j
 WHERE $1::boolean
    OR j.certificate_id IN (SELECT m.id
                              FROM managed_certificate m
                             WHERE m.issuer_no IN (SELECT x.no FROM issuer x WHERE x.id = ANY ($2::text[]))
                                OR m.profile_id = ANY ($3::text[]) OR m.team_id = ANY ($4::text[])
                                OR m.owner_id = ANY ($5::text[]))
 GROUP BY j.type, j.status
 ORDER BY j.type, j.status;

-- name: renewal_find
SELECT m.no, m.id, m.name, m.source, m.profile_id, i.id AS issuer_id, i.type AS issuer_type, m.est_label_id, m.owner_id,
       m.team_id, m.environment, m.renewal_policy_id, m.tags,
       CASE WHEN m.archived_at IS NOT NULL THEN 'Archived'
            WHEN m.status = 'Active' AND m.expires_at <= now() THEN 'Expired'
            ELSE m.status END AS status,
       m.revocation_reason, v.der,
       (SELECT w.der FROM certificate_version w WHERE w.managed_no = m.no AND w.transaction_key = $2 LIMIT 1) AS issued
  FROM managed_certificate m
  JOIN issuer i ON i.no = m.issuer_no
  LEFT JOIN certificate_version v ON v.issuer_no = m.issuer_no AND v.serial = m.last_serial
 WHERE m.id = $1;
