-- SPDX-License-Identifier: Apache-2.0
-- What operations of /api/stint/v1 need to know before the scheduler is asked.

-- name: own_template_find :one
-- $1 template text (id or name), $2 version text (id, name, or NULL: the active one), $3 preset text (id, name or NULL)
-- All that a new task needs to know.  A template without that version has a row without a version.
SELECT t.organization_id, t.id, t.name, t.deprecated, v.name, v.provisioner, v.app_slug, v.file_id,
    v.archived, v.has_ai_task, coalesce(j.state::text, 'pending'), coalesce(j.error, ''),
    t.default_ttl_ms, t.activity_bump_ms, v.id, (
        SELECT p.id FROM template_version_presets p
        WHERE p.template_version_id = v.id AND (p.name = $3::text OR p.id::text = lower($3::text))
        ORDER BY p.name = $3::text
        LIMIT 1)
FROM templates t
LEFT JOIN template_versions v ON v.template_id = t.id AND CASE
    WHEN $2::text IS NULL THEN v.id = t.active_version_id
    ELSE v.id::text = lower($2::text) OR lower(v.name) = lower($2::text) END
LEFT JOIN jobs j ON j.id = v.job_id
WHERE t.deleted_at IS NULL AND (t.id::text = lower($1::text) OR lower(t.name) = lower($1::text))
ORDER BY t.id::text = lower($1::text) DESC, v.id::text = lower($2::text) DESC
LIMIT 1;

-- name: own_tasks_find :many
-- $1 ids uuid[]
-- Whose are they?
SELECT t.id, t.owner_id
FROM unnest($1::uuid[]) AS want (id)
CROSS JOIN LATERAL (
    SELECT id, owner_id, deleted_at FROM tasks WHERE tasks.id = want.id OFFSET 0) AS t
WHERE t.deleted_at IS NULL;

-- name: own_made_find :many
-- $1 ids uuid[] of tasks and builds
-- Those that are there, deleted tasks too: a request that is worked on again has made them.
SELECT t.id
FROM unnest($1::uuid[]) AS want (id)
CROSS JOIN LATERAL (SELECT id FROM tasks WHERE tasks.id = want.id OFFSET 0) AS t
UNION ALL
SELECT b.id
FROM unnest($1::uuid[]) AS want (id)
CROSS JOIN LATERAL (SELECT id FROM builds WHERE builds.id = want.id OFFSET 0) AS b;

-- name: own_conversation :many
-- $1 task_id uuid, $2 after bigint (-1: from the first), $3 most bigint
SELECT id, role, content, created_at
FROM messages
WHERE task_id = $1::uuid AND id > $2::bigint
ORDER BY id
LIMIT $3::bigint;

-- name: own_build_lines :many
-- $1 task_id uuid, $2 build_number int, $3 line bigint (the place behind which it begins), $4 most bigint
-- What the jobs of its builds logged, build after build.
SELECT b.build_number, l.id, l.level, l.stage, l.output, l.created_at
FROM tasks t
JOIN builds b ON b.workspace_id = t.workspace_id
JOIN build_logs l ON l.job_id = b.job_id AND l.created_at >= b.created_at - interval '1 day'
WHERE t.id = $1::uuid AND b.build_number >= $2::int
    AND (b.build_number > $2::int OR l.id > $3::bigint)
ORDER BY b.build_number, l.id
LIMIT $4::bigint;

-- name: own_agent_lines :many
-- $1 task_id uuid, $2 build_number int, $3 line bigint (the place behind which it begins), $4 most bigint
-- What its agents logged, each under the build that started it.
SELECT b.build_number, l.id, l.level, l.source, l.output, l.created_at
FROM tasks t
JOIN builds b ON b.workspace_id = t.workspace_id
JOIN agent_logs l ON l.agent_id = b.agent_id AND l.created_at >= b.created_at - interval '1 day'
WHERE t.id = $1::uuid AND b.build_number >= $2::int
    AND (b.build_number > $2::int OR l.id > $3::bigint)
ORDER BY b.build_number, l.id
LIMIT $4::bigint;

-- name: own_build_list :many
-- $1 task_id uuid, $2 before build_number int, $3 most bigint
-- Newest first.
SELECT b.id, b.build_number, b.transition::text, b.reason::text, j.state::text, j.error,
    b.initiator_id, i.username, b.template_version_id, v.name, b.created_at, j.started_at,
    j.completed_at, b.deadline
FROM tasks t
JOIN builds b ON b.workspace_id = t.workspace_id
JOIN jobs j ON j.id = b.job_id
JOIN template_versions v ON v.id = b.template_version_id
LEFT JOIN users i ON i.id = b.initiator_id
WHERE t.id = $1::uuid AND b.build_number < $2::int
ORDER BY b.build_number DESC
LIMIT $3::bigint;
