-- Delegated OCSP responders.

-- name: responder_list
-- The newest of every issuer, or of one.
SELECT DISTINCT ON (issuer_no) issuer_no, generation, der, key_file, not_before, not_after
  FROM ocsp_responder
 WHERE $1::integer IS NULL OR issuer_no = $1
 ORDER BY issuer_no, generation DESC;

-- name: responder_insert
INSERT INTO ocsp_responder (issuer_no, generation, der, key_file, not_before, not_after)
SELECT $1, coalesce(max(generation), 0) + 1, $2, $3, $4, $5 FROM ocsp_responder WHERE issuer_no = $1
RETURNING generation;

-- name: responder_version
INSERT INTO certificate_version (issuer_no, serial, orphan, der, spki_sha256, fingerprint, not_before, not_after)
VALUES ($1, $2, false, $3, $4, $5, $6, $7);
