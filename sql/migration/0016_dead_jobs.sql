-- SPDX-License-Identifier: Apache-2.0
-- Jobs that nobody tries any more, why, and who asked for another series of tries; and the ids by which
-- commands are known again that are sent twice.

CREATE TYPE job_death AS ENUM ('for_good', 'attempts', 'lease');

-- A table of its own, beside the jobs: an index on their state would make every update of a job cost
-- twice (0001_first.sql), and only few ever come here.
CREATE TABLE dead_jobs (
    job_id uuid PRIMARY KEY,
    cause job_death NOT NULL,
    -- Tries of the series that ended so.
    attempts integer NOT NULL,
    -- Who had the last one; what the trouble was is in jobs.error.
    worker_id uuid,
    worker_name text NOT NULL DEFAULT '',
    died_at timestamptz NOT NULL DEFAULT now(),
    -- Series that people have asked for; the job is dead while the newest death is younger.
    retries integer NOT NULL DEFAULT 0,
    retried_at timestamptz,
    retried_by uuid
);
CREATE INDEX dead_jobs_by_age ON dead_jobs (died_at DESC, job_id) WHERE retried_at IS NULL;

INSERT INTO dead_jobs (job_id, cause, attempts, died_at)
SELECT id, 'attempts', attempt, completed_at FROM jobs WHERE state = 'failed';

-- The newest cancel or retry of a job, the newest update of a task: whoever sends it again, because a
-- leader died between commit and answer, is told that it is done.
ALTER TABLE jobs ADD COLUMN command_id uuid;
ALTER TABLE tasks ADD COLUMN update_id uuid;
