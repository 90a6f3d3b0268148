-- SPDX-License-Identifier: Apache-2.0
-- Workers and jobs, as Coder's clients ask for provisioner daemons and jobs.

-- name: worker_offers :one
-- $1 provisioner text
-- Does a worker that is there run it?
SELECT EXISTS (SELECT FROM workers WHERE state = 'up' AND $1::text = ANY (provisioners));

-- name: worker_list :many
-- $1 ids uuid[], $2 with_gone boolean, $3 limit bigint
-- Each with a job that it runs, if that is among the newest.  (A job that is over names no worker.)
-- ids NULL: any.
WITH newest AS (
    SELECT j.id, j.state::text AS state, j.worker_id, t.name, t.display_name, t.icon
    FROM (SELECT * FROM jobs ORDER BY created_at DESC LIMIT 1000) AS j
    LEFT JOIN template_versions v ON v.id = j.template_version_id
    LEFT JOIN templates t ON t.id = v.template_id
    WHERE j.state IN ('running', 'canceling')
)
SELECT k.id, k.name, k.version, array_to_json(k.provisioners)::text, k.state, k.first_seen_at,
    k.last_seen_at, n.id, n.state, coalesce(n.name, ''), coalesce(n.display_name, ''),
    coalesce(n.icon, '')
FROM workers k
LEFT JOIN LATERAL (SELECT * FROM newest WHERE worker_id = k.id LIMIT 1) AS n ON true
WHERE ($1::uuid[] IS NULL OR k.id = ANY ($1::uuid[])) AND (k.state <> 'gone' OR $2::boolean)
ORDER BY k.first_seen_at DESC, k.id
LIMIT $3::bigint;

-- name: job_list :many
-- $1 ids uuid[], $2 states text[], $3 initiator_id uuid, $4 seen_by uuid, $5 limit bigint
-- Each NULL: any.  seen_by: builds of that person's workspaces, imports that he asked for.
SELECT j.id, j.created_at, j.started_at, j.completed_at, j.cancel_requested_at, j.error,
    j.state::text, j.worker_id, k.name, v.file_id, j.organization_id, j.initiator_id,
    j.kind = 'import', coalesce(j.build_id, v.id), v.name, t.id, coalesce(t.name, ''),
    coalesce(t.display_name, ''), coalesce(t.icon, ''), w.id, coalesce(w.name, ''), w.task_id,
    j.kind::text
FROM jobs j
LEFT JOIN builds b ON b.id = j.build_id
LEFT JOIN workspaces w ON w.id = b.workspace_id
LEFT JOIN template_versions v ON v.id = j.template_version_id
LEFT JOIN templates t ON t.id = v.template_id
LEFT JOIN workers k ON k.id = j.worker_id
WHERE ($1::uuid[] IS NULL OR j.id = ANY ($1::uuid[]))
    AND ($2::text[] IS NULL OR j.state::text = ANY ($2::text[]))
    AND ($3::uuid IS NULL OR j.initiator_id = $3::uuid)
    AND ($4::uuid IS NULL OR w.owner_id = $4::uuid
        OR (j.kind = 'import' AND j.initiator_id = $4::uuid))
ORDER BY j.created_at DESC, j.id
LIMIT $5::bigint;
