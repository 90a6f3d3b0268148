-- SPDX-License-Identifier: Apache-2.0
-- The conversation with a task's app.

-- name: message_list :many
-- $1 task_id uuid, $2 after bigint (-1: from the first), $3 most bigint
-- The newest ones, newest first.
SELECT id, role, content, created_at
FROM messages
WHERE task_id = $1::uuid AND id > $2::bigint
ORDER BY id DESC
LIMIT $3::bigint;

-- name: log_snapshot_get :one
-- $1 task_id uuid
SELECT snapshot::text, created_at
FROM log_snapshots
WHERE task_id = $1::uuid;

-- name: log_snapshot_put :exec
-- $1 task_id uuid, $2 snapshot text
INSERT INTO log_snapshots (task_id, snapshot)
VALUES ($1::uuid, $2::text::jsonb)
ON CONFLICT (task_id) DO UPDATE SET snapshot = EXCLUDED.snapshot, created_at = now();
