-- The change feed.

-- name: change_insert
INSERT INTO change_feed (kind, issuer_no, serial) VALUES ($1, $2, $3);

-- name: change_check
-- Whether the feed can carry on from a position.
SELECT $1::xid8 < pg_snapshot_xmax(pg_current_snapshot()) AND ($1::xid8, $2::bigint) >= (xid, seq) AS usable
  FROM change_floor;

-- name: change_next
-- Only below the oldest running transaction, each status as it is now.  LATERAL with LIMIT keeps every look-up an index
-- scan whatever the planner expects of $3: a hash of all certificates for a few changes is what it had chosen.
SELECT f.xid, f.seq, f.kind, f.issuer_no, f.serial, v.generation, v.not_after, v.transaction_key,
       CASE WHEN (i.settings->>'ocsp_cert_hash')::boolean THEN v.fingerprint END AS fingerprint,
       r.state, r.reason, r.revoked_at, r.invalidity_at, r.revision
  FROM (SELECT xid, seq, kind, issuer_no, serial
          FROM change_feed
         WHERE (xid, seq) > ($1::xid8, $2::bigint) AND xid < pg_snapshot_xmin(pg_current_snapshot())
         ORDER BY xid, seq
         LIMIT $3) AS f
  LEFT JOIN LATERAL (
       SELECT v.generation, v.not_after, v.fingerprint, v.transaction_key
         FROM certificate_version v
        WHERE v.issuer_no = f.issuer_no AND v.serial = f.serial
        LIMIT 1) AS v ON true
  LEFT JOIN LATERAL (
       SELECT r.state, r.reason, r.revoked_at, r.invalidity_at, r.revision
         FROM revocation r
        WHERE r.issuer_no = f.issuer_no AND r.serial = f.serial
        LIMIT 1) AS r ON true
  LEFT JOIN issuer i ON i.no = f.issuer_no
 ORDER BY f.xid, f.seq;

-- name: change_snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;

-- name: change_head
-- The last change that every reader has seen, taken from rows: a number that the server only gave out may come
-- again after a crash.
SELECT xid, seq
  FROM ((SELECT xid, seq
           FROM change_feed
          WHERE xid < pg_snapshot_xmin(pg_current_snapshot())
          ORDER BY xid DESC, seq DESC
          LIMIT 1)
        UNION ALL
        SELECT xid, seq FROM change_floor) AS h
 ORDER BY xid DESC, seq DESC
 LIMIT 1;

-- name: status_each
-- Of one authority, in the order of the store's keys.
SELECT v.issuer_no, v.generation, v.serial, v.not_after,
       CASE WHEN (i.settings->>'ocsp_cert_hash')::boolean THEN v.fingerprint END AS fingerprint,
       r.state, r.reason, r.revoked_at, r.invalidity_at, r.revision
  FROM certificate_version v
  LEFT JOIN revocation r ON r.issuer_no = v.issuer_no AND r.serial = v.serial
  LEFT JOIN issuer i ON i.no = v.issuer_no
 WHERE v.issuer_no = $2 AND v.generation = $3 AND v.not_after > $1 AND (NOT v.exempt OR r.state IS NOT NULL)
 ORDER BY v.serial;

-- name: status_authorities
SELECT issuer_no, generation FROM ca_certificate WHERE position = 0 ORDER BY issuer_no, generation;

-- name: change_prune
-- A batch at a time; the floor rises with what goes.
WITH old AS (
    SELECT xid, seq
      FROM (SELECT xid, seq, at
              FROM change_feed
             WHERE xid < pg_snapshot_xmin(pg_current_snapshot())
             ORDER BY xid, seq
             LIMIT 10000) AS f
     WHERE at < now() - make_interval(secs => $1::bigint)
), gone AS (
    DELETE FROM change_feed f USING old WHERE (f.xid, f.seq) = (old.xid, old.seq) RETURNING f.xid, f.seq
), floor AS (
    UPDATE change_floor c
       SET xid = g.xid, seq = g.seq
      FROM (SELECT xid, seq FROM gone ORDER BY xid DESC, seq DESC LIMIT 1) AS g
     WHERE (g.xid, g.seq) > (c.xid, c.seq)
)
SELECT count(*) AS removed FROM gone;

-- name: issuance_key_prune
WITH gone AS (
    DELETE FROM issuance_key
     WHERE ctid IN (SELECT ctid
                      FROM issuance_key
                     WHERE created_at < now() - make_interval(secs => $1::bigint)
                     LIMIT 10000)
    RETURNING 1
)
SELECT count(*) AS removed FROM gone;
