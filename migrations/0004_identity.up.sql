-- Identities and rights: roles, grants with a scope, local accounts, sessions, client certificates as identities.
--
-- An actor is an API key (key-...), a local account (user-...) or a managed certificate (mc-...).  What it may do is
-- the sum of its grants; a key may also have permissions of its own, which hold everywhere.

CREATE TABLE role (
    id          text PRIMARY KEY CHECK (id ~ '^role-[a-z0-9][a-z0-9-]{0,57}$'),
    name        text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    description text NOT NULL DEFAULT '',
    built_in    boolean NOT NULL DEFAULT false,
    permissions text[] NOT NULL, -- as the route table names them; '*': all
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE role_grant (
    actor_id   text NOT NULL,
    role_id    text NOT NULL REFERENCES role,
    scope_type text NOT NULL CHECK (scope_type IN ('global', 'issuer', 'profile', 'team', 'owner')),
    scope_id   text NOT NULL CHECK ((scope_type = 'global') = (scope_id = '')),
    granted_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    PRIMARY KEY (actor_id, role_id, scope_type, scope_id)
);
CREATE INDEX role_grant_role ON role_grant (role_id);

-- Names that an identity may ask certificates for: patterns as profiles have them; empty: any.
ALTER TABLE api_key
    ADD allowed_names   text[] NOT NULL DEFAULT '{}',
    ADD created_by      text NOT NULL DEFAULT 'chanceryd',
    ADD rotated_at      timestamptz,
    ADD previous_digest bytea UNIQUE, -- of the key before the rotation, good until previous_until
    ADD previous_until  timestamptz CHECK ((previous_until IS NULL) = (previous_digest IS NULL));
ALTER TABLE api_key DROP CONSTRAINT api_key_permissions_check;
ALTER TABLE est_credential ADD allowed_names text[] NOT NULL DEFAULT '{}';
ALTER TABLE est_label ADD allowed_names text[] NOT NULL DEFAULT '{}'; -- of its client certificates

CREATE TABLE account (
    id            text PRIMARY KEY CHECK (id ~ '^user-[a-z0-9][a-z0-9-]{0,57}$'),
    name          text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 128), -- to log in with
    email         text,
    allowed_names text[] NOT NULL DEFAULT '{}',
    digest        bytea NOT NULL, -- scrypt
    salt          bytea NOT NULL,
    scrypt_n      integer NOT NULL,
    scrypt_r      integer NOT NULL,
    scrypt_p      integer NOT NULL,
    failures      integer NOT NULL DEFAULT 0,
    failed_at     timestamptz,
    locked_until  timestamptz,
    disabled_at   timestamptz,
    last_login_at timestamptz,
    created_by    text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE session (
    id           text PRIMARY KEY,
    digest       bytea NOT NULL UNIQUE CHECK (length(digest) = 32), -- SHA-256 of the cookie
    actor_id     text NOT NULL,
    source       text,
    user_agent   text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL, -- whatever its use
    revoked_at   timestamptz
);
CREATE INDEX session_actor ON session (actor_id);
CREATE INDEX session_expires ON session (expires_at);

-- A managed certificate whose holder may call the API with it: every good version, not only the one of the day.
CREATE TABLE certificate_identity (
    managed_id    text PRIMARY KEY,
    allowed_names text[] NOT NULL DEFAULT '{}',
    created_by    text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now()
);

-- What each actor really uses, to the hour: proposals of smaller roles come from it.
CREATE TABLE permission_use (
    actor_id   text NOT NULL,
    permission text NOT NULL,
    hours      bigint NOT NULL DEFAULT 1, -- in which it was used
    last_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (actor_id, permission)
);

-- One row once the first administrator has been made by token.
CREATE TABLE bootstrap (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    key_id text NOT NULL,
    at     timestamptz NOT NULL DEFAULT now()
);

-- Whoever may have rights.  Those that are not live have none, and no sessions.
CREATE VIEW actor AS
    SELECT id, 'api_key' AS type, name, permissions, allowed_names,
           revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) AS live
      FROM api_key
    UNION ALL
    SELECT id, 'account', name, '{}', allowed_names, disabled_at IS NULL FROM account
    UNION ALL
    SELECT managed_id, 'certificate', managed_id, '{}', allowed_names, true FROM certificate_identity;
