-- A page by number passes up to ten thousand rows: the index of an order says of each whether it is archived, so that none
-- of them is fetched.  Archiving changed an index before, too.

DROP INDEX managed_certificate_created, managed_certificate_updated, managed_certificate_expires, managed_certificate_status;
CREATE INDEX managed_certificate_created ON managed_certificate (created_at, no) INCLUDE (archived_at);
CREATE INDEX managed_certificate_updated ON managed_certificate (updated_at, no) INCLUDE (archived_at);
CREATE INDEX managed_certificate_expires ON managed_certificate (expires_at, no) INCLUDE (archived_at);
CREATE INDEX managed_certificate_status ON managed_certificate (status, expires_at, no) INCLUDE (archived_at);
