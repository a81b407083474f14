-- Revocation, hold and release.

-- name: revocation_lock
-- One change of a managed certificate at a time; issuing a new version waits, too.
SELECT no FROM managed_certificate WHERE id = $1 FOR NO KEY UPDATE;

-- name: revocation_versions
-- Versions in question: unexpired ones, and those named.
SELECT v.issuer_no, v.generation, v.serial, v.not_after, NULL::bytea AS fingerprint, r.state, r.reason, r.revoked_at,
       r.invalidity_at, r.revision, v.not_after <= now() AS expired,
       coalesce((i.settings->>'webpki')::boolean, false) AS webpki, coalesce(i.type = 'external', false) AS external
  FROM certificate_version v
  LEFT JOIN revocation r ON r.issuer_no = v.issuer_no AND r.serial = v.serial
  LEFT JOIN issuer i ON i.no = v.issuer_no
 WHERE v.managed_no = $1
   AND (v.not_after > now() OR v.serial = ANY (SELECT decode(h, 'hex') FROM unnest($2::text[]) AS h));

-- name: revocation_put
-- A certificate that was on hold keeps the date from which it cannot be trusted.
INSERT INTO revocation AS r (issuer_no, serial, state, reason, revoked_at, invalidity_at, not_after, revision,
                             generation, shard)
VALUES ($1, $2, $3, $4, now(), $5, $6, 1, $7::smallint,
        coalesce(crl_shard($2, (SELECT crl_shards
                                  FROM ca_certificate
                                 WHERE issuer_no = $1 AND generation = $7::smallint AND position = 0)), 0))
ON CONFLICT (issuer_no, serial) DO UPDATE
   SET state = excluded.state, reason = excluded.reason, invalidity_at = excluded.invalidity_at,
       revoked_at = CASE r.state WHEN 'hold' THEN r.revoked_at ELSE excluded.revoked_at END,
       revision = r.revision + 1, changed_xid = pg_current_xact_id()
RETURNING issuer_no, generation, serial, not_after, state, reason, revoked_at, invalidity_at, revision,
          (SELECT v.fingerprint
             FROM certificate_version v
             JOIN issuer i ON i.no = v.issuer_no AND (i.settings->>'ocsp_cert_hash')::boolean
            WHERE v.issuer_no = r.issuer_no AND v.serial = r.serial) AS fingerprint;

-- name: revocation_follow
-- A managed certificate is Active as long as an unexpired version of it is good.
UPDATE managed_certificate m
   SET status = s.status, updated_at = now(),
       revoked_at = CASE s.status WHEN 'Revoked' THEN coalesce(m.revoked_at, now()) END,
       revocation_reason = CASE s.status WHEN 'Revoked' THEN $2::smallint END
  FROM (SELECT CASE WHEN EXISTS (
                   SELECT FROM certificate_version v
                     LEFT JOIN revocation r ON r.issuer_no = v.issuer_no AND r.serial = v.serial
                    WHERE v.managed_no = $1 AND v.not_after > now() AND (r.state IS NULL OR r.state = 'released'))
               THEN 'Active' ELSE 'Revoked' END AS status) AS s
 WHERE m.no = $1;

-- name: revocation_status
SELECT v.issuer_no, v.generation, v.serial, v.not_after, v.exempt,
       CASE WHEN (i.settings->>'ocsp_cert_hash')::boolean THEN v.fingerprint END AS fingerprint,
       r.state, r.reason, r.revoked_at, r.invalidity_at, r.revision
  FROM certificate_version v
  LEFT JOIN revocation r ON r.issuer_no = v.issuer_no AND r.serial = v.serial
  LEFT JOIN issuer i ON i.no = v.issuer_no
 WHERE v.issuer_no = $1 AND v.serial = $2;
