ALTER TABLE profile DROP must_staple;
ALTER TABLE issuer DROP source, DROP secrets, DROP test_status, DROP test_error, DROP tested_at, DROP retired_at;
ALTER TABLE est_label DROP owner_id, DROP team_id, DROP environment, DROP renewal_policy_id;
DROP INDEX managed_certificate_owner;
ALTER TABLE managed_certificate ADD owner text;
UPDATE managed_certificate m SET owner = o.name FROM owner o WHERE o.id = m.owner_id;
ALTER TABLE managed_certificate
    DROP owner_id, DROP team_id, DROP environment, DROP renewal_policy_id, DROP tags, DROP archived_at,
    DROP last_renewal_at;
CREATE INDEX managed_certificate_owner ON managed_certificate (owner, no) WHERE owner IS NOT NULL;
DROP TABLE policy_violation, policy, renewal_policy, owner, team;
CREATE OR REPLACE FUNCTION managed_certificate_refers() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    used boolean;
BEGIN
    LOCK TABLE managed_certificate IN SHARE MODE;
    IF TG_TABLE_NAME = 'profile' THEN
        used := EXISTS (SELECT FROM managed_certificate WHERE profile_id = OLD.id);
    ELSE
        used := EXISTS (SELECT FROM managed_certificate WHERE issuer_no = OLD.no);
    END IF;
    IF used THEN
        RAISE EXCEPTION '% is in use by a managed certificate', TG_TABLE_NAME USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END
$$;
