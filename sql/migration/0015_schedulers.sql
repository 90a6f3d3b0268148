-- SPDX-License-Identifier: Apache-2.0
-- Who stands by to lead.

-- One row per scheduler that has been there, written when it connects; it counts while that session
-- lives, so nobody has to keep writing that he is there.  Rows of gone ones go with the next
-- scheduler that connects.  (The one table that standbys write: nothing hangs on it but what people
-- see, and whether a leader that is asked to step down finds somebody to do it for.)
CREATE TABLE schedulers (
    url text PRIMARY KEY,
    version text NOT NULL,
    pid integer NOT NULL,
    backend_start timestamptz NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);

-- A role that may not see another one's sessions sees that there is one of this number.
CREATE VIEW living_schedulers AS
SELECT s.url, s.version, s.since
FROM schedulers s
JOIN pg_stat_activity a ON a.pid = s.pid
    AND coalesce(a.backend_start, s.backend_start) = s.backend_start;
