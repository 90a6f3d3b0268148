-- SPDX-License-Identifier: Apache-2.0
-- Answers of POST requests that had an Idempotency-Key, and the count of a task's changes by people.

-- ---------------------------------------------------------------- idempotency

-- A row is made before the request is worked on, by the database session of the gateway that works on
-- it, and gets its answer before the client does.  A row without an answer whose session is over
-- belongs to a gateway that died: the next one that is asked takes it over.
CREATE TABLE idempotency_keys (
    user_id uuid NOT NULL REFERENCES users,
    key text NOT NULL,
    -- Of method, path, query and body: another request with the same key is a mistake.
    request_hash bytea NOT NULL,
    -- pg_stat_activity's pid and backend_start of who works on it.
    session_pid integer NOT NULL,
    session_start timestamptz NOT NULL,
    -- NULL: it is being worked on.
    status integer,
    content_type text NOT NULL DEFAULT '',
    -- Further headers of the answer: name, NUL, value, NUL, ...
    head bytea NOT NULL DEFAULT '',
    body bytea NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
);
-- The oldest are removed first.
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- ---------------------------------------------------------------- revisions

-- Grows with each change of a task's options or input, so that "change it if nobody else has" can be
-- asserted where it is changed.
ALTER TABLE tasks ADD COLUMN revision bigint NOT NULL DEFAULT 0;
