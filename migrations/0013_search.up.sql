-- Free text is searched by words instead of trigrams: a certificate has a third of them, and most it shares with others.

-- The words of a text in lower case: runs of letters or digits.  Most names are short and of few kinds of characters, which
-- costs a third of what a regular expression does.  Others have words of 255 characters at most: an index has a limit.
CREATE FUNCTION search_words(text text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_remove(CASE
        WHEN octet_length(text) < 255 AND text !~ '[^a-z0-9 .:_\n-]'
        THEN string_to_array(replace(replace(replace(replace(replace(text, ' ', E'\n'), '.', E'\n'), '-', E'\n'), ':', E'\n'),
                                     '_', E'\n'), E'\n')
        ELSE regexp_split_to_array(regexp_replace(text, '[[:alnum:]]{255}', '\& ', 'g'), '[^[:alnum:]]+') END, '')
$$;

-- Whether words that many certificates have begin like this.
CREATE FUNCTION search_shared(prefix text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM pg_stats s, unnest(s.most_common_elems::text::text[]) AS e
                    WHERE s.tablename = 'certificate_search' AND s.attname = 'words' AND e ^@ prefix)
$$;

-- What a text that is searched for has to be found by: all its words, of which the last may be the start of one.  If it is
-- the start of many, all of which would be read, the others have to do.  "Immutable" for as long as a plan is, so that it
-- is asked once for each; words are letters and digits, which need no escapes.
CREATE FUNCTION search_query(text text) RETURNS tsquery LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    words text[] := search_words(lower(text));
    n integer := cardinality(words);
    whole text := array_to_string(words, ' & ');
BEGIN
    IF n = 0 THEN
        RETURN NULL;
    ELSIF text !~ '[[:alnum:]]$' THEN
        RETURN whole::tsquery;
    ELSIF n > 1 AND search_shared(words[n]) THEN
        RETURN array_to_string(words[:n - 1], ' & ')::tsquery;
    END IF;
    RETURN (whole || ':*')::tsquery;
END
$$;

DROP INDEX certificate_search_text;
ALTER TABLE certificate_search ADD words tsvector NOT NULL GENERATED ALWAYS AS (array_to_tsvector(search_words(text))) STORED;
CREATE INDEX certificate_search_words ON certificate_search USING gin (words) WITH (gin_pending_list_limit = 65536);
DO $$
BEGIN
    DROP EXTENSION pg_trgm;
EXCEPTION WHEN insufficient_privilege OR dependent_objects_still_exist THEN
    NULL; -- somebody else's as well
END
$$;

-- Alternative names are searched with their kinds alone: who asks without one means any of them.  A list made by one
-- expression costs a tenth of one made by a query for each row, and has half the words.
CREATE OR REPLACE VIEW certificate_names AS
SELECT m.no, m.updated_at,
       lower(m.name || E'\n' || coalesce(m.common_name, '') || E'\n' || array_to_string(m.sans, E'\n') || E'\n') AS text,
       string_to_array(lower(array_to_string(m.sans, E'\n')), E'\n') AS sans
  FROM managed_certificate m;
