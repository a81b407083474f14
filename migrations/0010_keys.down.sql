DROP INDEX certificate_version_weak;
ALTER TABLE certificate_version DROP COLUMN key_algorithm, DROP COLUMN key_size, DROP COLUMN weakness;
