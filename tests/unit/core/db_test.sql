-- SPDX-License-Identifier: Apache-2.0
-- Statements of db_test.c.

-- name: echo_scalars :one
SELECT $1::uuid, $2::bigint, $3::integer, $4::boolean, $5::text, $6::bytea, $7::timestamptz, 7::smallint;

-- name: echo_arrays :many
SELECT *
FROM unnest($1::uuid[], $2::bigint[], $3::integer[], $4::boolean[], $5::text[], $6::bytea[], $7::timestamptz[]);

-- name: row_insert :exec
INSERT INTO rows (id, note) VALUES ($1, $2);

-- name: row_insert_deferred :exec
INSERT INTO deferred (id) VALUES ($1);

-- name: row_insert_many :exec
INSERT INTO rows (id, note) SELECT * FROM unnest($1::bigint[], $2::text[]);

-- name: row_count :one
SELECT count(*) FROM rows;

-- name: row_delete_all :exec
DELETE FROM rows;

-- name: raise_stale :exec
SELECT raise_stale();

-- name: broken :one
SELECT nothing FROM nowhere;

-- name: sleep :one
SELECT pg_sleep($1::bigint / 1000.0);

-- name: kill_self :exec
SELECT pg_terminate_backend(pg_backend_pid());

-- name: app_name :one
SELECT current_setting('application_name');
