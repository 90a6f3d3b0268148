#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# state_machine.sh - docs/STATE_MACHINE.md from the rows of scheduler/core/job_state.def.
set -eu
cd "$(dirname "$0")/.."

rows() {
    printf '#define TRANSITION(from, event, to, reason) @@ from event to reason\n#include "scheduler/core/job_state.def"\n' |
        gcc -E -P -I. -x c - | sed -n 's/^@@ //p'
}

cat <<'TEXT'
# The life of a job

Made from the rows in `scheduler/core/job_state.def` by `tools/state_machine.sh`; change the rows, not
this page. Only `job_move()` (`scheduler/core/job.c`) writes a job's state, and it asserts that the
transition stands here.

```mermaid
stateDiagram-v2
    [*] --> pending
TEXT
rows | while read -r from event to _; do
    printf '    %s --> %s: %s\n' "$from" "$to" "$event" | tr 'A-Z' 'a-z'
done
cat <<'TEXT'
    succeeded --> [*]
    failed --> [*]
    canceled --> [*]
```

| from | event | to | because |
|---|---|---|---|
TEXT
rows | while read -r from event to reason; do
    low=$(printf '%s | %s | %s' "$from" "$event" "$to" | tr 'A-Z' 'a-z')
    printf '| %s | %s |\n' "$low" "$(printf '%s' "$reason" | tr -d '"')"
done
