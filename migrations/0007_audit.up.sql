-- The audit: partitions by month, and a Merkle tree (RFC 9162 2.1) over all events, whose heads the signer signs.
--
-- An event is written without any lock that others wait for.  A moment later, when every transaction that could have
-- come before it has ended, it becomes a leaf of the tree; xid tells when that is.

ALTER TABLE audit_event RENAME TO audit_event_before;
ALTER INDEX audit_event_pkey RENAME TO audit_event_before_pkey;
ALTER INDEX audit_event_resource RENAME TO audit_event_before_resource;

CREATE SEQUENCE audit_event_no;
CREATE TABLE audit_event (
    id            bigint NOT NULL DEFAULT nextval('audit_event_no'),
    at            timestamptz NOT NULL DEFAULT now(),
    xid           xid8 NOT NULL DEFAULT pg_current_xact_id(),
    actor         text NOT NULL,
    actor_type    text NOT NULL,
    action        text NOT NULL,
    resource_type text,
    resource_id   text,
    status        integer NOT NULL, -- HTTP status of the call
    request_id    text,
    source        text,
    latency_us    bigint,
    body_hash     text,             -- 16 hexadecimal digits of the SHA-256 of the request's body
    details       jsonb,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX audit_event_resource ON audit_event (resource_id, id) WHERE resource_id IS NOT NULL;
CREATE INDEX audit_event_actor ON audit_event (actor, id);
CREATE INDEX audit_event_at ON audit_event USING brin (at);

-- Should nobody have made the month's partition, an event is still written.
CREATE TABLE audit_event_rest PARTITION OF audit_event DEFAULT;

-- Partitions for the present month and some after it.
CREATE FUNCTION audit_partitions(months integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    first date;
    name  text;
    made  integer := 0;
BEGIN
    FOR i IN 0..months LOOP
        first := date_trunc('month', now() AT TIME ZONE 'UTC')::date + make_interval(months => i);
        name := 'audit_event_' || to_char(first, 'YYYY_MM');
        IF to_regclass(name) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF audit_event FOR VALUES FROM (%L) TO (%L)', name,
                           first::timestamp AT TIME ZONE 'UTC',
                           (first + interval '1 month')::timestamp AT TIME ZONE 'UTC');
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END
$$;
SELECT audit_partitions(3);

INSERT INTO audit_event (id, at, actor, actor_type, action, resource_type, resource_id, status, request_id, source,
                         latency_us, details)
SELECT id, at, actor, actor_type, action, resource_type, resource_id, status, request_id, source, latency_us, details
  FROM audit_event_before;
SELECT setval('audit_event_no', (SELECT coalesce(max(id), 0) + 1 FROM audit_event_before), false);
DROP TABLE audit_event_before;

CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- Leaves in the order of the tree, a batch in a row, with the head of the tree that ends in it.
CREATE TABLE audit_seal (
    first     bigint PRIMARY KEY, -- number of its first leaf
    size      bigint NOT NULL,    -- of the tree with this batch: first + its leaves
    event_ids bigint[] NOT NULL,
    min_id    bigint NOT NULL,
    max_id    bigint NOT NULL,
    leaves    bytea NOT NULL,     -- hashes, 32 octets each
    root      bytea NOT NULL CHECK (length(root) = 32),
    at        timestamptz NOT NULL,
    key_ref   text NOT NULL,
    signature bytea NOT NULL
);
CREATE INDEX audit_seal_ids ON audit_seal (max_id, min_id);
CREATE TRIGGER audit_seal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seal
    FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- Roots of the complete subtrees of 1024 leaves: a proof needs no more than these and two batches.
CREATE TABLE audit_subtree (
    no   bigint PRIMARY KEY,
    root bytea NOT NULL CHECK (length(root) = 32)
);
