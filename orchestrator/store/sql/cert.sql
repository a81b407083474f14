-- Managed certificates and their versions.

-- name: cert_prior
-- Always one row: what was issued for a transaction key, the managed certificate, the presented certificate.
SELECT k.issuer_no, k.serial, kv.der, km.id AS repeated_id, m.name AS managed_name,
       CASE WHEN m.status = 'Active' AND m.expires_at <= now() THEN 'Expired' ELSE m.status END AS managed_status,
       p.fingerprint AS presented_fingerprint, pm.id AS presented_id, coalesce(r.state, 'good') AS presented_state,
       p.not_after AS presented_not_after,
       (SELECT min(n.issued_at)
          FROM certificate_version n
         WHERE n.managed_no = p.managed_no AND n.issued_at > p.issued_at) AS superseded_at
  FROM (SELECT 1) AS one
  LEFT JOIN issuance_key k ON k.txn_key = $1 AND k.created_at >= now() - make_interval(secs => $2::bigint)
  LEFT JOIN certificate_version kv ON kv.issuer_no = k.issuer_no AND kv.serial = k.serial
  LEFT JOIN managed_certificate km ON km.no = kv.managed_no
  LEFT JOIN managed_certificate m ON m.id = $3
  LEFT JOIN certificate_version p ON p.issuer_no = $4 AND p.serial = $5 AND NOT p.orphan
  LEFT JOIN managed_certificate pm ON pm.no = p.managed_no
  LEFT JOIN revocation r ON r.issuer_no = p.issuer_no AND r.serial = p.serial;

-- name: cert_record
-- All or nothing: without the transaction key, nothing is written.
WITH key AS (
    INSERT INTO issuance_key AS k (txn_key, issuer_no, serial)
    SELECT $1::bytea, $2, $3 WHERE $1 IS NOT NULL
    ON CONFLICT (txn_key) DO UPDATE
       SET issuer_no = excluded.issuer_no, serial = excluded.serial, created_at = now()
     WHERE k.created_at < now() - make_interval(secs => $4::bigint)
    RETURNING 1
), won AS (
    SELECT 1 FROM key UNION ALL SELECT 1 WHERE $1 IS NULL
), managed AS (
    INSERT INTO managed_certificate AS m (id, name, source, profile_id, issuer_no, est_label_id, owner, common_name,
                                          subject, subject_der, sans, status, expires_at, last_serial)
    SELECT $5, $6, $7, $8, $2, $9, $10, $11, $12, $13, $14, 'Active', $15, $3 FROM won
    ON CONFLICT (id) DO UPDATE
       SET profile_id = excluded.profile_id, issuer_no = excluded.issuer_no, owner = coalesce(excluded.owner, m.owner),
           common_name = excluded.common_name, subject = excluded.subject, subject_der = excluded.subject_der,
           sans = excluded.sans, status = 'Active', expires_at = excluded.expires_at,
           last_serial = excluded.last_serial, revoked_at = NULL, revocation_reason = NULL, updated_at = now()
    RETURNING no
), version AS (
    INSERT INTO certificate_version (issuer_no, serial, managed_no, orphan, der, spki_sha256, fingerprint, not_before,
                                     not_after, transaction_key)
    SELECT $2, $3, no, false, $16, $17, $18, $19, $15, $1 FROM managed
    RETURNING 1
), audit AS (
    INSERT INTO audit_event (actor, actor_type, action, resource_type, resource_id, status, request_id, source,
                             latency_us, details)
    SELECT $20, $21, $22, $23, $24, $25, $26, $27, $28, $29::jsonb FROM managed
), change AS (
    INSERT INTO change_feed (kind, issuer_no, serial)
    SELECT 'status', $2, $3 FROM managed
)
SELECT EXISTS (SELECT FROM version) AS won;

-- name: cert_find
-- By id or by name.
SELECT
       m.no, m.id, m.name, m.source, m.profile_id, m.issuer_no, i.id AS issuer_id, m.est_label_id, m.owner,
       m.common_name, m.subject, m.subject_der, m.sans,
       CASE WHEN m.status = 'Active' AND m.expires_at <= now() THEN 'Expired' ELSE m.status END AS status,
       m.expires_at, m.last_serial, m.revoked_at, m.revocation_reason, m.created_at, m.updated_at
  FROM managed_certificate m
  JOIN issuer i ON i.no = m.issuer_no
 WHERE m.id = $1 OR m.name = $2;

-- name: cert_version_find
-- By serial in every issuer (0) or in one; the newest, should there be two.
SELECT
       v.issuer_no, i.id AS issuer_id, v.serial, v.der, v.orphan, m.id AS managed_id, v.spki_sha256, v.fingerprint,
       v.not_before, v.not_after, v.issued_at, coalesce(r.state, 'good') AS state, r.reason, r.revoked_at,
       r.invalidity_at
  FROM issuer i
  JOIN certificate_version v ON v.issuer_no = i.no AND v.serial = $2
  LEFT JOIN managed_certificate m ON m.no = v.managed_no
  LEFT JOIN revocation r ON r.issuer_no = v.issuer_no AND r.serial = v.serial
 WHERE $1::integer = 0 OR i.no = $1
 ORDER BY v.issued_at DESC
 LIMIT 1;

-- name: cert_versions
SELECT
       v.issuer_no, i.id AS issuer_id, v.serial, v.der, v.orphan, m.id AS managed_id, v.spki_sha256, v.fingerprint,
       v.not_before, v.not_after, v.issued_at, coalesce(r.state, 'good') AS state, r.reason, r.revoked_at,
       r.invalidity_at
  FROM managed_certificate m
  JOIN certificate_version v ON v.managed_no = m.no
  JOIN issuer i ON i.no = v.issuer_no
  LEFT JOIN revocation r ON r.issuer_no = v.issuer_no AND r.serial = v.serial
 WHERE m.id = $1
 ORDER BY v.issued_at DESC
 LIMIT $2;

-- name: cert_counts
SELECT count(*) FILTER (WHERE status = 'Active' AND expires_at > now()) AS active,
       count(*) FILTER (WHERE status = 'Active' AND expires_at <= now()) AS expired,
       count(*) FILTER (WHERE status = 'Revoked') AS revoked,
       (SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'certificate_version'::regclass) AS versions
  FROM managed_certificate;
