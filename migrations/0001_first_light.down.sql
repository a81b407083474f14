-- Takes away everything that 0001_first_light.up.sql made, data included.
DROP TABLE signer_journal, change_floor, change_feed, audit_event, api_key, ocsp_responder, crl, crl_number, revocation,
    issuance_key, certificate_version, managed_certificate, est_credential, est_label, profile,
    ca_certificate, issuer;
DROP FUNCTION append_only();
