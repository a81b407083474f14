-- EST labels and the credentials of their users.

-- name: est_label_list
-- All, or the one with this id or name.
SELECT l.id, l.name, l.is_default, l.enabled, l.issuer_no, i.id AS issuer_id, l.profile_id, l.auth_basic,
       l.auth_certificate, l.wrap, l.trust_pem, l.superseded_grace_s, l.owner_id, l.team_id, l.environment,
       l.renewal_policy_id, l.allowed_names, l.created_at, l.updated_at
  FROM est_label l
  JOIN issuer i ON i.no = l.issuer_no
 WHERE ($1::text IS NULL OR l.id = $1) AND ($2::text IS NULL OR l.name = $2)
 ORDER BY l.name;

-- name: est_label_insert
-- No row when there is no such issuer.
INSERT INTO est_label (id, name, is_default, enabled, issuer_no, profile_id, auth_basic, auth_certificate, wrap,
                       trust_pem, superseded_grace_s, owner_id, team_id, environment, renewal_policy_id, allowed_names)
SELECT $1, $2, $3, $4, i.no, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16 FROM issuer i WHERE i.id = $5;

-- name: est_label_update
UPDATE est_label l
   SET name = $2, is_default = $3, enabled = $4, issuer_no = i.no, profile_id = $6, auth_basic = $7,
       auth_certificate = $8, wrap = $9, trust_pem = $10, superseded_grace_s = $11, owner_id = $12, team_id = $13,
       environment = $14, renewal_policy_id = $15, allowed_names = $16, updated_at = now()
  FROM issuer i
 WHERE l.id = $1 AND i.id = $5;

-- name: est_label_delete
DELETE FROM est_label WHERE id = $1;

-- name: est_credential_list
-- Live ones: of all labels or of one, of all users or of one.
SELECT c.id, c.label_id, l.name AS label_name, c.user_name, c.kind, c.digest, c.salt, c.scrypt_n, c.scrypt_r,
       c.scrypt_p, c.allowed_names, c.created_at, c.expires_at
  FROM est_credential c
  JOIN est_label l ON l.id = c.label_id
 WHERE c.revoked_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > now())
   AND ($1::text IS NULL OR c.label_id = $1) AND ($2::text IS NULL OR c.user_name = $2)
 ORDER BY c.label_id, c.user_name;

-- name: est_credential_retire
-- An expired one makes room for its successor.
UPDATE est_credential
   SET revoked_at = expires_at
 WHERE label_id = $1 AND user_name = $2 AND revoked_at IS NULL AND expires_at <= now();

-- name: est_credential_insert
INSERT INTO est_credential (id, label_id, user_name, kind, digest, salt, scrypt_n, scrypt_r, scrypt_p, expires_at,
                            allowed_names)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: est_credential_revoke
UPDATE est_credential SET revoked_at = now() WHERE label_id = $1 AND id = $2 AND revoked_at IS NULL;
