DROP INDEX managed_certificate_owner;
CREATE INDEX managed_certificate_owner ON managed_certificate (owner_id, no) WHERE owner_id IS NOT NULL;

DROP INDEX managed_certificate_common_name, managed_certificate_environment;
CREATE INDEX managed_certificate_common_name ON managed_certificate (coalesce(common_name, ''), no);
CREATE INDEX managed_certificate_environment ON managed_certificate (coalesce(environment, ''), no);
ALTER TABLE managed_certificate DROP CONSTRAINT managed_certificate_name_key,
    ADD CONSTRAINT managed_certificate_name_key UNIQUE (name);

CREATE OR REPLACE VIEW certificate_names AS
SELECT m.no, m.updated_at,
       lower(m.name || E'\n' || coalesce(m.common_name, '') || E'\n' || array_to_string(m.sans, E'\n') || E'\n') AS text,
       ARRAY(SELECT lower(s) FROM unnest(m.sans) AS s
              UNION
             SELECT lower(substr(s, strpos(s, ':') + 1)) FROM unnest(m.sans) AS s) AS sans
  FROM managed_certificate m;

CREATE EXTENSION IF NOT EXISTS pg_trgm;
ALTER TABLE certificate_search DROP COLUMN words;
CREATE INDEX certificate_search_text ON certificate_search USING gin (text gin_trgm_ops)
    WITH (gin_pending_list_limit = 65536);
DROP FUNCTION search_query(text), search_words(text);
