DROP INDEX managed_certificate_status, managed_certificate_updated;
DROP TABLE certificate_search, idempotency;
DROP EXTENSION pg_trgm;
