-- Answers to calls with an Idempotency-Key.

-- name: idempotency_begin
-- A key that nobody has used for a day is as good as new.
INSERT INTO idempotency AS i (actor, key, request_hash, request_id, holder)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (actor, key) DO UPDATE
   SET request_hash = excluded.request_hash, request_id = excluded.request_id, holder = excluded.holder, status = NULL,
       headers = NULL, answer = NULL, sealed = false, created_at = now()
 WHERE i.created_at < now() - interval '1 day';

-- name: idempotency_find
SELECT request_hash, holder, status, headers, answer, sealed, extract(epoch FROM now() - created_at)::bigint AS age_s
  FROM idempotency
 WHERE actor = $1 AND key = $2;

-- name: idempotency_resume
-- Serve again what somebody else did not finish.
UPDATE idempotency
   SET holder = $4, request_id = $5, created_at = now()
 WHERE actor = $1 AND key = $2 AND holder = $3 AND status IS NULL;

-- name: idempotency_finish
UPDATE idempotency
   SET status = $4, headers = $5::jsonb, answer = $6, sealed = $7
 WHERE actor = $1 AND key = $2 AND request_id = $3 AND status IS NULL;

-- name: idempotency_drop
-- Nothing was done, unless the audit has it: a change and its audit row are one transaction.
DELETE FROM idempotency
 WHERE actor = $1 AND key = $2 AND request_id = $3 AND status IS NULL
   AND NOT EXISTS (SELECT FROM audit_event e
                    WHERE e.at > now() - interval '10 minutes' AND e.actor = $1 AND e.request_id = $3 AND e.status < 300);

-- name: idempotency_prune
WITH gone AS (
    DELETE FROM idempotency
     WHERE (actor, key) IN (SELECT actor, key FROM idempotency WHERE created_at < now() - interval '1 day' LIMIT 1000)
    RETURNING 1
)
SELECT count(*) AS removed FROM gone;
