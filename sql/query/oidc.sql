-- SPDX-License-Identifier: Apache-2.0
-- People who log in by an OpenID Connect provider.  Written by gateways.

-- name: oidc_user_find :many
-- $1 issuer text, $2 subject text, $3 email text ('': none that is verified)
-- Who is known by that subject; else who has that address.  `is_linked` is whether the issuer knows
-- the user already, by this subject or another one.
SELECT u.id, u.status::text, l.subject IS NOT NULL AS is_linked,
    coalesce(l.subject = $2::text, false) AS is_same
FROM users u
LEFT JOIN user_links l ON l.user_id = u.id AND l.issuer = $1::text
WHERE u.deleted_at IS NULL AND (l.subject = $2::text OR ($3::text <> '' AND lower(u.email) = lower($3::text)))
ORDER BY is_same DESC
LIMIT 1;

-- name: oidc_link :exec
-- $1 issuer text, $2 subject text, $3 user_id uuid
INSERT INTO user_links (issuer, subject, user_id)
VALUES ($1::text, $2::text, $3::uuid);

-- name: oidc_user_create :one
-- $1 id uuid, $2 username text, $3 another username text, $4 email text, $5 name text
-- Under the second name if somebody has the first.
INSERT INTO users (id, username, email, name, login_type)
SELECT $1::uuid,
    CASE WHEN EXISTS (
        SELECT FROM users WHERE lower(username) = lower($2::text) AND deleted_at IS NULL)
        THEN $3::text ELSE $2::text END,
    $4::text, $5::text, 'oidc'
RETURNING id;
