-- SPDX-License-Identifier: Apache-2.0
-- Tokens of people.  Written by gateways; the secret half is kept only as its SHA-256.

-- name: api_key_get :one
-- $1 id text
-- A key that may be used now, with whose it is.
SELECT k.hashed_secret, u.id, u.username, array_to_string(u.roles, ',')
FROM api_keys k
JOIN users u ON u.id = k.user_id
WHERE k.id = $1::text AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
    AND u.deleted_at IS NULL AND u.status = 'active';

-- name: api_key_create :exec
-- $1 id text, $2 user_id uuid, $3 hashed_secret bytea, $4 name text, $5 days bigint
-- Days 0: it does not expire.
INSERT INTO api_keys (id, user_id, hashed_secret, name, expires_at)
VALUES ($1::text, $2::uuid, $3::bytea, $4::text,
    CASE WHEN $5::bigint > 0 THEN now() + make_interval(days => $5::bigint::integer) END);

-- name: api_key_revoke :exec
-- $1 id text
UPDATE api_keys SET revoked_at = now() WHERE id = $1::text AND revoked_at IS NULL;
