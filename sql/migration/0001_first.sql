-- SPDX-License-Identifier: Apache-2.0
-- The whole of Stint's truth.  Times are the database's clock.  Words as in docs/ARCHITECTURE.md.
--
-- Who writes what: the leading scheduler writes tasks, workspaces, builds, jobs, agents, apps,
-- workers, and (its ingest) reports, messages and build logs, each transaction under its epoch.
-- Gateways write what has no life cycle: users, keys, files, templates.

-- ---------------------------------------------------------------- leadership

CREATE TABLE scheduler_epoch (
    one boolean PRIMARY KEY DEFAULT true CONSTRAINT scheduler_epoch_has_one_row CHECK (one),
    epoch bigint NOT NULL DEFAULT 0,
    leader_url text NOT NULL DEFAULT '',
    since timestamptz NOT NULL DEFAULT now()
);
INSERT INTO scheduler_epoch DEFAULT VALUES;

-- Every scheduler transaction begins with this (rule 4).  The shared lock is held to the end of the
-- transaction; a new leader takes it exclusively for the moment in which it raises the epoch, so no
-- transaction of the old one can commit afterwards.  No row is written, so no vacuum debt.
CREATE FUNCTION scheduler_assert_epoch(expected bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7083, 1);
    IF NOT EXISTS (SELECT FROM scheduler_epoch WHERE epoch = expected) THEN
        RAISE EXCEPTION 'scheduler epoch % is over', expected USING ERRCODE = 'ST001';
    END IF;
END $$;

CREATE FUNCTION scheduler_raise_epoch(url text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    raised bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(7083, 1);
    UPDATE scheduler_epoch SET epoch = epoch + 1, leader_url = url, since = now()
        RETURNING epoch INTO raised;
    RETURN raised;
END $$;

-- ---------------------------------------------------------------- people

CREATE TABLE organizations (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    display_name text NOT NULL DEFAULT '',
    description text NOT NULL DEFAULT '',
    icon text NOT NULL DEFAULT '',
    is_default boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX organizations_name_is_unique ON organizations (lower(name));
INSERT INTO organizations (id, name, display_name, is_default)
    VALUES (gen_random_uuid(), 'default', 'Default', true);

CREATE TYPE user_status AS ENUM ('active', 'suspended');

CREATE TABLE users (
    id uuid PRIMARY KEY,
    username text NOT NULL,
    email text NOT NULL,
    name text NOT NULL DEFAULT '',
    avatar_url text NOT NULL DEFAULT '',
    -- Argon2id as libsodium writes it; NULL: cannot log in by password.
    hashed_password text,
    status user_status NOT NULL DEFAULT 'active',
    login_type text NOT NULL DEFAULT 'password',
    -- owner, template-admin, member, auditor
    roles text[] NOT NULL DEFAULT '{member}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX users_username_is_unique ON users (lower(username)) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX users_email_is_unique ON users (lower(email)) WHERE deleted_at IS NULL;

CREATE TABLE api_keys (
    -- The visible half of "<id>-<secret>".
    id text PRIMARY KEY CONSTRAINT api_keys_id_has_10_characters CHECK (length(id) = 10),
    user_id uuid NOT NULL REFERENCES users,
    -- SHA-256 of the secret half; the secret itself is random and long, so no slow hash is needed.
    hashed_secret bytea NOT NULL CONSTRAINT api_keys_secret_is_sha256 CHECK (length(hashed_secret) = 32),
    name text NOT NULL DEFAULT '',
    scope text NOT NULL DEFAULT 'all',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz
);
-- "my keys", and revoking all of a user.
CREATE INDEX api_keys_by_user ON api_keys (user_id);

-- ---------------------------------------------------------------- templates

CREATE TABLE files (
    id uuid PRIMARY KEY,
    -- SHA-256 of data: the same bytes are stored once.
    hash bytea NOT NULL CONSTRAINT files_hash_is_sha256 CHECK (length(hash) = 32),
    mimetype text NOT NULL,
    data bytea NOT NULL,
    created_by uuid NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT files_hash_is_unique UNIQUE (hash)
);

CREATE TABLE templates (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations,
    name text NOT NULL,
    display_name text NOT NULL DEFAULT '',
    description text NOT NULL DEFAULT '',
    icon text NOT NULL DEFAULT '',
    active_version_id uuid NOT NULL,
    created_by uuid NOT NULL REFERENCES users,
    default_ttl_ms bigint NOT NULL DEFAULT 0,
    activity_bump_ms bigint NOT NULL DEFAULT 3600000,
    deprecated text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX templates_name_is_unique ON templates (organization_id, lower(name))
    WHERE deleted_at IS NULL;

CREATE TABLE template_versions (
    id uuid PRIMARY KEY,
    -- NULL until a template takes it up.
    template_id uuid REFERENCES templates,
    organization_id uuid NOT NULL REFERENCES organizations,
    name text NOT NULL,
    message text NOT NULL DEFAULT '',
    file_id uuid NOT NULL REFERENCES files,
    provisioner text NOT NULL,
    -- The import job.
    job_id uuid NOT NULL,
    created_by uuid NOT NULL REFERENCES users,
    -- Found by the import; NULL until it has succeeded.
    has_ai_task boolean,
    app_slug text NOT NULL DEFAULT '',
    archived boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX template_versions_name_is_unique ON template_versions (template_id, lower(name));

-- ---------------------------------------------------------------- work

CREATE TYPE job_kind AS ENUM ('start', 'stop', 'delete', 'import');
CREATE TYPE job_state AS ENUM ('pending', 'running', 'canceling', 'succeeded', 'failed', 'canceled');

-- One unit on the bus.  fillfactor leaves room for the two updates of an ordinary life of all rows on
-- the same page, and there is no index but the key, so that they stay heap-only (measured: half the
-- cost of a burn-down, and no more pages in the end).
CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    kind job_kind NOT NULL,
    state job_state NOT NULL DEFAULT 'pending',
    organization_id uuid NOT NULL,
    provisioner text NOT NULL,
    initiator_id uuid NOT NULL,
    -- A build's job names its build, an import's its template version.
    build_id uuid,
    template_version_id uuid,
    priority integer NOT NULL DEFAULT 0,
    -- The lease: who may write the outcome.  The token grows with every lease and never shrinks.
    token bigint NOT NULL DEFAULT 0,
    attempt integer NOT NULL DEFAULT 0,
    -- The lease itself is the worker's (workers.lease_until); the job names the holder.
    worker_id uuid,
    -- The workspace counts against the cap as of this job's last change (rule 5).
    holds_compute boolean NOT NULL DEFAULT false,
    error text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    completed_at timestamptz,
    cancel_requested_at timestamptz,
    CONSTRAINT jobs_running_has_worker CHECK (state NOT IN ('running', 'canceling') OR worker_id IS NOT NULL),
    CONSTRAINT jobs_over_has_time CHECK ((state IN ('succeeded', 'failed', 'canceled')) = (completed_at IS NOT NULL))
) WITH (fillfactor = 40);

CREATE TABLE tasks (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations,
    owner_id uuid NOT NULL REFERENCES users,
    name text NOT NULL CONSTRAINT tasks_name_is_short CHECK (length(name) BETWEEN 1 AND 32),
    display_name text NOT NULL DEFAULT '',
    workspace_id uuid NOT NULL,
    template_version_id uuid NOT NULL REFERENCES template_versions,
    prompt text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX tasks_name_is_unique ON tasks (owner_id, lower(name)) WHERE deleted_at IS NULL;
-- GET /tasks of one owner, and of all: newest first.
CREATE INDEX tasks_by_owner_and_age ON tasks (owner_id, created_at DESC, id) WHERE deleted_at IS NULL;
CREATE INDEX tasks_by_age ON tasks (created_at DESC) WHERE deleted_at IS NULL;

CREATE TABLE workspaces (
    id uuid PRIMARY KEY,
    task_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    owner_id uuid NOT NULL,
    template_id uuid NOT NULL,
    name text NOT NULL,
    provisioner text NOT NULL,
    -- Whose local storage holds its files; NULL until its first start is dispatched.
    host text,
    build_number integer NOT NULL,
    latest_build_id uuid NOT NULL,
    -- The agent of the newest start build; NULL where the template has none.
    latest_agent_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
) WITH (fillfactor = 50);
-- A deleted task's name is free at once, its workspace's name when the delete build has succeeded.
CREATE UNIQUE INDEX workspaces_name_is_unique ON workspaces (owner_id, lower(name)) WHERE deleted_at IS NULL;

CREATE TYPE build_transition AS ENUM ('start', 'stop', 'delete');
CREATE TYPE build_reason AS ENUM ('initiator', 'autostart', 'autostop', 'dormancy', 'failedstop',
    'autodelete', 'dashboard', 'cli', 'ssh_connection', 'vscode_connection', 'jetbrains_connection',
    'task_auto_pause', 'task_manual_pause', 'task_resume');

CREATE TABLE builds (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    build_number integer NOT NULL,
    transition build_transition NOT NULL,
    reason build_reason NOT NULL DEFAULT 'initiator',
    initiator_id uuid NOT NULL,
    template_version_id uuid NOT NULL,
    job_id uuid NOT NULL,
    -- Start builds of templates with an agent.
    agent_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT builds_number_is_unique UNIQUE (workspace_id, build_number)
);

-- ---------------------------------------------------------------- agents and what they say

CREATE TYPE agent_lifecycle AS ENUM ('created', 'starting', 'start_timeout', 'start_error', 'ready',
    'shutting_down', 'shutdown_timeout', 'shutdown_error', 'off');
CREATE TYPE app_health AS ENUM ('disabled', 'initializing', 'healthy', 'unhealthy');
CREATE TYPE app_state AS ENUM ('working', 'idle', 'complete', 'failure');

CREATE TABLE agents (
    id uuid PRIMARY KEY,
    task_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    build_id uuid NOT NULL,
    name text NOT NULL DEFAULT 'main',
    auth_token uuid NOT NULL,
    lifecycle agent_lifecycle NOT NULL DEFAULT 'created',
    connected_at timestamptz,
    -- Reports up to this number are in this database (rule 8).
    watermark bigint NOT NULL DEFAULT 0,
    -- The newest app status, so that reading a task needs no search.
    state app_state,
    state_message text NOT NULL DEFAULT '',
    state_uri text NOT NULL DEFAULT '',
    state_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX agents_token_is_unique ON agents (auth_token);

CREATE TABLE apps (
    id uuid PRIMARY KEY,
    agent_id uuid NOT NULL REFERENCES agents,
    slug text NOT NULL,
    display_name text NOT NULL DEFAULT '',
    health app_health NOT NULL DEFAULT 'disabled',
    -- The one that the template's task points at.
    is_task_app boolean NOT NULL DEFAULT false,
    CONSTRAINT apps_slug_is_unique UNIQUE (agent_id, slug)
);

CREATE TABLE app_statuses (
    agent_id uuid NOT NULL,
    -- The report's number; below zero: came over REST, numbered downwards.
    seq bigint NOT NULL,
    slug text NOT NULL,
    state app_state NOT NULL,
    message text NOT NULL,
    uri text NOT NULL,
    created_at timestamptz NOT NULL,
    -- The key is what makes "twice" "once".
    PRIMARY KEY (agent_id, seq)
);

-- The conversation with the app.
CREATE TABLE messages (
    task_id uuid NOT NULL,
    id bigint NOT NULL,
    role text NOT NULL CONSTRAINT messages_role_is_known CHECK (role IN ('user', 'agent')),
    content text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (task_id, id)
);

-- Conversations that agents upload in Coder's way before they stop.
CREATE TABLE log_snapshots (
    task_id uuid PRIMARY KEY,
    snapshot jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE build_logs (
    job_id uuid NOT NULL,
    -- (token << 20) + the worker's number of the line: grows within a job, over retries too.
    id bigint NOT NULL,
    level text NOT NULL,
    stage text NOT NULL,
    output text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (job_id, id)
);

-- ---------------------------------------------------------------- operations

CREATE TABLE workers (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    host text NOT NULL,
    provisioners text[] NOT NULL,
    slots integer NOT NULL,
    version text NOT NULL,
    state text NOT NULL CONSTRAINT workers_state_is_known CHECK (state IN ('up', 'draining', 'gone')),
    -- All jobs of a worker are leased until this time of the database's clock; each poll pushes it on.
    lease_until timestamptz NOT NULL DEFAULT now(),
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    -- NULL: Stint itself (auto-pause, clean-up).
    actor_id uuid,
    action text NOT NULL,
    resource_type text NOT NULL,
    resource_id uuid NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);

-- ---------------------------------------------------------------- what readers see

-- A task with its status by Coder's rule: workspace, then build, agent and app, the first that is
-- not "active" speaks.  Deleted tasks are not in it.
CREATE VIEW tasks_with_status AS
SELECT
    t.id, t.organization_id, t.owner_id, t.name, t.display_name, t.prompt, t.created_at,
    t.template_version_id,
    u.username AS owner_username, u.avatar_url AS owner_avatar_url,
    tpl.id AS template_id, tpl.name AS template_name, tpl.display_name AS template_display_name,
    tpl.icon AS template_icon,
    w.id AS workspace_id, w.name AS workspace_name,
    greatest(w.updated_at, j.updated_at) AS workspace_updated_at,
    b.id AS build_id, b.build_number, b.transition, b.reason, b.created_at AS build_created_at,
    j.id AS job_id, j.state AS job_state, j.error AS job_error,
    -- While the start is under way and while the task is paused there is no agent to show.
    CASE WHEN has_agent THEN a.id END AS agent_id,
    CASE WHEN has_agent THEN a.lifecycle END AS agent_lifecycle,
    CASE WHEN has_agent THEN a.connected_at END AS agent_connected_at,
    CASE WHEN has_agent THEN p.id END AS app_id,
    CASE WHEN has_agent THEN p.health END AS app_health,
    -- The newest report, unless a later start has made it stale.
    CASE WHEN b.transition <> 'start' OR a.state_at > b.created_at THEN a.state END AS state,
    a.state_message, a.state_uri, a.state_at,
    CASE
        WHEN s.build <> 'active' THEN s.build
        WHEN s.agent <> 'active' THEN s.agent
        ELSE s.app
    END AS status,
    s.build AS status_of_build, s.agent AS status_of_agent, s.app AS status_of_app
FROM tasks t
JOIN users u ON u.id = t.owner_id
JOIN workspaces w ON w.id = t.workspace_id
JOIN builds b ON b.id = w.latest_build_id
JOIN jobs j ON j.id = b.job_id
JOIN templates tpl ON tpl.id = w.template_id
LEFT JOIN agents a ON a.id = w.latest_agent_id
LEFT JOIN apps p ON p.agent_id = a.id AND p.is_task_app
CROSS JOIN LATERAL (
    SELECT b.transition = 'start' AND j.state = 'succeeded' AND a.id IS NOT NULL AS has_agent
) h
CROSS JOIN LATERAL (
    SELECT
        CASE
            WHEN j.state IN ('failed', 'canceling', 'canceled') THEN 'error'
            WHEN j.state = 'succeeded' AND b.transition IN ('stop', 'delete') THEN 'paused'
            WHEN j.state = 'pending' AND b.transition = 'start' THEN 'pending'
            WHEN b.transition = 'start' THEN 'active'
            ELSE 'unknown'
        END AS build,
        CASE
            WHEN NOT has_agent OR a.lifecycle IN ('created', 'starting') THEN
                -- A finished start of a template without an agent has nothing to wait for.
                CASE WHEN j.state = 'succeeded' AND a.id IS NULL THEN 'active' ELSE 'initializing' END
            WHEN a.lifecycle IN ('ready', 'start_timeout', 'start_error') THEN 'active'
            ELSE 'unknown'
        END AS agent,
        CASE p.health
            WHEN 'initializing' THEN 'initializing'
            WHEN 'unhealthy' THEN 'error'
            WHEN 'healthy' THEN 'active'
            WHEN 'disabled' THEN 'active'
            ELSE 'unknown'
        END AS app
) s
WHERE t.deleted_at IS NULL;
