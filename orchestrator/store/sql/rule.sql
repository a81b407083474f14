-- Policies of the installation, which the code calls rules, and what they found.

-- name: rule_list
SELECT id, name, type, config, severity, enabled FROM policy ORDER BY id;

-- name: rule_insert
INSERT INTO policy (id, name, type, config, severity, enabled) VALUES ($1, $2, $3, $4::jsonb, $5, $6);

-- name: rule_update
UPDATE policy
   SET name = $2, type = $3, config = $4::jsonb, severity = $5, enabled = $6, updated_at = now()
 WHERE id = $1;

-- name: rule_delete
-- With its violations.
DELETE FROM policy WHERE id = $1;

-- name: violation_insert
-- A list of violations as one JSON text; of a policy that is gone there is nothing to say.
INSERT INTO policy_violation (policy_id, certificate_id, message, severity, refused, actor)
SELECT p.id, $2, v.message, p.severity, $3, $4
  FROM jsonb_to_recordset($1::jsonb) AS v (policy_id text, message text)
  JOIN policy p ON p.id = v.policy_id;
