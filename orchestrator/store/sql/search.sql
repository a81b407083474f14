-- Free text over certificates, a moment after they were written.

-- name: search_begin
-- The instant from which on the next turn has to look again, the one before which nothing can be changed any more, the
-- one before which all is done, and whether a transaction runs that may bring something dated before the first.  A
-- change is dated by the start of its transaction: those that run now will be dated after the start of the oldest.  A
-- second is for transactions that have begun and do not show yet, two for short ones.
SELECT t.again::text AS again, t.settled::text AS settled, t.settled < t.again AS late, p.at::text AS done
  FROM search_position p
 CROSS JOIN (SELECT now() - interval '2 seconds' AS again,
                    least(now(), min(a.xact_start)) - interval '1 second' AS settled
               FROM pg_stat_activity a
              WHERE a.datname = current_database() AND a.backend_type = 'client backend'
                AND a.pid <> pg_backend_pid()) AS t;

-- name: search_lock
-- One host at a time; until the end of the transaction.
SELECT pg_try_advisory_xact_lock(4850173420190143) AS mine;

-- name: search_fill
-- The next rows by date: what is new or different goes in.  LATERAL with LIMIT keeps the look at what is there an index
-- scan whatever the planner expects; the names are made of what goes in alone.  Gives the last one.
WITH batch AS MATERIALIZED (
    SELECT m.no, m.updated_at
      FROM managed_certificate m
     WHERE (m.updated_at, m.no) > ($1::text::timestamptz, $2::bigint)
     ORDER BY m.updated_at, m.no
     LIMIT $3::bigint
), kept AS (
    INSERT INTO certificate_search AS cs (no, text, sans, updated_at)
    SELECT n.no, n.text, n.sans, n.updated_at
      FROM batch b
      LEFT JOIN LATERAL (SELECT s.updated_at FROM certificate_search s WHERE s.no = b.no LIMIT 1) AS s ON true
     CROSS JOIN LATERAL (SELECT * FROM certificate_names n WHERE n.no = b.no LIMIT 1) AS n
     WHERE s.updated_at IS DISTINCT FROM b.updated_at
    ON CONFLICT (no) DO UPDATE SET text = excluded.text, sans = excluded.sans, updated_at = excluded.updated_at
)
SELECT b.updated_at::text AS at, b.no, count(*) OVER () AS rows FROM batch b ORDER BY b.updated_at DESC, b.no DESC LIMIT 1;

-- name: search_merge
-- What was filled, into the indexes themselves.
SELECT gin_clean_pending_list('certificate_search_words'), gin_clean_pending_list('certificate_search_sans');

-- name: search_settle
UPDATE search_position SET at = $1::text::timestamptz WHERE at < $1::text::timestamptz;

-- name: search_update
-- Of one certificate, whose names a transaction has just changed.
INSERT INTO certificate_search AS cs (no, text, sans)
SELECT n.no, n.text, n.sans FROM certificate_names n JOIN managed_certificate m ON m.no = n.no WHERE m.id = $1
ON CONFLICT (no) DO UPDATE SET text = excluded.text, sans = excluded.sans WHERE cs.text <> excluded.text;
