-- Takes 0002_revocation_complete.up.sql back.  With a second generation of any CA that would be a lie about all of its
-- certificates, so that it is refused.
DO $$
BEGIN
    IF EXISTS (SELECT FROM ca_certificate WHERE generation > 1) THEN
        RAISE EXCEPTION 'an issuer has a second generation: the schema before this one cannot say so';
    END IF;
END
$$;

DROP FUNCTION crl_shard(bytea, integer);
ALTER TABLE profile DROP revocation_exempt;
ALTER TABLE ocsp_responder DROP ca_generation, DROP key_kind;
ALTER TABLE crl DROP CONSTRAINT crl_pkey, ADD PRIMARY KEY (issuer_no, scope, number);
ALTER TABLE crl DROP generation, DROP base_number, DROP snapshot, DROP gzip_size, DROP gzip_etag, DROP host,
                DROP floor, DROP is_base;
ALTER TABLE crl_number DROP CONSTRAINT crl_number_pkey, ADD PRIMARY KEY (issuer_no, scope);
ALTER TABLE crl_number DROP generation;
DROP INDEX revocation_crl, revocation_changed;
ALTER TABLE revocation DROP generation, DROP shard, DROP changed_xid;
CREATE INDEX revocation_crl ON revocation (issuer_no, not_after) WHERE state <> 'released';
ALTER TABLE certificate_version DROP generation, DROP exempt;
ALTER TABLE ca_certificate DROP CONSTRAINT ca_certificate_generation_check;
ALTER TABLE ca_certificate DROP crl_shards, DROP revoked_at, DROP revocation_reason, DROP retired_at, DROP ends_at;
ALTER TABLE issuer DROP settings;
