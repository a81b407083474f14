-- Which key a certificate is for: found out when it is recorded, told without reading certificates.

ALTER TABLE certificate_version
    ADD key_algorithm text,    -- "RSA", "ECDSA", "Ed25519", or what others have; NULL: not known
    ADD key_size      integer, -- bits
    ADD weakness      text CHECK (weakness IN ('key', 'signature')); -- of what others issued; NULL: none
CREATE INDEX certificate_version_weak ON certificate_version (managed_no) WHERE weakness IS NOT NULL;

-- Of what is there already: the SubjectPublicKeyInfo begins in one of these ways, and has its own SHA-256 beside it.  Its
-- certificate stays the same evidence, so the trigger is out of the way for this one statement.
ALTER TABLE certificate_version DISABLE TRIGGER certificate_version_append_only;
UPDATE certificate_version v
   SET key_algorithm = k.algorithm, key_size = k.size
  FROM (VALUES ('ECDSA', 256, 91, '\x3059301306072a8648ce3d020106082a8648ce3d03010703420004'::bytea),
               ('ECDSA', 384, 120, '\x3076301006072a8648ce3d020106052b81040022036200'),
               ('Ed25519', 256, 44, '\x302a300506032b6570032100'),
               ('RSA', 2048, 294, '\x30820122300d06092a864886f70d01010105000382010f00'),
               ('RSA', 3072, 422, '\x308201a2300d06092a864886f70d01010105000382018f00'),
               ('RSA', 4096, 550, '\x30820222300d06092a864886f70d01010105000382020f00')) AS k (algorithm, size, len, head)
 WHERE position(k.head IN v.der) > 0
   AND sha256(substring(v.der FROM position(k.head IN v.der) FOR k.len)) = v.spki_sha256;
ALTER TABLE certificate_version ENABLE TRIGGER certificate_version_append_only;
