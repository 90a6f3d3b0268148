-- SPDX-License-Identifier: Apache-2.0
-- Jobs as /api/stint/v1/jobs and `stint job` show them, with whose they are.

CREATE VIEW jobs_shown AS
SELECT j.id, j.kind::text AS kind, j.state::text AS state, x.is_dead,
    CASE WHEN x.is_dead THEN d.cause::text END AS cause, j.error,
    CASE WHEN x.is_dead THEN d.attempts ELSE j.attempt END AS attempts, j.token AS leases,
    coalesce(d.retries, 0) AS retries,
    CASE WHEN x.is_dead THEN d.worker_id ELSE j.worker_id END AS worker_id,
    CASE WHEN x.is_dead THEN d.worker_name ELSE coalesce(k.name, '') END AS worker_name,
    j.created_at, j.started_at, j.completed_at,
    CASE WHEN x.is_dead THEN d.died_at END AS died_at, d.retried_at,
    w.task_id, w.name AS task_name, w.deleted_at IS NULL AND b.job_id = j.id AND w.latest_build_id = b.id AS is_newest,
    b.id AS build_id, b.build_number, v.id AS template_version_id, v.name AS template_version_name,
    t.name AS template_name, j.initiator_id, coalesce(w.owner_id, j.initiator_id) AS owner_id,
    u.username AS owner_name
FROM jobs j
LEFT JOIN dead_jobs d ON d.job_id = j.id
CROSS JOIN LATERAL (
    SELECT j.state = 'failed' AND d.job_id IS NOT NULL AND d.retried_at IS NULL AS is_dead
) x
LEFT JOIN workers k ON k.id = j.worker_id
LEFT JOIN builds b ON b.id = j.build_id
LEFT JOIN workspaces w ON w.id = b.workspace_id
LEFT JOIN template_versions v ON v.id = j.template_version_id
LEFT JOIN templates t ON t.id = v.template_id
LEFT JOIN users u ON u.id = coalesce(w.owner_id, j.initiator_id);
