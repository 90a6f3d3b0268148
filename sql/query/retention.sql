-- SPDX-License-Identifier: Apache-2.0
-- What nobody needs any more goes, some rows at a time.  Each says how much it did; below zero: it could
-- not, and will do it the next time.  See sql/migration/0018_retention.sql.

-- name: retention_statuses :one
-- $1 milliseconds int8 (0: for ever)
SELECT retention_of_partitions('app_statuses', $1::int8);

-- name: retention_agent_logs :one
-- $1 milliseconds int8 (0: for ever)
SELECT retention_of_partitions('agent_logs', $1::int8);

-- name: retention_build_logs :one
-- $1 milliseconds int8 (0: for ever)
SELECT retention_of_partitions('build_logs_timed', $1::int8);

-- name: retention_kept_logs :one
-- $1 milliseconds int8
SELECT retention_of_kept_logs() WHERE $1::int8 > 0;

-- name: retention_builds :one
-- $1 milliseconds int8
SELECT retention_of_jobs($1::int8);

-- name: retention_tasks :one
-- $1 milliseconds int8
SELECT retention_of_tasks($1::int8);

-- name: retention_templates :one
-- $1 milliseconds int8
SELECT retention_of_templates($1::int8);

-- name: retention_messages :one
-- $1 milliseconds int8
-- Of messages that no longer wait, what became of them; what was said is in the conversation.
WITH gone AS (
    DELETE FROM queued_messages
    WHERE id = ANY (ARRAY(
        SELECT id FROM queued_messages
        WHERE finished_at < now() - $1::int8 * interval '1 ms'
        ORDER BY finished_at
        LIMIT 1000))
    RETURNING 1
)
SELECT count(*) FROM gone;

-- name: retention_audit :one
-- $1 milliseconds int8
-- Oldest first.  Only the first rows are looked at: ids are in the order of time.
WITH gone AS (
    DELETE FROM audit_log
    WHERE id IN (SELECT id FROM audit_log ORDER BY id LIMIT 1000)
        AND at < now() - $1::int8 * interval '1 ms'
    RETURNING 1
)
SELECT count(*) FROM gone;

-- name: retention_small :one
-- What has no setting: keys that nobody can use any more, a week later (the audit remembers them),
-- answers that are kept for a day, and workers that have been gone for a week.
WITH keys AS (
    DELETE FROM api_keys
    WHERE id IN (
        SELECT id FROM api_keys
        WHERE revoked_at < now() - interval '7 days' OR expires_at < now() - interval '7 days'
        LIMIT 1000)
    RETURNING 1
), answers AS (
    DELETE FROM idempotency_keys k
    USING (
        SELECT user_id, key FROM idempotency_keys
        WHERE created_at < now() - interval '24 hours'
        ORDER BY created_at
        LIMIT 1000
        FOR UPDATE SKIP LOCKED
    ) AS old
    WHERE k.user_id = old.user_id AND k.key = old.key
    RETURNING 1
), places AS (
    DELETE FROM workers WHERE state = 'gone' AND last_seen_at < now() - interval '7 days' RETURNING 1
)
SELECT (SELECT count(*) FROM keys) + (SELECT count(*) FROM answers) + (SELECT count(*) FROM places);
