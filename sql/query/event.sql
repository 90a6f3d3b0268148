-- SPDX-License-Identifier: Apache-2.0
-- What the event streams say beside the tasks themselves.

-- name: event_task_ids :many
-- $1 owner_id uuid (or NULL: everybody's), $2 created before timestamptz (or NULL), $3 and that id uuid,
-- $4 limit bigint
-- One page of those that are there, newest first.
SELECT id, created_at
FROM tasks
WHERE deleted_at IS NULL
    AND ($1::uuid IS NULL OR owner_id = $1::uuid)
    AND ($2::timestamptz IS NULL OR (created_at, id) < ($2::timestamptz, $3::uuid))
ORDER BY created_at DESC, id DESC
LIMIT $4::bigint;

-- name: event_owners :many
-- $1 ids uuid[]
-- Of those that were deleted too: who could see them is told that they are gone.
SELECT id, owner_id FROM tasks WHERE id = ANY ($1::uuid[]);

-- name: event_messages :many
-- $1 task_id uuid, $2 from bigint (that one too: what is said may still grow), $3 limit bigint
SELECT id, role, content, created_at
FROM messages
WHERE task_id = $1::uuid AND id >= $2::bigint
ORDER BY id
LIMIT $3::bigint;

-- name: event_build_logs :many
-- $1 task_id uuid, $2 job_id uuid (or NULL: of the newest build), $3 after bigint, $4 limit bigint
-- The rest of that job's log, and the logs of the builds after it.
SELECT l.job_id, l.id, l.level, l.stage, l.output, l.created_at
FROM workspaces w
JOIN builds b ON b.workspace_id = w.id
    AND b.build_number >= coalesce(
        (SELECT f.build_number FROM builds f WHERE f.job_id = $2::uuid AND f.workspace_id = w.id),
        w.build_number)
CROSS JOIN LATERAL (
    SELECT o.*
    FROM build_logs o
    WHERE o.job_id = b.job_id AND o.created_at >= b.created_at - interval '1 day'
        AND (o.job_id IS DISTINCT FROM $2::uuid OR o.id > $3::bigint)
    ORDER BY o.id
    LIMIT $4::bigint
) AS l
WHERE w.task_id = $1::uuid
ORDER BY b.build_number, l.id
LIMIT $4::bigint;

-- name: event_agent_logs :many
-- $1 task_id uuid, $2 agent_id uuid (or NULL: the newest), $3 after bigint, $4 limit bigint
-- The rest of that agent's log, and the logs of the agents after it.
SELECT l.agent_id, l.id, l.source, l.level, l.output, l.created_at
FROM agents a
CROSS JOIN LATERAL (
    SELECT o.*
    FROM agent_logs o
    WHERE o.agent_id = a.id AND o.created_at >= a.created_at - interval '1 day'
        AND (o.agent_id IS DISTINCT FROM $2::uuid OR o.id > $3::bigint)
    ORDER BY o.id
    LIMIT $4::bigint
) AS l
WHERE a.task_id = $1::uuid
    AND a.created_at >= coalesce(
        (SELECT f.created_at FROM agents f WHERE f.id = $2::uuid AND f.task_id = $1::uuid),
        (SELECT max(n.created_at) FROM agents n WHERE n.task_id = $1::uuid))
ORDER BY a.created_at, l.agent_id, l.id
LIMIT $4::bigint;
