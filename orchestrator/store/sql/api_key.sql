-- API keys.

-- name: api_key_insert
INSERT INTO api_key (id, name, digest, permissions, allowed_names, created_by, expires_at)
VALUES ($1, $2, $3, $4, $5, coalesce($6, 'chanceryd'), $7);

-- name: api_key_update
UPDATE api_key SET name = $2, allowed_names = $3, expires_at = $4 WHERE id = $1 AND revoked_at IS NULL;

-- name: api_key_rotate
-- The one before is good for so many seconds more.
UPDATE api_key
   SET digest = $2, rotated_at = now(),
       previous_digest = CASE WHEN $3::bigint > 0 THEN digest END,
       previous_until = CASE WHEN $3::bigint > 0 THEN now() + make_interval(secs => $3::bigint) END
 WHERE id = $1 AND revoked_at IS NULL;

-- name: api_key_permissions
UPDATE api_key SET permissions = $2 WHERE id = $1 AND revoked_at IS NULL;

-- name: api_key_revoke
UPDATE api_key SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL;

-- name: api_key_touch
UPDATE api_key
   SET last_used_at = now()
 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute');

-- name: bootstrap_there
SELECT EXISTS (SELECT 1 FROM bootstrap) AS there;

-- name: bootstrap_insert
-- Once and never again: of two the second waits for the first, and finds that it is taken.
INSERT INTO bootstrap (key_id) VALUES ($1);
