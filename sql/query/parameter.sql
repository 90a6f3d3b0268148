-- SPDX-License-Identifier: Apache-2.0
-- Parameters of template versions, as a start needs them.

-- name: parameter_rules :many
-- $1 template version uuid
SELECT name, type, mutable, required, default_value, validation_regex, validation_error,
    validation_min, validation_max
FROM template_version_parameters
WHERE template_version_id = $1::uuid
ORDER BY position;

-- name: parameter_options :many
-- $1 template version uuid
-- The values that parameters are bound to, in the order of the rules.
SELECT p.name, o.value ->> 'value' AS value
FROM template_version_parameters p
CROSS JOIN LATERAL jsonb_array_elements(p.options) WITH ORDINALITY AS o (value, nth)
WHERE p.template_version_id = $1::uuid
ORDER BY p.position, o.nth;

-- name: parameter_preset :many
-- $1 preset uuid, $2 template version uuid
-- No row: the version has no such preset.  One without values has one row, without a name.
SELECT v.name, v.value
FROM template_version_presets p
LEFT JOIN template_version_preset_parameters v ON v.preset_id = p.id
WHERE p.id = $1::uuid AND p.template_version_id = $2::uuid;

-- name: parameter_previous :many
-- $1 task uuid
-- What the task has now.
SELECT p.key, p.value
FROM tasks t
CROSS JOIN LATERAL jsonb_each_text(t.template_parameters) AS p
WHERE t.id = $1::uuid;
