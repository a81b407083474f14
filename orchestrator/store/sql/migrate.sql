-- The record of migrations.  The table is made by the runner itself, before there is any schema.

-- name: migration_list
SELECT version, name, sha256 FROM schema_migration ORDER BY version;

-- name: migration_insert
INSERT INTO schema_migration (version, name, sha256) VALUES ($1, $2, $3);

-- name: migration_delete
DELETE FROM schema_migration WHERE version = $1;

-- name: migration_version
SELECT coalesce(max(version), 0)::bigint AS version FROM schema_migration;
