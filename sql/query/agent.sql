-- SPDX-License-Identifier: Apache-2.0
-- Agents: those that speak over REST, and what is shown of them.

-- name: agent_by_token :one
-- $1 auth_token uuid
-- Only the agent of the latest start of a task that is not deleted.
SELECT a.id, a.task_id, a.workspace_id
FROM agents a
JOIN workspaces w ON w.id = a.workspace_id AND w.latest_agent_id = a.id AND w.deleted_at IS NULL
JOIN tasks t ON t.id = a.task_id AND t.deleted_at IS NULL
WHERE a.auth_token = $1::uuid;

-- name: agent_read :one
-- $1 id uuid (or NULL), $2 task_id uuid (its newest agent)
-- An agent with its build.  The deadline is that of the build while it is the newest; the agent is
-- over when a later build has succeeded.
SELECT a.id, a.task_id, a.workspace_id, w.owner_id, a.name, a.lifecycle::text, a.created_at,
    a.connected_at, a.disconnected_at, b.build_number, j.id, coalesce(j.state = 'succeeded', false),
    extract(epoch FROM now() - j.completed_at)::bigint,
    w.latest_build_id <> b.id AND coalesce(lj.state = 'succeeded', false),
    CASE WHEN w.latest_build_id = b.id THEN b.deadline END, b.id
FROM agents a
JOIN workspaces w ON w.id = a.workspace_id
JOIN builds b ON b.id = a.build_id
JOIN jobs j ON j.id = b.job_id
JOIN builds lb ON lb.id = w.latest_build_id
JOIN jobs lj ON lj.id = lb.job_id
WHERE a.id = coalesce($1::uuid, (
    SELECT l.latest_agent_id
    FROM workspaces l
    JOIN tasks t ON t.workspace_id = l.id
    WHERE t.id = $2::uuid));

-- name: agent_owner :one
-- $1 id uuid
SELECT w.owner_id, a.name, a.task_id
FROM agents a
JOIN workspaces w ON w.id = a.workspace_id
WHERE a.id = $1::uuid;

-- name: app_list :many
-- $1 agent_id uuid
-- The task's own app first.
SELECT id, slug, display_name, icon, url, health::text, is_task_app, agent_id
FROM apps
WHERE agent_id = $1::uuid
ORDER BY is_task_app DESC, slug;

-- name: app_list_of_builds :many
-- $1 ids uuid[], $2 workspace_id uuid, $3 owner_id uuid, $4 workspace_name text, $5 number integer
-- Those of the builds that build_read gives.
SELECT p.id, p.slug, p.display_name, p.icon, p.url, p.health::text, p.is_task_app, p.agent_id
FROM builds_meant($1::uuid[], $2::uuid, $3::uuid, $4::text, $5::integer) AS want
JOIN builds b ON b.id = want.id
JOIN apps p ON p.agent_id = b.agent_id
ORDER BY want.place, p.is_task_app DESC, p.slug;

-- name: agent_metadata_list :many
-- $1 agent_id uuid
SELECT key, value, error, collected_at
FROM agent_metadata
WHERE agent_id = $1::uuid
ORDER BY key;

-- name: agent_log_list :many
-- $1 agent_id uuid, $2 after bigint, $3 before bigint
-- The id of a source is made of its name, the same for all lines of an agent.
SELECT id, source, level, output, created_at, md5(agent_id::text || source)::uuid
FROM agent_logs
WHERE agent_id = $1::uuid AND created_at >= agent_born($1::uuid) AND id > $2::bigint AND id < $3::bigint
ORDER BY id
LIMIT 10000;

-- name: agent_is_over :one
-- $1 id uuid
-- A later build has ended, so that nothing more can come.
SELECT w.latest_build_id <> a.build_id
    AND lj.state IN ('succeeded', 'failed', 'canceled')
FROM agents a
JOIN workspaces w ON w.id = a.workspace_id
JOIN builds lb ON lb.id = w.latest_build_id
JOIN jobs lj ON lj.id = lb.job_id
WHERE a.id = $1::uuid;

-- name: agent_log_page :many
-- $1 agent_id uuid, $2 after bigint, $3 most bigint
SELECT id, source, level, output, created_at, md5(agent_id::text || source)::uuid
FROM agent_logs
WHERE agent_id = $1::uuid AND created_at >= agent_born($1::uuid) AND id > $2::bigint
ORDER BY id
LIMIT $3::bigint;

-- name: agent_log_tail :many
-- $1 agent_id uuid, $2 most bigint
-- The newest lines, newest first.
SELECT id, source, level, output, created_at, md5(agent_id::text || source)::uuid
FROM agent_logs
WHERE agent_id = $1::uuid AND created_at >= agent_born($1::uuid)
ORDER BY id DESC
LIMIT $2::bigint;

-- name: agent_log_sources :many
-- $1 agent_id uuid
-- Who has written lines, and how many bytes in all.
SELECT source, md5(agent_id::text || source)::uuid, sum(length(output))::bigint, min(created_at)
FROM agent_logs
WHERE agent_id = $1::uuid AND created_at >= agent_born($1::uuid)
GROUP BY agent_id, source
ORDER BY source;

-- name: agent_manifest :one
-- $1 id uuid
-- What the agent of a workspace that no worker has made is told.
SELECT a.id, a.auth_token, a.task_id, a.workspace_id, a.build_id, b.build_number, t.name, w.name,
    u.username, tpl.name, t.prompt, v.app_slug, r.agent::text,
    j.state IN ('pending', 'running', 'canceling')
FROM agents a
JOIN builds b ON b.id = a.build_id
JOIN jobs j ON j.id = b.job_id
JOIN workspaces w ON w.id = a.workspace_id
JOIN tasks t ON t.id = a.task_id
JOIN users u ON u.id = w.owner_id
JOIN template_versions v ON v.id = b.template_version_id
JOIN templates tpl ON tpl.id = w.template_id
LEFT JOIN build_resources r ON r.build_id = b.id
WHERE a.id = $1::uuid;

-- name: agent_workers :many
-- Those that agents of other machines can reach, in random order.
SELECT agent_url
FROM workers
WHERE state = 'up' AND agent_url <> '' AND lease_until > now()
ORDER BY random()
LIMIT 64;
