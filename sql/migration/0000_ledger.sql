-- SPDX-License-Identifier: Apache-2.0
-- Which migrations this database has had.  Run first and every time; one runner at a time.

SET client_min_messages = warning;
SET lock_timeout = '60s';
SELECT pg_advisory_lock(7083, 2);
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
CREATE OR REPLACE FUNCTION schema_migrated(done_version integer, done_name text) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO schema_migrations (version, name) VALUES (done_version, done_name);
$$;
-- A migration that takes something away says which schema daemons must know to do without it.
ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS needs integer NOT NULL DEFAULT 0;
CREATE OR REPLACE FUNCTION schema_migrated(done_version integer, done_name text, done_needs integer)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO schema_migrations (version, name, needs) VALUES (done_version, done_name, done_needs);
$$;
CREATE OR REPLACE VIEW schema_needs AS SELECT coalesce(max(needs), 0) AS needs FROM schema_migrations;
CREATE OR REPLACE VIEW schema_version AS SELECT coalesce(max(version), 0) AS version FROM schema_migrations;
