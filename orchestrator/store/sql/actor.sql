-- Whoever may have rights: API keys, accounts, certificates; what they show, and what they were granted.

-- name: actor_find
-- By id, live or not; of this type or of any.
SELECT id, type, name, permissions, allowed_names, live, NULL::text AS session_id, NULL::bytea AS digest,
       NULL::timestamptz AS expires_at, NULL::timestamptz AS used_at,
       (SELECT k.expires_at FROM api_key k WHERE k.id = actor.id) AS ends_at
  FROM actor
 WHERE id = $1 AND ($2::text IS NULL OR type = $2);

-- name: actor_of_key
-- By the SHA-256 of a key; the one before a rotation is good for a while.
SELECT a.id, a.type, a.name, a.permissions, a.allowed_names, a.live, NULL::text AS session_id,
       CASE WHEN k.digest = $1 THEN k.digest ELSE k.previous_digest END AS digest,
       least(k.expires_at, CASE WHEN k.digest <> $1 THEN k.previous_until END) AS expires_at, k.last_used_at AS used_at,
       k.expires_at AS ends_at
  FROM api_key k
  JOIN actor a ON a.id = k.id AND a.live
 WHERE k.digest = $1 OR (k.previous_digest = $1 AND k.previous_until > now());

-- name: actor_of_session
-- By the SHA-256 of a cookie; $2: seconds after which a session that is not used is over.
SELECT a.id, a.type, a.name, a.permissions, a.allowed_names, a.live, s.id AS session_id, s.digest, s.expires_at,
       s.last_seen_at AS used_at, (SELECT k.expires_at FROM api_key k WHERE k.id = a.id) AS ends_at
  FROM session s
  JOIN actor a ON a.id = s.actor_id AND a.live
 WHERE s.digest = $1 AND s.revoked_at IS NULL AND s.expires_at > now()
   AND s.last_seen_at > now() - make_interval(secs => $2::bigint);

-- name: actor_of_certificate
-- By serial and SHA-256 of a certificate that we have issued, that is valid and not revoked, and whose managed
-- certificate is registered.
SELECT a.id, a.type, a.name, a.permissions, a.allowed_names, a.live, NULL::text AS session_id, v.fingerprint AS digest,
       v.not_after AS expires_at, NULL::timestamptz AS used_at, NULL::timestamptz AS ends_at
  FROM issuer i
  JOIN certificate_version v ON v.issuer_no = i.no AND v.serial = $1
  JOIN managed_certificate m ON m.no = v.managed_no
  JOIN actor a ON a.id = m.id AND a.type = 'certificate' AND a.live
  LEFT JOIN revocation r ON r.issuer_no = v.issuer_no AND r.serial = v.serial
 WHERE v.fingerprint = $2 AND v.not_before <= now() AND v.not_after > now() AND coalesce(r.state, 'released') = 'released';

-- name: actor_all_powerful
-- Whether anybody may do everything.
SELECT EXISTS (SELECT 1 FROM actor WHERE live AND '*' = ANY (permissions))
       OR EXISTS (SELECT 1
                    FROM role_grant g
                    JOIN role r ON r.id = g.role_id AND '*' = ANY (r.permissions)
                    JOIN actor a ON a.id = g.actor_id AND a.live
                   WHERE g.scope_type = 'global' AND (g.expires_at IS NULL OR g.expires_at > now())) AS there;

-- name: grant_list
-- Those of an actor that hold now.
SELECT g.role_id, r.name AS role_name, r.permissions, g.scope_type, g.scope_id, g.expires_at
  FROM role_grant g
  JOIN role r ON r.id = g.role_id
 WHERE g.actor_id = $1 AND (g.expires_at IS NULL OR g.expires_at > now())
 ORDER BY g.role_id, g.scope_type, g.scope_id;

-- name: grant_scope_there
-- Whether what a grant is to be good for exists.
SELECT CASE $1::text WHEN 'issuer' THEN EXISTS (SELECT 1 FROM issuer WHERE id = $2)
                     WHEN 'profile' THEN EXISTS (SELECT 1 FROM profile WHERE id = $2)
                     WHEN 'team' THEN EXISTS (SELECT 1 FROM team WHERE id = $2)
                     WHEN 'owner' THEN EXISTS (SELECT 1 FROM owner WHERE id = $2)
                     ELSE false END AS there;

-- name: grant_insert
-- Given again, it takes the new end.  No row when there is no such actor.
INSERT INTO role_grant AS g (actor_id, role_id, scope_type, scope_id, granted_by, expires_at)
SELECT a.id, $2, $3, $4, $5, $6::timestamptz FROM actor a WHERE a.id = $1
    ON CONFLICT (actor_id, role_id, scope_type, scope_id)
    DO UPDATE SET granted_by = excluded.granted_by, expires_at = excluded.expires_at, created_at = now();

-- name: grant_delete
-- With a scope that one, without it whichever there is: the caller has seen that it is one.
DELETE FROM role_grant
 WHERE actor_id = $1 AND role_id = $2 AND ($3::text IS NULL OR (scope_type = $3 AND scope_id = $4));

-- name: grant_count
-- Of one role, the ended ones included.
SELECT count(*) AS n FROM role_grant WHERE actor_id = $1 AND role_id = $2;

-- name: grant_delete_all
DELETE FROM role_grant WHERE actor_id = $1;

-- name: grant_keep
-- Of an actor's grants only those that are good for less than everything, or for a while, and whose role is among these.
DELETE FROM role_grant
 WHERE actor_id = $1 AND ((scope_type = 'global' AND expires_at IS NULL) OR role_id <> ALL ($2::text[]));

-- name: permission_use_note
-- Once an hour and actor at most.
INSERT INTO permission_use AS u (actor_id, permission) VALUES ($1, $2)
    ON CONFLICT (actor_id, permission) DO UPDATE SET hours = u.hours + 1, last_at = now()
    WHERE u.last_at < now() - interval '59 minutes';

-- name: permission_use_list
SELECT permission, hours, last_at
  FROM permission_use
 WHERE actor_id = $1 AND last_at > now() - make_interval(days => $2::integer)
 ORDER BY permission;
