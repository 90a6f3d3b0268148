-- SPDX-License-Identifier: Apache-2.0
-- Workspaces, their builds, and what the builds' jobs logged.

-- name: build_read :one
-- $1 id uuid (of a build) or NULL, $2 workspace_id uuid (its latest build)
-- A build with its workspace, job and agent.  A deleted task's build can still be read: clients
-- watch the build that deletes.
SELECT b.id, b.created_at, j.updated_at, w.id, w.name, w.owner_id, u.username, u.avatar_url,
    b.template_version_id, v.name, b.build_number, b.transition::text, b.initiator_id, i.username,
    b.reason::text, j.id, j.state::text, j.error, j.created_at, j.started_at, j.completed_at,
    j.cancel_requested_at, j.worker_id, k.name, v.file_id, w.organization_id, tpl.id, tpl.name,
    tpl.display_name, tpl.icon, w.task_id, a.id, a.name, a.lifecycle::text, a.connected_at,
    a.created_at, w.created_at, w.updated_at, o.name, tpl.active_version_id, b.deadline, w.ttl_ms,
    extract(epoch FROM now() - j.completed_at)::bigint,
    w.latest_build_id <> b.id AND lj.state = 'succeeded', a.disconnected_at
FROM builds b
JOIN workspaces w ON w.id = b.workspace_id
JOIN jobs j ON j.id = b.job_id
JOIN builds lb ON lb.id = w.latest_build_id
JOIN jobs lj ON lj.id = lb.job_id
JOIN users u ON u.id = w.owner_id
JOIN organizations o ON o.id = w.organization_id
JOIN template_versions v ON v.id = b.template_version_id
JOIN templates tpl ON tpl.id = w.template_id
LEFT JOIN users i ON i.id = b.initiator_id
LEFT JOIN workers k ON k.id = j.worker_id
LEFT JOIN agents a ON a.id = b.agent_id
WHERE b.id = coalesce($1::uuid,
    (SELECT latest_build_id FROM workspaces WHERE id = $2::uuid AND deleted_at IS NULL));

-- name: build_job :one
-- $1 id uuid
-- Whose build, and which job's log.
SELECT w.owner_id, b.job_id
FROM builds b
JOIN workspaces w ON w.id = b.workspace_id
WHERE b.id = $1::uuid;

-- name: build_log_list :many
-- $1 job_id uuid, $2 after bigint, $3 before bigint
SELECT id, level, stage, output, created_at
FROM build_logs
WHERE job_id = $1::uuid AND id > $2::bigint AND id < $3::bigint
ORDER BY id
LIMIT 10000;
