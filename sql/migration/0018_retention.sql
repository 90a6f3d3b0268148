-- SPDX-License-Identifier: Apache-2.0
-- What is said lies in partitions by time, which are dropped by age; what belongs to deleted tasks goes
-- some rows at a time.  See docs/decisions/0027-what-is-said-lies-in-partitions.md.
--
--   app_statuses, agent_logs      by the time that the agent says, raised to its birth
--   build_logs                    by the time that the worker says, raised to the job's birth
--     build_logs_timed            the partitions
--     build_logs_kept             what outlives its partition: the newest builds of living tasks
--
-- A report that is sent again says the same time again, so that it comes into the same partition and
-- the key there makes "twice" "once".  The rows that were there before this migration lie in the
-- default partitions, which take whatever no other partition is for, and are emptied by age.

-- ---------------------------------------------------------------- tables

ALTER TABLE app_statuses RENAME TO app_statuses_default;
ALTER TABLE app_statuses_default DROP CONSTRAINT app_statuses_pkey;
CREATE TABLE app_statuses (LIKE app_statuses_default INCLUDING DEFAULTS,
    PRIMARY KEY (agent_id, seq, created_at)) PARTITION BY RANGE (created_at);
ALTER TABLE app_statuses ATTACH PARTITION app_statuses_default DEFAULT;
CREATE INDEX app_statuses_default_by_time ON app_statuses_default USING brin (created_at);

ALTER TABLE agent_logs RENAME TO agent_logs_default;
ALTER TABLE agent_logs_default DROP CONSTRAINT agent_logs_pkey;
CREATE TABLE agent_logs (LIKE agent_logs_default INCLUDING DEFAULTS,
    PRIMARY KEY (agent_id, id, created_at)) PARTITION BY RANGE (created_at);
ALTER TABLE agent_logs ATTACH PARTITION agent_logs_default DEFAULT;
CREATE INDEX agent_logs_default_by_time ON agent_logs_default USING brin (created_at);

ALTER TABLE build_logs RENAME TO build_logs_timed_default;
ALTER TABLE build_logs_timed_default DROP CONSTRAINT build_logs_pkey,
    ADD COLUMN kept boolean NOT NULL DEFAULT false;
CREATE TABLE build_logs (LIKE build_logs_timed_default INCLUDING DEFAULTS,
    PRIMARY KEY (job_id, id, kept, created_at)) PARTITION BY LIST (kept);
CREATE TABLE build_logs_kept PARTITION OF build_logs FOR VALUES IN (true);
CREATE TABLE build_logs_timed PARTITION OF build_logs FOR VALUES IN (false)
    PARTITION BY RANGE (created_at);
ALTER TABLE build_logs_timed ATTACH PARTITION build_logs_timed_default DEFAULT;
CREATE INDEX build_logs_timed_default_by_time ON build_logs_timed_default USING brin (created_at);

-- What partitions there are besides the default ones.
CREATE TABLE time_partitions (
    parent text NOT NULL,
    name text NOT NULL,
    from_at timestamptz NOT NULL,
    to_at timestamptz NOT NULL,
    PRIMARY KEY (parent, from_at)
);

-- How far the walks through tables have come; an absent one begins anew.
CREATE TABLE retention_walks (
    name text PRIMARY KEY,
    to_at timestamptz NOT NULL DEFAULT '-infinity',
    to_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
);

-- The least number of its statuses that came over REST; where they begin again after they are gone.
ALTER TABLE agents ADD COLUMN least_seq bigint NOT NULL DEFAULT 0;
UPDATE agents AS a SET least_seq = s.seq
FROM (SELECT agent_id, min(seq) AS seq FROM app_statuses WHERE seq < 0 GROUP BY agent_id) AS s
WHERE a.id = s.agent_id;

-- Whose bytes have been uploaded again is as young as new ones.
ALTER TABLE files ADD COLUMN uploaded_at timestamptz NOT NULL DEFAULT now();

-- What goes, oldest first.
CREATE INDEX tasks_deleted ON tasks (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX queued_messages_finished ON queued_messages (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX template_versions_by_file ON template_versions (file_id);

-- ---------------------------------------------------------------- partitions by time

-- Make partitions for now and the next two widths, where there are none.  Where the default partition
-- has taken rows meanwhile (no leader came in time), the next one begins behind them.  Writers are kept
-- out at the parent for the moment of the change: one that had found its way to the default partition
-- and waited there would find itself refused.
CREATE FUNCTION partitions_make(of_parent text, width_s bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    width interval := width_s * interval '1 second';
    from_at timestamptz;
    taken_at timestamptz;
    name text;
    n bigint := 0;
BEGIN
    LOOP
        SELECT max(p.to_at) INTO from_at FROM time_partitions p WHERE p.parent = of_parent;
        EXIT WHEN from_at >= now() + 2 * width;
        EXECUTE format('LOCK TABLE %I IN SHARE ROW EXCLUSIVE MODE', of_parent);
        from_at := greatest(from_at,
            to_timestamp(floor(extract(epoch FROM now()) / width_s) * width_s));
        EXECUTE format('SELECT max(created_at) FROM %I WHERE created_at >= $1', of_parent || '_default')
            INTO taken_at USING from_at;
        IF taken_at IS NOT NULL THEN
            from_at := to_timestamp((floor(extract(epoch FROM taken_at) / width_s) + 1) * width_s);
        END IF;
        name := of_parent || to_char(from_at AT TIME ZONE 'UTC', '_YYYYMMDD_HH24MISS');
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS)', name, of_parent);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            of_parent, name, from_at, from_at + width);
        INSERT INTO time_partitions VALUES (of_parent, name, from_at, from_at + width);
        n := n + 1;
    END LOOP;
    RETURN n;
END $$;

-- Drop the oldest partition when all of it was said longer ago; empty the default one likewise, some
-- rows at a time.
CREATE FUNCTION partitions_drop(of_parent text, before timestamptz) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    old record;
    n bigint;
BEGIN
    EXECUTE format('DELETE FROM %1$I WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM %1$I WHERE created_at < $1 LIMIT 1000))', of_parent || '_default') USING before;
    GET DIAGNOSTICS n = ROW_COUNT;
    SELECT * INTO old FROM time_partitions p
    WHERE p.parent = of_parent AND p.to_at < before ORDER BY p.from_at LIMIT 1;
    IF NOT FOUND THEN
        RETURN n;
    END IF;
    IF of_parent = 'build_logs_timed' THEN
        IF NOT logs_keep(old.name, old.to_at) THEN
            RETURN n + 1;
        END IF;
    END IF;
    EXECUTE format('DROP TABLE %I', old.name);
    DELETE FROM time_partitions p WHERE p.parent = of_parent AND p.from_at = old.from_at;
    RETURN n + 1;
END $$;

-- Both, in the default's index's favour, and never waiting long for a lock: whoever came after would
-- wait behind us.  Below zero: somebody else had it, or was quicker; the next time will do.
-- A clock that runs behind by less than a sixth of the time loses nothing by it.
CREATE FUNCTION retention_of_partitions(of_parent text, keep_ms bigint) RETURNS bigint
LANGUAGE plpgsql SET lock_timeout = '100ms' SET enable_bitmapscan = on AS $$
DECLARE
    width_s bigint := CASE WHEN keep_ms = 0 THEN 2592000 ELSE greatest(keep_ms / 6000, 1) END;
    n bigint;
BEGIN
    n := partitions_make(of_parent, width_s);
    IF keep_ms > 0 THEN
        n := n + partitions_drop(of_parent,
            now() - keep_ms * interval '1 ms' - width_s * interval '1 second');
    END IF;
    RETURN n;
EXCEPTION WHEN lock_not_available OR deadlock_detected OR check_violation THEN
    RETURN -1;
END $$;

-- ---------------------------------------------------------------- jobs, and what outlives its age

-- Of these jobs, those that a living task or template still shows: what is not over, the newest build,
-- the start of the newest agent, imports.
CREATE FUNCTION jobs_in_use(ids uuid[]) RETURNS SETOF uuid LANGUAGE sql STABLE AS $$
    SELECT j.id
    FROM unnest(ids) AS i (id)
    CROSS JOIN LATERAL (SELECT * FROM jobs WHERE jobs.id = i.id OFFSET 0) AS j
    WHERE j.completed_at IS NULL
        OR EXISTS (SELECT FROM template_versions v WHERE v.id = j.template_version_id AND v.job_id = j.id)
        OR EXISTS (
            SELECT
            FROM builds b
            JOIN workspaces w ON w.id = b.workspace_id
            WHERE b.id = j.build_id AND w.deleted_at IS NULL
                AND (w.latest_build_id = b.id OR w.latest_agent_id = b.agent_id))
$$;

-- The next 200 jobs of a table of log lines, in the order of their ids.
CREATE FUNCTION logs_walk(of_table text) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    found uuid[];
BEGIN
    INSERT INTO retention_walks (name) VALUES (of_table) ON CONFLICT DO NOTHING;
    EXECUTE format('WITH RECURSIVE id AS (
            SELECT (SELECT job_id FROM %1$I l WHERE l.job_id > w.to_id ORDER BY job_id LIMIT 1) AS id,
                1 AS nth
            FROM retention_walks w WHERE w.name = $1
        UNION ALL
            SELECT (SELECT job_id FROM %1$I l WHERE l.job_id > id.id ORDER BY job_id LIMIT 1), id.nth + 1
            FROM id WHERE id.id IS NOT NULL AND id.nth < 200)
        SELECT array_agg(id ORDER BY id) FROM id WHERE id IS NOT NULL', of_table)
        INTO found USING of_table;
    IF found IS NULL THEN
        DELETE FROM retention_walks WHERE name = of_table;
    ELSE
        UPDATE retention_walks SET to_id = found[cardinality(found)] WHERE name = of_table;
    END IF;
    RETURN found;
END $$;

-- Move what is in use out of a partition that is to be dropped, some jobs at a time; true at its end.
CREATE FUNCTION logs_keep(of_partition text, before timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    found uuid[] := logs_walk(of_partition);
BEGIN
    UPDATE build_logs SET kept = true
    WHERE job_id IN (SELECT jobs_in_use(found)) AND NOT kept AND created_at < before;
    RETURN found IS NULL;
END $$;

-- Log lines that were kept and are in use no more.
CREATE FUNCTION retention_of_kept_logs() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    found uuid[] := logs_walk('build_logs_kept');
    n bigint;
BEGIN
    DELETE FROM build_logs WHERE kept AND job_id = ANY (found)
        AND job_id NOT IN (SELECT jobs_in_use(found));
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END $$;

-- Agents and what is theirs but has no age of its own.
CREATE FUNCTION agents_forget(ids uuid[]) RETURNS void LANGUAGE sql AS $$
    DELETE FROM agent_metadata WHERE agent_id = ANY (ids);
    DELETE FROM apps WHERE agent_id = ANY (ids);
    DELETE FROM agents WHERE id = ANY (ids);
$$;

CREATE FUNCTION builds_forget(ids uuid[]) RETURNS void LANGUAGE sql AS $$
    DELETE FROM build_resources WHERE build_id = ANY (ids);
    DELETE FROM builds WHERE id = ANY (ids);
$$;

-- Old jobs that nobody shows any more, with their builds and agents; a thousand are looked at.
CREATE FUNCTION retention_of_jobs(keep_ms bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    walked timestamptz;
    found uuid[];
    n bigint;
BEGIN
    INSERT INTO retention_walks (name) VALUES ('jobs') ON CONFLICT DO NOTHING;
    SELECT w.to_at INTO walked FROM retention_walks w WHERE w.name = 'jobs';
    SELECT array_agg(o.id), max(o.created_at) INTO found, walked
    FROM (
        SELECT j.id, j.created_at
        FROM jobs j
        WHERE j.created_at > walked AND j.created_at < now() - keep_ms * interval '1 ms'
        ORDER BY j.created_at
        FETCH FIRST 1000 ROWS WITH TIES
    ) AS o;
    UPDATE retention_walks SET to_at = coalesce(walked, '-infinity') WHERE name = 'jobs';
    SELECT array_agg(i.id) INTO found
    FROM unnest(found) AS i (id)
    JOIN jobs j ON j.id = i.id AND j.completed_at < now() - keep_ms * interval '1 ms'
    WHERE i.id NOT IN (SELECT jobs_in_use(found));
    PERFORM agents_forget(ARRAY(
        SELECT b.agent_id FROM jobs j JOIN builds b ON b.id = j.build_id
        WHERE j.id = ANY (found) AND b.agent_id IS NOT NULL));
    PERFORM builds_forget(ARRAY(
        SELECT j.build_id FROM jobs j WHERE j.id = ANY (found) AND j.build_id IS NOT NULL));
    DELETE FROM dead_jobs WHERE job_id = ANY (found);
    DELETE FROM jobs WHERE id = ANY (found);
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END $$;

-- ---------------------------------------------------------------- tasks, templates, files

-- Tasks that were deleted long ago, with all that was theirs; a hundred at a time.
CREATE FUNCTION retention_of_tasks(keep_ms bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    old uuid[];
    places uuid[];
BEGIN
    SELECT array_agg(o.id), array_agg(o.workspace_id) INTO old, places
    FROM (
        SELECT t.id, t.workspace_id
        FROM tasks t
        JOIN workspaces w ON w.id = t.workspace_id
        WHERE t.deleted_at < now() - keep_ms * interval '1 ms'
            AND w.deleted_at < now() - keep_ms * interval '1 ms'
        ORDER BY t.deleted_at
        LIMIT 100
    ) AS o;
    IF old IS NULL THEN
        RETURN 0;
    END IF;
    DELETE FROM log_snapshots WHERE task_id = ANY (old);
    DELETE FROM messages WHERE task_id = ANY (old);
    DELETE FROM queued_messages WHERE task_id = ANY (old);
    PERFORM agents_forget(ARRAY(
        SELECT b.agent_id FROM builds b WHERE b.workspace_id = ANY (places) AND b.agent_id IS NOT NULL));
    DELETE FROM dead_jobs d USING builds b WHERE b.workspace_id = ANY (places) AND d.job_id = b.job_id;
    DELETE FROM jobs j USING builds b WHERE b.workspace_id = ANY (places) AND j.id = b.job_id;
    PERFORM builds_forget(ARRAY(SELECT b.id FROM builds b WHERE b.workspace_id = ANY (places)));
    DELETE FROM workspace_states WHERE workspace_id = ANY (places);
    DELETE FROM workspaces WHERE id = ANY (places);
    DELETE FROM tasks WHERE id = ANY (old);
    RETURN cardinality(old);
END $$;

-- A template version with all that its import has found.
CREATE FUNCTION template_version_forget(version uuid) RETURNS void LANGUAGE sql AS $$
    DELETE FROM template_version_preset_parameters p USING template_version_presets s
        WHERE s.template_version_id = version AND p.preset_id = s.id;
    DELETE FROM template_version_presets WHERE template_version_id = version;
    DELETE FROM template_version_variables WHERE template_version_id = version;
    DELETE FROM template_version_values WHERE template_version_id = version;
    DELETE FROM template_version_parameters WHERE template_version_id = version;
    DELETE FROM template_version_apps WHERE template_version_id = version;
    DELETE FROM template_versions WHERE id = version;
$$;

-- One template version that no template took up, or whose template was deleted, and that no task, not
-- even a deleted one, was made from: of some by chance, so that those in use hide no others.  Then
-- templates without versions, then files of nobody.
CREATE FUNCTION retention_of_templates(keep_ms bigint) RETURNS bigint
LANGUAGE plpgsql SET enable_hashjoin = on AS $$
DECLARE
    before timestamptz := now() - keep_ms * interval '1 ms';
    candidates uuid[] := ARRAY(
        SELECT v.id
        FROM template_versions v
        JOIN jobs j ON j.id = v.job_id
        LEFT JOIN templates t ON t.id = v.template_id
        WHERE v.updated_at < before AND j.completed_at IS NOT NULL
            AND (v.template_id IS NULL OR t.deleted_at < before)
        ORDER BY random()
        LIMIT 20);
    old uuid;
    n bigint := 0;
    more bigint;
BEGIN
    IF candidates <> '{}' THEN
        SELECT i.id INTO old
        FROM unnest(candidates) AS i (id)
        WHERE NOT EXISTS (SELECT FROM tasks k WHERE k.template_version_id = i.id)
            AND NOT EXISTS (SELECT FROM builds b WHERE b.template_version_id = i.id)
        LIMIT 1;
    END IF;
    IF old IS NOT NULL THEN
        PERFORM template_version_forget(old);
        n := 1;
    END IF;
    DELETE FROM templates t
    WHERE t.deleted_at < before
        AND NOT EXISTS (SELECT FROM template_versions v WHERE v.template_id = t.id)
        AND NOT EXISTS (SELECT FROM workspaces w WHERE w.template_id = t.id);
    GET DIAGNOSTICS more = ROW_COUNT;
    n := n + more;
    DELETE FROM files WHERE id = ANY (ARRAY(
        SELECT f.id FROM files f
        WHERE f.uploaded_at < before
            AND NOT EXISTS (SELECT FROM template_versions v WHERE v.file_id = f.id)
        LIMIT 10));
    GET DIAGNOSTICS more = ROW_COUNT;
    RETURN n + more;
END $$;

-- ---------------------------------------------------------------- for readers

-- No line of a log is older than this, a day for clocks left aside: with it a reader looks into no
-- partition that was there before the job or the agent.
CREATE FUNCTION job_born(of_job uuid) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT created_at FROM jobs WHERE id = of_job), '-infinity') - interval '1 day'
$$;
CREATE FUNCTION agent_born(of_agent uuid) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT created_at FROM agents WHERE id = of_agent), '-infinity') - interval '1 day'
$$;
