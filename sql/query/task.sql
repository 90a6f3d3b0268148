-- SPDX-License-Identifier: Apache-2.0
-- Reading tasks.  What has a life cycle is written by the scheduler, never here.

-- name: task_find :one
-- $1 id uuid (or NULL: by name), $2 owner_id uuid, $3 name text
-- Whose is it?  An id speaks for itself; a name counts within its owner's tasks.
SELECT t.id, t.owner_id
FROM (
    SELECT id, owner_id, deleted_at FROM tasks
    WHERE id = coalesce($1::uuid, (
        SELECT id FROM tasks
        WHERE owner_id = $2::uuid AND lower(name) = lower($3::text) AND deleted_at IS NULL))
    OFFSET 0) AS t -- by its key, whatever the table looked like when this was planned
WHERE t.deleted_at IS NULL;

-- name: task_read :many
-- $1 ids uuid[]
-- All that GET shows of these tasks; those that are gone are left out.  OFFSET 0 keeps each part a look-up
-- by key for each id, whatever the tables looked like when the statement was planned; joined directly they
-- would be walked from end to end.
SELECT t.id, t.organization_id, t.owner_id, t.owner_username, t.owner_avatar_url, t.name,
    t.display_name, t.template_id, t.template_version_id, t.template_name,
    t.template_display_name, t.template_icon, t.workspace_id, t.workspace_name, t.build_number,
    t.transition::text, t.job_state::text, t.agent_id, t.agent_lifecycle::text,
    t.agent_connected_at, t.app_id, t.app_health::text, t.prompt, t.status, t.state::text,
    t.state_message, t.state_uri, t.state_at, t.build_created_at, t.created_at,
    t.workspace_updated_at, t.build_id, t.job_error, o.priority, o.labels::text,
    o.template_parameters::text, o.template_version_preset_id, o.start_after, o.time_limit_ms, w.ttl_ms,
    o.revision
FROM unnest($1::uuid[]) AS want (id)
CROSS JOIN LATERAL (SELECT * FROM tasks_of_any_status AS s WHERE s.id = want.id OFFSET 0) AS t
CROSS JOIN LATERAL (
    SELECT priority, labels, template_parameters, template_version_preset_id, start_after,
        time_limit_ms, revision
    FROM tasks WHERE tasks.id = t.id OFFSET 0
) AS o
CROSS JOIN LATERAL (
    SELECT ttl_ms FROM workspaces WHERE workspaces.id = t.workspace_id OFFSET 0
) AS w
WHERE t.deleted_at IS NULL;

-- name: task_list :many
-- $1 organization_id uuid
SELECT id
FROM tasks
WHERE deleted_at IS NULL AND ($1::uuid IS NULL OR organization_id = $1::uuid)
ORDER BY created_at DESC, id;

-- name: task_list_of_owner :many
-- $1 organization_id uuid, $2 owner_id uuid
SELECT id
FROM tasks
WHERE deleted_at IS NULL AND owner_id = $2::uuid
    AND ($1::uuid IS NULL OR organization_id = $1::uuid)
ORDER BY created_at DESC, id;

-- name: task_list_with_status :many
-- $1 organization_id uuid, $2 status text
SELECT id
FROM tasks_with_status
WHERE status = $2::text AND ($1::uuid IS NULL OR organization_id = $1::uuid)
ORDER BY created_at DESC, id;

-- name: task_list_of_owner_with_status :many
-- $1 organization_id uuid, $2 owner_id uuid, $3 status text
SELECT id
FROM tasks_with_status
WHERE owner_id = $2::uuid AND status = $3::text
    AND ($1::uuid IS NULL OR organization_id = $1::uuid)
ORDER BY created_at DESC, id;
