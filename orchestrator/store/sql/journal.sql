-- Reconciliation with the signer's journal.

-- name: journal_position
SELECT position FROM signer_journal WHERE journal_id = $1;

-- name: journal_advance
INSERT INTO signer_journal AS j (journal_id, position) VALUES ($1, $2)
ON CONFLICT (journal_id) DO UPDATE SET position = greatest(j.position, excluded.position);

-- name: journal_known
-- Which of these (issuer number, serial in hexadecimal) are recorded, by their place in the list.
SELECT u.place
  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u (issuer_no, serial, place)
 WHERE EXISTS (SELECT FROM certificate_version v
                WHERE v.issuer_no = u.issuer_no::integer AND v.serial = decode(u.serial, 'hex'))
    OR EXISTS (SELECT FROM ca_certificate c WHERE c.serial = decode(u.serial, 'hex'));

-- name: journal_orphan
-- Recorded, revoked (cessationOfOperation), announced and audited, unless it is there.  The generation whose key
-- identifier it names signed it.
WITH ca AS (
    SELECT generation, crl_shards
      FROM ca_certificate
     WHERE issuer_no = $1 AND position = 0 AND (active OR skid = $8)
     ORDER BY skid IS NOT DISTINCT FROM $8 DESC
     LIMIT 1
), version AS (
    INSERT INTO certificate_version (issuer_no, generation, serial, orphan, der, spki_sha256, not_before, not_after,
                                     issued_at)
    VALUES ($1, coalesce((SELECT generation FROM ca), 1), $2, true, $3, $4, $5, $6, $7)
    ON CONFLICT DO NOTHING
    RETURNING issuer_no, generation, serial, not_after
), revoked AS (
    INSERT INTO revocation (issuer_no, generation, serial, shard, state, reason, revoked_at, not_after, revision)
    SELECT v.issuer_no, v.generation, v.serial, coalesce(crl_shard(v.serial, (SELECT crl_shards FROM ca)), 0), 'revoked', 5,
           now(), v.not_after, 1
      FROM version v
), change AS (
    INSERT INTO change_feed (kind, issuer_no, serial) SELECT 'status', issuer_no, serial FROM version
), audit AS (
    INSERT INTO audit_event (actor, actor_type, action, resource_type, resource_id, status)
    SELECT 'chanceryd', 'system', 'certificate.orphan', 'certificate', encode(serial, 'hex'), 200 FROM version
)
SELECT count(*) AS recorded FROM version;
