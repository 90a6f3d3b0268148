-- SPDX-License-Identifier: Apache-2.0
-- Options of a task: parameters of its template, labels, priority, earliest start, time limit.

-- ---------------------------------------------------------------- what a template version asks for

-- As the import has found them, in the template's order.
CREATE TABLE template_version_parameters (
    template_version_id uuid NOT NULL REFERENCES template_versions,
    name text NOT NULL,
    position integer NOT NULL,
    display_name text NOT NULL DEFAULT '',
    description text NOT NULL DEFAULT '',
    icon text NOT NULL DEFAULT '',
    type text NOT NULL CONSTRAINT template_version_parameters_type_is_known
        CHECK (type IN ('string', 'number', 'bool', 'list(string)')),
    -- May be changed when the workspace starts again.
    mutable boolean NOT NULL DEFAULT false,
    -- There is no default: somebody must give a value.
    required boolean NOT NULL DEFAULT false,
    default_value text NOT NULL DEFAULT '',
    -- [{"name", "description", "value", "icon"}, ...]; empty: any value.
    options jsonb NOT NULL DEFAULT '[]',
    validation_regex text NOT NULL DEFAULT '',
    validation_error text NOT NULL DEFAULT '',
    validation_min bigint,
    validation_max bigint,
    PRIMARY KEY (template_version_id, name)
);

CREATE TABLE template_version_presets (
    id uuid PRIMARY KEY,
    template_version_id uuid NOT NULL REFERENCES template_versions,
    name text NOT NULL,
    position integer NOT NULL,
    description text NOT NULL DEFAULT '',
    icon text NOT NULL DEFAULT '',
    is_default boolean NOT NULL DEFAULT false,
    CONSTRAINT template_version_presets_name_is_unique UNIQUE (template_version_id, name)
);

CREATE TABLE template_version_preset_parameters (
    preset_id uuid NOT NULL REFERENCES template_version_presets,
    name text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (preset_id, name)
);

-- ---------------------------------------------------------------- what a task was given

ALTER TABLE tasks
    -- {"name": "value", ...}: every parameter of the version, as the next start will have it.
    ADD COLUMN template_parameters jsonb NOT NULL DEFAULT '{}',
    -- No reference: the preset is of the version, and a create looks up nothing for it.
    ADD COLUMN template_version_preset_id uuid,
    -- {"key": "value", ...}; for people and programs, Stint itself gives them no meaning.
    ADD COLUMN labels jsonb NOT NULL DEFAULT '{}',
    -- -100..100, higher starts first.
    ADD COLUMN priority integer NOT NULL DEFAULT 0,
    -- The first start gets in line no earlier; NULL: at once.
    ADD COLUMN start_after timestamptz,
    -- A run that lasts longer is paused; 0: no limit.
    ADD COLUMN time_limit_ms bigint NOT NULL DEFAULT 0;

-- "labels @> '{...}' AND labels <> '{}'": the second half says that this index will do.  Tasks
-- without labels, which are most, are not in it, so that their creation does not pay for it.
CREATE INDEX tasks_by_label ON tasks USING gin (labels jsonb_path_ops)
    WHERE labels <> '{}' AND deleted_at IS NULL;

-- The parameters that the build had; NULL: none.
ALTER TABLE builds ADD COLUMN parameters jsonb;
