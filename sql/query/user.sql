-- SPDX-License-Identifier: Apache-2.0
-- People and the organization they are in.  Written by gateways.

-- name: organization_list :many
-- All of them; there is one today.
SELECT id, name, display_name, description, icon, is_default, created_at, updated_at
FROM organizations
ORDER BY is_default DESC, name;

-- name: user_lock_first :exec
-- Before the first user is made: two requests at once must not both find an empty table.
SELECT pg_advisory_xact_lock(7083, 2);

-- name: user_any :one
-- Is there anybody yet?
SELECT EXISTS (SELECT FROM users WHERE deleted_at IS NULL);

-- name: user_create_first :one
-- $1 id uuid, $2 username text, $3 email text, $4 name text, $5 hashed_password text
-- The owner of a fresh installation; no row when there is somebody already.
INSERT INTO users (id, username, email, name, hashed_password, roles)
SELECT $1::uuid, $2::text, $3::text, $4::text, $5::text, '{owner,member}'
WHERE NOT EXISTS (SELECT FROM users)
RETURNING id;

-- name: user_create :one
-- $1 id uuid, $2 username text, $3 email text, $4 name text, $5 hashed_password text (NULL: none),
-- $6 login_type text, $7 status text, $8 roles text, comma-separated, $9 github_com_user_id int8
INSERT INTO users (id, username, email, name, hashed_password, login_type, status, roles,
    github_com_user_id)
VALUES ($1::uuid, $2::text, $3::text, $4::text, $5::text, $6::text, $7::text::user_status,
    string_to_array($8::text, ','), $9::int8)
RETURNING id;

-- name: user_get :one
-- $1 id uuid (or NULL: by name), $2 username text
SELECT id, username, email, name, avatar_url, status::text, login_type,
    array_to_string(roles, ','), created_at, updated_at, last_seen_at, github_com_user_id,
    theme_preference, terminal_font
FROM users
WHERE deleted_at IS NULL
    AND id = coalesce($1::uuid, (
        SELECT id FROM users WHERE lower(username) = lower($2::text) AND deleted_at IS NULL));

-- name: user_list :many
-- $1 only this id uuid, $2 part of a name text, $3 status text, $4 role text, $5 github id int8,
-- $6 login_type text (each NULL: any), $7 after this id uuid, $8 limit, $9 offset int8
SELECT id, username, email, name, avatar_url, status::text, login_type,
    array_to_string(roles, ','), created_at, updated_at, last_seen_at, github_com_user_id,
    theme_preference, terminal_font
FROM users
WHERE deleted_at IS NULL
    AND ($1::uuid IS NULL OR id = $1::uuid)
    AND ($2::text IS NULL OR position($2::text IN lower(username)) > 0
        OR position($2::text IN lower(email)) > 0 OR position($2::text IN lower(name)) > 0)
    AND ($3::text IS NULL OR status::text = $3::text)
    AND ($4::text IS NULL OR $4::text = 'member' OR $4::text = ANY (roles))
    AND ($5::int8 IS NULL OR github_com_user_id = $5::int8)
    AND ($6::text IS NULL OR login_type = $6::text)
    AND ($7::uuid IS NULL
        OR lower(username) > (SELECT lower(after.username) FROM users after WHERE after.id = $7::uuid))
ORDER BY lower(username)
LIMIT $8::int8 OFFSET $9::int8;

-- name: user_count :one
-- $1 ... $6 as user_list
SELECT count(*)
FROM users
WHERE deleted_at IS NULL
    AND ($1::uuid IS NULL OR id = $1::uuid)
    AND ($2::text IS NULL OR position($2::text IN lower(username)) > 0
        OR position($2::text IN lower(email)) > 0 OR position($2::text IN lower(name)) > 0)
    AND ($3::text IS NULL OR status::text = $3::text)
    AND ($4::text IS NULL OR $4::text = 'member' OR $4::text = ANY (roles))
    AND ($5::int8 IS NULL OR github_com_user_id = $5::int8)
    AND ($6::text IS NULL OR login_type = $6::text);

-- name: user_set_profile :exec
-- $1 id uuid, $2 username text, $3 name text, $4 github_com_user_id int8, $5 take $4 over boolean
UPDATE users
SET username = $2::text, name = $3::text, updated_at = now(),
    github_com_user_id = CASE WHEN $5::boolean THEN $4::int8 ELSE github_com_user_id END
WHERE id = $1::uuid AND deleted_at IS NULL;

-- name: user_lock_owners :exec
-- Before an owner is removed or ceases to be one: two must not do it to each other.
SELECT pg_advisory_xact_lock(7083, 3);

-- name: user_set_roles :one
-- $1 id uuid, $2 roles text, comma-separated, $3 by whom uuid
-- No row: who asks is no owner any more.
UPDATE users SET roles = string_to_array($2::text, ','), updated_at = now()
WHERE id = $1::uuid AND deleted_at IS NULL AND EXISTS (
    SELECT FROM users u WHERE u.id = $3::uuid AND u.deleted_at IS NULL AND u.status = 'active'
        AND 'owner' = ANY (u.roles))
RETURNING id;

-- name: user_set_status :exec
-- $1 id uuid, $2 status text
UPDATE users SET status = $2::text::user_status, updated_at = now()
WHERE id = $1::uuid AND deleted_at IS NULL;

-- name: user_set_appearance :exec
-- $1 id uuid, $2 theme_preference text, $3 terminal_font text
UPDATE users SET theme_preference = $2::text, terminal_font = $3::text, updated_at = now()
WHERE id = $1::uuid AND deleted_at IS NULL;

-- name: user_password_get :one
-- $1 id uuid
SELECT hashed_password, login_type
FROM users
WHERE id = $1::uuid AND deleted_at IS NULL;

-- name: user_set_password :exec
-- $1 id uuid, $2 hashed_password text
UPDATE users SET hashed_password = $2::text, updated_at = now()
WHERE id = $1::uuid AND deleted_at IS NULL;

-- name: user_delete :one
-- $1 id uuid, $2 by whom uuid
-- With all keys; not while there are workspaces.  How many went: 1 or 0.
WITH gone AS (
    UPDATE users SET deleted_at = now(), updated_at = now()
    WHERE id = $1::uuid AND deleted_at IS NULL
        AND EXISTS (SELECT FROM users u WHERE u.id = $2::uuid AND u.deleted_at IS NULL
            AND u.status = 'active' AND 'owner' = ANY (u.roles))
        AND NOT EXISTS (SELECT FROM tasks t WHERE t.owner_id = $1::uuid AND t.deleted_at IS NULL)
        AND NOT EXISTS (SELECT FROM workspaces w WHERE w.owner_id = $1::uuid AND w.deleted_at IS NULL)
    RETURNING id
), ended AS (
    UPDATE api_keys SET revoked_at = now()
    WHERE user_id IN (SELECT id FROM gone) AND revoked_at IS NULL
)
SELECT count(*) FROM gone;

-- name: user_by_email :one
-- $1 email text
-- For a login.
SELECT id, hashed_password, status::text
FROM users
WHERE deleted_at IS NULL AND lower(email) = lower($1::text);
