-- As step 7 made it.
CREATE OR REPLACE FUNCTION audit_partitions(months integer) RETURNS integer LANGUAGE plpgsql AS $$
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
