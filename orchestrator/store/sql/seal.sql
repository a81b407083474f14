-- The tree of the audit: what is sealed, and what is next.

-- name: seal_lock
-- One sealer at a time, on all hosts.
SELECT pg_try_advisory_xact_lock(hashtext('audit_seal')) AS held;

-- name: seal_last
SELECT size, root, last_xid, last_id, base_id, at, key_id, signature,
       (SELECT k.log FROM audit_key k WHERE k.id = key_id) AS log,
       (last_xid >= pg_snapshot_xmax(pg_current_snapshot())) AS foreign_cluster
  FROM audit_seal
 ORDER BY first DESC
 LIMIT 1;

-- name: seal_unsealed
-- Below the oldest running transaction: nothing that could come before these is still on its way.
SELECT no, xid, id, at, actor, actor_type, action, resource_type, resource_id, status, request_id, source, latency_us,
       body_hash, details
  FROM audit_event_text
 WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) AND (xid, no) > ($1::xid8, $2::bigint) AND no > $3::bigint
 ORDER BY xid, no
 LIMIT $4;

-- name: seal_insert
INSERT INTO audit_seal (first, size, event_ids, min_id, max_id, leaves, root, at, key_id, signature, last_xid, last_id, base_id)
SELECT $1, $2, $3::bigint[], min(u.id), max(u.id), $4, $5, $6, $7, $8, $9::xid8, $10, $11 FROM unnest($3::bigint[]) AS u (id);

-- name: seal_subtree_insert
INSERT INTO audit_subtree (level, no, root) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]);

-- name: seal_subtree
SELECT root FROM audit_subtree WHERE level = $1 AND no = $2;

-- name: seal_leaves
-- No batch has more than 8192.
SELECT first, leaves FROM audit_seal
 WHERE first > $1::bigint - 8192 AND first < $2::bigint AND size > $1::bigint ORDER BY first;

-- name: seal_key_insert
INSERT INTO audit_key (id, spki, log) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: seal_keys
SELECT id, spki FROM audit_key ORDER BY at, id;

-- name: seal_place
-- Where an event's leaf is.
SELECT s.first + array_position(s.event_ids, $1::bigint) - 1 AS place
  FROM audit_seal s
 WHERE s.max_id >= $1::bigint AND s.min_id <= $1::bigint AND $1::bigint = ANY (s.event_ids)
 ORDER BY s.max_id
 LIMIT 1;

-- name: seal_batch
SELECT s.first, s.size, s.leaves, s.root, s.at, s.key_id, s.signature, k.log, k.spki, s.last_xid, s.last_id,
       (SELECT string_agg(int8send(u.id), '' ORDER BY u.n) FROM unnest(s.event_ids) WITH ORDINALITY AS u (id, n)) AS ids
  FROM audit_seal s JOIN audit_key k ON k.id = s.key_id
 WHERE s.first >= $1
 ORDER BY s.first
 LIMIT 1;

-- name: seal_batch_events
SELECT no, xid, id, at, actor, actor_type, action, resource_type, resource_id, status, request_id, source, latency_us,
       body_hash, details
  FROM audit_event_text
 WHERE no IN (SELECT unnest(event_ids) FROM audit_seal WHERE first = $1);

-- name: seal_inserted
-- Events that claim to be older than the last that was sealed, and are in no batch.
SELECT e.id
  FROM audit_event e LEFT JOIN (SELECT unnest(event_ids) AS id FROM audit_seal) s USING (id)
 WHERE s.id IS NULL AND (e.xid, e.id) <= ($1::xid8, $2::bigint)
 ORDER BY e.id
 LIMIT 1000;

-- name: seal_pruned
SELECT first_id, last_id, events, before FROM audit_pruned ORDER BY before;

-- name: seal_partitions
-- By itself: a statement that reads the default partition would not let it be detached.
SELECT audit_partitions($1::integer)::bigint AS made;

-- name: seal_strays
SELECT EXISTS (SELECT FROM audit_event_rest) AS strays;
