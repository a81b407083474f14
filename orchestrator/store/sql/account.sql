-- Local accounts.

-- name: account_find
SELECT id, name, email, allowed_names, digest, salt, scrypt_n, scrypt_r, scrypt_p, disabled_at IS NOT NULL AS disabled
  FROM account
 WHERE id = $1;

-- name: account_attempt
-- Counted as a failure before the password is looked at, so that many at once are no more than five.  No row: unknown,
-- disabled or locked.  $2: failures, $3: seconds that they lock for, $4: seconds after which they are forgotten.
UPDATE account
   SET failures = CASE WHEN failed_at > now() - make_interval(secs => $4::bigint) THEN failures + 1 ELSE 1 END,
       failed_at = now(),
       locked_until = CASE WHEN failed_at > now() - make_interval(secs => $4::bigint) AND failures + 1 >= $2::bigint
                           THEN now() + make_interval(secs => $3::bigint) END
 WHERE name = $1 AND disabled_at IS NULL AND (locked_until IS NULL OR locked_until <= now())
RETURNING id, name, email, allowed_names, digest, salt, scrypt_n, scrypt_r, scrypt_p, false AS disabled;

-- name: account_cleared
-- The password was right.
UPDATE account SET failures = 0, failed_at = NULL, locked_until = NULL, last_login_at = now() WHERE id = $1;

-- name: account_unlock
UPDATE account SET failures = 0, failed_at = NULL, locked_until = NULL WHERE id = $1;

-- name: account_insert
INSERT INTO account (id, name, email, allowed_names, digest, salt, scrypt_n, scrypt_r, scrypt_p, disabled_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, CASE WHEN $10 THEN now() END, $11);

-- name: account_update
-- Without a digest the password stays.
UPDATE account
   SET name = $2, email = $3, allowed_names = $4, digest = coalesce($5, digest), salt = coalesce($6, salt),
       scrypt_n = coalesce($7, scrypt_n), scrypt_r = coalesce($8, scrypt_r), scrypt_p = coalesce($9, scrypt_p),
       disabled_at = CASE WHEN $10 THEN coalesce(disabled_at, now()) END, updated_at = now()
 WHERE id = $1;

-- name: account_delete
DELETE FROM account WHERE id = $1;

-- name: certificate_identity_insert
-- No row when there is no such managed certificate.
INSERT INTO certificate_identity (managed_id, allowed_names, created_by)
SELECT m.id, $2, $3 FROM managed_certificate m WHERE m.id = $1;

-- name: certificate_identity_delete
DELETE FROM certificate_identity WHERE managed_id = $1;
