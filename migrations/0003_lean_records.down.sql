DROP TRIGGER profile_in_use ON profile;
DROP TRIGGER issuer_in_use ON issuer;
DROP FUNCTION managed_certificate_refers();

ALTER TABLE managed_certificate
    ADD FOREIGN KEY (profile_id) REFERENCES profile,
    ADD FOREIGN KEY (issuer_no) REFERENCES issuer;
