-- SPDX-License-Identifier: Apache-2.0
-- Templates and their versions.  Written by gateways; what the import found out is the scheduler's.

-- name: template_list :many
-- $1 id uuid, $2 name text, $3 name_part text, $4 has_ai_task boolean, $5 deprecated boolean,
-- $6 display_name text, $7 display_name_part text, $8 words text (part of either), $9 author text
-- Each NULL: any.
SELECT t.id, t.organization_id, t.name, t.display_name, t.description, t.icon, t.active_version_id,
    t.default_ttl_ms, t.activity_bump_ms, t.deprecated, t.created_by, u.username, t.created_at,
    t.updated_at, coalesce(v.provisioner, ''), o.name, o.display_name, o.icon
FROM templates t
JOIN organizations o ON o.id = t.organization_id
JOIN users u ON u.id = t.created_by
LEFT JOIN template_versions v ON v.id = t.active_version_id
WHERE t.deleted_at IS NULL
    AND ($1::uuid IS NULL OR t.id = $1::uuid)
    AND ($2::text IS NULL OR lower(t.name) = lower($2::text))
    AND ($3::text IS NULL OR position(lower($3::text) IN lower(t.name)) > 0)
    AND ($4::boolean IS NULL OR coalesce(v.has_ai_task, false) = $4::boolean)
    AND ($5::boolean IS NULL OR (t.deprecated <> '') = $5::boolean)
    AND ($6::text IS NULL OR lower(t.display_name) = lower($6::text))
    AND ($7::text IS NULL OR position(lower($7::text) IN lower(t.display_name)) > 0)
    AND ($8::text IS NULL OR position(lower($8::text) IN lower(t.name)) > 0
        OR position(lower($8::text) IN lower(t.display_name)) > 0)
    AND ($9::text IS NULL OR lower(u.username) = lower($9::text))
ORDER BY lower(t.name)
LIMIT 1000;

-- name: template_delete :exec
-- $1 id uuid
-- Not while a task of it has a workspace.
UPDATE templates t SET deleted_at = now(), updated_at = now()
WHERE t.id = $1::uuid AND t.deleted_at IS NULL
    AND NOT EXISTS (SELECT FROM workspaces w WHERE w.template_id = t.id AND w.deleted_at IS NULL);

-- name: template_create :exec
-- $1 id uuid, $2 organization_id uuid, $3 name text, $4 display_name text, $5 description text,
-- $6 icon text, $7 active_version_id uuid, $8 created_by uuid, $9 default_ttl_ms bigint,
-- $10 activity_bump_ms bigint
INSERT INTO templates (id, organization_id, name, display_name, description, icon,
    active_version_id, created_by, default_ttl_ms, activity_bump_ms)
VALUES ($1::uuid, $2::uuid, $3::text, $4::text, $5::text, $6::text, $7::uuid, $8::uuid, $9::bigint,
    $10::bigint);

-- name: template_update :exec
-- $1 id uuid, $2 name text, $3 display_name text, $4 description text, $5 icon text,
-- $6 deprecated text, $7 default_ttl_ms bigint, $8 activity_bump_ms bigint
-- NULL: as it is.  No row is touched when nothing would change.
UPDATE templates AS t
SET name = n.name, display_name = n.display_name, description = n.description, icon = n.icon,
    deprecated = n.deprecated, default_ttl_ms = n.default_ttl_ms,
    activity_bump_ms = n.activity_bump_ms, updated_at = now()
FROM (
    SELECT id, coalesce($2::text, name) AS name, coalesce($3::text, display_name) AS display_name,
        coalesce($4::text, description) AS description, coalesce($5::text, icon) AS icon,
        coalesce($6::text, deprecated) AS deprecated,
        coalesce($7::bigint, default_ttl_ms) AS default_ttl_ms,
        coalesce($8::bigint, activity_bump_ms) AS activity_bump_ms
    FROM templates
    WHERE id = $1::uuid AND deleted_at IS NULL
) AS n
WHERE t.id = n.id
    AND (t.name, t.display_name, t.description, t.icon, t.deprecated, t.default_ttl_ms,
        t.activity_bump_ms) IS DISTINCT FROM (n.name, n.display_name, n.description, n.icon,
        n.deprecated, n.default_ttl_ms, n.activity_bump_ms);

-- name: template_set_version :exec
-- $1 id uuid, $2 active_version_id uuid
UPDATE templates SET active_version_id = $2::uuid, updated_at = now() WHERE id = $1::uuid;

-- name: template_version_create :exec
-- $1 id uuid, $2 template_id uuid (or NULL), $3 organization_id uuid, $4 name text, $5 message text,
-- $6 file_id uuid, $7 provisioner text, $8 job_id uuid, $9 created_by uuid
INSERT INTO template_versions (id, template_id, organization_id, name, message, file_id,
    provisioner, job_id, created_by)
VALUES ($1::uuid, $2::uuid, $3::uuid, $4::text, $5::text, $6::uuid, $7::text, $8::uuid, $9::uuid);

-- name: template_version_give_values :exec
-- $1 version id uuid, $2 names text[], $3 values text[]
-- What was given for the variables of a new version.
INSERT INTO template_version_values (template_version_id, name, value)
SELECT $1::uuid, u.name, u.value
FROM unnest($2::text[], $3::text[]) AS u (name, value);

-- name: template_version_variables :many
-- $1 id uuid
-- Of what is sensitive no value leaves the database here.
SELECT d.name, d.description, d.type, CASE WHEN d.sensitive THEN '' ELSE coalesce(g.value, '') END,
    CASE WHEN d.sensitive THEN '' ELSE d.default_value END, d.required, d.sensitive
FROM template_version_variables d
LEFT JOIN template_version_values g
    ON g.template_version_id = d.template_version_id AND g.name = d.name
WHERE d.template_version_id = $1::uuid
ORDER BY d.position;

-- name: template_version_resources :one
-- $1 id uuid
SELECT resources::text FROM template_versions WHERE id = $1::uuid;

-- name: template_version_external_auth :one
-- $1 id uuid
SELECT external_auth::text FROM template_versions WHERE id = $1::uuid;

-- name: template_version_forget_values :exec
-- $1 id uuid
DELETE FROM template_version_values g
USING template_versions v
WHERE v.id = $1::uuid AND g.template_version_id = v.id
    AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = v.job_id);

-- name: template_version_forget :exec
-- $1 id uuid
-- A version whose import the scheduler did not take.
DELETE FROM template_versions v
WHERE v.id = $1::uuid AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = v.job_id);

-- name: template_version_adopt :one
-- $1 id uuid, $2 template_id uuid
-- No row: it belongs to a template already.
UPDATE template_versions SET template_id = $2::uuid, updated_at = now()
WHERE id = $1::uuid AND template_id IS NULL
RETURNING id;

-- name: template_version_get :many
-- $1 id uuid, $2 template_id uuid, $3 name text, $4 of_template_id uuid, $5 with_archived boolean,
-- $6 after_id uuid, $7 limit bigint, $8 offset bigint
-- The one with that id; the one of that name within a template; or those of a template, oldest first,
-- after that one.  What is NULL names nothing.  The import job is the scheduler's to write and may not
-- be there yet.
SELECT v.id, v.template_id, v.organization_id, v.name, v.message, v.file_id, v.provisioner,
    v.created_by, u.username, u.avatar_url, v.has_ai_task, v.archived, v.created_at, v.updated_at,
    v.job_id, coalesce(j.state::text, 'pending'), coalesce(j.error, ''),
    coalesce(j.created_at, v.created_at), j.started_at, j.completed_at, j.cancel_requested_at,
    j.worker_id, k.name, coalesce(t.name, ''), coalesce(t.display_name, ''), coalesce(t.icon, ''),
    v.app_slug
FROM (
    SELECT $1::uuid AS id
    UNION ALL
    SELECT id FROM template_versions
    WHERE template_id = $2::uuid AND lower(name) = lower($3::text)
    UNION ALL
    (SELECT l.id
    FROM template_versions l
    WHERE l.template_id = $4::uuid AND (NOT l.archived OR $5::boolean)
        AND ($6::uuid IS NULL OR (l.created_at, l.id) > (
            SELECT a.created_at, a.id FROM template_versions a WHERE a.id = $6::uuid))
    ORDER BY l.created_at, l.id
    LIMIT $7::bigint OFFSET $8::bigint)
) AS want
JOIN template_versions v ON v.id = want.id
JOIN users u ON u.id = v.created_by
LEFT JOIN templates t ON t.id = v.template_id
LEFT JOIN jobs j ON j.id = v.job_id
LEFT JOIN workers k ON k.id = j.worker_id
ORDER BY v.created_at, v.id;

-- name: template_version_update :one
-- $1 id uuid, $2 name text, $3 message text
-- NULL: as it is.  No row: there is no such version.
UPDATE template_versions
SET name = coalesce($2::text, name), message = coalesce($3::text, message), updated_at = now()
WHERE id = $1::uuid
RETURNING id;

-- name: template_version_archive :many
-- $1 id uuid (or NULL), $2 template_id uuid (all of its), $3 only_failed boolean
-- Those that can be: nobody's active version, no workspace's, and not while they are imported.
UPDATE template_versions v SET archived = true, updated_at = now()
WHERE (v.id = $1::uuid OR v.template_id = $2::uuid) AND NOT v.archived AND v.template_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM templates t WHERE t.active_version_id = v.id AND t.deleted_at IS NULL)
    AND NOT EXISTS (
        SELECT FROM workspaces w
        JOIN tasks t ON t.id = w.task_id
        WHERE w.template_id = v.template_id AND w.deleted_at IS NULL
            AND t.template_version_id = v.id)
    AND EXISTS (
        SELECT FROM jobs j
        WHERE j.id = v.job_id AND j.completed_at IS NOT NULL
            AND ($3::boolean IS NOT TRUE OR j.state <> 'succeeded'))
RETURNING v.id;

-- name: template_version_unarchive :exec
-- $1 id uuid
UPDATE template_versions SET archived = false, updated_at = now() WHERE id = $1::uuid AND archived;

-- name: template_version_apps :many
-- $1 id uuid
-- As rows of app_list: what the apps of a workspace will be.
SELECT md5(template_version_id::text || slug)::uuid, slug, display_name, icon, url,
    CASE WHEN has_health_check THEN 'initializing' ELSE 'disabled' END, is_task_app,
    template_version_id
FROM template_version_apps
WHERE template_version_id = $1::uuid
ORDER BY is_task_app DESC, slug;

-- name: template_version_parameters :many
-- $1 id uuid
SELECT name, display_name, description, icon, type, mutable, required, default_value,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('name', o ->> 'name', 'description',
        coalesce(o ->> 'description', ''), 'value', o ->> 'value', 'icon',
        coalesce(o ->> 'icon', ''))), '[]')::text FROM jsonb_array_elements(options) AS o),
    jsonb_array_length(options) > 0, validation_regex, validation_error, validation_min,
    validation_max
FROM template_version_parameters
WHERE template_version_id = $1::uuid
ORDER BY position;

-- name: template_version_presets :many
-- $1 id uuid
SELECT p.id, p.name, p.description, p.icon, p.is_default,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('Name', v.name, 'Value', v.value)
        ORDER BY v.name), '[]')::text
    FROM template_version_preset_parameters v WHERE v.preset_id = p.id)
FROM template_version_presets p
WHERE p.template_version_id = $1::uuid
ORDER BY p.position;

-- name: template_version_for_task :one
-- $1 id uuid
-- All that a new task needs to know of its version.
SELECT v.organization_id, v.template_id, t.name, t.deprecated, v.name, v.provisioner, v.app_slug,
    v.file_id, v.archived, v.has_ai_task, coalesce(j.state::text, 'pending'), coalesce(j.error, ''),
    t.default_ttl_ms, t.activity_bump_ms,
    EXISTS (SELECT FROM template_version_parameters p WHERE p.template_version_id = v.id)
FROM template_versions v
LEFT JOIN templates t ON t.id = v.template_id AND t.deleted_at IS NULL
LEFT JOIN jobs j ON j.id = v.job_id
WHERE v.id = $1::uuid;
