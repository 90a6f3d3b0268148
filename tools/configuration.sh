#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# configuration.sh - docs/CONFIGURATION.md from the rows of every <daemon>/conf.def.
set -eu
cd "$(dirname "$0")/.."

cat <<'TEXT'
# Configuration

Made from the rows in `scheduler/conf.def`, `worker/conf.def` and `gateway/conf.def` by
`tools/configuration.sh`; change the rows, not this page.

Each setting can be given as a flag (`--make-room-grace 30s`), as an environment variable
(`STINT_MAKE_ROOM_GRACE=30s`) or in a file named by `--config` (`make_room_grace = 30s`, one a line,
`#` begins a comment). A flag beats the environment, which beats the file. `--print-config` shows each
value and where it came from, secrets masked. Durations: `250ms`, `5s`, `10m`, `2h`. Sizes: `512`,
`64KiB`, `1MiB`.
TEXT

for daemon in scheduler worker gateway; do
    printf '\n## stint-%s\n\n| setting | kind | initial | what it does |\n|---|---|---|---|\n' "$daemon"
    printf '#define KEY(type, name, field, initial, min, max, flags, help) @@ name | type | initial | help\n#include "%s/conf.def"\n' "$daemon" |
        gcc -E -P -I. -x c - |
        sed -n 's/^@@ *"\([^"]*\)" *| *\([A-Z]*\) *| *\(.*[^ ]\) *| *"\(.*\)"$/\1|\2|\3|\4/p' |
        while IFS='|' read -r name kind initial help; do
            case $initial in
            NULL | '((void*)0)' | '""') initial='' ;;
            *) initial="\`$(printf '%s' "$initial" | tr -d '"')\`" ;;
            esac
            printf '| `%s` | %s | %s | %s |\n' "$name" "$(printf '%s' "$kind" | tr 'A-Z' 'a-z')" "$initial" "$help"
        done
done
