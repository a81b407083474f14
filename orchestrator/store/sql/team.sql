-- Teams and owners: who answers for certificates.

-- name: team_find
SELECT id, name, description FROM team WHERE id = $1;

-- name: team_insert
INSERT INTO team (id, name, description) VALUES ($1, $2, $3);

-- name: team_update
UPDATE team SET name = $2, description = $3, updated_at = now() WHERE id = $1;

-- name: team_delete
DELETE FROM team WHERE id = $1;

-- name: team_uses
SELECT what, uses
  FROM (VALUES ('owners', (SELECT count(*) FROM owner WHERE team_id = $1)),
               ('certificates', (SELECT count(*) FROM managed_certificate WHERE team_id = $1)),
               ('EST labels', (SELECT count(*) FROM est_label WHERE team_id = $1)),
               ('grants', (SELECT count(*) FROM role_grant WHERE scope_type = 'team' AND scope_id = $1))) AS u (what, uses)
 WHERE uses > 0;

-- name: owner_find
SELECT id, name, email, team_id FROM owner WHERE id = $1;

-- name: owner_insert
INSERT INTO owner (id, name, email, team_id) VALUES ($1, $2, $3, $4);

-- name: owner_update
UPDATE owner SET name = $2, email = $3, team_id = $4, updated_at = now() WHERE id = $1;

-- name: owner_delete
DELETE FROM owner WHERE id = $1;

-- name: owner_uses
SELECT what, uses
  FROM (VALUES ('certificates', (SELECT count(*) FROM managed_certificate WHERE owner_id = $1)),
               ('EST labels', (SELECT count(*) FROM est_label WHERE owner_id = $1)),
               ('grants', (SELECT count(*) FROM role_grant WHERE scope_type = 'owner' AND scope_id = $1))) AS u (what, uses)
 WHERE uses > 0;
