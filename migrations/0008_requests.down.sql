DROP INDEX managed_certificate_created, managed_certificate_updated, managed_certificate_status,
    managed_certificate_common_name, managed_certificate_environment, managed_certificate_issuer,
    managed_certificate_est_label, managed_certificate_source, managed_certificate_stopped, managed_certificate_put_away,
    managed_certificate_policy, managed_certificate_tags;
CREATE INDEX managed_certificate_common_name ON managed_certificate (common_name, no) WHERE common_name IS NOT NULL;
CREATE INDEX managed_certificate_environment ON managed_certificate (environment, no) WHERE environment IS NOT NULL;
CREATE INDEX managed_certificate_tags ON managed_certificate USING gin (tags jsonb_path_ops) WHERE tags <> '{}';
DROP TABLE search_position, certificate_search, idempotency;
DROP FUNCTION search_text(text, text, text[]), search_sans(text[]), issuer_no_of(text), renewal_window(boolean);
DROP EXTENSION pg_trgm;
