-- SPDX-License-Identifier: Apache-2.0
-- Leadership (rule 4).

-- name: leader_try_lock :one
-- The session that holds this lock leads; it is free again the moment that session ends.
SELECT pg_try_advisory_lock(7083, 0);

-- name: leader_raise_epoch :one
-- $1 URL of the new leader's bus
SELECT scheduler_raise_epoch($1::text);

-- name: leader_find :one
-- For standbys: whom to point at.
SELECT epoch, leader_url FROM scheduler_epoch;

-- name: leader_assert_epoch :exec
-- $1 epoch
-- First in every transaction of the scheduler: a deposed leader's commit fails.
SELECT scheduler_assert_epoch($1::int8);

-- name: leader_say :exec
-- $1 application name
-- What this session is about, for people and for leader_end_silent.
SELECT set_config('application_name', $1::text, false);

-- name: leader_wait_at_most :exec
-- $1 milliseconds int8
-- For locks, until the end of this transaction.
SELECT set_config('lock_timeout', $1::int8::text, true);

-- name: leader_end_silent :many
-- $1 milliseconds int8
-- Sessions that hold what a leader needs, the lock or the epoch, while Postgres waits for their
-- process and has heard nothing of it for so long: it is frozen, or cannot be reached.  One that
-- reads its rows into memory gets ten times as long.  Only those of the same role are seen.
WITH silent AS MATERIALIZED (
    SELECT DISTINCT a.pid, clock_timestamp() - a.state_change AS since
    FROM pg_locks l
    JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.pid <> pg_backend_pid()
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND l.classid = 7083 AND l.objid IN (0, 1) AND l.objsubid = 2
        AND a.wait_event_type = 'Client'
        AND a.state_change < clock_timestamp() - $1::int8 * interval '1 millisecond'
            * CASE WHEN a.application_name LIKE '%loading' THEN 10 ELSE 1 END
)
SELECT pid, (extract(epoch FROM since) * 1000)::int8
FROM silent
WHERE pg_terminate_backend(pid);

-- name: scheduler_register :exec
-- $1 URL, $2 version text
-- This session's scheduler, for others to see while the session lives.
INSERT INTO schedulers (url, version, pid, backend_start)
SELECT $1::text, $2::text, pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()
ON CONFLICT (url) DO UPDATE SET version = excluded.version, pid = excluded.pid,
    backend_start = excluded.backend_start, since = now();

-- name: scheduler_forget_gone :exec
DELETE FROM schedulers s
WHERE NOT EXISTS (SELECT FROM pg_stat_activity a
    WHERE a.pid = s.pid AND coalesce(a.backend_start, s.backend_start) = s.backend_start);

-- name: scheduler_others :one
-- $1 own URL
-- How many could lead instead.
SELECT count(*) FROM living_schedulers WHERE url <> $1::text;

-- name: scheduler_audit_step_down :exec
-- $1 own URL text, $2 actor uuid, $3 ip, $4 user agent, $5 request id text
-- No row: there is nobody to lead instead, and nothing is done.
INSERT INTO audit_log (actor_id, action, resource_type, resource_id, target, ip, user_agent,
    request_id)
SELECT $2::uuid, 'step_down', 'scheduler', '00000000-0000-0000-0000-000000000000', $1::text,
    $3::text, $4::text, $5::text
WHERE EXISTS (SELECT FROM living_schedulers WHERE url <> $1::text);

-- name: scheduler_list :many
-- Every living scheduler, and the leadership: a scheduler without one is an older version's, or has
-- just gone.
SELECT e.epoch, e.leader_url, e.since,
    EXISTS (SELECT FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 7083 AND l.objid = 0
            AND l.objsubid = 2
            AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())),
    s.url, s.version, s.since
FROM scheduler_epoch e
LEFT JOIN living_schedulers s ON true
ORDER BY s.url;
