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

A **secret** may be given as a file whose first line it is, by the same name with `_file` behind it:
`--database-url-file FILE`, `STINT_DATABASE_URL_FILE=FILE`, `database_url_file = FILE`.

On SIGHUP a daemon reads its settings again. Those marked **reload** take effect at once, and a line of
the log says what has changed; of others it says that they need a restart.
TEXT

for daemon in scheduler worker gateway; do
    printf '\n## stint-%s\n\n| setting | kind | initial | | what it does |\n|---|---|---|---|---|\n' "$daemon"
    printf '#define KEY(type, name, field, initial, min, max, flags, help) @@ name | type | initial | flags | help\n#include "%s/conf.def"\n' "$daemon" |
        gcc -E -P -I. -x c - |
        sed -n 's/^@@ *"\([^"]*\)" *| *\([A-Z]*\) *| *\(.*[^ ]\) *| *\([A-Z][A-Z_ |]*[A-Z]\) *| *"\(.*\)"$/\1@\2@\3@\4@\5/p' |
        while IFS='@' read -r name kind initial flags help; do
            case $flags in
            *SECRET*) flags=secret ;;
            *RELOADABLE*) flags=reload ;;
            *) flags= ;;
            esac
            case $initial in
            NULL | '((void*)0)' | '""') initial='' ;;
            *) initial="\`$(printf '%s' "$initial" | tr -d '"')\`" ;;
            esac
            printf '| `%s` | %s | %s | %s | %s |\n' "$name" "$(printf '%s' "$kind" | tr 'A-Z' 'a-z')" "$initial" "$flags" "$help"
        done
done
