-- SPDX-License-Identifier: Apache-2.0
-- Ingest: reports and build logs from Redis Streams.  Reports come here in order and without gaps
-- (ingest.c sees to that); the keys make a second arrival harmless.

-- name: report_watermarks :many
-- $1 agent id uuid[]
SELECT id, watermark, task_id FROM agents WHERE id = ANY ($1::uuid[]);

-- name: report_insert_statuses :exec
-- $1 agent uuid[]; $2 number, $3 time in microseconds int8[]; $4 slug, $5 state, $6 message, $7 uri text[]
INSERT INTO app_statuses (agent_id, seq, slug, state, message, uri, created_at)
SELECT u.agent_id, u.seq, u.slug, u.state::app_state, u.message, u.uri, to_timestamp(u.at_us / 1000000.0)
FROM unnest($1::uuid[], $2::int8[], $3::int8[], $4::text[], $5::text[], $6::text[], $7::text[])
    AS u (agent_id, seq, at_us, slug, state, message, uri)
ON CONFLICT DO NOTHING;

-- name: report_update_agents :exec
-- $1 id uuid[]; $2 watermark int8[]; $3 lifecycle, $4 state, $5 message, $6 uri text[]
-- NULL: as it was.  state_at is the database's clock: "newer than the build" must not hang on an
-- agent's.
UPDATE agents AS a
SET watermark = greatest(a.watermark, u.watermark),
    lifecycle = coalesce(u.lifecycle::agent_lifecycle, a.lifecycle),
    state = coalesce(u.state::app_state, a.state),
    state_message = coalesce(u.message, a.state_message),
    state_uri = coalesce(u.uri, a.state_uri),
    state_at = CASE WHEN u.state IS NULL THEN a.state_at ELSE clock_timestamp() END
FROM unnest($1::uuid[], $2::int8[], $3::text[], $4::text[], $5::text[], $6::text[])
    AS u (id, watermark, lifecycle, state, message, uri)
WHERE a.id = u.id;

-- name: report_update_apps :exec
-- $1 agent uuid[]; $2 slug, $3 health text[]
UPDATE apps AS p SET health = u.health::app_health
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS u (agent_id, slug, health)
WHERE p.agent_id = u.agent_id AND p.slug = u.slug;

-- name: report_upsert_messages :exec
-- $1 task uuid[]; $2 id, $3 time in microseconds int8[]; $4 role, $5 content text[]
-- Of several versions of one message in a batch the last one counts.
INSERT INTO messages (task_id, id, role, content, created_at)
SELECT DISTINCT ON (u.task_id, u.id) u.task_id, u.id, u.role, u.content, to_timestamp(u.at_us / 1000000.0)
FROM unnest($1::uuid[], $2::int8[], $3::int8[], $4::text[], $5::text[]) WITH ORDINALITY
    AS u (task_id, id, at_us, role, content, nth)
ORDER BY u.task_id, u.id, u.nth DESC
ON CONFLICT (task_id, id) DO UPDATE SET content = excluded.content;
