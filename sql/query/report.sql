-- SPDX-License-Identifier: Apache-2.0
-- Ingest: reports and build logs from Redis Streams.  Reports come here in order and without gaps
-- (ingest.c sees to that); the keys make a second arrival harmless.  The time of a report is a part of
-- its key, because it says in which partition it lies: it is what the report says, so that it is the same
-- when it comes again, but no earlier than its author (ingest_batch.c) and, with clocks that are far
-- ahead, no later than tomorrow.

-- name: report_watermarks :many
-- $1 agent id uuid[]
SELECT id, watermark, task_id, created_at FROM agents WHERE id = ANY ($1::uuid[]);

-- name: report_insert_statuses :exec
-- $1 agent uuid[]; $2 number, $3 time in microseconds int8[]; $4 slug, $5 state, $6 message, $7 uri text[]
INSERT INTO app_statuses (agent_id, seq, slug, state, message, uri, created_at)
SELECT u.agent_id, u.seq, u.slug, u.state::app_state, u.message, u.uri,
    least(to_timestamp(u.at_us / 1000000.0), now() + interval '1 day')
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
-- Of what is said of one app in a batch the last word counts.
UPDATE apps AS p SET health = u.health::app_health
FROM (
    SELECT DISTINCT ON (x.agent_id, x.slug) x.agent_id, x.slug, x.health
    FROM unnest($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY AS x (agent_id, slug, health, nth)
    ORDER BY x.agent_id, x.slug, x.nth DESC
) AS u
WHERE p.agent_id = u.agent_id AND p.slug = u.slug;

-- name: report_insert_agent_logs :exec
-- $1 agent uuid[]; $2 line's number, $3 time in microseconds int8[]; $4 source, $5 level, $6 output text[]
INSERT INTO agent_logs (agent_id, id, source, level, output, created_at)
SELECT u.agent_id, u.id, u.source, u.level, u.output,
    least(to_timestamp(u.at_us / 1000000.0), now() + interval '1 day')
FROM unnest($1::uuid[], $2::int8[], $3::int8[], $4::text[], $5::text[], $6::text[])
    AS u (agent_id, id, at_us, source, level, output)
ON CONFLICT DO NOTHING;

-- name: report_upsert_metadata :exec
-- $1 agent uuid[]; $2 time in microseconds int8[]; $3 key, $4 value, $5 error text[]
-- The newest of each key; an agent that names more than 64 keys is not heard on the others.
WITH newest AS (
    SELECT DISTINCT ON (x.agent_id, x.key) x.agent_id, x.at_us, x.key, x.value, x.error
    FROM unnest($1::uuid[], $2::int8[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY
        AS x (agent_id, at_us, key, value, error, nth)
    ORDER BY x.agent_id, x.key, x.nth DESC
), counted AS (
    SELECT n.*, m.key IS NOT NULL AS is_there,
        count(*) FILTER (WHERE m.key IS NULL) OVER (PARTITION BY n.agent_id ORDER BY n.key) AS nth_new
    FROM newest n
    LEFT JOIN agent_metadata m ON m.agent_id = n.agent_id AND m.key = n.key
)
INSERT INTO agent_metadata (agent_id, key, value, error, collected_at)
SELECT c.agent_id, c.key, c.value, c.error, to_timestamp(c.at_us / 1000000.0)
FROM counted c
WHERE c.is_there
    OR c.nth_new + (SELECT count(*) FROM agent_metadata m WHERE m.agent_id = c.agent_id) <= 64
ON CONFLICT (agent_id, key) DO UPDATE
SET value = excluded.value, error = excluded.error, collected_at = excluded.collected_at;

-- name: report_upsert_messages :exec
-- $1 task uuid[]; $2 id, $3 time in microseconds int8[]; $4 role, $5 content text[]
-- Of several versions of one message in a batch the last one counts.
INSERT INTO messages (task_id, id, role, content, created_at)
SELECT DISTINCT ON (u.task_id, u.id) u.task_id, u.id, u.role, u.content, to_timestamp(u.at_us / 1000000.0)
FROM unnest($1::uuid[], $2::int8[], $3::int8[], $4::text[], $5::text[]) WITH ORDINALITY
    AS u (task_id, id, at_us, role, content, nth)
ORDER BY u.task_id, u.id, u.nth DESC
ON CONFLICT (task_id, id) DO UPDATE SET content = excluded.content;
