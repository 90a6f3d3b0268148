-- SPDX-License-Identifier: Apache-2.0
-- Jobs, as /api/stint/v1/jobs has them.

-- name: own_job_read :many
-- $1 id uuid
SELECT s.* FROM jobs_shown s WHERE s.id = $1::uuid;

-- name: own_job_list :many
-- $1 before timestamptz, $2 id uuid; $3 seen_by uuid, $4 sees imports boolean, $5 asker uuid, $6 limit bigint
-- Newest first, behind (time, id).  seen_by: whose tasks, NULL: everybody's.  Imports are seen by who may
-- write templates, and by who has asked for them.
SELECT s.*
FROM jobs_shown s
WHERE ($1::timestamptz IS NULL OR (s.created_at, s.id) < ($1::timestamptz, $2::uuid))
    AND CASE WHEN s.kind = 'import' THEN $4::boolean OR s.initiator_id = $5::uuid
        ELSE $3::uuid IS NULL OR s.owner_id = $3::uuid END
ORDER BY s.created_at DESC, s.id DESC
LIMIT $6::bigint;

-- name: own_job_list_dead :many
-- $1 before timestamptz, $2 id uuid; $3 seen_by uuid, $4 sees imports boolean, $5 asker uuid, $6 limit bigint
-- The dead alone, the latest death first.
SELECT s.*
FROM dead_jobs d
CROSS JOIN LATERAL (SELECT * FROM jobs_shown j WHERE j.id = d.job_id OFFSET 0) s
WHERE d.retried_at IS NULL
    AND ($1::timestamptz IS NULL OR (d.died_at, d.job_id) < ($1::timestamptz, $2::uuid))
    AND CASE WHEN s.kind = 'import' THEN $4::boolean OR s.initiator_id = $5::uuid
        ELSE $3::uuid IS NULL OR s.owner_id = $3::uuid END
ORDER BY d.died_at DESC, d.job_id DESC
LIMIT $6::bigint;
