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
    text text NOT NULL -- name, common name and alternative names in lower case
);
CREATE INDEX certificate_search_text ON certificate_search USING gin (text gin_trgm_ops);

-- Sort orders of the list of certificates.  New rows go to the right edge of each.
CREATE INDEX managed_certificate_updated ON managed_certificate (updated_at, no);
CREATE INDEX managed_certificate_status ON managed_certificate (status, expires_at, no);
