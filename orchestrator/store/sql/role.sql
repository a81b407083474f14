-- Roles.

-- name: role_list
-- All, or the one with this id.
SELECT id, name, description, built_in, permissions FROM role WHERE $1::text IS NULL OR id = $1 ORDER BY id;

-- name: role_sync
-- One of the built-in ones as this program knows it.
INSERT INTO role AS r (id, name, description, built_in, permissions) VALUES ($1, $2, $3, true, $4)
    ON CONFLICT (id)
    DO UPDATE SET name = excluded.name, description = excluded.description, built_in = true,
                  permissions = excluded.permissions, updated_at = now()
    WHERE (r.name, r.description, r.built_in, r.permissions)
          IS DISTINCT FROM (excluded.name, excluded.description, true, excluded.permissions);

-- name: role_insert
INSERT INTO role (id, name, description, permissions) VALUES ($1, $2, $3, $4);

-- name: role_update
UPDATE role SET name = $2, description = $3, permissions = $4, updated_at = now() WHERE id = $1 AND NOT built_in;

-- name: role_delete
DELETE FROM role WHERE id = $1 AND NOT built_in;

-- name: role_permissions_add
UPDATE role
   SET permissions = ARRAY(SELECT DISTINCT p FROM unnest(permissions || $2::text[]) p ORDER BY p), updated_at = now()
 WHERE id = $1 AND NOT built_in;

-- name: role_permissions_take
UPDATE role
   SET permissions = ARRAY(SELECT p FROM unnest(permissions) p WHERE p <> ALL ($2::text[]) ORDER BY p), updated_at = now()
 WHERE id = $1 AND NOT built_in;
