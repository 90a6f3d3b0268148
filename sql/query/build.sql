-- SPDX-License-Identifier: Apache-2.0
-- Workspaces, their builds, and what the builds' jobs logged.

-- name: build_read :many
-- $1 ids uuid[], $2 workspace_id uuid, $3 owner_id uuid, $4 workspace_name text, $5 number integer
-- Builds (builds_meant) with their workspaces, jobs and agents.  A deleted task's build can still be
-- read: clients watch the build that deletes.  OFFSET 0: see task_read.
SELECT s.*
FROM builds_meant($1::uuid[], $2::uuid, $3::uuid, $4::text, $5::integer) AS want
CROSS JOIN LATERAL (
    SELECT b.id, b.created_at, j.updated_at, w.id, w.name, w.owner_id, u.username, u.avatar_url,
        b.template_version_id, v.name, b.build_number, b.transition::text, b.initiator_id,
        i.username, b.reason::text, j.id, j.state::text, j.error, j.created_at, j.started_at,
        j.completed_at, j.cancel_requested_at, j.worker_id, k.name, v.file_id, w.organization_id,
        tpl.id, tpl.name, tpl.display_name, tpl.icon, w.task_id, a.id, a.name, a.lifecycle::text,
        a.connected_at, a.created_at, w.created_at, greatest(w.updated_at, lj.updated_at), o.name,
        tpl.active_version_id, b.deadline, w.ttl_ms, extract(epoch FROM now() - j.completed_at)::bigint,
        w.latest_build_id <> b.id AND lj.state = 'succeeded', a.disconnected_at, w.deleted_at,
        la.id, la.state::text, la.state_message, la.state_uri, la.state_at, lp.id,
        md5(la.id::text || la.state_at::text)::uuid, t.template_version_preset_id
    FROM builds b
    JOIN workspaces w ON w.id = b.workspace_id
    JOIN tasks t ON t.id = w.task_id
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
    LEFT JOIN agents la ON la.id = w.latest_agent_id
    LEFT JOIN apps lp ON lp.agent_id = la.id AND lp.is_task_app
    WHERE b.id = want.id
    OFFSET 0
) AS s
ORDER BY want.place;

-- name: build_parameters :many
-- $1 id uuid
SELECT p.key, p.value
FROM builds b
CROSS JOIN LATERAL jsonb_each_text(b.parameters) AS p (key, value)
WHERE b.id = $1::uuid
ORDER BY p.key;

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
