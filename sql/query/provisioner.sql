-- SPDX-License-Identifier: Apache-2.0
-- Workers and jobs, as Coder's clients ask for provisioner daemons and jobs.

-- name: worker_offers :one
-- $1 provisioner text
-- Does a worker that is there run it?
SELECT EXISTS (SELECT FROM workers WHERE state = 'up' AND $1::text = ANY (provisioners));
