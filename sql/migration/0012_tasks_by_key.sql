-- SPDX-License-Identifier: Apache-2.0
-- A look-up of one task by its id must not say "deleted_at IS NULL" where it looks: every index that has
-- this as its condition would answer the question in the eyes of a plan that is made while the table is
-- empty, and would be walked from end to end.  So there is a view of all tasks, and the one of those that
-- are not deleted is a part of it.

CREATE VIEW tasks_of_any_status AS
SELECT t.deleted_at,
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
) s;

CREATE OR REPLACE VIEW tasks_with_status AS
SELECT
    id, organization_id, owner_id, name, display_name, prompt, created_at, template_version_id,
    owner_username, owner_avatar_url, template_id, template_name, template_display_name,
    template_icon, workspace_id, workspace_name, workspace_updated_at, build_id, build_number,
    transition, reason, build_created_at, job_id, job_state, job_error, agent_id,
    agent_lifecycle, agent_connected_at, app_id, app_health, state, state_message, state_uri,
    state_at, status, status_of_build, status_of_agent, status_of_app
FROM tasks_of_any_status
WHERE deleted_at IS NULL;
