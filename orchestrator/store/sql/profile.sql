-- Certificate profiles.

-- name: profile_list
-- All, or the one with this id.
SELECT id, name, key_kinds, min_rsa_bits, validity_s, eku, name_kinds, dns_patterns, ip_patterns, email_patterns,
       uri_patterns, subject_rule, allow_empty_subject, revocation_exempt, must_staple, created_at, updated_at
  FROM profile
 WHERE $1::text IS NULL OR id = $1
 ORDER BY name;

-- name: profile_insert
INSERT INTO profile (id, name, key_kinds, min_rsa_bits, validity_s, eku, name_kinds, dns_patterns, ip_patterns,
                     email_patterns, uri_patterns, subject_rule, allow_empty_subject, revocation_exempt, must_staple)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15);

-- name: profile_update
UPDATE profile
   SET name = $2, key_kinds = $3, min_rsa_bits = $4, validity_s = $5, eku = $6, name_kinds = $7, dns_patterns = $8,
       ip_patterns = $9, email_patterns = $10, uri_patterns = $11, subject_rule = $12, allow_empty_subject = $13,
       revocation_exempt = $14, must_staple = $15, updated_at = now()
 WHERE id = $1;

-- name: profile_delete
DELETE FROM profile WHERE id = $1;
