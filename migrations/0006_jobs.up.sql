-- Jobs: work that outlives a request.  A job is claimed with a lease and a fencing number; what a bulk operation is
-- about is written down with it, so that it goes on where it was when a process dies.

CREATE TABLE job (
    no             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id             text NOT NULL UNIQUE,
    type           text NOT NULL,
    status         text NOT NULL CHECK (status IN ('Pending', 'Running', 'RetryWait', 'Completed', 'Failed', 'Cancelled')),
    parent_no      bigint REFERENCES job ON DELETE SET NULL, -- the bulk job that asked for it
    certificate_id text,           -- of a job about one
    params         jsonb NOT NULL, -- what was asked for
    requested_by   text NOT NULL,
    requester_type text NOT NULL,
    request_id     text,
    attempts       integer NOT NULL DEFAULT 0, -- that failed
    losses         integer NOT NULL DEFAULT 0, -- workers that died with it, since it last made progress
    max_attempts   integer NOT NULL CHECK (max_attempts > 0),
    retry_s        integer NOT NULL,
    total          bigint NOT NULL DEFAULT 0, -- items
    done           bigint NOT NULL DEFAULT 0,
    skipped        bigint NOT NULL DEFAULT 0,
    failed         bigint NOT NULL DEFAULT 0,
    last_error     text,
    run_at         timestamptz NOT NULL DEFAULT now(), -- when somebody may take it; Running: when its lease ends
    fence          bigint NOT NULL DEFAULT 0, -- grows with each claim: a worker that lost its lease writes nothing
    created_at     timestamptz NOT NULL DEFAULT now(),
    started_at     timestamptz,
    completed_at   timestamptz,
    CHECK ((completed_at IS NOT NULL) = (status IN ('Completed', 'Failed', 'Cancelled')))
);
CREATE INDEX job_due ON job (type, run_at, no) WHERE status IN ('Pending', 'Running', 'RetryWait');
CREATE INDEX job_certificate ON job (certificate_id, no) WHERE certificate_id IS NOT NULL;
CREATE INDEX job_parent ON job (parent_no) WHERE parent_no IS NOT NULL;
CREATE INDEX job_created ON job (created_at, no);
CREATE INDEX job_completed ON job (completed_at) WHERE completed_at IS NOT NULL;
CREATE UNIQUE INDEX job_renewal_open ON job (certificate_id)
    WHERE type = 'Renewal' AND status IN ('Pending', 'Running', 'RetryWait');
CREATE INDEX job_renewal_failed ON job (certificate_id, no) WHERE type = 'Renewal' AND status = 'Failed';

-- The legal transitions: the same as job_may() in store/job.c.
CREATE FUNCTION job_moves() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status = OLD.status AND OLD.status IN ('Pending', 'Running', 'RetryWait') THEN
        RETURN NEW;
    END IF;
    IF (OLD.status, NEW.status) IN (('Pending', 'Running'), ('Pending', 'Cancelled'),
                                    ('Running', 'RetryWait'), ('Running', 'Completed'), ('Running', 'Failed'),
                                    ('Running', 'Cancelled'),
                                    ('RetryWait', 'Running'), ('RetryWait', 'Cancelled')) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'job % is % and cannot become %', OLD.id, OLD.status, NEW.status USING ERRCODE = 'check_violation';
END
$$;
CREATE TRIGGER job_moves BEFORE UPDATE OF status ON job FOR EACH ROW EXECUTE FUNCTION job_moves();

-- Applied: decided in the database, and not yet known to have reached the edge, or the job that does it.
CREATE TABLE job_item (
    job_no         bigint NOT NULL, -- no foreign key: it would be a query for each of a hundred thousand
    certificate_id text NOT NULL,
    status         text NOT NULL DEFAULT 'Pending' CHECK (status IN ('Pending', 'Applied', 'Done', 'Skipped', 'Failed')),
    error          text,
    PRIMARY KEY (job_no, certificate_id)
);
CREATE INDEX job_item_open ON job_item (job_no, status, certificate_id) WHERE status IN ('Pending', 'Applied');

-- What renewal jobs say of a certificate: 'RenewalInProgress' while one is open; 'Failed' when the last one failed and
-- the certificate was not renewed since by any other way.  Derived, so that it cannot stick.
CREATE VIEW certificate_renewal AS
SELECT j.certificate_id, 'RenewalInProgress' AS status
  FROM job j
 WHERE j.type = 'Renewal' AND j.status IN ('Pending', 'Running', 'RetryWait')
UNION ALL
SELECT j.certificate_id, 'Failed'
  FROM job j
  JOIN managed_certificate m ON m.id = j.certificate_id
 WHERE j.type = 'Renewal' AND j.status = 'Failed'
   AND (m.last_renewal_at IS NULL OR m.last_renewal_at < j.completed_at)
   AND NOT EXISTS (SELECT FROM job n WHERE n.certificate_id = j.certificate_id AND n.type = 'Renewal' AND n.no > j.no);

-- Certificates that others issued have no profile.
ALTER TABLE managed_certificate ALTER profile_id DROP NOT NULL;

-- They are counted by themselves, so that the rest is counted out of managed_certificate_status alone.
CREATE INDEX managed_certificate_archived ON managed_certificate (expires_at) WHERE archived_at IS NOT NULL;

-- How many were issued in which days, of tens of millions.
CREATE INDEX certificate_version_issued ON certificate_version USING brin (issued_at);
