-- Managed certificates and their versions.

-- name: cert_prior
-- For each question of a batch, by its place: what was issued for a transaction key, the managed certificate, the
-- presented certificate.  LATERAL with LIMIT keeps every look-up an index scan whatever the planner expects.
SELECT i.place, k.issuer_no, k.serial, k.der, k.id AS repeated_id, m.name AS managed_name, m.status AS managed_status,
       p.fingerprint AS presented_fingerprint, p.id AS presented_id, p.state AS presented_state,
       p.not_after AS presented_not_after, p.superseded_at
  FROM unnest($1::bytea[], $2::bigint[], $3::text[], $4::bigint[], $5::bytea[])
       WITH ORDINALITY AS i (txn_key, window_s, managed_id, issuer_no, serial, place)
  LEFT JOIN LATERAL (
       SELECT k.issuer_no, k.serial, v.der, m.id
         FROM issuance_key k
         JOIN certificate_version v ON v.issuer_no = k.issuer_no AND v.serial = k.serial
         LEFT JOIN managed_certificate m ON m.no = v.managed_no
        WHERE k.txn_key = i.txn_key AND k.created_at >= now() - make_interval(secs => i.window_s)
        LIMIT 1) AS k ON true
  LEFT JOIN LATERAL (
       SELECT m.name, CASE WHEN m.status = 'Active' AND m.expires_at <= now() THEN 'Expired' ELSE m.status END AS status
         FROM managed_certificate m
        WHERE m.id = i.managed_id
        LIMIT 1) AS m ON true
  LEFT JOIN LATERAL (
       SELECT v.fingerprint, v.not_after, m.id, coalesce(r.state, 'good') AS state,
              (SELECT min(n.issued_at)
                 FROM certificate_version n
                WHERE n.managed_no = v.managed_no AND n.issued_at > v.issued_at) AS superseded_at
         FROM certificate_version v
         LEFT JOIN managed_certificate m ON m.no = v.managed_no
         LEFT JOIN revocation r ON r.issuer_no = v.issuer_no AND r.serial = v.serial
        WHERE v.issuer_no = i.issuer_no::integer AND v.serial = i.serial AND NOT v.orphan
        LIMIT 1) AS p ON true;

-- name: cert_keys
-- Transaction keys of the retry window, in order.
SELECT txn_key FROM issuance_key WHERE txn_key > $1 AND created_at >= now() - make_interval(secs => $2::bigint)
 ORDER BY txn_key LIMIT $3::bigint;

-- name: cert_record
-- A batch of certificates, all or nothing for each: without its transaction key, or for a profile, owner, team or renewal
-- policy that is not there any more, nothing of it is written.  What operators say of one that is there stays.  Sorted, so
-- that two batches never wait for each other.  Gives the managed ids of those recorded.
WITH input AS MATERIALIZED (
    SELECT *
      FROM unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                  $9::text[], $10::text[], $11::text[], $12::bytea[], $13::text[], $14::timestamptz[], $15::bytea[],
                  $16::bytea[], $17::bytea[], $18::timestamptz[], $19::text[], $20::text[], $21::text[], $22::text[],
                  $23::text[], $24::bigint[], $25::text[], $26::text[], $27::bigint[], $28::text[], $29::bigint[],
                  $30::bigint[], $31::text[], $32::text[], $33::text[], $34::text[], $35::text[], $36::text[],
                  $37::bigint[])
           AS i (txn_key, issuer_no, serial, id, name, source, profile_id, est_label_id, owner_id, common_name, subject,
                 subject_der, sans, not_after, der, spki_sha256, fingerprint, not_before, actor, actor_type, action,
                 resource_type, resource_id, status, request_id, peer, latency_us, details, generation,
                 exempt, body_hash, team_id, environment, renewal_policy_id, tags, key_algorithm,
                 key_size)
     WHERE i.profile_id = ANY (ARRAY(SELECT id FROM profile WHERE id = ANY ($7::text[])))
       AND (i.owner_id IS NULL OR i.owner_id = ANY (ARRAY(SELECT id FROM owner WHERE id = ANY ($9::text[]))))
       AND (i.team_id IS NULL OR i.team_id = ANY (ARRAY(SELECT id FROM team WHERE id = ANY ($32::text[]))))
       AND (i.renewal_policy_id IS NULL
            OR i.renewal_policy_id = ANY (ARRAY(SELECT id FROM renewal_policy WHERE id = ANY ($34::text[]))))
), key AS (
    INSERT INTO issuance_key AS k (txn_key, issuer_no, serial)
    SELECT txn_key, issuer_no, serial FROM input WHERE txn_key IS NOT NULL ORDER BY txn_key
    ON CONFLICT (txn_key) DO UPDATE
       SET issuer_no = excluded.issuer_no, serial = excluded.serial, created_at = now()
     WHERE k.created_at < now() - make_interval(secs => $38::bigint)
    RETURNING txn_key
), won AS MATERIALIZED (
    SELECT * FROM input WHERE txn_key IS NULL OR txn_key IN (SELECT txn_key FROM key) ORDER BY id
), managed AS (
    INSERT INTO managed_certificate AS m (id, name, source, profile_id, issuer_no, est_label_id, owner_id, team_id,
                                          environment, renewal_policy_id, tags, common_name, subject, subject_der, sans,
                                          status, expires_at, last_serial)
    SELECT id, name, source, profile_id, issuer_no, est_label_id, owner_id, team_id, environment, renewal_policy_id,
           coalesce(tags::jsonb, '{}'), common_name, subject, subject_der, string_to_array(sans, E'\x1f'), 'Active',
           not_after, serial
      FROM won
    ON CONFLICT (id) DO UPDATE
       SET profile_id = excluded.profile_id, issuer_no = excluded.issuer_no,
           common_name = excluded.common_name, subject = excluded.subject, subject_der = excluded.subject_der,
           sans = excluded.sans, status = 'Active', expires_at = excluded.expires_at,
           last_serial = excluded.last_serial, revoked_at = NULL, revocation_reason = NULL, archived_at = NULL,
           updated_at = now(), last_renewal_at = now()
    RETURNING no, id
), version AS (
    INSERT INTO certificate_version (issuer_no, generation, serial, managed_no, orphan, der, spki_sha256, fingerprint,
                                     not_before, not_after, transaction_key, exempt, key_algorithm, key_size)
    SELECT w.issuer_no, w.generation, w.serial, m.no, false, w.der, w.spki_sha256, w.fingerprint, w.not_before,
           w.not_after, w.txn_key, w.exempt <> 0, w.key_algorithm, w.key_size
      FROM won w
      JOIN managed m ON m.id = w.id
), audit AS (
    INSERT INTO audit_event (actor, actor_type, action, resource_type, resource_id, status, request_id, source,
                             latency_us, body_hash, details)
    SELECT actor, actor_type, action, resource_type, resource_id, status, request_id, peer, latency_us, body_hash,
           details::jsonb
      FROM won
), change AS (
    INSERT INTO change_feed (kind, issuer_no, serial) SELECT 'status', issuer_no, serial FROM won WHERE exempt = 0
)
SELECT id FROM managed;

-- name: cert_find
-- By id.
SELECT
       m.no, m.id, m.name, m.source, m.profile_id, m.issuer_no, i.id AS issuer_id, m.est_label_id, m.owner_id,
       m.team_id, m.environment, m.renewal_policy_id, m.tags::text AS tags, m.common_name, m.subject, m.subject_der,
       m.sans,
       CASE WHEN m.archived_at IS NOT NULL THEN 'Archived'
            WHEN m.status = 'Active' AND m.expires_at <= now() THEN 'Expired' ELSE m.status END AS status,
       m.expires_at, m.last_serial, m.revoked_at, m.revocation_reason, m.created_at, m.updated_at
  FROM managed_certificate m
  JOIN issuer i ON i.no = m.issuer_no
 WHERE m.id = $1;

-- name: cert_version_find
-- By serial in every issuer (0) or in one; the newest, should there be two.
SELECT
       v.issuer_no, v.generation, i.id AS issuer_id, v.serial, v.der, v.orphan, m.id AS managed_id, v.spki_sha256,
       v.fingerprint, v.not_before, v.not_after, v.issued_at, coalesce(r.state, 'good') AS state, r.reason, r.revoked_at,
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
       v.issuer_no, v.generation, i.id AS issuer_id, v.serial, v.der, v.orphan, m.id AS managed_id, v.spki_sha256,
       v.fingerprint, v.not_before, v.not_after, v.issued_at, coalesce(r.state, 'good') AS state, r.reason, r.revoked_at,
       r.invalidity_at
  FROM managed_certificate m
  JOIN certificate_version v ON v.managed_no = m.no
  JOIN issuer i ON i.no = v.issuer_no
  LEFT JOIN revocation r ON r.issuer_no = v.issuer_no AND r.serial = v.serial
 WHERE m.id = $1
 ORDER BY v.issued_at DESC
 LIMIT $2;
