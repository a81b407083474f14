-- OCSP and CRL complete: generations of CAs, settings of revocation, shards and deltas of CRLs.
--
-- One generation of an issuer is an authority: a CA key with its certificate.  Every certificate, revocation, CRL and
-- responder is of one.  What is there already is of generation 1.

ALTER TABLE issuer ADD settings jsonb NOT NULL DEFAULT '{}';

ALTER TABLE ca_certificate
    ADD crl_shards        integer NOT NULL DEFAULT 0 CHECK (crl_shards BETWEEN 0 AND 4096), -- of position 0
    ADD revoked_at        timestamptz,
    ADD revocation_reason smallint CHECK (revocation_reason BETWEEN 0 AND 10 AND revocation_reason <> 7),
    ADD retired_at        timestamptz, -- when a newer generation took over
    ADD ends_at           timestamptz; -- of a retired one: when the last of its certificates ends; NULL: not known yet
ALTER TABLE ca_certificate ADD CHECK (generation BETWEEN 1 AND 255);

ALTER TABLE certificate_version
    ADD generation smallint NOT NULL DEFAULT 1,
    ADD exempt     boolean NOT NULL DEFAULT false; -- says noRevAvail of itself (RFC 9608): nobody asks for its status

ALTER TABLE revocation
    ADD generation  smallint NOT NULL DEFAULT 1,
    ADD shard       integer NOT NULL DEFAULT 0, -- of the CRL that lists it
    ADD changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id(); -- of its last change: what a later list has to say
DROP INDEX revocation_crl;
CREATE INDEX revocation_crl ON revocation (issuer_no, generation, shard, not_after) WHERE state <> 'released';

CREATE INDEX revocation_changed ON revocation (issuer_no, generation, shard, changed_xid, serial);

ALTER TABLE crl_number ADD generation smallint NOT NULL DEFAULT 1;
ALTER TABLE crl_number DROP CONSTRAINT crl_number_pkey, ADD PRIMARY KEY (issuer_no, generation, scope);

ALTER TABLE crl
    ADD generation  smallint NOT NULL DEFAULT 1,
    ADD base_number bigint,      -- of a delta
    ADD snapshot    pg_snapshot, -- what the list has seen: a delta against it has the rest
    ADD gzip_size   bigint NOT NULL DEFAULT 0,
    ADD gzip_etag   bytea,
    ADD host        text NOT NULL DEFAULT '',       -- that serves it: each makes lists of its own
    ADD floor       timestamptz,                    -- certificates that had ended before are not in it
    ADD is_base     boolean NOT NULL DEFAULT false; -- kept for deltas
ALTER TABLE crl DROP CONSTRAINT crl_pkey, ADD PRIMARY KEY (issuer_no, generation, scope, number);

ALTER TABLE ocsp_responder
    ADD ca_generation smallint NOT NULL DEFAULT 1,
    ADD key_kind      text NOT NULL DEFAULT 'p-256';

ALTER TABLE profile ADD revocation_exempt boolean NOT NULL DEFAULT false;

-- Which shard a certificate's revocation goes to: the same as crl_shard_of() in pkiproto/crl/scope.h, which
-- says it in the certificate.
CREATE FUNCTION crl_shard(serial bytea, shards integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN shards > 0
                THEN ((('x' || encode(substr(sha256(serial), 1, 4), 'hex'))::bit(32)::bigint) % shards)::integer
                ELSE 0 END
$$;
