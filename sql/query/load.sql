-- SPDX-License-Identifier: Apache-2.0
-- What a new leader reads before it serves (rule 2).

-- name: load_plan_for_all :exec
-- For this one transaction, which reads whole tables: joins by hash.
SELECT set_config('enable_hashjoin', 'on', true), set_config('enable_seqscan', 'on', true);

-- name: load_drop_strays :exec
-- Jobs that belong to nothing any more: clean-ups of an earlier leader (a new one is made where it
-- is still needed).
UPDATE jobs AS j SET state = 'canceled', completed_at = now(), updated_at = now()
WHERE j.state IN ('pending', 'running', 'canceling') AND j.kind <> 'import'
    AND NOT EXISTS (SELECT FROM builds b WHERE b.job_id = j.id);

-- name: load_workers :many
SELECT id, name, host, array_to_string(provisioners, ',') AS provisioners,
    (extract(epoch FROM lease_until - now()) * 1000)::int8 AS lease_left_ms
FROM workers
WHERE state <> 'gone';

-- name: load_tasks :many
-- Everything whose workspace still exists, the queue's order first.
SELECT t.id, t.organization_id, t.owner_id, w.template_id, t.template_version_id, w.id AS workspace_id,
    v.file_id, b.id AS build_id, j.id AS job_id, j.worker_id, a.id AS agent_id,
    a.auth_token, t.name, w.provisioner, v.app_slug, u.username, tpl.name AS template_name,
    w.host, a.state::text AS app_state, a.lifecycle::text AS lifecycle, j.error,
    b.build_number, t.priority, j.attempt, j.token, j.kind::text AS kind, j.state::text AS state,
    t.deleted_at IS NOT NULL AS deleted, j.holds_compute, j.cancel_requested_at IS NOT NULL,
    coalesce(a.least_seq, 0),
    p.health::text AS app_health, w.ttl_ms, w.activity_bump_ms,
    (extract(epoch FROM b.deadline - now()) * 1000)::int8 AS deadline_left_ms,
    (SELECT coalesce(max(m.seq), 0) FROM queued_messages m WHERE m.task_id = t.id),
    CASE WHEN t.start_after > now() THEN t.start_after END AS start_after, t.time_limit_ms,
    (extract(epoch FROM now() - j.completed_at) * 1000)::int8 AS ran_ms,
    t.template_parameters <> '{}' AS has_parameters, t.revision, j.command_id, t.update_id,
    o.id AS build_before,
    (SELECT coalesce(max(d.retries), 0) FROM dead_jobs d WHERE d.job_id = j.id) AS series
FROM workspaces w
JOIN tasks t ON t.id = w.task_id
JOIN users u ON u.id = t.owner_id
JOIN templates tpl ON tpl.id = w.template_id
JOIN template_versions v ON v.id = t.template_version_id
JOIN builds b ON b.id = w.latest_build_id
JOIN jobs j ON j.id = b.job_id
LEFT JOIN builds o ON o.workspace_id = w.id AND o.build_number = b.build_number - 1
LEFT JOIN agents a ON a.id = w.latest_agent_id
LEFT JOIN apps p ON p.agent_id = a.id AND p.is_task_app
WHERE w.deleted_at IS NULL
ORDER BY greatest(j.created_at, t.start_after), t.created_at;

-- name: load_messages :many
-- What waits for apps, first to last; what they say stays here.
SELECT id, task_id, seq, octet_length(content)::int8 AS bytes
FROM queued_messages
WHERE state = 'queued'
ORDER BY task_id, seq;

-- name: load_imports :many
SELECT j.id, j.template_version_id, j.organization_id, v.file_id, j.worker_id, j.provisioner,
    j.state::text AS state, j.token, j.attempt, j.command_id
FROM jobs j
JOIN template_versions v ON v.id = j.template_version_id
WHERE j.kind = 'import' AND j.state IN ('pending', 'running', 'canceling')
ORDER BY j.created_at;
