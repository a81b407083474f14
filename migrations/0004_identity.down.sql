DROP VIEW actor;
DROP TABLE bootstrap, permission_use, certificate_identity, session, account, role_grant, role;
ALTER TABLE est_label DROP allowed_names;
ALTER TABLE est_credential DROP allowed_names;
ALTER TABLE api_key DROP previous_until, DROP previous_digest, DROP rotated_at, DROP created_by, DROP allowed_names;
DELETE FROM api_key WHERE cardinality(permissions) = 0;
ALTER TABLE api_key ADD CONSTRAINT api_key_permissions_check CHECK (cardinality(permissions) > 0);
