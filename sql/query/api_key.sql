-- SPDX-License-Identifier: Apache-2.0
-- Tokens of people.  Written by gateways; the secret half is kept only as its SHA-256.

-- name: api_key_get :one
-- $1 id text
-- A key, whose it is, and for how many milliseconds it may be used (NULL: for ever).
SELECT k.hashed_secret, u.id, u.username, array_to_string(u.roles, ','), k.scope,
    (extract(epoch FROM k.expires_at - now()) * 1000)::int8, u.status::text
FROM api_keys k
JOIN users u ON u.id = k.user_id
WHERE k.id = $1::text AND k.revoked_at IS NULL AND u.deleted_at IS NULL;

-- name: api_key_create :one
-- $1 id text, $2 user_id uuid, $3 hashed_secret bytea, $4 name text, $5 login_type text, $6 scope text,
-- $7 lifetime in seconds int8, $8 how many somebody may have int8
-- No row: there are so many already.
INSERT INTO api_keys (id, user_id, hashed_secret, name, login_type, scope, lifetime_s, expires_at)
SELECT $1::text, $2::uuid, $3::bytea, $4::text, $5::text, $6::text, $7::int8,
    now() + $7::int8 * interval '1 s'
WHERE $8::int8 > (
    SELECT count(*) FROM api_keys
    WHERE user_id = $2::uuid AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()))
RETURNING id;

-- name: api_key_list :many
-- $1 user_id uuid (NULL: of everybody), $2 limit int8
-- Tokens, newest first.
SELECT k.id, k.user_id, u.username, k.name, k.scope, k.login_type, k.created_at, k.last_used_at,
    k.expires_at, k.lifetime_s
FROM api_keys k
JOIN users u ON u.id = k.user_id
WHERE ($1::uuid IS NULL OR k.user_id = $1::uuid) AND k.login_type = 'token' AND k.revoked_at IS NULL
    AND u.deleted_at IS NULL
ORDER BY k.created_at DESC, k.id
LIMIT $2::int8;

-- name: api_key_find :one
-- $1 user_id uuid, $2 id text, or (NULL) $3 name text
SELECT k.id, k.user_id, u.username, k.name, k.scope, k.login_type, k.created_at, k.last_used_at,
    k.expires_at, k.lifetime_s
FROM api_keys k
JOIN users u ON u.id = k.user_id
WHERE k.user_id = $1::uuid AND k.revoked_at IS NULL
    AND (k.id = $2::text OR (k.login_type = 'token' AND lower(k.name) = lower($3::text)));

-- name: api_key_used :exec
-- $1 id text[]
-- At most once a minute for each, however many gateways there are.  A login lives on by being used.
WITH used AS (
    UPDATE api_keys SET last_used_at = now(),
        expires_at = CASE WHEN login_type <> 'token' AND lifetime_s > 0
            THEN greatest(expires_at, now() + lifetime_s * interval '1 s') ELSE expires_at END
    WHERE id = ANY ($1::text[]) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
        AND (last_used_at IS NULL OR last_used_at < now() - interval '55 s')
    RETURNING user_id
)
UPDATE users SET last_seen_at = now()
WHERE id IN (SELECT user_id FROM used)
    AND (last_seen_at IS NULL OR last_seen_at < now() - interval '55 s');

-- name: api_key_list_ended :many
-- $1 id text[]
-- Those of them that are good no more.
SELECT DISTINCT want.id
FROM unnest($1::text[]) AS want (id)
LEFT JOIN api_keys k ON k.id = want.id
LEFT JOIN users u ON u.id = k.user_id
WHERE k.id IS NULL OR k.revoked_at IS NOT NULL OR k.expires_at <= now() OR u.deleted_at IS NOT NULL
    OR u.status <> 'active';

-- name: api_key_revoke :exec
-- $1 id text
UPDATE api_keys SET revoked_at = now() WHERE id = $1::text AND revoked_at IS NULL;

-- name: api_key_revoke_of_user :one
-- $1 user_id uuid, $2 id text
-- How many: 1 or 0.
WITH revoked AS (
    UPDATE api_keys SET revoked_at = now()
    WHERE id = $2::text AND user_id = $1::uuid AND revoked_at IS NULL
    RETURNING id
)
SELECT count(*) FROM revoked;

-- name: api_key_revoke_all :exec
-- $1 user_id uuid
UPDATE api_keys SET revoked_at = now() WHERE user_id = $1::uuid AND revoked_at IS NULL;
