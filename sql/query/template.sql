-- SPDX-License-Identifier: Apache-2.0
-- Templates and their versions.  Written by gateways; what the import found out is the scheduler's.

-- name: template_list :many
-- $1 id uuid, $2 name text, $3 name_part text, $4 has_ai_task boolean, $5 deprecated boolean
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
ORDER BY lower(t.name);

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

-- name: template_version_get :one
-- $1 id uuid (or NULL: by name), $2 template_id uuid, $3 name text
-- By its id, or by its name within a template.  The import job is the scheduler's to write and may
-- not be there yet.
SELECT v.id, v.template_id, v.organization_id, v.name, v.message, v.file_id, v.provisioner,
    v.created_by, u.username, u.avatar_url, v.has_ai_task, v.archived, v.created_at, v.updated_at,
    v.job_id, coalesce(j.state::text, 'pending'), coalesce(j.error, ''),
    coalesce(j.created_at, v.created_at), j.started_at, j.completed_at, j.cancel_requested_at,
    j.worker_id, k.name
FROM template_versions v
JOIN users u ON u.id = v.created_by
LEFT JOIN jobs j ON j.id = v.job_id
LEFT JOIN workers k ON k.id = j.worker_id
WHERE v.id = coalesce($1::uuid, (
    SELECT id FROM template_versions
    WHERE template_id = $2::uuid AND lower(name) = lower($3::text)));

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
