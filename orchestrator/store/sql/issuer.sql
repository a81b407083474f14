-- Issuers and their chains.

-- name: issuer_chains
-- One row for each certificate of the active chains of all issuers, or of the one with this id or number; of another
-- generation, when there is a third parameter.
SELECT i.no, i.id, i.name, i.type, i.enabled, i.config, i.settings, i.source, i.secrets, i.retired_at, i.created_at,
       i.updated_at,
       c.generation, c.position, c.active, c.der, c.serial, c.skid, c.subject, c.key_ref, c.key_kind, c.not_before,
       c.not_after, c.crl_shards, c.revoked_at, c.revocation_reason
  FROM issuer i
  JOIN ca_certificate c ON c.issuer_no = i.no AND CASE WHEN $3::integer IS NULL THEN c.active ELSE c.generation = $3 END
 WHERE ($1::text IS NULL OR i.id = $1) AND ($2::integer IS NULL OR i.no = $2)
 ORDER BY i.no, c.position;

-- name: issuer_generations
-- The same for every generation that lives: the active ones, and those before them until each of their certificates has
-- ended and the CRLs since then are out.  A CA that has itself ended cannot sign.
SELECT i.no, i.id, i.name, i.type, i.enabled, i.config, i.settings, i.source, i.secrets, i.retired_at, i.created_at,
       i.updated_at,
       c.generation, c.position, c.active, c.der, c.serial, c.skid, c.subject, c.key_ref, c.key_kind, c.not_before,
       c.not_after, c.crl_shards, c.revoked_at, c.revocation_reason
  FROM issuer i
  JOIN ca_certificate g ON g.issuer_no = i.no AND g.position = 0
  JOIN ca_certificate c ON c.issuer_no = i.no AND c.generation = g.generation
 WHERE ($1::text IS NULL OR i.id = $1)
   AND (g.active
        OR (g.not_after > now()
            AND (g.ends_at IS NULL
                 OR g.ends_at + make_interval(secs => coalesce((i.settings->>'crl_keep_expired_s')::bigint, 0)) > now()
                 OR (SELECT count(DISTINCT l.scope)
                       FROM crl l
                      WHERE l.issuer_no = i.no AND l.generation = g.generation AND l.error IS NULL
                        AND l.scope <> 'delta' AND l.this_update > g.ends_at) < greatest(g.crl_shards, 1))))
 ORDER BY i.no, c.generation, c.position;

-- name: issuer_retire
UPDATE ca_certificate SET active = false, retired_at = now() WHERE issuer_no = $1 AND active;

-- name: issuer_lock
-- One re-key at a time; the newest generation.
SELECT (SELECT max(generation) FROM ca_certificate WHERE issuer_no = i.no) AS generation
  FROM issuer i
 WHERE i.no = $1
   FOR NO KEY UPDATE;

-- name: issuer_settle
-- When the last certificate of a retired generation ends; asked once, when nothing can be on its way under it any more.
UPDATE ca_certificate c
   SET ends_at = greatest(c.retired_at,
                          (SELECT max(v.not_after)
                             FROM certificate_version v
                            WHERE v.issuer_no = c.issuer_no AND v.generation = c.generation
                              AND (v.managed_no IS NOT NULL OR v.orphan)))
 WHERE NOT c.active AND c.position = 0 AND c.ends_at IS NULL
   AND c.retired_at < now() - make_interval(secs => $1::bigint);

-- name: issuer_update
UPDATE issuer
   SET name = $2, enabled = $3, config = $4::jsonb, secrets = $5, updated_at = now()
 WHERE id = $1 AND (retired_at IS NULL OR NOT $3);

-- name: issuer_end
UPDATE issuer SET enabled = false, retired_at = now(), updated_at = now() WHERE id = $1 AND retired_at IS NULL;

-- name: issuer_used
-- What still sends orders to an issuer.
SELECT count(*) AS labels FROM est_label l JOIN issuer i ON i.no = l.issuer_no WHERE i.id = $1;

-- name: issuer_tested
UPDATE issuer SET test_status = $2, test_error = $3, tested_at = now() WHERE id = $1;

-- name: issuer_settings_put
UPDATE issuer SET settings = $2::jsonb, updated_at = now() WHERE id = $1;

-- name: issuer_revoke_ca
UPDATE ca_certificate c
   SET revoked_at = now(), revocation_reason = $3
  FROM issuer i
 WHERE i.id = $1 AND c.issuer_no = i.no AND c.generation = $2 AND c.position = 0 AND c.revoked_at IS NULL;

-- name: issuer_no_next
SELECT nextval(pg_get_serial_sequence('issuer', 'no')) AS no;

-- name: issuer_insert
INSERT INTO issuer (no, id, name, type, enabled, config, source, secrets)
VALUES ($1, $2, $3, $4, $5, coalesce($6::jsonb, '{}'), coalesce($7, 'database'), $8);

-- name: ca_insert
INSERT INTO ca_certificate (issuer_no, generation, position, active, der, serial, subject, key_ref, key_kind, skid,
                            not_before, not_after, crl_shards)
VALUES ($1, $2, $3, true, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: issuer_enable
UPDATE issuer SET enabled = $2, updated_at = now() WHERE id = $1;
