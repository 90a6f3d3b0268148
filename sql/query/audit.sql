-- SPDX-License-Identifier: Apache-2.0
-- The audit log.  Its rows are written by triggers on the gateways' tables (audit_row()) and, for
-- tasks, by the scheduler's store_insert_audits.

-- name: audit_context :exec
-- $1 actor uuid, $2 action text ('': what it looks like), $3 ip text, $4 user_agent text, $5 request_id text
-- First of a transaction that changes something: who does it, and from where.
SELECT set_config('stint.audit', jsonb_strip_nulls(jsonb_build_object('actor', $1::uuid,
    'action', $2::text, 'ip', $3::text, 'user_agent', $4::text, 'request_id', $5::text))::text, true);

-- name: audit_list :many
-- $1 resource_type text, $2 resource_id uuid, $3 target text, $4 action text, $5 username text,
-- $6 email text, $7 from timestamptz, $8 to timestamptz, $9 request_id text, $10 limit, $11 offset int8
-- Newest first.  NULL: any.
SELECT a.id, a.at, a.action, a.resource_type, a.resource_id, a.target, a.ip, a.user_agent,
    a.request_id, (
        SELECT jsonb_object_agg(key, jsonb_build_object(
            'old', CASE WHEN o.value IS NULL OR o.value ? 'secret' THEN '""' ELSE o.value END,
            'new', CASE WHEN n.value IS NULL OR n.value ? 'secret' THEN '""' ELSE n.value END,
            'secret', coalesce(o.value ? 'secret', false) OR coalesce(n.value ? 'secret', false)))
        FROM jsonb_each(a.before) o
        FULL JOIN jsonb_each(a.after) n USING (key)
    )::text,
    u.id, u.username, u.email, u.name, u.avatar_url, u.status::text, array_to_string(u.roles, ','),
    u.created_at, u.updated_at, u.last_seen_at, u.login_type
FROM audit_log a
LEFT JOIN users u ON u.id = a.actor_id
WHERE ($1::text IS NULL OR a.resource_type = $1::text)
    AND ($2::uuid IS NULL OR a.resource_id = $2::uuid)
    AND ($3::text IS NULL OR lower(a.target) = $3::text)
    AND ($4::text IS NULL OR a.action = $4::text)
    AND ($5::text IS NULL OR lower(u.username) = $5::text)
    AND ($6::text IS NULL OR lower(u.email) = $6::text)
    AND ($7::timestamptz IS NULL OR a.at >= $7::timestamptz)
    AND ($8::timestamptz IS NULL OR a.at < $8::timestamptz)
    AND ($9::text IS NULL OR a.request_id = $9::text)
ORDER BY a.id DESC
LIMIT $10::int8 OFFSET $11::int8;

-- name: audit_count :one
-- $1 ... $9 as audit_list
-- How many there are, up to 100,000.
SELECT count(*) FROM (
    SELECT
    FROM audit_log a
    LEFT JOIN users u ON u.id = a.actor_id
    WHERE ($1::text IS NULL OR a.resource_type = $1::text)
        AND ($2::uuid IS NULL OR a.resource_id = $2::uuid)
        AND ($3::text IS NULL OR lower(a.target) = $3::text)
        AND ($4::text IS NULL OR a.action = $4::text)
        AND ($5::text IS NULL OR lower(u.username) = $5::text)
        AND ($6::text IS NULL OR lower(u.email) = $6::text)
        AND ($7::timestamptz IS NULL OR a.at >= $7::timestamptz)
        AND ($8::timestamptz IS NULL OR a.at < $8::timestamptz)
        AND ($9::text IS NULL OR a.request_id = $9::text)
    LIMIT 100000
) AS found;
