-- SPDX-License-Identifier: Apache-2.0
-- People and keys as Coder's clients know them, and the audit of every change.

-- ---------------------------------------------------------------- people

ALTER TABLE users
    -- By which programs on GitHub find the person.
    ADD COLUMN github_com_user_id bigint,
    ADD COLUMN theme_preference text NOT NULL DEFAULT '',
    ADD COLUMN terminal_font text NOT NULL DEFAULT '';
CREATE UNIQUE INDEX users_github_com_user_id_is_unique ON users (github_com_user_id)
    WHERE deleted_at IS NULL AND github_com_user_id IS NOT NULL;

-- ---------------------------------------------------------------- keys

ALTER TABLE api_keys
    -- 'token': made by name, for a program; else how somebody logged in for it.
    ADD COLUMN login_type text NOT NULL DEFAULT 'token',
    -- A login's key lives on for so long after its last use; a token ends when it ends.
    ADD COLUMN lifetime_s bigint NOT NULL DEFAULT 0;
UPDATE api_keys SET login_type = 'password' WHERE name IN ('session', 'key');
CREATE UNIQUE INDEX api_keys_name_is_unique ON api_keys (user_id, lower(name))
    WHERE login_type = 'token' AND revoked_at IS NULL AND name <> '';

-- ---------------------------------------------------------------- audit

ALTER TABLE audit_log
    DROP COLUMN detail,
    -- What the resource was called then.
    ADD COLUMN target text NOT NULL DEFAULT '',
    -- From where; '' when Stint itself did it, or somebody at the database.
    ADD COLUMN ip text NOT NULL DEFAULT '',
    ADD COLUMN user_agent text NOT NULL DEFAULT '',
    ADD COLUMN request_id text NOT NULL DEFAULT '',
    -- What has changed, member by member; a secret's value is {"secret": true}.
    ADD COLUMN before jsonb,
    ADD COLUMN after jsonb;
-- Old rows are found by their age to be dropped; the table is in that order, so this costs next to
-- nothing to keep.
CREATE INDEX audit_log_by_time ON audit_log USING brin (at);

-- What one row has become, compared with what it was.  Gateways say with audit_context, in the same
-- transaction, who does it; whoever else writes to the table is nobody.
-- Arguments: the resource's type, the columns of its id and of its name.
CREATE FUNCTION audit_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    who jsonb := coalesce(nullif(current_setting('stint.audit', true), ''), '{}')::jsonb;
    is_now jsonb := to_jsonb(NEW);
    was jsonb := CASE WHEN TG_OP = 'UPDATE' THEN to_jsonb(OLD) ELSE '{}' END;
    old_values jsonb;
    new_values jsonb;
BEGIN
    SELECT
        jsonb_object_agg(d.key, d.was) FILTER (WHERE d.was <> 'null'),
        jsonb_object_agg(d.key, d.is_now) FILTER (WHERE d.is_now <> 'null' OR TG_OP = 'UPDATE')
    INTO old_values, new_values
    FROM (
        SELECT n.key,
            CASE WHEN n.key LIKE 'hashed\_%' AND o.value <> 'null' THEN '{"secret": true}'
                ELSE o.value END AS was,
            CASE WHEN n.key LIKE 'hashed\_%' AND n.value <> 'null' THEN '{"secret": true}'
                ELSE n.value END AS is_now
        FROM jsonb_each(is_now) n
        LEFT JOIN jsonb_each(was) o USING (key)
        WHERE o.value IS DISTINCT FROM n.value
            AND n.key NOT IN ('created_at', 'updated_at', 'last_seen_at', 'last_used_at')
    ) d;
    IF new_values IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO audit_log (actor_id, action, resource_type, resource_id, target, ip, user_agent,
        request_id, before, after)
    VALUES (
        -- Who logs in, or makes himself the first user, is who he then is.
        coalesce((who ->> 'actor')::uuid,
            CASE WHEN who ? 'ip' AND TG_ARGV[0] IN ('user', 'api_key')
                THEN (is_now ->> TG_ARGV[1])::uuid END),
        coalesce(nullif(who ->> 'action', ''), CASE
            WHEN TG_OP = 'INSERT' THEN 'create'
            WHEN new_values ? 'deleted_at' OR new_values ? 'revoked_at' THEN 'delete'
            ELSE 'write' END),
        TG_ARGV[0], (is_now ->> TG_ARGV[1])::uuid, coalesce(is_now ->> TG_ARGV[2], ''),
        coalesce(who ->> 'ip', ''), coalesce(who ->> 'user_agent', ''),
        coalesce(who ->> 'request_id', ''), old_values, new_values);
    RETURN NULL;
END $$;

CREATE TRIGGER users_are_audited AFTER INSERT OR UPDATE ON users
    FOR EACH ROW EXECUTE FUNCTION audit_row('user', 'id', 'username');
-- (Not for being used.)
CREATE TRIGGER api_keys_are_audited AFTER INSERT OR UPDATE OF revoked_at, scope, name ON api_keys
    FOR EACH ROW EXECUTE FUNCTION audit_row('api_key', 'user_id', 'id');
CREATE TRIGGER templates_are_audited AFTER INSERT OR UPDATE ON templates
    FOR EACH ROW EXECUTE FUNCTION audit_row('template', 'id', 'name');
-- (Not for what the import finds.)
CREATE TRIGGER template_versions_are_audited
    AFTER INSERT OR UPDATE OF template_id, name, message, archived ON template_versions
    FOR EACH ROW EXECUTE FUNCTION audit_row('template_version', 'id', 'name');
