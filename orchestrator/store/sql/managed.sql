-- What operators do to a managed certificate.

-- name: managed_update
-- No row when what it is to belong to was deleted a moment ago.
UPDATE managed_certificate
   SET name = $2, owner_id = $3, team_id = $4, environment = $5, renewal_policy_id = $6, tags = coalesce($7::jsonb, '{}'),
       updated_at = now()
 WHERE id = $1
   AND ($3::text IS NULL OR EXISTS (SELECT FROM owner o WHERE o.id = $3))
   AND ($4::text IS NULL OR EXISTS (SELECT FROM team t WHERE t.id = $4))
   AND ($6::text IS NULL OR EXISTS (SELECT FROM renewal_policy r WHERE r.id = $6));

-- name: managed_archive
UPDATE managed_certificate SET archived_at = now(), updated_at = now() WHERE id = $1 AND archived_at IS NULL;

-- name: managed_reassign
-- Those named by id, or those that fit all of the filter; of them those within the scope.  A row for each, in their
-- order: whether there was something to do.
WITH chosen AS MATERIALIZED (
    SELECT m.no, m.id, (m.owner_id IS DISTINCT FROM $1 OR m.team_id IS DISTINCT FROM coalesce($2, m.team_id)) AS differs
      FROM managed_certificate m
      JOIN issuer i ON i.no = m.issuer_no
     WHERE ($3::text[] IS NULL OR m.id = ANY ($3))
       AND ($4::text IS NULL OR m.profile_id = $4)
       AND ($5::text IS NULL OR i.id = $5)
       AND ($6::text IS NULL OR m.owner_id = $6)
       AND ($7::text IS NULL OR m.team_id = $7 OR m.owner_id IN (SELECT o.id FROM owner o WHERE o.team_id = $7))
       AND ($8::text IS NULL OR m.environment = $8)
       AND ($9::boolean OR i.id = ANY ($10::text[]) OR m.profile_id = ANY ($11::text[]) OR m.team_id = ANY ($12::text[])
            OR m.owner_id = ANY ($13::text[]))
     ORDER BY m.id
       FOR NO KEY UPDATE OF m
), changed AS (
    UPDATE managed_certificate m
       SET owner_id = $1, team_id = coalesce($2, m.team_id), updated_at = now()
      FROM chosen c
     WHERE m.no = c.no AND c.differs
       AND EXISTS (SELECT FROM owner o WHERE o.id = $1)
       AND ($2::text IS NULL OR EXISTS (SELECT FROM team t WHERE t.id = $2))
    RETURNING m.id
)
SELECT (SELECT count(*) FROM chosen) AS matched, (SELECT count(*) FROM changed) AS reassigned,
       (SELECT count(*) FROM chosen WHERE NOT differs) AS skipped,
       ARRAY(SELECT x FROM unnest($3::text[]) AS x WHERE NOT EXISTS (SELECT FROM chosen c WHERE c.id = x) ORDER BY x)
           AS missing;
