-- Committed changes out of the audit, for those who listen.

-- name: event_head
-- Every transaction before xmin has ended; those that begin from now on have numbers from xmax.
SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xmin, pg_snapshot_xmax(pg_current_snapshot()) AS xmax, last_value AS last_id
  FROM audit_event_no;

-- name: event_next
-- Changes of transactions before $4, after the position ($1, $2), none of which has an id up to $3.
SELECT e.xid, e.id, e.action, e.resource_type,
       jsonb_build_object('id', e.id, 'at', to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'action', e.action,
                          'type', e.resource_type, 'resource_id', e.resource_id, 'actor', e.actor,
                          'request_id', e.request_id) AS data
  FROM audit_event e
 WHERE e.id > $3 AND (e.xid, e.id) > ($1::xid8, $2::bigint) AND e.xid < $4::xid8 AND e.status < 300
   AND e.action <> ALL($5::text[]) AND e.resource_type IS NOT NULL
 ORDER BY e.xid, e.id
 LIMIT $6;

-- name: event_floor
-- An id below those of all events that can come after the event with this id, or after now: of transactions that began
-- a quarter of an hour before it, at the latest.  The sum keeps the index over ids out of it.
SELECT coalesce(min(id + 0), (SELECT last_value FROM audit_event_no)) - 1 AS id
  FROM audit_event
 WHERE at > coalesce((SELECT at FROM audit_event WHERE id = $1), now()) - interval '15 minutes';
