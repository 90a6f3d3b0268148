-- SPDX-License-Identifier: Apache-2.0
-- Reading tasks.  What has a life cycle is written by the scheduler, never here.

-- name: task_find :one
-- $1 id uuid (or NULL: by name), $2 owner_id uuid, $3 name text
-- Whose is it?  An id speaks for itself; a name counts within its owner's tasks.
SELECT id, owner_id
FROM tasks
WHERE deleted_at IS NULL
    AND id = coalesce($1::uuid, (
        SELECT id FROM tasks
        WHERE owner_id = $2::uuid AND lower(name) = lower($3::text) AND deleted_at IS NULL));

-- name: task_read :many
-- $1 ids uuid[]
-- All that GET shows of these tasks; those that are gone are left out.
SELECT id, organization_id, owner_id, owner_username, owner_avatar_url, name, display_name,
    template_id, template_version_id, template_name, template_display_name, template_icon,
    workspace_id, workspace_name, build_number, transition::text, job_state::text,
    agent_id, agent_lifecycle::text, agent_connected_at, app_id, app_health::text,
    prompt, status, state::text, state_message, state_uri, state_at, build_created_at,
    created_at, workspace_updated_at, build_id
FROM tasks_with_status
WHERE id = ANY ($1::uuid[]);

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
