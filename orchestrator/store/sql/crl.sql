-- CRL numbers, entries, and what was published.

-- name: crl_number_next
-- At least the time: a database that was restored does not repeat numbers.  The snapshot is older than the number.
INSERT INTO crl_number AS n (issuer_no, generation, scope, number)
VALUES ($1, $2, $3, greatest(extract(epoch FROM now())::bigint, $4::bigint + 1))
ON CONFLICT (issuer_no, generation, scope) DO UPDATE SET number = greatest(n.number + 1, excluded.number)
RETURNING number, pg_current_snapshot()::text AS snapshot;

-- name: crl_read_only
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;

-- name: crl_since
-- A list that another one can be made out of.
SELECT number, snapshot::text AS snapshot, floor
  FROM crl
 WHERE issuer_no = $1 AND generation = $2 AND scope = $3 AND number = $4 AND error IS NULL AND floor IS NOT NULL
   AND pg_snapshot_xmax(snapshot) <= pg_snapshot_xmax(pg_current_snapshot());

-- name: crl_base
-- What deltas are made against: the newest base that has expired, or the oldest.
SELECT number, snapshot::text AS snapshot, floor
  FROM crl
 WHERE issuer_no = $1 AND generation = $2 AND scope = $3 AND is_base AND error IS NULL
   AND pg_snapshot_xmax(snapshot) <= pg_snapshot_xmax(pg_current_snapshot())
 ORDER BY next_update <= now() DESC, CASE WHEN next_update <= now() THEN -number ELSE number END
 LIMIT 1;

-- name: crl_changed
-- What a snapshot has not seen, a thousand at a time, after a place.
SELECT serial, state, reason, revoked_at, invalidity_at, not_after, changed_xid
  FROM revocation
 WHERE issuer_no = $1 AND generation = $2 AND shard = $3
   AND (changed_xid, serial) > ($5::xid8, $6::bytea)
   AND changed_xid >= pg_snapshot_xmin($4::pg_snapshot)
   AND NOT pg_visible_in_snapshot(changed_xid, $4::pg_snapshot)
 ORDER BY changed_xid, serial
 LIMIT 1000;

-- name: crl_ended
-- What ended between two floors, a thousand at a time, after a place.
SELECT serial, state, reason, revoked_at, invalidity_at, not_after
  FROM revocation
 WHERE issuer_no = $1 AND generation = $2 AND shard = $3 AND state <> 'released'
   AND (not_after, serial) > ($5::timestamptz, $6::bytea) AND not_after >= $4 AND not_after < $7
 ORDER BY not_after, serial
 LIMIT 1000;

-- name: crl_entries
SELECT serial, reason, revoked_at, invalidity_at
  FROM revocation
 WHERE issuer_no = $1 AND generation = $2 AND shard = $3 AND state <> 'released' AND not_after >= $4
 ORDER BY serial;

-- name: crl_gone
SELECT count(*) AS gone
  FROM revocation
 WHERE issuer_no = $1 AND generation = $2 AND serial = ANY ($4::bytea[]) AND (state = 'released' OR not_after < $3);

-- name: crl_lock
-- One that publishes at a time.
SELECT number FROM crl_number WHERE issuer_no = $1 AND generation = $2 AND scope = $3 FOR NO KEY UPDATE;

-- name: crl_insert
-- Unless this host was further already.  Every quarter of the validity a full list is kept as a base for deltas.
INSERT INTO crl (issuer_no, generation, scope, number, host, this_update, next_update, file, size, etag, gzip_size,
                 gzip_etag, entries, duration_ms, error, base_number, snapshot, floor, is_base)
SELECT $1::integer, $2::smallint, $3::text, $4::bigint, $5::text, $6::timestamptz, $7::timestamptz, $8::text, $9::bigint,
       $10::bytea, $11::bigint, $12::bytea, $13::bigint, $14::bigint, $15::text, nullif($16::bigint, 0),
       $17::pg_snapshot, $18::timestamptz,
       $3 = 'full' AND $15 IS NULL AND $17::pg_snapshot IS NOT NULL AND NOT EXISTS (
           SELECT FROM crl
            WHERE issuer_no = $1 AND generation = $2 AND scope = $3 AND is_base
              AND this_update > $6 - ($7 - $6) / 4)
 WHERE $15 IS NOT NULL OR NOT EXISTS (
           SELECT FROM crl
            WHERE issuer_no = $1 AND generation = $2 AND scope = $3 AND host = $5 AND error IS NULL AND number >= $4);

-- name: crl_forget
-- The newest hundred of a host tell enough.  A base is kept until a newer one has expired.
DELETE FROM crl
 WHERE issuer_no = $1 AND generation = $2 AND scope = $3 AND host = $4
   AND number <= (SELECT number
                    FROM crl
                   WHERE issuer_no = $1 AND generation = $2 AND scope = $3 AND host = $4
                   ORDER BY number DESC
                  OFFSET 100
                   LIMIT 1)
   AND number < (SELECT max(number)
                   FROM crl
                  WHERE issuer_no = $1 AND generation = $2 AND scope = $3 AND host = $4 AND error IS NULL)
   AND (NOT is_base
        OR number < (SELECT max(number)
                       FROM crl
                      WHERE issuer_no = $1 AND generation = $2 AND scope = $3 AND is_base AND next_update <= now()));

-- name: crl_compressed
UPDATE crl
   SET gzip_size = $5, gzip_etag = $6
 WHERE issuer_no = $1 AND generation = $2 AND scope = $3 AND number = $4;

-- name: crl_last
SELECT issuer_no, generation, scope, number, host, this_update, next_update, file, size, etag, gzip_size, gzip_etag,
       entries, duration_ms, generated_at, error, coalesce(base_number, 0) AS base_number, snapshot::text AS snapshot,
       floor
  FROM crl
 WHERE issuer_no = $1 AND generation = $2 AND scope = $3 AND host = $4 AND error IS NULL
 ORDER BY number DESC
 LIMIT 1;

-- name: crl_find
SELECT issuer_no, generation, scope, number, host, this_update, next_update, file, size, etag, gzip_size, gzip_etag,
       entries, duration_ms, generated_at, error, coalesce(base_number, 0) AS base_number, snapshot::text AS snapshot,
       floor
  FROM crl
 WHERE issuer_no = $1 AND generation = $2 AND scope = $3 AND number = $4 AND error IS NULL;

-- name: crl_published_at
SELECT max(this_update) AS at
  FROM crl
 WHERE issuer_no = $1 AND generation = $2 AND scope = $3 AND error IS NULL;

-- name: crl_events
SELECT issuer_no, generation, scope, number, host, this_update, next_update, file, size, etag, gzip_size, gzip_etag,
       entries, duration_ms, generated_at, error, coalesce(base_number, 0) AS base_number, snapshot::text AS snapshot,
       floor
  FROM crl
 WHERE issuer_no = $1 AND generation = $2 AND scope = $3 AND host = $4
 ORDER BY number DESC
 LIMIT $5;

-- name: crl_behind
SELECT coalesce((SELECT EXISTS (SELECT FROM revocation r
                                 WHERE r.issuer_no = c.issuer_no AND r.generation = c.generation AND r.shard = $5
                                   AND r.changed_xid >= pg_snapshot_xmin(c.snapshot)
                                   AND NOT pg_visible_in_snapshot(r.changed_xid, c.snapshot))
                   FROM crl c
                  WHERE c.issuer_no = $1 AND c.generation = $2 AND c.scope = $3 AND c.number = $4
                    AND c.snapshot IS NOT NULL), true) AS behind;

-- name: crl_snapshots_check
UPDATE crl
   SET snapshot = NULL, is_base = false
 WHERE pg_snapshot_xmax(snapshot) > pg_snapshot_xmax(pg_current_snapshot());
