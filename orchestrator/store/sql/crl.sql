-- CRL numbers, entries, and what was published.

-- name: crl_number_next
-- At least the time: a database that was restored does not repeat numbers.
INSERT INTO crl_number AS n (issuer_no, scope, number)
VALUES ($1, $2, extract(epoch FROM now())::bigint)
ON CONFLICT (issuer_no, generation, scope) DO UPDATE SET number = greatest(n.number + 1, excluded.number)
RETURNING number;

-- name: crl_entries
-- Not those that had expired when the last list was made.
SELECT issuer_no, generation, serial, not_after, NULL::bytea AS fingerprint, state, reason, revoked_at, invalidity_at,
       revision
  FROM revocation
 WHERE issuer_no = $1 AND state <> 'released'
   AND not_after >= coalesce((SELECT max(this_update) FROM crl WHERE issuer_no = $1 AND scope = $2 AND error IS NULL),
                             '-infinity')
 ORDER BY serial;

-- name: crl_insert
INSERT INTO crl (issuer_no, scope, number, this_update, next_update, file, size, etag, entries, duration_ms, error)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: crl_forget
-- The newest hundred tell enough.
DELETE FROM crl
 WHERE issuer_no = $1 AND scope = $2
   AND number <= (SELECT number FROM crl WHERE issuer_no = $1 AND scope = $2 ORDER BY number DESC OFFSET 100 LIMIT 1)
   AND number < (SELECT max(number) FROM crl WHERE issuer_no = $1 AND scope = $2 AND error IS NULL);

-- name: crl_last
SELECT issuer_no, scope, number, this_update, next_update, file, size, etag, entries, duration_ms, generated_at, error
  FROM crl
 WHERE issuer_no = $1 AND scope = $2 AND error IS NULL
 ORDER BY number DESC
 LIMIT 1;
