-- Jobs: work that outlives a request.  A job is claimed with a lease and a fencing number; what a bulk operation is
-- about is written down with it, so that it goes on where it was when a process dies.

CREATE TABLE job (
    no             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id             text NOT NULL UNIQUE,
    type           text NOT NULL,
    status         text NOT NULL CHECK (status IN ('Pending', 'Running', 'RetryWait', 'Completed', 'Failed', 'Cancelled')),
    certificate_id text,           -- of a job about one
    params         jsonb NOT NULL, -- what was asked for
    requested_by   text NOT NULL,
    request_id     text,
    attempts       integer NOT NULL DEFAULT 0,
    max_attempts   integer NOT NULL,
    retry_s        integer NOT NULL,
    total          bigint NOT NULL DEFAULT 0, -- items
    done           bigint NOT NULL DEFAULT 0,
    skipped        bigint NOT NULL DEFAULT 0,
    failed         bigint NOT NULL DEFAULT 0,
    last_error     text,
    run_at         timestamptz NOT NULL DEFAULT now(),
    fence          bigint NOT NULL DEFAULT 0, -- grows with each claim: a worker that lost its lease writes nothing
    lease_until    timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    started_at     timestamptz,
    completed_at   timestamptz
);
CREATE INDEX job_due ON job (run_at, no) WHERE status IN ('Pending', 'Running', 'RetryWait');
CREATE INDEX job_certificate ON job (certificate_id, no) WHERE certificate_id IS NOT NULL;
CREATE INDEX job_created ON job (created_at);

CREATE TABLE job_item (
    job_no         bigint NOT NULL REFERENCES job ON DELETE CASCADE,
    certificate_id text NOT NULL,
    status         text NOT NULL DEFAULT 'Pending' CHECK (status IN ('Pending', 'Done', 'Skipped', 'Failed')),
    error          text,
    PRIMARY KEY (job_no, certificate_id)
);
CREATE INDEX job_item_pending ON job_item (job_no, certificate_id) WHERE status = 'Pending';
