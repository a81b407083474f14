ALTER INDEX certificate_search_text SET (gin_pending_list_limit = 256);
ALTER INDEX certificate_search_sans SET (gin_pending_list_limit = 256);
ALTER TABLE certificate_search DROP COLUMN updated_at;
DROP VIEW certificate_names;

CREATE FUNCTION search_text(name text, common_name text, sans text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT lower(concat(name, E'\n', common_name, E'\n', array_to_string(sans, E'\n'), E'\n'))
$$;
CREATE FUNCTION search_sans(sans text[]) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY(SELECT lower(s) FROM unnest(sans) AS s
           UNION
                 SELECT lower(substr(s, strpos(s, ':') + 1)) FROM unnest(sans) AS s)
$$;
