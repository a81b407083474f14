-- What is searched of a certificate: name, common name and alternative names in lower case, each with a newline behind
-- it; alternative names once more by themselves, with their kinds ("dns:") and without.
CREATE VIEW certificate_names AS
SELECT m.no, m.updated_at,
       lower(m.name || E'\n' || coalesce(m.common_name, '') || E'\n' || array_to_string(m.sans, E'\n') || E'\n') AS text,
       ARRAY(SELECT lower(s) FROM unnest(m.sans) AS s
              UNION
             SELECT lower(substr(s, strpos(s, ':') + 1)) FROM unnest(m.sans) AS s) AS sans
  FROM managed_certificate m;
DROP FUNCTION search_text(text, text, text[]), search_sans(text[]);

-- updated_at of the certificate when it was read, so that looking again costs little.
ALTER TABLE certificate_search ADD updated_at timestamptz;

-- The filler empties the pending lists after each batch: many rows at once share their words.
ALTER INDEX certificate_search_text SET (gin_pending_list_limit = 65536);
ALTER INDEX certificate_search_sans SET (gin_pending_list_limit = 65536);
