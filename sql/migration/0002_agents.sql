-- SPDX-License-Identifier: Apache-2.0
-- What a whole agent brings: several apps, logs, metadata, messages that wait, idle timeouts.

-- ---------------------------------------------------------------- apps of a template version

-- As the import has found them; each start build makes a row of `apps` of each.
CREATE TABLE template_version_apps (
    template_version_id uuid NOT NULL REFERENCES template_versions,
    slug text NOT NULL,
    display_name text NOT NULL DEFAULT '',
    icon text NOT NULL DEFAULT '',
    url text NOT NULL DEFAULT '',
    has_health_check boolean NOT NULL DEFAULT false,
    is_task_app boolean NOT NULL DEFAULT false,
    PRIMARY KEY (template_version_id, slug)
);
INSERT INTO template_version_apps (template_version_id, slug, is_task_app)
    SELECT id, app_slug, true FROM template_versions WHERE app_slug <> '';

ALTER TABLE apps ADD COLUMN icon text NOT NULL DEFAULT '', ADD COLUMN url text NOT NULL DEFAULT '';

-- ---------------------------------------------------------------- what agents say besides

CREATE TABLE agent_logs (
    agent_id uuid NOT NULL,
    -- The agent's own number of the line, from 1.
    id bigint NOT NULL,
    source text NOT NULL,
    level text NOT NULL,
    output text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (agent_id, id)
);

CREATE TABLE agent_metadata (
    agent_id uuid NOT NULL,
    key text NOT NULL,
    value text NOT NULL,
    error text NOT NULL,
    collected_at timestamptz NOT NULL,
    PRIMARY KEY (agent_id, key)
);

-- ---------------------------------------------------------------- messages that wait for an app

CREATE TYPE message_state AS ENUM ('queued', 'delivered', 'withdrawn', 'refused');

CREATE TABLE queued_messages (
    id uuid PRIMARY KEY,
    task_id uuid NOT NULL,
    -- Order within the task: that of the commits.
    seq bigint NOT NULL,
    initiator_id uuid NOT NULL,
    content text NOT NULL,
    state message_state NOT NULL DEFAULT 'queued',
    -- Why the app refused it.
    detail text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CONSTRAINT queued_messages_over_has_time CHECK ((state = 'queued') = (finished_at IS NULL)),
    CONSTRAINT queued_messages_seq_is_unique UNIQUE (task_id, seq)
);
-- What a new leader loads.
CREATE INDEX queued_messages_waiting ON queued_messages (task_id, seq) WHERE state = 'queued';

-- ---------------------------------------------------------------- idle timeout

-- The template's, as they were when the task was made.  0: never, no bump.
ALTER TABLE workspaces
    ADD COLUMN ttl_ms bigint NOT NULL DEFAULT 0,
    ADD COLUMN activity_bump_ms bigint NOT NULL DEFAULT 0;
-- When the workspace pauses by itself; NULL: never.  Set when a start has succeeded, pushed on by activity.
ALTER TABLE builds ADD COLUMN deadline timestamptz;

-- ---------------------------------------------------------------- indexes

-- With the id as a further key column every create touched a page of its own.
DROP INDEX tasks_by_owner_and_age;
CREATE INDEX tasks_by_owner_and_age ON tasks (owner_id, created_at DESC) WHERE deleted_at IS NULL;
