-- SPDX-License-Identifier: Apache-2.0
-- Template archives.  Written by gateways; the same bytes are stored once.

-- name: file_create :one
-- $1 id uuid, $2 hash bytea, $3 mimetype text, $4 data bytea, $5 created_by uuid
-- The id of these bytes, and whether they are new here.  The update makes the row that is there already
-- come back, and stay for another while.
INSERT INTO files (id, hash, mimetype, data, created_by)
VALUES ($1::uuid, $2::bytea, $3::text, $4::bytea, $5::uuid)
ON CONFLICT (hash) DO UPDATE SET uploaded_at = now()
RETURNING id, xmax = 0;

-- name: file_exists :one
-- $1 id uuid
SELECT EXISTS (SELECT FROM files WHERE id = $1::uuid);

-- name: file_get :one
-- $1 id uuid
SELECT mimetype, data, created_by FROM files WHERE id = $1::uuid;
