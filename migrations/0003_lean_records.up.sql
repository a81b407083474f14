-- Recording a certificate without two foreign keys: each was a query and a row lock for every enrolment, a tenth of
-- what the database did for it.  cert_record asks once for a batch whether the profile is there, and here is what keeps
-- a profile or an issuer that is in use.  The lock waits for statements that are recording, and they see the outcome.

ALTER TABLE managed_certificate
    DROP CONSTRAINT managed_certificate_profile_id_fkey,
    DROP CONSTRAINT managed_certificate_issuer_no_fkey;

CREATE FUNCTION managed_certificate_refers() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER profile_in_use BEFORE DELETE OR UPDATE OF id ON profile
    FOR EACH ROW EXECUTE FUNCTION managed_certificate_refers();
CREATE TRIGGER issuer_in_use BEFORE DELETE OR UPDATE OF no ON issuer
    FOR EACH ROW EXECUTE FUNCTION managed_certificate_refers();
