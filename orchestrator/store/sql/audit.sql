-- Audit events are only ever added.

-- name: audit_insert
INSERT INTO audit_event (actor, actor_type, action, resource_type, resource_id, status, request_id, source,
                         latency_us, body_hash, details)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb);

-- name: audit_insert_many
INSERT INTO audit_event (actor, actor_type, action, resource_type, resource_id, status, request_id, source,
                         latency_us, body_hash, details)
SELECT actor, actor_type, action, resource_type, resource_id, status, request_id, source, latency_us, body_hash,
       details::jsonb
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[],
              $9::bigint[], $10::text[], $11::text[])
       AS e (actor, actor_type, action, resource_type, resource_id, status, request_id, source, latency_us, body_hash,
             details);
