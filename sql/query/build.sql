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
        md5(la.id::text || la.state_at::text)::uuid, t.template_version_preset_id,
        br.resources::text
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
    LEFT JOIN build_resources br ON br.build_id = b.id
    LEFT JOIN agents a ON a.id = b.agent_id
    LEFT JOIN agents la ON la.id = w.latest_agent_id
    LEFT JOIN apps lp ON lp.agent_id = la.id AND lp.is_task_app
    WHERE b.id = want.id
    OFFSET 0
) AS s
ORDER BY want.place;

-- name: workspace_owner :one
-- $1 id uuid
-- Whose it is, of which task, and which template version that has.
SELECT w.owner_id, w.task_id, t.template_version_id
FROM (
    SELECT owner_id, task_id, deleted_at FROM workspaces WHERE workspaces.id = $1::uuid OFFSET 0) AS w
JOIN tasks t ON t.id = w.task_id
WHERE w.deleted_at IS NULL;

-- name: workspace_orphan :many
-- $1 id uuid, $2 who asks uuid
-- Its delete, also one that is under way and fails, leaves what was made.  No row: its provisioner knows
-- no such thing.
INSERT INTO orphaned_workspaces (workspace_id, asked_by)
SELECT w.id, $2::uuid FROM workspaces w
WHERE w.id = $1::uuid AND w.provisioner = 'terraform' AND w.deleted_at IS NULL
ON CONFLICT (workspace_id) DO UPDATE SET asked_by = excluded.asked_by
RETURNING workspace_id;

-- name: build_list :many
-- $1 workspace_id uuid, $2 since timestamptz, $3 after_id uuid, $4 limit bigint, $5 offset bigint
-- Its builds, newest first; after_id: those that are older than that one.
SELECT b.id
FROM builds b
WHERE b.workspace_id = $1::uuid
    AND ($2::timestamptz IS NULL OR b.created_at >= $2::timestamptz)
    AND ($3::uuid IS NULL OR b.build_number < (
        SELECT build_number FROM builds WHERE id = $3::uuid AND workspace_id = $1::uuid))
ORDER BY b.build_number DESC
LIMIT $4::bigint OFFSET $5::bigint;

-- name: workspace_list :many
-- $1 owner_id uuid, $2 owner_name text, $3 name_part text, $4 template_name text, $5 job_state text,
-- $6 transition text, $7 id uuid, $8 outdated boolean, $9 limit bigint, $10 offset bigint
-- Each NULL: any.  The newest build of each and, in every row, how many there are in all: at least
-- one row, without a build when there is none.  Those that run first, then by name.
WITH found AS (
    SELECT b.id, j.state = 'succeeded' AND b.transition = 'start' AS runs, lower(u.username) AS owner,
        lower(w.name) AS name
    FROM workspaces w
    JOIN builds b ON b.id = w.latest_build_id
    JOIN jobs j ON j.id = b.job_id
    JOIN users u ON u.id = w.owner_id
    JOIN templates t ON t.id = w.template_id
    WHERE w.deleted_at IS NULL
        AND ($1::uuid IS NULL OR w.owner_id = $1::uuid)
        AND ($2::text IS NULL OR lower(u.username) = $2::text)
        AND ($3::text IS NULL OR position($3::text IN lower(w.name)) > 0)
        AND ($4::text IS NULL OR lower(t.name) = $4::text)
        AND ($5::text IS NULL OR j.state::text = $5::text)
        AND ($6::text IS NULL OR b.transition::text = $6::text)
        AND ($7::uuid IS NULL OR w.id = $7::uuid)
        AND ($8::boolean IS NULL OR (t.active_version_id <> b.template_version_id) = $8::boolean)
)
SELECT (SELECT count(*) FROM found), page.id
FROM (SELECT 1) AS one
LEFT JOIN (
    SELECT id, runs, owner, name
    FROM found
    ORDER BY runs DESC, owner, name
    LIMIT $9::bigint OFFSET $10::bigint
) AS page ON true
ORDER BY page.runs DESC, page.owner, page.name;

-- name: build_parameters :many
-- $1 id uuid
SELECT p.key, p.value
FROM builds b
CROSS JOIN LATERAL jsonb_each_text(b.parameters) AS p (key, value)
WHERE b.id = $1::uuid
ORDER BY p.key;

-- name: build_job :one
-- $1 id uuid
-- Whose build, which job's log, and of which task.
SELECT w.owner_id, b.job_id, w.task_id
FROM builds b
JOIN workspaces w ON w.id = b.workspace_id
WHERE b.id = $1::uuid;

-- name: job_is_over :one
-- $1 id uuid
-- With the outcome of a job its last lines are committed.
SELECT state IN ('succeeded', 'failed', 'canceled')
FROM jobs
WHERE id = $1::uuid;

-- name: build_log_page :many
-- $1 job_id uuid, $2 after bigint, $3 most bigint
SELECT id, level, stage, output, created_at
FROM build_logs
WHERE job_id = $1::uuid AND created_at >= job_born($1::uuid) AND id > $2::bigint
ORDER BY id
LIMIT $3::bigint;

-- name: build_log_list :many
-- $1 job_id uuid, $2 after bigint, $3 before bigint
SELECT id, level, stage, output, created_at
FROM build_logs
WHERE job_id = $1::uuid AND created_at >= job_born($1::uuid) AND id > $2::bigint AND id < $3::bigint
ORDER BY id
LIMIT 10000;
