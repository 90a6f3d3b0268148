-- SPDX-License-Identifier: Apache-2.0
-- Answers of POST requests that had an Idempotency-Key.  Written by gateways.

-- name: idempotency_purge :exec
-- Each use of a key pays for the removal of some that are over, so that no more than a day's remain.
DELETE FROM idempotency_keys k
USING (
    SELECT user_id, key
    FROM idempotency_keys
    WHERE created_at < now() - interval '24 hours'
    ORDER BY created_at
    LIMIT 16
    FOR UPDATE SKIP LOCKED
) AS old
WHERE k.user_id = old.user_id AND k.key = old.key;

-- name: idempotency_forget :exec
-- $1 user_id uuid, $2 key text
-- A key that is over is new.
DELETE FROM idempotency_keys
WHERE user_id = $1::uuid AND key = $2::text AND created_at < now() - interval '24 hours';

-- name: idempotency_claim :one
-- $1 user_id uuid, $2 key text, $3 request_hash bytea, $4 seed uuid
-- A row comes back to whoever may work on the request: the first, or one that finds it unanswered and
-- its worker gone.  Nobody works for longer than two minutes.  The second column: it has been worked on.
INSERT INTO idempotency_keys AS k (user_id, key, request_hash, seed, session_pid, session_start)
SELECT $1::uuid, $2::text, $3::bytea, $4::uuid, a.pid, a.backend_start
FROM pg_stat_get_activity(pg_backend_pid()) a
WHERE 10000 > (SELECT count(*) FROM (SELECT FROM idempotency_keys WHERE user_id = $1::uuid LIMIT 10000) AS own)
ON CONFLICT (user_id, key) DO UPDATE
SET session_pid = excluded.session_pid, session_start = excluded.session_start, claimed_at = now()
WHERE k.status IS NULL AND k.request_hash = excluded.request_hash
    AND (k.claimed_at < now() - interval '2 minutes' OR NOT EXISTS (
        SELECT FROM pg_stat_get_activity(k.session_pid) a
        WHERE coalesce(a.backend_start, k.session_start) = k.session_start))
RETURNING k.seed, k.seed <> $4::uuid;

-- name: idempotency_get :one
-- $1 user_id uuid, $2 key text, $3 request_hash bytea
SELECT request_hash = $3::bytea, status, content_type, head, body
FROM idempotency_keys
WHERE user_id = $1::uuid AND key = $2::text;

-- name: idempotency_store :exec
-- $1 user_id uuid, $2 key text, $3 status int, $4 content_type text, $5 head bytea, $6 body bytea
UPDATE idempotency_keys
SET status = $3::int, content_type = $4::text, head = $5::bytea, body = $6::bytea
WHERE user_id = $1::uuid AND key = $2::text AND status IS NULL;

-- name: idempotency_let_go :exec
-- $1 user_id uuid, $2 key text
-- The work ended without an answer to keep: the next one may try at once, with the same seed.
UPDATE idempotency_keys SET session_pid = 0
WHERE user_id = $1::uuid AND key = $2::text AND status IS NULL;
