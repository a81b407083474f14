-- Values that are sealed with a master key.  A row is sealed by another key than $1 when its octets after the version are
-- not that key's id.

-- name: sealed_issuers
SELECT id, 'issuer:' || id || ':secrets' AS place, secrets AS sealed
  FROM issuer
 WHERE secrets IS NOT NULL AND substr(secrets, 2, 8) <> $1 AND id > $2
 ORDER BY id
 LIMIT $3;

-- name: sealed_issuer_replace
UPDATE issuer SET secrets = $3 WHERE id = $1 AND secrets = $2;

-- name: sealed_answers
SELECT actor || E'\n' || key AS id, 'idempotency:' || actor || ':' || key || ':answer' AS place, answer AS sealed
  FROM idempotency
 WHERE sealed AND substr(answer, 2, 8) <> $1 AND actor || E'\n' || key > $2
 ORDER BY 1
 LIMIT $3;

-- name: sealed_answer_replace
UPDATE idempotency SET answer = $3 WHERE actor = split_part($1, E'\n', 1) AND key = split_part($1, E'\n', 2) AND answer = $2;
