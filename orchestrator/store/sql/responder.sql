-- Delegated OCSP responders.

-- name: responder_list
-- Those that have not ended, of every authority or of one and a kind of key.
SELECT issuer_no, ca_generation, key_kind, generation, der, key_file, not_before, not_after
  FROM ocsp_responder
 WHERE not_after > now() AND ($1::integer IS NULL OR issuer_no = $1) AND ($2::integer IS NULL OR ca_generation = $2)
   AND ($3::text IS NULL OR key_kind = $3)
 ORDER BY issuer_no, ca_generation, key_kind, generation DESC;

-- name: responder_insert
INSERT INTO ocsp_responder (issuer_no, generation, der, key_file, not_before, not_after, ca_generation, key_kind)
SELECT $1, coalesce(max(generation), 0) + 1, $2, $3, $4, $5, $6, $7 FROM ocsp_responder WHERE issuer_no = $1
RETURNING generation;

-- name: responder_version
INSERT INTO certificate_version (issuer_no, serial, orphan, der, spki_sha256, fingerprint, not_before, not_after,
                                 generation)
VALUES ($1, $2, false, $3, $4, $5, $6, $7, $8);
