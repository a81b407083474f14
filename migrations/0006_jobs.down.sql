DROP TABLE job_item, job;
