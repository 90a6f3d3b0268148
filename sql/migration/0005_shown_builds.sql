-- SPDX-License-Identifier: Apache-2.0
-- Which builds a reader means: these; the newest of a workspace; of a workspace by its owner and name the
-- newest, or the one with that number.  What is NULL names nothing.  In order.

CREATE FUNCTION builds_meant(
    ids uuid[], of_workspace uuid, of_owner uuid, workspace_name text, number integer
) RETURNS TABLE (id uuid, place bigint) LANGUAGE sql STABLE AS $$
    SELECT i.id, i.place FROM unnest(ids) WITH ORDINALITY AS i (id, place)
    UNION ALL
    SELECT w.latest_build_id, 0 FROM workspaces w WHERE w.id = of_workspace AND w.deleted_at IS NULL
    UNION ALL
    SELECT coalesce(b.id, w.latest_build_id), 0
    FROM workspaces w
    LEFT JOIN builds b ON b.workspace_id = w.id AND b.build_number = number
    WHERE w.owner_id = of_owner AND lower(w.name) = lower(workspace_name) AND w.deleted_at IS NULL
        AND (number IS NULL OR b.id IS NOT NULL)
$$;

-- The workspaces of a template: may it be removed?
CREATE INDEX workspaces_by_template ON workspaces (template_id) WHERE deleted_at IS NULL;
-- The versions of a template, newest first.
CREATE INDEX template_versions_by_template ON template_versions (template_id, created_at DESC, id);
