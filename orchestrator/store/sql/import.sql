-- Certificates that others issued.

-- name: import_local_ca
-- A CA of ours that a certificate says it is from.
SELECT c.issuer_no
  FROM ca_certificate c
 WHERE c.position = 0 AND c.subject = $1 AND ($2::bytea IS NULL OR c.skid = $2)
 LIMIT 1;

-- name: import_issuer_insert
INSERT INTO issuer (id, name, type, enabled, config)
VALUES ($1, $2, 'external', false, jsonb_build_object('subject', $3::text, 'key_id', encode($4::bytea, 'hex')))
ON CONFLICT DO NOTHING;

-- name: import_issuer_find
SELECT no FROM issuer WHERE id = $1 AND type = 'external';

-- name: import_known
SELECT m.id, v.fingerprint
  FROM certificate_version v
  LEFT JOIN managed_certificate m ON m.no = v.managed_no
 WHERE v.issuer_no = $1 AND v.serial = $2;

-- name: import_managed
INSERT INTO managed_certificate (id, name, source, issuer_no, common_name, subject, subject_der, sans, status, expires_at,
                                 last_serial, owner_id, team_id, environment, tags, renewal_policy_id)
VALUES ($1, $2, 'Import', $3, $4, $5, $6, $7, 'Active', $8, $9, $10, $11, $12, coalesce($13::jsonb, '{}'), $14)
RETURNING no;

-- name: import_version
INSERT INTO certificate_version (issuer_no, serial, managed_no, orphan, der, spki_sha256, fingerprint, not_before, not_after,
                                 key_algorithm, key_size, weakness)
VALUES ($1, $2, $3, false, $4, $5, $6, $7, $8, $9, $10, $11);
