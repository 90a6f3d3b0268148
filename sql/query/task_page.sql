-- SPDX-License-Identifier: Apache-2.0
-- Pages of tasks for /api/stint/v1/tasks.  One statement per order; all take the same filters, each
-- NULL: any.
--
-- $1 owner uuid, $2 organization uuid, $3 status text[], $4 state text[], $5 template text (id or name),
-- $6 labels jsonb as text, $7 label names text[], $8 prefix of the name text, $9 created after, $10 created before
-- timestamptz, $11 has an error bool; the page begins behind $12 key, $13 created timestamptz, $14 id uuid, and
-- has at most $15 rows.
--
-- What comes back: id, key (microseconds or priority), created_at.  What is only known from the view
-- (status, state, error) is worked out for the rows that pass the other filters, and only when it is
-- asked for: the LATERAL is skipped as a whole otherwise.  Its OFFSET 0 keeps it a look-up by key.

-- name: task_page_by_created :many
SELECT t.id, (extract(epoch FROM t.created_at) * 1000000)::bigint, t.created_at
FROM tasks t
LEFT JOIN LATERAL (
    SELECT v.status,
        CASE
            WHEN v.state IS NOT NULL THEN v.state::text
            WHEN v.status = 'initializing' THEN 'working'
        END AS state
    FROM tasks_of_any_status v
    WHERE v.id = t.id AND ($3::text[] IS NOT NULL OR $4::text[] IS NOT NULL OR $11::boolean IS NOT NULL)
    OFFSET 0
) s ON true
WHERE t.deleted_at IS NULL
    AND ($1::uuid IS NULL OR t.owner_id = $1::uuid)
    AND ($2::uuid IS NULL OR t.organization_id = $2::uuid)
    AND ($3::text[] IS NULL OR s.status = ANY ($3::text[]))
    AND ($4::text[] IS NULL OR s.state = ANY ($4::text[]))
    AND ($5::text IS NULL OR EXISTS (
        SELECT FROM workspaces w JOIN templates p ON p.id = w.template_id
        WHERE w.id = t.workspace_id
            AND (lower(p.name) = lower($5::text) OR p.id::text = lower($5::text))))
    AND ($6::text IS NULL OR t.labels @> $6::text::jsonb AND t.labels <> '{}')
    AND ($7::text[] IS NULL OR t.labels ?& $7::text[])
    AND ($8::text IS NULL OR starts_with(lower(t.name), lower($8::text)))
    AND ($9::timestamptz IS NULL OR t.created_at > $9::timestamptz)
    AND ($10::timestamptz IS NULL OR t.created_at < $10::timestamptz)
    AND ($11::boolean IS NULL OR
        (s.status = 'error' OR s.state IS NOT DISTINCT FROM 'failure') = $11::boolean)
    AND ($12::bigint IS NULL OR (t.created_at, t.id) < ($13::timestamptz, $14::uuid))
ORDER BY t.created_at DESC, t.id DESC
LIMIT $15::bigint;

-- name: task_page_by_updated :many
-- The time is that of the workspace or of its newest build's job, as updated_at is shown.
SELECT t.id, (extract(epoch FROM t.updated_at) * 1000000)::bigint, t.created_at
FROM (
    SELECT t.*, greatest(w.updated_at, j.updated_at) AS updated_at
    FROM tasks t
    JOIN workspaces w ON w.id = t.workspace_id
    JOIN builds b ON b.id = w.latest_build_id
    JOIN jobs j ON j.id = b.job_id
) t
LEFT JOIN LATERAL (
    SELECT v.status,
        CASE
            WHEN v.state IS NOT NULL THEN v.state::text
            WHEN v.status = 'initializing' THEN 'working'
        END AS state
    FROM tasks_of_any_status v
    WHERE v.id = t.id AND ($3::text[] IS NOT NULL OR $4::text[] IS NOT NULL OR $11::boolean IS NOT NULL)
    OFFSET 0
) s ON true
WHERE t.deleted_at IS NULL
    AND ($1::uuid IS NULL OR t.owner_id = $1::uuid)
    AND ($2::uuid IS NULL OR t.organization_id = $2::uuid)
    AND ($3::text[] IS NULL OR s.status = ANY ($3::text[]))
    AND ($4::text[] IS NULL OR s.state = ANY ($4::text[]))
    AND ($5::text IS NULL OR EXISTS (
        SELECT FROM workspaces w JOIN templates p ON p.id = w.template_id
        WHERE w.id = t.workspace_id
            AND (lower(p.name) = lower($5::text) OR p.id::text = lower($5::text))))
    AND ($6::text IS NULL OR t.labels @> $6::text::jsonb AND t.labels <> '{}')
    AND ($7::text[] IS NULL OR t.labels ?& $7::text[])
    AND ($8::text IS NULL OR starts_with(lower(t.name), lower($8::text)))
    AND ($9::timestamptz IS NULL OR t.created_at > $9::timestamptz)
    AND ($10::timestamptz IS NULL OR t.created_at < $10::timestamptz)
    AND ($11::boolean IS NULL OR
        (s.status = 'error' OR s.state IS NOT DISTINCT FROM 'failure') = $11::boolean)
    AND ($12::bigint IS NULL OR (t.updated_at, t.created_at, t.id)
        < (to_timestamp(0) + $12::bigint * interval '1 us', $13::timestamptz, $14::uuid))
ORDER BY t.updated_at DESC, t.created_at DESC, t.id DESC
LIMIT $15::bigint;

-- name: task_page_by_priority :many
SELECT t.id, t.priority::bigint, t.created_at
FROM tasks t
LEFT JOIN LATERAL (
    SELECT v.status,
        CASE
            WHEN v.state IS NOT NULL THEN v.state::text
            WHEN v.status = 'initializing' THEN 'working'
        END AS state
    FROM tasks_of_any_status v
    WHERE v.id = t.id AND ($3::text[] IS NOT NULL OR $4::text[] IS NOT NULL OR $11::boolean IS NOT NULL)
    OFFSET 0
) s ON true
WHERE t.deleted_at IS NULL
    AND ($1::uuid IS NULL OR t.owner_id = $1::uuid)
    AND ($2::uuid IS NULL OR t.organization_id = $2::uuid)
    AND ($3::text[] IS NULL OR s.status = ANY ($3::text[]))
    AND ($4::text[] IS NULL OR s.state = ANY ($4::text[]))
    AND ($5::text IS NULL OR EXISTS (
        SELECT FROM workspaces w JOIN templates p ON p.id = w.template_id
        WHERE w.id = t.workspace_id
            AND (lower(p.name) = lower($5::text) OR p.id::text = lower($5::text))))
    AND ($6::text IS NULL OR t.labels @> $6::text::jsonb AND t.labels <> '{}')
    AND ($7::text[] IS NULL OR t.labels ?& $7::text[])
    AND ($8::text IS NULL OR starts_with(lower(t.name), lower($8::text)))
    AND ($9::timestamptz IS NULL OR t.created_at > $9::timestamptz)
    AND ($10::timestamptz IS NULL OR t.created_at < $10::timestamptz)
    AND ($11::boolean IS NULL OR
        (s.status = 'error' OR s.state IS NOT DISTINCT FROM 'failure') = $11::boolean)
    AND ($12::bigint IS NULL OR (t.priority::bigint, t.created_at, t.id)
        < ($12::bigint, $13::timestamptz, $14::uuid))
ORDER BY t.priority DESC, t.created_at DESC, t.id DESC
LIMIT $15::bigint;
