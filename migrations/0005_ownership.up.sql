-- Who answers for certificates, and by which rules: teams, owners, policies, renewal policies; what operators say of a
-- certificate; issuers that are tested, retired, and have secrets.

CREATE TABLE team (
    id          text PRIMARY KEY CHECK (id ~ '^team-[a-z0-9][a-z0-9-]{0,57}$'),
    name        text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    description text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE owner (
    id         text PRIMARY KEY CHECK (id ~ '^owner-[a-z0-9][a-z0-9-]{0,57}$'),
    name       text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    email      text,
    team_id    text REFERENCES team,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX owner_team ON owner (team_id) WHERE team_id IS NOT NULL;

CREATE TABLE renewal_policy (
    id                     text PRIMARY KEY CHECK (id ~ '^rp-[a-z0-9][a-z0-9-]{0,57}$'),
    name                   text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    renewal_window_days    integer NOT NULL CHECK (renewal_window_days BETWEEN 1 AND 3650),
    auto_renew             boolean NOT NULL,
    max_retries            integer NOT NULL CHECK (max_retries BETWEEN 0 AND 100),
    retry_interval_seconds integer NOT NULL CHECK (retry_interval_seconds BETWEEN 1 AND 604800),
    alert_thresholds_days  integer[] NOT NULL, -- falling
    alert_severity_map     jsonb NOT NULL,     -- days: "informational", "warning", "critical"
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE policy (
    id         text PRIMARY KEY CHECK (id ~ '^pol-[a-z0-9][a-z0-9-]{0,57}$'),
    name       text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    type       text NOT NULL,
    config     jsonb NOT NULL,
    severity   text NOT NULL CHECK (severity IN ('Warning', 'Error', 'Critical')),
    enabled    boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- What was let through with a warning, and what was refused.
CREATE TABLE policy_violation (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    policy_id      text NOT NULL REFERENCES policy ON DELETE CASCADE,
    certificate_id text,
    message        text NOT NULL,
    severity       text NOT NULL,
    refused        boolean NOT NULL,
    actor          text NOT NULL,
    at             timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX policy_violation_policy ON policy_violation (policy_id, id);
CREATE INDEX policy_violation_certificate ON policy_violation (certificate_id, id) WHERE certificate_id IS NOT NULL;

-- No foreign keys and no CHECK constraints, see 0001 and 0003; indexes only of what enrolments leave empty.
ALTER TABLE managed_certificate
    ADD owner_id          text,
    ADD team_id           text,
    ADD environment       text,
    ADD renewal_policy_id text,
    ADD tags              jsonb NOT NULL DEFAULT '{}',
    ADD archived_at       timestamptz,
    ADD last_renewal_at   timestamptz;
INSERT INTO owner (id, name)
SELECT 'owner-' || left(encode(sha256(convert_to(owner, 'UTF8')), 'hex'), 20), min(left(owner, 200))
  FROM managed_certificate WHERE owner IS NOT NULL GROUP BY 1;
UPDATE managed_certificate
   SET owner_id = 'owner-' || left(encode(sha256(convert_to(owner, 'UTF8')), 'hex'), 20) WHERE owner IS NOT NULL;
ALTER TABLE managed_certificate DROP owner;
CREATE INDEX managed_certificate_owner ON managed_certificate (owner_id, no) WHERE owner_id IS NOT NULL;
CREATE INDEX managed_certificate_team ON managed_certificate (team_id, no) WHERE team_id IS NOT NULL;
CREATE INDEX managed_certificate_environment ON managed_certificate (environment, no) WHERE environment IS NOT NULL;
CREATE INDEX managed_certificate_renewal_policy ON managed_certificate (renewal_policy_id, expires_at)
    WHERE renewal_policy_id IS NOT NULL;
CREATE INDEX managed_certificate_tags ON managed_certificate USING gin (tags jsonb_path_ops) WHERE tags <> '{}';

-- What keeps a team, an owner or a renewal policy that a certificate names, as 0003 has it for profiles.
CREATE OR REPLACE FUNCTION managed_certificate_refers() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    used boolean;
BEGIN
    LOCK TABLE managed_certificate IN SHARE MODE;
    used := CASE TG_TABLE_NAME
            WHEN 'profile' THEN EXISTS (SELECT FROM managed_certificate WHERE profile_id = to_jsonb(OLD)->>'id')
            WHEN 'issuer' THEN EXISTS (SELECT FROM managed_certificate WHERE issuer_no = (to_jsonb(OLD)->>'no')::integer)
            WHEN 'team' THEN EXISTS (SELECT FROM managed_certificate WHERE team_id = to_jsonb(OLD)->>'id')
            WHEN 'owner' THEN EXISTS (SELECT FROM managed_certificate WHERE owner_id = to_jsonb(OLD)->>'id')
            WHEN 'renewal_policy' THEN
                EXISTS (SELECT FROM managed_certificate WHERE renewal_policy_id = to_jsonb(OLD)->>'id')
            END;
    IF used THEN
        RAISE EXCEPTION '% is in use by a managed certificate', TG_TABLE_NAME USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END
$$;
CREATE TRIGGER team_in_use BEFORE DELETE OR UPDATE OF id ON team
    FOR EACH ROW EXECUTE FUNCTION managed_certificate_refers();
CREATE TRIGGER owner_in_use BEFORE DELETE OR UPDATE OF id ON owner
    FOR EACH ROW EXECUTE FUNCTION managed_certificate_refers();
CREATE TRIGGER renewal_policy_in_use BEFORE DELETE OR UPDATE OF id ON renewal_policy
    FOR EACH ROW EXECUTE FUNCTION managed_certificate_refers();

ALTER TABLE profile ADD must_staple boolean NOT NULL DEFAULT false;

-- What certificates that are enrolled at a label get.
ALTER TABLE est_label
    ADD owner_id          text REFERENCES owner,
    ADD team_id           text REFERENCES team,
    ADD environment       text,
    ADD renewal_policy_id text REFERENCES renewal_policy;

ALTER TABLE issuer
    ADD source      text NOT NULL DEFAULT 'database' CHECK (source IN ('database', 'file')),
    ADD secrets     bytea,       -- members of the configuration that are secret, sealed
    ADD test_status text CHECK (test_status IN ('ok', 'failed')),
    ADD test_error  text,
    ADD tested_at   timestamptz,
    ADD retired_at  timestamptz;
