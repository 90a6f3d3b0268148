-- SPDX-License-Identifier: Apache-2.0
-- Workspaces whose delete leaves what they have made: somebody who may has said so, because it cannot
-- be destroyed any more (the account is gone, the cluster is gone).  Written by gateways.
CREATE TABLE orphaned_workspaces (
    workspace_id uuid PRIMARY KEY REFERENCES workspaces,
    asked_by uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
