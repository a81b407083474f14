DROP INDEX managed_certificate_created, managed_certificate_updated, managed_certificate_expires, managed_certificate_status;
CREATE INDEX managed_certificate_created ON managed_certificate (created_at, no);
CREATE INDEX managed_certificate_updated ON managed_certificate (updated_at, no);
CREATE INDEX managed_certificate_expires ON managed_certificate (expires_at, no);
CREATE INDEX managed_certificate_status ON managed_certificate (status, expires_at, no);
