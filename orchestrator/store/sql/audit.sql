-- Audit events are only ever added.

-- name: audit_insert
INSERT INTO audit_event (actor, actor_type, action, resource_type, resource_id, status, request_id, source,
                         latency_us, body_hash, details)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb);
