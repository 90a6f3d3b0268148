-- SPDX-License-Identifier: Apache-2.0
-- The scheduler's writes.  Each statement carries all rows of its kind of one batch, column by
-- column as arrays, so that a batch costs a dozen statements however many tasks it touches.

-- name: store_insert_tasks :exec
-- $1 id, $2 organization, $3 owner, $4 workspace, $5 template version uuid[]; $6 name, $7 display name, $8 prompt text[]
-- clock_timestamp() tells tasks of one batch apart, in order.
INSERT INTO tasks (id, organization_id, owner_id, workspace_id, template_version_id, name,
    display_name, prompt, created_at)
SELECT u.id, u.organization_id, u.owner_id, u.workspace_id, u.version_id, u.name,
    u.display_name, u.prompt, clock_timestamp()
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
    $8::text[]) AS u (id, organization_id, owner_id, workspace_id, version_id, name, display_name, prompt);

-- name: store_insert_tasks_with_options :exec
-- $1 id, $2 organization, $3 owner, $4 workspace, $5 template version uuid[]; $6 name, $7 display name, $8 prompt text[]; $9 preset uuid[]; $10 priority int4[]; $11 earliest start timestamptz[]; $12 time limit in milliseconds int8[]; $13 task uuid[], $14 name, $15 value text[] of parameters; $16 task uuid[], $17 name, $18 value text[] of labels
-- Those that have any; the others go the plain way, which costs less.
WITH p AS (
    SELECT x.id, jsonb_object_agg(x.name, x.value) AS pairs
    FROM unnest($13::uuid[], $14::text[], $15::text[]) AS x (id, name, value)
    GROUP BY x.id
), l AS (
    SELECT x.id, jsonb_object_agg(x.name, x.value) AS pairs
    FROM unnest($16::uuid[], $17::text[], $18::text[]) AS x (id, name, value)
    GROUP BY x.id
)
INSERT INTO tasks (id, organization_id, owner_id, workspace_id, template_version_id, name,
    display_name, prompt, template_version_preset_id, priority, start_after, time_limit_ms,
    template_parameters, labels, created_at)
SELECT u.id, u.organization_id, u.owner_id, u.workspace_id, u.version_id, u.name, u.display_name,
    u.prompt, u.preset_id, u.priority, u.start_after, u.time_limit_ms, coalesce(p.pairs, '{}'),
    coalesce(l.pairs, '{}'), clock_timestamp()
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
    $8::text[], $9::uuid[], $10::int4[], $11::timestamptz[], $12::int8[])
    AS u (id, organization_id, owner_id, workspace_id, version_id, name, display_name, prompt,
    preset_id, priority, start_after, time_limit_ms)
LEFT JOIN p ON p.id = u.id
LEFT JOIN l ON l.id = u.id;

-- name: store_update_options :exec
-- $1 id uuid; $2 display name text; $3 priority int4; $4 set earliest start bool, $5 it timestamptz; $6 time limit in milliseconds int8; $7 set labels bool, $8 their names, $9 values text[]; $10 set parameters bool, $11 their names, $12 values text[]; $13 workspace uuid, $14 its idle timeout in milliseconds int8; for the audit $15 actor uuid, $16 action, $17 target, $18 ip, $19 user agent, $20 request id text; $21 the command uuid
-- NULL, and what is not to be set: as it is.  No action: no audit.  What is audited is what differs.
WITH was AS (
    SELECT jsonb_build_object('display_name', t.display_name, 'priority', t.priority, 'start_after',
        t.start_after, 'time_limit_ms', t.time_limit_ms, 'labels', t.labels, 'ttl_ms', w.ttl_ms) AS o
    FROM tasks t
    JOIN workspaces w ON w.id = $13::uuid
    WHERE t.id = $1::uuid
), changed AS (
    UPDATE tasks
    SET revision = revision + 1, update_id = coalesce($21::uuid, update_id),
        display_name = coalesce($2::text, display_name),
        priority = coalesce($3::int4, priority),
        start_after = CASE WHEN $4::bool THEN $5::timestamptz ELSE start_after END,
        time_limit_ms = coalesce($6::int8, time_limit_ms),
        labels = CASE WHEN $7::bool THEN (
            SELECT coalesce(jsonb_object_agg(x.name, x.value), '{}')
            FROM unnest($8::text[], $9::text[]) AS x (name, value)) ELSE labels END,
        template_parameters = CASE WHEN $10::bool THEN (
            SELECT coalesce(jsonb_object_agg(x.name, x.value), '{}')
            FROM unnest($11::text[], $12::text[]) AS x (name, value)) ELSE template_parameters END
    WHERE id = $1::uuid
    RETURNING jsonb_build_object('display_name', display_name, 'priority', priority, 'start_after',
        start_after, 'time_limit_ms', time_limit_ms, 'labels', labels) AS o
), timed AS (
    UPDATE workspaces SET ttl_ms = $14::int8 WHERE id = $13::uuid AND $14::int8 IS NOT NULL
    RETURNING jsonb_build_object('ttl_ms', ttl_ms) AS o
)
INSERT INTO audit_log (actor_id, resource_id, action, resource_type, target, ip, user_agent,
    request_id, before, after)
SELECT $15::uuid, $1::uuid, $16::text, 'task', coalesce($17::text, ''), coalesce($18::text, ''),
    coalesce($19::text, ''), coalesce($20::text, ''), d.before, d.after
FROM was
CROSS JOIN changed
LEFT JOIN timed ON true
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(n.key, was.o -> n.key) AS before, jsonb_object_agg(n.key, n.value) AS after
    FROM jsonb_each(changed.o || coalesce(timed.o, '{}')) AS n
    WHERE was.o -> n.key IS DISTINCT FROM n.value
) AS d
WHERE $16::text IS NOT NULL;

-- name: store_insert_workspaces :exec
-- $1 id, $2 task, $3 organization, $4 owner, $5 template, $6 first build, $7 agent uuid[]; $8 name, $9 provisioner text[]; $10 idle timeout, $11 activity bump in milliseconds int8[]
INSERT INTO workspaces (id, task_id, organization_id, owner_id, template_id, latest_build_id,
    latest_agent_id, name, provisioner, ttl_ms, activity_bump_ms, build_number)
SELECT u.id, u.task_id, u.organization_id, u.owner_id, u.template_id, u.build_id, u.agent_id,
    u.name, u.provisioner, u.ttl_ms, u.bump_ms, 1
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::uuid[],
    $8::text[], $9::text[], $10::int8[], $11::int8[])
    AS u (id, task_id, organization_id, owner_id, template_id, build_id, agent_id, name, provisioner,
    ttl_ms, bump_ms);

-- name: store_insert_builds :exec
-- $1 id, $2 workspace, $3 initiator, $4 template version, $5 job, $6 agent uuid[]; $7 number int4[]; $8 transition, $9 reason text[]; $10 task whose parameters it has uuid[]
INSERT INTO builds (id, workspace_id, initiator_id, template_version_id, job_id, agent_id,
    build_number, transition, reason, parameters)
SELECT u.id, u.workspace_id, u.initiator_id, u.version_id, u.job_id, u.agent_id,
    u.number, u.transition::build_transition, u.reason::build_reason,
    CASE WHEN u.parameters_of IS NOT NULL THEN (
        SELECT t.template_parameters FROM tasks t WHERE t.id = u.parameters_of) END
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::int4[],
    $8::text[], $9::text[], $10::uuid[])
    AS u (id, workspace_id, initiator_id, version_id, job_id, agent_id, number, transition, reason,
    parameters_of);

-- name: store_insert_jobs :exec
-- $1 id, $2 organization, $3 initiator, $4 build, $5 template version uuid[]; $6 kind, $7 state, $8 provisioner text[]; $9 priority int4[]; $10 holds compute bool[]
INSERT INTO jobs (id, organization_id, initiator_id, build_id, template_version_id, kind, state,
    provisioner, priority, holds_compute, completed_at)
SELECT u.id, u.organization_id, u.initiator_id, u.build_id, u.version_id, u.kind::job_kind,
    u.state::job_state, u.provisioner, u.priority, u.holds_compute,
    CASE WHEN u.state = 'succeeded' THEN now() END
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
    $8::text[], $9::int4[], $10::bool[])
    AS u (id, organization_id, initiator_id, build_id, version_id, kind, state, provisioner,
    priority, holds_compute)
ON CONFLICT (id) DO NOTHING;

-- name: store_insert_agents :exec
-- $1 id, $2 task, $3 workspace, $4 build, $5 token uuid[]
INSERT INTO agents (id, task_id, workspace_id, build_id, auth_token)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[]);

-- name: store_insert_apps :many
-- $1 id, $2 agent, $3 template version uuid[]; $4 slug text[]
-- The task's app has the id that is given; the version's other apps get one each.  What comes back:
-- whether it is a task's app that has yet to show its health.
INSERT INTO apps (id, agent_id, slug, display_name, icon, url, health, is_task_app)
SELECT u.id, u.agent_id, u.slug, coalesce(nullif(v.display_name, ''), u.slug), coalesce(v.icon, ''),
    coalesce(v.url, ''),
    (CASE WHEN v.has_health_check THEN 'initializing' ELSE 'disabled' END)::app_health, true
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[]) AS u (id, agent_id, version_id, slug)
LEFT JOIN template_version_apps v ON v.template_version_id = u.version_id AND v.slug = u.slug
UNION ALL
SELECT gen_random_uuid(), u.agent_id, v.slug, coalesce(nullif(v.display_name, ''), v.slug), v.icon,
    v.url, (CASE WHEN v.has_health_check THEN 'initializing' ELSE 'disabled' END)::app_health, false
FROM unnest($2::uuid[], $3::uuid[], $4::text[]) AS u (agent_id, version_id, slug)
JOIN template_version_apps v ON v.template_version_id = u.version_id AND v.slug <> u.slug
RETURNING agent_id, is_task_app AND health = 'initializing';

-- name: store_update_jobs :exec
-- $1 id, $2 worker uuid[]; $3 state text[]; $4 token, $5 token as it was int8[]; $6 attempt int4[]; $7 holds compute, $8 cancel requested bool[]; $9 error text[]; $10 newest command uuid[]
-- Fenced: a row whose token is not the one we know is not touched, and the store notices by the count.
UPDATE jobs AS j
SET state = u.state::job_state, worker_id = u.worker_id, token = u.token, attempt = u.attempt,
    holds_compute = u.holds_compute, error = coalesce(u.error, ''), updated_at = now(),
    started_at = CASE WHEN u.state = 'pending' THEN NULL ELSE coalesce(j.started_at, now()) END,
    completed_at = CASE WHEN u.state IN ('succeeded', 'failed', 'canceled') THEN now() END,
    cancel_requested_at = CASE WHEN u.cancel_requested THEN coalesce(j.cancel_requested_at, now()) END,
    command_id = coalesce(u.command_id, j.command_id)
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::int8[], $5::int8[], $6::int4[], $7::bool[],
    $8::bool[], $9::text[], $10::uuid[])
    AS u (id, worker_id, state, token, token_was, attempt, holds_compute, cancel_requested, error,
    command_id)
WHERE j.id = u.id AND j.token = u.token_was;

-- name: store_bury_jobs :exec
-- $1 id, $2 worker uuid[]; $3 cause text[]; $4 tries int4[]
INSERT INTO dead_jobs AS d (job_id, worker_id, worker_name, cause, attempts)
SELECT u.id, u.worker_id, coalesce(w.name, ''), u.cause::job_death, u.attempts
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::int4[]) AS u (id, worker_id, cause, attempts)
LEFT JOIN workers w ON w.id = u.worker_id
ON CONFLICT (job_id) DO UPDATE
SET cause = excluded.cause, attempts = excluded.attempts, worker_id = excluded.worker_id,
    worker_name = excluded.worker_name, died_at = now(), retried_at = NULL, retried_by = NULL;

-- name: store_revive_jobs :exec
-- $1 id, $2 who wants it uuid[]
UPDATE dead_jobs AS d SET retried_at = now(), retried_by = u.actor_id, retries = d.retries + 1
FROM unnest($1::uuid[], $2::uuid[]) AS u (id, actor_id)
WHERE d.job_id = u.id;

-- name: store_retry_imports :many
-- $1 id, $2 who wants it, $3 the command uuid[]; for the audit $4 ip, $5 user agent, $6 request id text[]
-- Dead imports are in nobody's memory: they are revived here, and the scheduler learns of those it gets
-- back.  What is not dead stays as it is.
WITH want AS (
    SELECT DISTINCT ON (x.id) x.*
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[])
        AS x (id, actor_id, command_id, ip, user_agent, request_id)
), revived AS (
    UPDATE jobs AS j
    SET state = 'pending', attempt = 0, error = '', worker_id = NULL, started_at = NULL,
        completed_at = NULL, cancel_requested_at = NULL, updated_at = now(),
        command_id = coalesce(want.command_id, j.command_id)
    FROM want
    WHERE j.id = want.id AND j.kind = 'import' AND j.state = 'failed'
    RETURNING j.id, j.template_version_id, j.organization_id, j.provisioner, j.token, j.command_id
), marked AS (
    UPDATE dead_jobs AS d SET retried_at = now(), retried_by = want.actor_id, retries = d.retries + 1
    FROM want
    JOIN revived ON revived.id = want.id
    WHERE d.job_id = want.id
), audited AS (
    INSERT INTO audit_log (actor_id, resource_id, action, resource_type, ip, user_agent, request_id)
    SELECT want.actor_id, r.template_version_id, 'retry', 'template_version', coalesce(want.ip, ''),
        coalesce(want.user_agent, ''), coalesce(want.request_id, '')
    FROM want
    JOIN revived r ON r.id = want.id
)
SELECT r.id, r.template_version_id, r.organization_id, v.file_id, r.provisioner, r.token, r.command_id
FROM revived r
JOIN template_versions v ON v.id = r.template_version_id;

-- name: store_read_commands :many
-- $1 job, $2 command uuid[]
-- Which of these are the newest command that was carried out on their job.
SELECT j.id, j.command_id
FROM unnest($1::uuid[], $2::uuid[]) AS want (id, command_id)
JOIN jobs j ON j.id = want.id AND j.command_id = want.command_id;

-- name: store_update_workspaces :exec
-- $1 id, $2 latest build, $3 latest agent uuid[]; $4 build number int4[]; $5 host text[]; $6 deleted bool[]
-- With a workspace goes its Terraform state: there is nothing left that it could speak of.
WITH gone AS (
    DELETE FROM workspace_states s
    USING unnest($1::uuid[], $6::bool[]) AS d (id, deleted)
    WHERE d.deleted AND s.workspace_id = d.id
)
UPDATE workspaces AS w
SET latest_build_id = u.build_id, latest_agent_id = u.agent_id, build_number = u.number,
    host = u.host, updated_at = now(), deleted_at = CASE WHEN u.deleted THEN now() END
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int4[], $5::text[], $6::bool[])
    AS u (id, build_id, agent_id, number, host, deleted)
WHERE w.id = u.id;

-- name: store_delete_tasks :exec
-- $1 id uuid[]
WITH gone AS (DELETE FROM log_snapshots WHERE task_id = ANY ($1::uuid[]))
UPDATE tasks SET deleted_at = now()
FROM unnest($1::uuid[]) AS u (id)
WHERE tasks.id = u.id AND tasks.deleted_at IS NULL;

-- name: store_update_prompt :exec
-- $1 id uuid, $2 prompt text, $3 the command uuid
UPDATE tasks SET prompt = $2::text, revision = revision + 1, update_id = coalesce($3::uuid, update_id)
WHERE id = $1::uuid;

-- name: store_finish_version :exec
-- $1 id uuid, $2 has_ai_task bool, $3 app slug, $4 resources, $5 external auth text (JSON or NULL)
UPDATE template_versions
SET has_ai_task = $2::bool, app_slug = $3::text, updated_at = now(),
    resources = coalesce($4::text::jsonb, resources),
    external_auth = coalesce($5::text::jsonb, external_auth)
WHERE id = $1::uuid;

-- name: store_insert_version_variables :exec
-- $1 template version uuid[]; $2 place int4[]; $3 name, $4 description, $5 type, $6 default text[]; $7 required, $8 sensitive bool[]
INSERT INTO template_version_variables (template_version_id, position, name, description, type,
    default_value, required, sensitive)
SELECT * FROM unnest($1::uuid[], $2::int4[], $3::text[], $4::text[], $5::text[], $6::text[],
    $7::bool[], $8::bool[])
ON CONFLICT DO NOTHING;

-- name: store_insert_build_resources :exec
-- $1 build uuid[]; $2 resources, $3 agent text[] (JSON)
-- A clean-up after a failed start is a second job of the same build.
INSERT INTO build_resources (build_id, resources, agent)
SELECT DISTINCT ON (u.build_id) u.build_id, u.resources::jsonb, u.agent::jsonb
FROM unnest($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY AS u (build_id, resources, agent, nth)
ORDER BY u.build_id, u.nth DESC
ON CONFLICT (build_id) DO UPDATE SET resources = excluded.resources, agent = excluded.agent;

-- name: store_upsert_apps :exec
-- $1 agent uuid[]; $2 slug, $3 display name, $4 icon, $5 url text[]; $6 has a health check bool[]
-- As the build has made them.  One that the import did not know of is added.
INSERT INTO apps AS a (id, agent_id, slug, display_name, icon, url, health)
SELECT DISTINCT ON (u.agent_id, u.slug) gen_random_uuid(), u.agent_id, u.slug,
    coalesce(nullif(u.display_name, ''), u.slug), u.icon, u.url,
    (CASE WHEN u.has_health_check THEN 'initializing' ELSE 'disabled' END)::app_health
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bool[])
    AS u (agent_id, slug, display_name, icon, url, has_health_check)
ORDER BY u.agent_id, u.slug
ON CONFLICT (agent_id, slug) DO UPDATE
SET display_name = excluded.display_name, icon = excluded.icon, url = excluded.url;

-- name: store_insert_version_apps :exec
-- $1 template version uuid[]; $2 slug, $3 display name, $4 icon, $5 url text[]; $6 has a health check, $7 is the task's bool[]
INSERT INTO template_version_apps (template_version_id, slug, display_name, icon, url,
    has_health_check, is_task_app)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bool[], $7::bool[])
ON CONFLICT DO NOTHING;

-- name: store_insert_version_parameters :exec
-- $1 template version uuid[]; $2 place int4[]; $3 name, $4 display name, $5 description, $6 icon, $7 type text[]; $8 mutable, $9 required bool[]; $10 default, $11 pattern, $12 error text[]; $13 has min bool[], $14 min int8[], $15 has max bool[], $16 max int8[]; of the options: $17 template version uuid[], $18 parameter, $19 name, $20 value, $21 description, $22 icon text[]
INSERT INTO template_version_parameters (template_version_id, position, name, display_name,
    description, icon, type, mutable, required, default_value, validation_regex, validation_error,
    validation_min, validation_max, options)
SELECT u.version_id, u.position, u.name, u.display_name, u.description, u.icon, u.type, u.mutable,
    u.required, u.default_value, u.regex, u.error, CASE WHEN u.has_min THEN u.min END,
    CASE WHEN u.has_max THEN u.max END, (
        SELECT coalesce(jsonb_agg(jsonb_build_object('name', o.name, 'value', o.value,
            'description', o.description, 'icon', o.icon) ORDER BY o.nth), '[]')
        FROM unnest($17::uuid[], $18::text[], $19::text[], $20::text[], $21::text[], $22::text[])
            WITH ORDINALITY AS o (version_id, parameter, name, value, description, icon, nth)
        WHERE o.version_id = u.version_id AND o.parameter = u.name)
FROM unnest($1::uuid[], $2::int4[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::bool[], $9::bool[], $10::text[], $11::text[], $12::text[], $13::bool[], $14::int8[],
    $15::bool[], $16::int8[])
    AS u (version_id, position, name, display_name, description, icon, type, mutable, required,
    default_value, regex, error, has_min, min, has_max, max)
ON CONFLICT DO NOTHING;

-- name: store_insert_version_presets :exec
-- $1 id, $2 template version uuid[]; $3 place int4[]; $4 name, $5 description, $6 icon text[]; $7 is the default bool[]
INSERT INTO template_version_presets (id, template_version_id, position, name, description, icon,
    is_default)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int4[], $4::text[], $5::text[], $6::text[], $7::bool[])
ON CONFLICT DO NOTHING;

-- name: store_insert_preset_parameters :exec
-- $1 preset uuid[]; $2 name, $3 value text[]
INSERT INTO template_version_preset_parameters (preset_id, name, value)
SELECT u.preset_id, u.name, u.value
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS u (preset_id, name, value)
JOIN template_version_presets p ON p.id = u.preset_id
ON CONFLICT DO NOTHING;

-- name: store_set_deadlines :exec
-- $1 build uuid[]; $2 milliseconds from now int8[], below zero: never
-- Several of one build in a batch: the last one counts.
UPDATE builds AS b SET deadline = CASE WHEN u.left_ms >= 0 THEN now() + u.left_ms * interval '1 ms' END
FROM (
    SELECT DISTINCT ON (x.id) x.id, x.left_ms
    FROM unnest($1::uuid[], $2::int8[]) WITH ORDINALITY AS x (id, left_ms, nth)
    ORDER BY x.id, x.nth DESC
) AS u
WHERE b.id = u.id;

-- name: store_insert_messages :many
-- $1 id, $2 task, $3 initiator uuid[]; $4 place among the task's int8[]; $5 content text[]
-- What comes back are those that were not there before.
INSERT INTO queued_messages (id, task_id, initiator_id, seq, content, created_at)
SELECT u.id, u.task_id, u.initiator_id, u.seq, u.content, clock_timestamp()
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int8[], $5::text[])
    AS u (id, task_id, initiator_id, seq, content)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: store_finish_messages :exec
-- $1 id, $2 task uuid[]; $3 state, $4 detail text[]
-- "Waits" is said by finished_at here: with the state, the index of all that wait would be walked when
-- the statement was planned on an empty table.
UPDATE queued_messages AS m
SET state = u.state::message_state, detail = u.detail, finished_at = clock_timestamp()
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]) AS u (id, task_id, state, detail)
WHERE m.id = u.id AND m.task_id = u.task_id AND m.finished_at IS NULL;

-- name: store_upsert_workers :exec
-- $1 id uuid[]; $2 name, $3 host, $4 version, $5 state, $6 provisioners text[]; $7 slots int4[]; $8 milliseconds of lease left int8[]; $9 agent_url text[]
INSERT INTO workers AS w (id, name, host, version, state, provisioners, slots, lease_until,
    agent_url)
SELECT DISTINCT ON (u.id) u.id, u.name, u.host, u.version, u.state, string_to_array(u.provisioners, ','),
    u.slots, now() + u.lease_left_ms * interval '1 ms', u.agent_url
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int4[],
    $8::int8[], $9::text[]) WITH ORDINALITY
    AS u (id, name, host, version, state, provisioners, slots, lease_left_ms, agent_url, nth)
ORDER BY u.id, u.nth DESC
ON CONFLICT (id) DO UPDATE
SET state = excluded.state, lease_until = excluded.lease_until, last_seen_at = now(),
    slots = excluded.slots, version = excluded.version,
    agent_url = CASE WHEN excluded.agent_url <> '' THEN excluded.agent_url ELSE w.agent_url END;

-- name: store_insert_statuses :exec
-- $1 agent uuid[]; $2 number int8[]; $3 slug, $4 state, $5 message, $6 uri text[]
WITH said AS (
    INSERT INTO app_statuses (agent_id, seq, slug, state, message, uri, created_at)
    SELECT u.agent_id, u.seq, u.slug, u.state::app_state, u.message, u.uri, clock_timestamp()
    FROM unnest($1::uuid[], $2::int8[], $3::text[], $4::text[], $5::text[], $6::text[])
        AS u (agent_id, seq, slug, state, message, uri)
    RETURNING agent_id, seq, state, message, uri, created_at
), newest AS (
    SELECT DISTINCT ON (agent_id) * FROM said ORDER BY agent_id, seq
)
UPDATE agents AS a
SET state = n.state, state_message = n.message, state_uri = n.uri, state_at = n.created_at,
    least_seq = least(a.least_seq, n.seq)
FROM newest n
WHERE a.id = n.agent_id;

-- name: store_insert_logs :many
-- $1 job uuid[]; $2 id, $3 time in microseconds int8[]; $4 level, $5 stage, $6 output text[]
-- The time is the worker's, the same when a line comes again, which makes the key hold across partitions.
-- Returns the ids under which the change feed tells of these jobs: their tasks, or of imports their own.
WITH lines AS (
    INSERT INTO build_logs (job_id, id, level, stage, output, created_at)
    SELECT u.job_id, u.id, u.level, u.stage, u.output,
        CASE WHEN u.at_us = 0 THEN clock_timestamp()
            ELSE greatest(least(to_timestamp(u.at_us / 1000000.0), now() + interval '1 day'), j.created_at)
        END
    FROM unnest($1::uuid[], $2::int8[], $3::int8[], $4::text[], $5::text[], $6::text[])
        AS u (job_id, id, at_us, level, stage, output)
    LEFT JOIN jobs j ON j.id = u.job_id
    ON CONFLICT DO NOTHING
    RETURNING job_id
)
SELECT coalesce((
    SELECT w.task_id
    FROM jobs j
    JOIN builds b ON b.id = j.build_id
    JOIN workspaces w ON w.id = b.workspace_id
    WHERE j.id = l.job_id), l.job_id)
FROM (SELECT DISTINCT job_id FROM lines) AS l;

-- name: store_insert_audits :exec
-- $1 actor, $2 resource uuid[]; $3 action, $4 resource type, $5 target, $6 ip, $7 user agent,
-- $8 request id, $9 new prompt (or NULL) text[]
-- After new tasks are in and before old ones change, so that both can be shown as they were.
INSERT INTO audit_log (actor_id, resource_id, action, resource_type, target, ip, user_agent,
    request_id, before, after)
SELECT u.actor, u.resource, u.action, u.type, coalesce(u.target, ''), coalesce(u.ip, ''),
    coalesce(u.user_agent, ''), coalesce(u.request_id, ''),
    CASE WHEN u.prompt IS NOT NULL THEN (
        SELECT jsonb_build_object('prompt', left(t.prompt, 1000)) FROM tasks t WHERE t.id = u.resource)
    END,
    CASE
        WHEN u.prompt IS NOT NULL THEN jsonb_build_object('prompt', left(u.prompt, 1000))
        WHEN u.action = 'create' THEN (
            SELECT jsonb_build_object('owner_id', t.owner_id, 'name', t.name,
                'display_name', t.display_name, 'template_version_id', t.template_version_id,
                'prompt', left(t.prompt, 1000))
            FROM tasks t WHERE t.id = u.resource)
    END
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::text[], $9::text[])
    AS u (actor, resource, action, type, target, ip, user_agent, request_id, prompt);

-- name: store_read_prompts :many
-- $1 task id uuid[]
-- OFFSET 0 keeps this a look-up by key for each id, whatever the table looked like when it was planned.
SELECT t.id, t.prompt
FROM unnest($1::uuid[]) AS want (id)
CROSS JOIN LATERAL (SELECT id, prompt FROM tasks WHERE tasks.id = want.id OFFSET 0) AS t;

-- name: store_read_parameters :many
-- $1 task id uuid[]
-- One row per parameter, those of a task in a row.
SELECT t.id, p.key, p.value
FROM unnest($1::uuid[]) WITH ORDINALITY AS want (id, nth)
CROSS JOIN LATERAL (
    SELECT id, template_parameters FROM tasks WHERE tasks.id = want.id OFFSET 0
) AS t
CROSS JOIN LATERAL jsonb_each_text(t.template_parameters) AS p
ORDER BY want.nth;

-- name: store_read_facts :many
-- $1 job id uuid[]
-- What Terraform templates are told beside; one row per fact, those of a job in a row.
SELECT want.id, f.name, f.value
FROM unnest($1::uuid[]) WITH ORDINALITY AS want (id, nth)
CROSS JOIN LATERAL (
    SELECT j.template_version_id, b.workspace_id, b.build_number,
        coalesce(w.owner_id, j.initiator_id) AS owner_id, w.task_id
    FROM jobs j
    LEFT JOIN builds b ON b.id = j.build_id
    LEFT JOIN workspaces w ON w.id = b.workspace_id
    WHERE j.id = want.id OFFSET 0
) AS d
CROSS JOIN LATERAL (
    SELECT x.name, x.value
    FROM users u
    CROSS JOIN LATERAL (VALUES ('owner_id', u.id::text), ('owner_name', u.username),
        ('owner_email', u.email), ('owner_full_name', u.name), ('owner_login_type', u.login_type),
        ('owner_roles', array_to_json(u.roles)::text)) AS x (name, value)
    WHERE u.id = d.owner_id
    UNION ALL
    SELECT x.name, x.value
    FROM template_versions v
    LEFT JOIN templates t ON t.id = v.template_id
    CROSS JOIN LATERAL (VALUES ('template_id', coalesce(t.id::text, '')),
        ('template_name', coalesce(t.name, '')), ('template_version', v.name)) AS x (name, value)
    WHERE v.id = d.template_version_id
    UNION ALL
    SELECT 'prompt', t.prompt FROM tasks t WHERE t.id = d.task_id
    UNION ALL
    SELECT 'variable.' || g.name, g.value
    FROM template_version_values g
    WHERE g.template_version_id = d.template_version_id
    UNION ALL
    SELECT 'previous.' || p.key, p.value
    FROM builds l
    CROSS JOIN LATERAL jsonb_each_text(l.parameters) AS p
    WHERE l.workspace_id = d.workspace_id AND l.build_number = d.build_number - 1
    UNION ALL
    SELECT 'orphan', 'true' FROM orphaned_workspaces o WHERE o.workspace_id = d.workspace_id
    UNION ALL
    SELECT 'ephemeral', r ->> 'address'
    FROM template_versions v
    CROSS JOIN LATERAL jsonb_array_elements(v.resources) AS r
    WHERE v.id = d.template_version_id AND (r ->> 'ephemeral')::boolean
) AS f
ORDER BY want.nth;

-- name: store_read_starts :many
-- $1 task id uuid[]
-- How long until these may start; rounded up, so that who waits so long has waited long enough.
SELECT t.id, t.start_after,
    coalesce(ceil(extract(epoch FROM t.start_after - clock_timestamp()) * 1000), 0)::int8 AS left_ms
FROM unnest($1::uuid[]) AS want (id)
CROSS JOIN LATERAL (SELECT id, start_after FROM tasks WHERE tasks.id = want.id OFFSET 0) AS t;

-- name: store_read_leases :many
-- $1 worker uuid[]
-- How much is left of these leases, now; whoever has none left is gone (rule 11).
SELECT id, ceil(extract(epoch FROM lease_until - clock_timestamp()) * 1000)::int8 AS left_ms
FROM workers
WHERE id = ANY ($1::uuid[]);

-- name: store_read_messages :many
-- $1 id, $2 task uuid[]
-- What waiting messages say, as they are handed over.
SELECT m.id, m.content
FROM unnest($1::uuid[], $2::uuid[]) AS want (id, task_id)
CROSS JOIN LATERAL (
    SELECT q.id, q.content FROM queued_messages q
    WHERE q.id = want.id AND q.task_id = want.task_id AND q.finished_at IS NULL OFFSET 0
) AS m;

-- name: store_read_message_states :many
-- $1 id, $2 task uuid[]
-- What has become of messages that memory knows nothing of.
SELECT m.id, m.state
FROM unnest($1::uuid[], $2::uuid[]) AS want (id, task_id)
CROSS JOIN LATERAL (
    SELECT q.id, q.state::text FROM queued_messages q
    WHERE q.id = want.id AND q.task_id = want.task_id OFFSET 0
) AS m;

-- name: store_open_agents :many
-- $1 id uuid[]
-- An agent has come: remember that, and tell how far its reports have got.
UPDATE agents SET connected_at = coalesce(connected_at, now()), disconnected_at = NULL
WHERE id = ANY ($1::uuid[])
RETURNING id, watermark;

-- name: store_lose_agents :exec
-- $1 id uuid[]
-- Agents that have been without a session for long.
UPDATE agents SET disconnected_at = now()
WHERE id = ANY ($1::uuid[]) AND disconnected_at IS NULL;

-- name: store_read_file :one
-- $1 id uuid, $2 offset int8, $3 bytes at most int8
SELECT substring(data FROM ($2::int8 + 1)::int4 FOR $3::int4), length(data)::int8
FROM files WHERE id = $1::uuid;
