-- SPDX-License-Identifier: Apache-2.0
-- When an agent's session has been gone for long; NULL: it has one, or may be about to.
ALTER TABLE agents ADD COLUMN disconnected_at timestamptz;
