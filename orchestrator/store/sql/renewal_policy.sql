-- Renewal policies: when a certificate is due, and who hears of it.

-- name: renewal_policy_windows
-- What issuance needs: of all, or of the one with this id.
SELECT id, renewal_window_days FROM renewal_policy WHERE $1::text IS NULL OR id = $1 ORDER BY id;

-- name: renewal_policy_insert
INSERT INTO renewal_policy (id, name, renewal_window_days, auto_renew, max_retries, retry_interval_seconds,
                            alert_thresholds_days, alert_severity_map)
VALUES ($1, $2, $3, $4, $5, $6, ARRAY(SELECT t::integer FROM jsonb_array_elements_text($7::jsonb) AS t), $8::jsonb);

-- name: renewal_policy_update
UPDATE renewal_policy
   SET name = $2, renewal_window_days = $3, auto_renew = $4, max_retries = $5, retry_interval_seconds = $6,
       alert_thresholds_days = ARRAY(SELECT t::integer FROM jsonb_array_elements_text($7::jsonb) AS t),
       alert_severity_map = $8::jsonb, updated_at = now()
 WHERE id = $1;

-- name: renewal_policy_delete
DELETE FROM renewal_policy WHERE id = $1;

-- name: renewal_policy_uses
SELECT what, uses
  FROM (VALUES ('certificates', (SELECT count(*) FROM managed_certificate WHERE renewal_policy_id = $1)),
               ('EST labels', (SELECT count(*) FROM est_label WHERE renewal_policy_id = $1))) AS u (what, uses)
 WHERE uses > 0;
