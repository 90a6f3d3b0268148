-- SPDX-License-Identifier: Apache-2.0
-- The newest jobs, for lists.  Rows come in this order, so that an insert only ever touches the last
-- page, and no update changes the column, so that updates stay heap-only.
CREATE INDEX jobs_by_age ON jobs (created_at DESC);
