-- API keys.

-- name: api_key_find
-- A live one by the SHA-256 of the key.
SELECT id, name, digest, permissions, created_at, expires_at, last_used_at
  FROM api_key
 WHERE digest = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now());

-- name: api_key_insert
INSERT INTO api_key (id, name, digest, permissions, expires_at) VALUES ($1, $2, $3, $4, $5);

-- name: api_key_revoke
UPDATE api_key SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL;

-- name: api_key_touch
UPDATE api_key
   SET last_used_at = now()
 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute');
