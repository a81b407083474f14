-- What the API remembers of requests, and what lists are made fast with.

-- Answers to POST with an Idempotency-Key, for a day.  status NULL: it is being served, or its process died.
CREATE TABLE idempotency (
    actor        text NOT NULL,
    key          text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_hash bytea NOT NULL, -- SHA-256 of method, path and body; scrypt where the body shows a secret
    request_id   text NOT NULL,  -- of the call that serves it, as in the audit
    holder       text NOT NULL,  -- host and process that serve it
    status       integer,
    headers      jsonb,
    answer       bytea,          -- sealed where it shows a secret
    sealed       boolean NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (actor, key)
);
CREATE INDEX idempotency_created ON idempotency (created_at);

-- Free text over names, filled a moment after the certificates themselves: an index of trigrams costs more than all
-- else that an enrolment writes.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE TABLE certificate_search (
    no   bigint PRIMARY KEY,
    text text NOT NULL,  -- search_text()
    sans text[] NOT NULL -- search_sans()
);
CREATE INDEX certificate_search_text ON certificate_search USING gin (text gin_trgm_ops)
    WITH (gin_pending_list_limit = 256); -- kB, all of which each search reads
CREATE INDEX certificate_search_sans ON certificate_search USING gin (sans) WITH (gin_pending_list_limit = 256);

-- Name, common name and alternative names in lower case, each with a newline behind it.
CREATE FUNCTION search_text(name text, common_name text, sans text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT lower(concat(name, E'\n', common_name, E'\n', array_to_string(sans, E'\n'), E'\n'))
$$;

-- Alternative names in lower case, with their kinds ("dns:") and without.
CREATE FUNCTION search_sans(sans text[]) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY(SELECT lower(s) FROM unnest(sans) AS s
           UNION
                 SELECT lower(substr(s, strpos(s, ':') + 1)) FROM unnest(sans) AS s)
$$;

-- For filters: stable, so that the planner knows which issuer it is about.
CREATE FUNCTION issuer_no_of(id text) RETURNS integer LANGUAGE sql STABLE AS $$ SELECT i.no FROM issuer i WHERE i.id = $1 $$;

-- The longest window of all renewal policies, or the shortest, and of certificates without one: stable, as above.
CREATE FUNCTION renewal_window(longest boolean) RETURNS interval LANGUAGE sql STABLE AS $$
    SELECT interval '1 day' * CASE WHEN longest THEN greatest(30, max(renewal_window_days))
                                   ELSE least(30, min(renewal_window_days)) END
      FROM renewal_policy
$$;

-- One row: what was changed before this instant is in certificate_search.
CREATE TABLE search_position (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    at  timestamptz NOT NULL
);
INSERT INTO search_position (at) VALUES ('-infinity');

-- Orders and filters of the list of certificates.  Enrolments go to the right edge of each, or of one of its few parts.
DROP INDEX managed_certificate_common_name, managed_certificate_environment, managed_certificate_tags;
CREATE INDEX managed_certificate_created ON managed_certificate (created_at, no);
CREATE INDEX managed_certificate_updated ON managed_certificate (updated_at, no);
CREATE INDEX managed_certificate_status ON managed_certificate (status, expires_at, no);
CREATE INDEX managed_certificate_common_name ON managed_certificate (coalesce(common_name, ''), no);
CREATE INDEX managed_certificate_environment ON managed_certificate (coalesce(environment, ''), no);
CREATE INDEX managed_certificate_issuer ON managed_certificate (issuer_no, no);

-- Which enrolments do without.
CREATE INDEX managed_certificate_est_label ON managed_certificate (est_label_id, no) WHERE est_label_id IS NOT NULL;
CREATE INDEX managed_certificate_source ON managed_certificate (source, no) WHERE source <> 'EST';
CREATE INDEX managed_certificate_stopped ON managed_certificate (status, no) WHERE status <> 'Active';
CREATE INDEX managed_certificate_put_away ON managed_certificate (no) WHERE archived_at IS NOT NULL;
CREATE INDEX managed_certificate_policy ON managed_certificate (renewal_policy_id, no) WHERE renewal_policy_id IS NOT NULL;
CREATE INDEX managed_certificate_tags ON managed_certificate USING gin (tags) WHERE tags <> '{}';
