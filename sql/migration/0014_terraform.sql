-- SPDX-License-Identifier: Apache-2.0
-- What Terraform's template versions declare, what their builds have made, and Terraform's state.

-- ---------------------------------------------------------------- template versions

-- What the template asks of whoever pushes it.  Found by the import.
CREATE TABLE template_version_variables (
    template_version_id uuid NOT NULL REFERENCES template_versions,
    position integer NOT NULL,
    name text NOT NULL,
    description text NOT NULL,
    type text NOT NULL,
    default_value text NOT NULL,
    required boolean NOT NULL,
    sensitive boolean NOT NULL,
    PRIMARY KEY (template_version_id, name)
);

-- What was given for them.  Written by gateways before the import begins.
CREATE TABLE template_version_values (
    template_version_id uuid NOT NULL REFERENCES template_versions,
    name text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (template_version_id, name)
);

ALTER TABLE template_versions
    -- [{address, type, name, icon, hide, daily_cost, ephemeral, metadata: [{key, value, sensitive}]}]
    ADD COLUMN resources jsonb NOT NULL DEFAULT '[]',
    -- [{id, optional}]
    ADD COLUMN external_auth jsonb NOT NULL DEFAULT '[]';

-- ---------------------------------------------------------------- builds

-- What a build of Terraform's has left in the world.
CREATE TABLE build_resources (
    build_id uuid PRIMARY KEY REFERENCES builds,
    -- As template_versions.resources, with agents: [name].
    resources jsonb NOT NULL,
    -- The task's agent, for its manifest: {id, name, os, arch, dir, env: {}, startup_script,
    -- shutdown_script, connection_timeout, display_apps: {}, metadata: [{key, display_name, script,
    -- interval, timeout, order}], scripts: [{id, display_name, icon, script, log_path, cron,
    -- run_on_start, run_on_stop, start_blocks_login, timeout}], apps: [{id, slug, display_name, icon,
    -- url, command, external, share, subdomain, hidden, open_in, order, group,
    -- healthcheck: {url, interval, threshold}}], task_app}.  NULL: a stop or delete, or none.
    agent jsonb
);

-- ---------------------------------------------------------------- state

-- Terraform's state as Terraform writes it, each piece encrypted by the scheduler; a version is whole
-- when its last part is here.  The newest few versions of a workspace are kept.
CREATE TABLE workspace_states (
    workspace_id uuid NOT NULL REFERENCES workspaces,
    version bigint NOT NULL,
    part integer NOT NULL,
    parts integer NOT NULL,
    build_id uuid NOT NULL,
    data bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, version, part),
    CONSTRAINT workspace_states_part_is_one_of_them CHECK (part >= 0 AND part < parts)
);
