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
-- $1 id uuid, $2 username text, $3 email text, $4 name text, $5 hashed_password text
INSERT INTO users (id, username, email, name, hashed_password)
VALUES ($1::uuid, $2::text, $3::text, $4::text, $5::text)
RETURNING id;

-- name: user_get :one
-- $1 id uuid (or NULL: by name), $2 username text
SELECT id, username, email, name, avatar_url, status::text, login_type,
    array_to_string(roles, ','), created_at, updated_at, last_seen_at
FROM users
WHERE deleted_at IS NULL
    AND id = coalesce($1::uuid, (
        SELECT id FROM users WHERE lower(username) = lower($2::text) AND deleted_at IS NULL));

-- name: user_by_email :one
-- $1 email text
-- For a login.
SELECT id, hashed_password, status::text
FROM users
WHERE deleted_at IS NULL AND lower(email) = lower($1::text);
