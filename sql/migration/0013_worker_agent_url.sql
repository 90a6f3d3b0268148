-- SPDX-License-Identifier: Apache-2.0
-- Where agents of other machines reach a worker: a bus URL.  Empty: they cannot.
ALTER TABLE workers ADD COLUMN agent_url text NOT NULL DEFAULT '';
