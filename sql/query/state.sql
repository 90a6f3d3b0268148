-- SPDX-License-Identifier: Apache-2.0
-- Terraform's state (scheduler/state.c).

-- name: state_put :many
-- $1 job uuid, $2 token int8, $3 worker uuid, $4 version int8, $5 part int4, $6 parts int4, $7 data bytea, $8 workspace uuid
-- Fenced (rule 3): no row when another lease of the job is out.  The job's row is held to the end of
-- the transaction, so that no later lease begins beside this.
WITH held AS (
    SELECT b.workspace_id, b.id AS build_id
    FROM jobs j
    JOIN builds b ON b.id = j.build_id
    WHERE j.id = $1::uuid AND j.token = $2::int8 AND j.worker_id = $3::uuid
        AND j.state IN ('running', 'canceling') AND b.workspace_id = $8::uuid
    FOR SHARE OF j
)
INSERT INTO workspace_states AS s (workspace_id, version, part, parts, build_id, data)
SELECT h.workspace_id, $4::int8, $5::int4, $6::int4, h.build_id, $7::bytea
FROM held h
ON CONFLICT (workspace_id, version, part) DO UPDATE
SET parts = excluded.parts, build_id = excluded.build_id, data = excluded.data, created_at = now()
RETURNING s.workspace_id;

-- name: state_prune :exec
-- $1 job uuid, $2 versions to keep int8
-- Whole versions beyond those, with whatever is older.
DELETE FROM workspace_states s
USING jobs j, builds b
WHERE j.id = $1::uuid AND b.id = j.build_id AND s.workspace_id = b.workspace_id
    AND s.version <= (
        SELECT w.version FROM workspace_states w
        WHERE w.workspace_id = b.workspace_id AND w.part = w.parts - 1
        ORDER BY w.version DESC
        OFFSET $2::int8 LIMIT 1);

-- name: state_get :many
-- $1 job uuid, $2 token int8, $3 worker uuid, $4 version int8 (0: the newest whole one), $5 part int4
-- Fenced likewise.  A workspace without state has a row without a version.
SELECT b.workspace_id, coalesce(s.version, 0)::int8, coalesce(s.parts, 0), s.data
FROM jobs j
JOIN builds b ON b.id = j.build_id
LEFT JOIN LATERAL (
    SELECT w.version, w.parts
    FROM workspace_states w
    WHERE w.workspace_id = b.workspace_id AND w.part = w.parts - 1
        AND ($4::int8 = 0 OR w.version = $4::int8)
    ORDER BY w.version DESC
    LIMIT 1
) AS newest ON true
LEFT JOIN workspace_states s ON s.workspace_id = b.workspace_id AND s.version = newest.version
    AND s.parts = newest.parts AND s.part = $5::int4
WHERE j.id = $1::uuid AND j.token = $2::int8 AND j.worker_id = $3::uuid
    AND j.state IN ('running', 'canceling');
