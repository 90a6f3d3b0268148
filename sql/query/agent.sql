-- SPDX-License-Identifier: Apache-2.0
-- Agents that speak over REST.

-- name: agent_by_token :one
-- $1 auth_token uuid
-- Only the agent of the latest start of a task that is not deleted.
SELECT a.id, a.task_id, a.workspace_id
FROM agents a
JOIN workspaces w ON w.id = a.workspace_id AND w.latest_agent_id = a.id AND w.deleted_at IS NULL
JOIN tasks t ON t.id = a.task_id AND t.deleted_at IS NULL
WHERE a.auth_token = $1::uuid;

-- name: app_list :many
-- $1 agent_id uuid
SELECT id, slug, display_name, health::text
FROM apps
WHERE agent_id = $1::uuid
ORDER BY slug;
