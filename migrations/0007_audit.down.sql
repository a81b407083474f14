CREATE TABLE audit_event_before (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT now(),
    actor         text NOT NULL,
    actor_type    text NOT NULL,
    action        text NOT NULL,
    resource_type text,
    resource_id   text,
    status        integer NOT NULL,
    request_id    text,
    source        text,
    latency_us    bigint,
    details       jsonb
);
INSERT INTO audit_event_before OVERRIDING SYSTEM VALUE
SELECT id, at, actor, actor_type, action, resource_type, resource_id, status, request_id, source, latency_us, details
  FROM audit_event;
SELECT setval(pg_get_serial_sequence('audit_event_before', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM audit_event), false);
DROP VIEW audit_event_text;
DROP TABLE audit_pruned, audit_subtree, audit_seal, audit_key, audit_event;
DROP SEQUENCE audit_event_no;
DROP FUNCTION audit_partitions, audit_detach;
ALTER TABLE audit_event_before RENAME TO audit_event;
ALTER INDEX audit_event_before_pkey RENAME TO audit_event_pkey;
CREATE INDEX audit_event_resource ON audit_event (resource_id, id) WHERE resource_id IS NOT NULL;
CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION append_only();
