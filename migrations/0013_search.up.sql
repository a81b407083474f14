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

-- What a text that is searched for has to be found by: all its words, of which the last may be the start of one.  If many
-- certificates have words that start so, all of which would be read, the others have to do.  The planner takes each word that
-- is not common to be in 0.5 % of all, and each start in 2 %, which is many: they are there twice.  It knows common ones, not
-- their starts: these come with them.  "Immutable" for as long as a plan is, so that it is asked once for each; words are
-- letters and digits, which need no escapes.
CREATE FUNCTION search_query(text text) RETURNS tsquery LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    words text[] := search_words(lower(text));
    last text := words[cardinality(words)];
    common text[] := (SELECT s.most_common_elems::text::text[] FROM pg_stats s
                       WHERE s.schemaname = current_schema AND s.tablename = 'certificate_search' AND s.attname = 'words');
    alike text[] := ARRAY(SELECT c FROM unnest(common) AS c WHERE c ^@ last);
BEGIN
    IF text ~ '[[:alnum:]]$' THEN
        words := words[:cardinality(words) - 1];
        IF alike = '{}' THEN
            words := words || (last || ':*');
        ELSIF words = '{}' THEN
            RETURN (array_to_string(alike, ' | ') || ' | ' || last || ':*')::tsquery;
        END IF;
    END IF;
    RETURN (SELECT string_agg(CASE WHEN w = ANY (common) THEN w ELSE w || ' & ' || w END, ' & ')
              FROM unnest(words) AS w)::tsquery;
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

-- Pages by number pass rows by these indexes, too, without a look at the rows.  Who looks into an index for an expression
-- alone needs the column that it is made of there.
ALTER TABLE managed_certificate DROP CONSTRAINT managed_certificate_name_key,
    ADD CONSTRAINT managed_certificate_name_key UNIQUE (name) INCLUDE (no, archived_at);
DROP INDEX managed_certificate_common_name, managed_certificate_environment;
CREATE INDEX managed_certificate_common_name ON managed_certificate (coalesce(common_name, ''), no)
    INCLUDE (common_name, archived_at);
CREATE INDEX managed_certificate_environment ON managed_certificate (coalesce(environment, ''), no)
    INCLUDE (environment, archived_at);

-- An owner has thousands: they are sorted by what the index says of them.  What has no owner does not pay for that.
DROP INDEX managed_certificate_owner;
CREATE INDEX managed_certificate_owner ON managed_certificate (owner_id, no) INCLUDE (name, expires_at, archived_at)
    WHERE owner_id IS NOT NULL;
