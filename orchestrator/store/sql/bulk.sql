-- The steps of bulk jobs.

-- name: bulk_items
-- From where the step before ended: what it has taken is dead in the index, and would be read over each time.
SELECT certificate_id
  FROM job_item
 WHERE job_no = $1 AND status = $2 AND certificate_id > $3
 ORDER BY certificate_id
 LIMIT $4;

-- name: bulk_lock
-- In the order in which others lock them.
SELECT id, no FROM managed_certificate WHERE id = ANY ($1::text[]) ORDER BY id FOR NO KEY UPDATE;

-- name: bulk_versions
-- As revocation_versions, for many; in the order of the locked ones.  LATERAL with OFFSET keeps the look-ups index scans
-- whatever the planner expects.
SELECT x.place, v.issuer_no, v.generation, v.serial, v.not_after, NULL::bytea AS fingerprint, r.state, r.reason,
       r.revoked_at, r.invalidity_at, r.revision, coalesce((i.settings->>'webpki')::boolean, false) AS webpki,
       i.type = 'external' AS external
  FROM unnest($1::bigint[]) WITH ORDINALITY AS x (no, place)
 CROSS JOIN LATERAL (
       SELECT v.issuer_no, v.generation, v.serial, v.not_after
         FROM certificate_version v
        WHERE v.managed_no = x.no AND v.not_after > now()
       OFFSET 0) AS v
  LEFT JOIN LATERAL (
       SELECT r.state, r.reason, r.revoked_at, r.invalidity_at, r.revision
         FROM revocation r
        WHERE r.issuer_no = v.issuer_no AND r.serial = v.serial
       OFFSET 0) AS r ON true
  LEFT JOIN issuer i ON i.no = v.issuer_no
 ORDER BY x.place, v.issuer_no, v.serial;

-- name: bulk_put
-- As revocation_put, for many.
INSERT INTO revocation AS r (issuer_no, serial, state, reason, revoked_at, invalidity_at, not_after, revision,
                             generation, shard)
SELECT x.issuer_no::integer, x.serial, x.state, $1::smallint, now(), $2::timestamptz, x.not_after, 1,
       x.generation::smallint, coalesce(crl_shard(x.serial, c.crl_shards), 0)
  FROM unnest($3::bigint[], $4::bytea[], $5::text[], $6::timestamptz[], $7::bigint[])
       AS x (issuer_no, serial, state, not_after, generation)
  LEFT JOIN ca_certificate c ON c.issuer_no = x.issuer_no AND c.generation = x.generation AND c.position = 0
ON CONFLICT (issuer_no, serial) DO UPDATE
   SET state = excluded.state, reason = excluded.reason, invalidity_at = excluded.invalidity_at,
       revoked_at = CASE r.state WHEN 'hold' THEN r.revoked_at ELSE excluded.revoked_at END,
       revision = r.revision + 1, changed_xid = pg_current_xact_id()
RETURNING issuer_no, generation, serial, not_after, state, reason, revoked_at, invalidity_at, revision,
          (SELECT v.fingerprint
             FROM certificate_version v
             JOIN issuer i ON i.no = v.issuer_no AND (i.settings->>'ocsp_cert_hash')::boolean
            WHERE v.issuer_no = r.issuer_no AND v.serial = r.serial) AS fingerprint;

-- name: bulk_announce
INSERT INTO change_feed (kind, issuer_no, serial) SELECT 'status', x.no::integer, x.serial
  FROM unnest($1::bigint[], $2::bytea[]) AS x (no, serial);

-- name: bulk_follow
-- As revocation_follow, for many.
UPDATE managed_certificate m
   SET status = CASE WHEN s.good THEN 'Active' ELSE 'Revoked' END, updated_at = now(),
       revoked_at = CASE WHEN s.good IS NULL THEN coalesce(m.revoked_at, now()) END,
       revocation_reason = CASE WHEN s.good IS NULL THEN $2::smallint END
  FROM (SELECT x.no, g.good
          FROM unnest($1::bigint[]) AS x (no)
          LEFT JOIN LATERAL (
               SELECT true AS good
                 FROM certificate_version v
                 LEFT JOIN LATERAL (
                      SELECT r.state
                        FROM revocation r
                       WHERE r.issuer_no = v.issuer_no AND r.serial = v.serial
                      OFFSET 0) AS r ON true
                WHERE v.managed_no = x.no AND v.not_after > now() AND (r.state IS NULL OR r.state = 'released')
                LIMIT 1) AS g ON true
        OFFSET 0) AS s
 WHERE m.no = s.no;

-- name: bulk_note
-- The outcome of each item, and the figures of the job.  $5 and $6: the first and the last of them.
WITH noted AS (
    UPDATE job_item i
       SET status = x.status, error = x.error
      FROM unnest($2::text[], $3::text[], $4::text[]) AS x (id, status, error)
     WHERE i.job_no = $1 AND i.certificate_id = x.id AND i.certificate_id BETWEEN $5 AND $6
    RETURNING i.status
)
UPDATE job
   SET skipped = skipped + (SELECT count(*) FROM noted WHERE status = 'Skipped'),
       failed = failed + (SELECT count(*) FROM noted WHERE status = 'Failed'), losses = 0
 WHERE no = $1;

-- name: bulk_applied
-- The versions of some items, as they are now.
SELECT v.issuer_no, v.generation, v.serial, v.not_after,
       CASE WHEN (i.settings->>'ocsp_cert_hash')::boolean THEN v.fingerprint END AS fingerprint, r.state, r.reason,
       r.revoked_at, r.invalidity_at, r.revision
  FROM managed_certificate m
  JOIN certificate_version v ON v.managed_no = m.no AND v.not_after > now()
  JOIN revocation r ON r.issuer_no = v.issuer_no AND r.serial = v.serial
  LEFT JOIN issuer i ON i.no = v.issuer_no
 WHERE m.id = ANY ($1::text[]);

-- name: bulk_told
WITH told AS (
    UPDATE job_item SET status = 'Done' WHERE job_no = $1 AND status = 'Applied' AND certificate_id > $2 RETURNING 1
)
UPDATE job SET done = done + (SELECT count(*) FROM told), losses = 0 WHERE no = $1;

-- name: bulk_refuse
WITH refused AS (
    UPDATE job_item i
       SET status = 'Failed', error = x.error
      FROM unnest($2::text[], $3::text[]) AS x (id, error)
     WHERE i.job_no = $1 AND i.certificate_id = x.id AND i.status = 'Pending'
    RETURNING 1
)
UPDATE job SET failed = failed + (SELECT count(*) FROM refused), losses = 0 WHERE no = $1;

-- name: bulk_renew
-- A renewal for each item that may have one.
WITH item AS MATERIALIZED (
    SELECT certificate_id FROM job_item WHERE job_no = $1 AND status = 'Pending' ORDER BY certificate_id LIMIT $2
), judged AS MATERIALIZED (
    SELECT m.id, p.max_retries, p.retry_interval_seconds,
           CASE WHEN m.archived_at IS NOT NULL THEN 'it is archived'
                WHEN m.status = 'Revoked' THEN 'it is revoked'
                WHEN m.expires_at <= now() THEN 'it has expired'
                WHEN i.type = 'external' THEN 'its issuer is not one of ours'
                WHEN EXISTS (SELECT FROM job j WHERE j.certificate_id = m.id AND j.type = 'Renewal'
                                AND j.status IN ('Pending', 'Running', 'RetryWait')) THEN 'a renewal is open already'
                END AS obstacle
      FROM item
      JOIN managed_certificate m ON m.id = item.certificate_id
      JOIN issuer i ON i.no = m.issuer_no
      LEFT JOIN renewal_policy p ON p.id = m.renewal_policy_id
), asked AS (
    INSERT INTO job (id, type, status, parent_no, certificate_id, params, requested_by, requester_type, request_id,
                     max_attempts, retry_s)
    SELECT 'job-' || left(replace(gen_random_uuid()::text, '-', ''), 20), 'Renewal', 'Pending', b.no, x.id, '{}',
           b.requested_by, b.requester_type, b.request_id, coalesce(x.max_retries + 1, $3::integer),
           coalesce(x.retry_interval_seconds, $4::integer)
      FROM judged x
      JOIN job b ON b.no = $1
     WHERE x.obstacle IS NULL
     ORDER BY x.id
    ON CONFLICT DO NOTHING
    RETURNING certificate_id
), noted AS (
    UPDATE job_item t
       SET status = CASE WHEN t.certificate_id IN (SELECT certificate_id FROM asked) THEN 'Applied' ELSE 'Skipped' END,
           error = CASE WHEN t.certificate_id NOT IN (SELECT certificate_id FROM asked)
                        THEN coalesce((SELECT x.obstacle FROM judged x WHERE x.id = t.certificate_id),
                                      'a renewal is open already') END
      FROM item
     WHERE t.job_no = $1 AND t.certificate_id = item.certificate_id
    RETURNING t.status
), counted AS (
    UPDATE job SET skipped = skipped + (SELECT count(*) FROM noted WHERE status = 'Skipped'), losses = 0 WHERE no = $1
)
SELECT count(*) AS taken FROM noted;

-- name: bulk_renewals_follow
WITH over AS (
    UPDATE job_item t
       SET status = CASE j.status WHEN 'Completed' THEN 'Done' ELSE 'Failed' END,
           error = CASE j.status WHEN 'Completed' THEN NULL
                                 WHEN 'Cancelled' THEN 'the renewal was cancelled'
                                 ELSE coalesce(j.last_error, 'the renewal failed') END
      FROM job j
     WHERE t.job_no = $1 AND t.status = 'Applied' AND j.parent_no = $1 AND j.certificate_id = t.certificate_id
       AND j.status IN ('Completed', 'Failed', 'Cancelled')
    RETURNING t.status
), counted AS (
    UPDATE job
       SET done = done + (SELECT count(*) FROM over WHERE status = 'Done'),
           failed = failed + (SELECT count(*) FROM over WHERE status = 'Failed'), losses = 0
     WHERE no = $1
)
SELECT (SELECT count(*) FROM job_item WHERE job_no = $1 AND status = 'Applied') - count(*) AS open FROM over;
