-- SPDX-License-Identifier: Apache-2.0
-- Leadership (rule 4).

-- name: leader_try_lock :one
-- The session that holds this lock leads; it is free again the moment that session ends.
SELECT pg_try_advisory_lock(7083, 0);

-- name: leader_raise_epoch :one
-- $1 URL of the new leader's bus
SELECT scheduler_raise_epoch($1::text);

-- name: leader_find :one
-- For standbys: whom to point at.
SELECT epoch, leader_url FROM scheduler_epoch;

-- name: leader_assert_epoch :exec
-- $1 epoch
-- First in every transaction of the scheduler: a deposed leader's commit fails.
SELECT scheduler_assert_epoch($1::int8);
