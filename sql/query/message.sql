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

-- name: queued_message_get :one
-- $1 id uuid
-- A message that waits or has waited, with its place among those of its task that still do.
SELECT m.id, m.task_id, m.content, false, m.state::text, m.detail, m.created_at,
    m.finished_at,
    CASE WHEN m.state = 'queued' THEN (
        SELECT count(*) FROM queued_messages q
        WHERE q.task_id = m.task_id AND q.state = 'queued' AND q.seq <= m.seq) END
FROM queued_messages m
WHERE m.id = $1::uuid;

-- name: queued_message_list :many
-- $1 task_id uuid, $2 most characters of a content int
-- Those that wait, first to last, then the newest others.
SELECT l.id, l.task_id, left(l.content, $2::int), length(l.content) > $2::int, l.state::text,
    l.detail, l.created_at, l.finished_at, l.place
FROM (
    (SELECT *, row_number() OVER (ORDER BY seq) AS place
    FROM queued_messages
    WHERE task_id = $1::uuid AND state = 'queued')
    UNION ALL
    (SELECT *, NULL
    FROM queued_messages
    WHERE task_id = $1::uuid AND state <> 'queued'
    ORDER BY seq DESC
    LIMIT 50)
) AS l
ORDER BY l.place NULLS LAST, l.seq DESC;
