-- Months of events in the default partition are made, too, when they are over: after an upgrade all events older than the
-- tree were there, after a long pause those of months that nobody had made.  They could never be taken out.
CREATE OR REPLACE FUNCTION audit_partitions(months integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    month timestamp;
    low   timestamptz;
    high  timestamptz;
    name  text;
    made  integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('audit_partitions'));
    -- An array: a query that still reads the default partition would not let it be detached.
    FOREACH month IN ARRAY ARRAY(
        SELECT date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i) FROM generate_series(0, months) i
         UNION
        SELECT date_trunc('month', at AT TIME ZONE 'UTC') FROM audit_event_rest
         ORDER BY 1)
    LOOP
        low := month AT TIME ZONE 'UTC';
        high := (month + interval '1 month') AT TIME ZONE 'UTC';
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
