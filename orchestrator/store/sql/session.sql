-- Sessions of browsers.

-- name: session_insert
INSERT INTO session (id, digest, actor_id, source, user_agent, expires_at)
VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6::bigint));

-- name: session_touch
UPDATE session SET last_seen_at = now() WHERE id = $1 AND last_seen_at < now() - interval '1 minute';

-- name: session_revoke
-- Of this actor, or of any.
UPDATE session SET revoked_at = now() WHERE id = $1 AND ($2::text IS NULL OR actor_id = $2) AND revoked_at IS NULL;

-- name: session_revoke_all
-- Of an actor, but for one (or none).
UPDATE session
   SET revoked_at = now()
 WHERE actor_id = $1 AND id IS DISTINCT FROM $2::text AND revoked_at IS NULL;

-- name: session_prune
-- Those that are over; the audit knows of them.  $1: seconds after which one that is not used is over.
DELETE FROM session
 WHERE expires_at < now() OR revoked_at IS NOT NULL OR last_seen_at < now() - make_interval(secs => $1::bigint);
