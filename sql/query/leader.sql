-- Leadership: rule 4.

-- name: leader_assert_epoch :exec
-- $1 epoch bigint
-- First in every transaction of the scheduler: a deposed leader's commit fails.
SELECT scheduler_assert_epoch($1::bigint);
