-- Issuers and their chains.

-- name: issuer_chains
-- One row for each certificate of the active chains of all issuers, or of the one with this id or number.
SELECT i.no, i.id, i.name, i.type, i.enabled, i.config, i.created_at, i.updated_at,
       c.generation, c.position, c.der, c.serial, c.skid, c.subject, c.key_ref, c.key_kind, c.not_before, c.not_after
  FROM issuer i
  JOIN ca_certificate c ON c.issuer_no = i.no AND c.active
 WHERE ($1::text IS NULL OR i.id = $1) AND ($2::integer IS NULL OR i.no = $2)
 ORDER BY i.no, c.position;

-- name: issuer_no_next
SELECT nextval(pg_get_serial_sequence('issuer', 'no')) AS no;

-- name: issuer_insert
INSERT INTO issuer (no, id, name, type, enabled, config) VALUES ($1, $2, $3, $4, $5, coalesce($6::jsonb, '{}'));

-- name: ca_insert
INSERT INTO ca_certificate (issuer_no, generation, position, active, der, serial, subject, key_ref, key_kind, skid,
                            not_before, not_after)
VALUES ($1, $2, $3, true, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: issuer_enable
UPDATE issuer SET enabled = $2, updated_at = now() WHERE id = $1;
