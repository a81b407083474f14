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
CREATE INDEX audit_event_xid ON audit_event (xid, id); -- what is to be sealed next

-- Should nobody have made the month's partition, an event is still written.
CREATE TABLE audit_event_rest PARTITION OF audit_event DEFAULT;

-- A statement that names a partition does not meet the trigger of the whole table.
CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event_rest
    FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- Partitions for the present month and some after it.  Events of such a month that went to the default partition come
-- along as they are: their leaves stay what they were.
CREATE FUNCTION audit_partitions(months integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    low  timestamptz;
    high timestamptz;
    name text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('audit_partitions'));
    FOR i IN 0..months LOOP
        low := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i)) AT TIME ZONE 'UTC';
        high := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i + 1)) AT TIME ZONE 'UTC';
        name := 'audit_event_' || to_char(low AT TIME ZONE 'UTC', 'YYYY_MM');
        CONTINUE WHEN to_regclass(name) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE audit_event INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
        IF EXISTS (SELECT FROM audit_event_rest WHERE at >= low AND at < high) THEN
            ALTER TABLE audit_event DETACH PARTITION audit_event_rest;
            ALTER TABLE audit_event_rest DISABLE TRIGGER USER;
            EXECUTE format('WITH moved AS (DELETE FROM audit_event_rest WHERE at >= %L AND at < %L RETURNING *)'
                           ' INSERT INTO %I SELECT * FROM moved', low, high, name);
            ALTER TABLE audit_event_rest ENABLE TRIGGER USER;
            EXECUTE format('ALTER TABLE audit_event ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, low, high);
            ALTER TABLE audit_event ATTACH PARTITION audit_event_rest DEFAULT;
        ELSE
            EXECUTE format('ALTER TABLE audit_event ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, low, high);
        END IF;
        EXECUTE format('CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION append_only()', name);
        made := made + 1;
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

-- An event as texts: what its leaf is made of (pkiproto/audit/event.h), in that order.
CREATE VIEW audit_event_text AS
SELECT e.id AS no, e.xid, e.at AS since, e.id::text AS id,
       to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at, e.actor, e.actor_type, e.action,
       e.resource_type, e.resource_id, e.status::text AS status, e.request_id, e.source, e.latency_us::text AS latency_us,
       e.body_hash, e.details::text AS details
  FROM audit_event e;

-- Keys that sign heads.
CREATE TABLE audit_key (
    id   text PRIMARY KEY, -- 16 digits of the SHA-256 of spki
    spki bytea NOT NULL,
    log  bytea NOT NULL CHECK (length(log) = 16), -- journal of its signer
    at   timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER audit_key_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_key
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
    key_id    text NOT NULL REFERENCES audit_key,
    signature bytea NOT NULL,
    last_xid  xid8 NOT NULL,      -- of its last event: the next batch begins after (last_xid, last_id)
    last_id   bigint NOT NULL,
    base_id   bigint NOT NULL     -- events up to this one came from another cluster, whose transactions had other numbers
);
ALTER TABLE audit_seal ALTER COLUMN leaves SET STORAGE EXTERNAL; -- hashes do not compress
CREATE INDEX audit_seal_ids ON audit_seal (max_id, min_id);
CREATE UNIQUE INDEX audit_seal_size ON audit_seal (size);
CREATE TRIGGER audit_seal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seal
    FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- Roots of complete subtrees of 1024 leaves and more: a proof needs a few of these and the leaves of two of them.
CREATE TABLE audit_subtree (
    level smallint NOT NULL, -- of 2^level leaves
    no    bigint NOT NULL,
    root  bytea NOT NULL CHECK (length(root) = 32),
    PRIMARY KEY (level, no)
);

-- Months that were taken out.
CREATE TABLE audit_pruned (
    name     text PRIMARY KEY,
    before   timestamptz NOT NULL,
    first_id bigint NOT NULL,
    last_id  bigint NOT NULL,
    events   bigint NOT NULL,
    at       timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER audit_pruned_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_pruned
    FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- Detach the partition of a month that is over and sealed, and note it; the table stays, to be exported and dropped.
CREATE FUNCTION audit_detach(month date) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    name  text := 'audit_event_' || to_char(month, 'YYYY_MM');
    high  timestamptz := (date_trunc('month', month::timestamp) + interval '1 month') AT TIME ZONE 'UTC';
    left_ bigint;
    noted audit_pruned;
BEGIN
    IF high > now() THEN
        RAISE EXCEPTION '% is not over', name;
    END IF;
    EXECUTE format('SELECT count(*) FROM %I e LEFT JOIN (SELECT unnest(event_ids) AS id FROM audit_seal) s USING (id)'
                   ' WHERE s.id IS NULL', name) INTO left_;
    IF left_ > 0 THEN
        RAISE EXCEPTION '% events of % are not sealed', left_, name;
    END IF;
    EXECUTE format('INSERT INTO audit_pruned (name, before, first_id, last_id, events)'
                   ' SELECT %L, %L, coalesce(min(id), 0), coalesce(max(id), 0), count(*) FROM %I RETURNING *', name, high, name)
       INTO noted;
    EXECUTE format('ALTER TABLE audit_event DETACH PARTITION %I', name);
    INSERT INTO audit_event (actor, actor_type, action, resource_type, resource_id, status, details)
    VALUES (session_user, 'database', 'audit.detach', 'audit', name, 200,
            jsonb_build_object('first_id', noted.first_id, 'last_id', noted.last_id, 'events', noted.events));
    RETURN name;
END
$$;
