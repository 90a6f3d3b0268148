#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tidy.sh - what the tree promises about itself, checked.
#
#   tools/tidy.sh [check…]     all checks, or only the named ones
#
# Each check_<name> prints what breaks its rule, one place per line; nothing means that it holds.
# Ends with "N passed, N failed" and exits 1 when a rule is broken.
#
# The layers:  base <- loop <- {db, kv, bus, wire} <- daemons; daemons never include each other.
set -uo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C

DAEMONS="scheduler worker gateway agent cli"
mapfile -t C_FILES < <(find core $DAEMONS tests tools -name '*.[ch]' 2>/dev/null | sort)
mapfile -t OWN_FILES < <(git ls-files --cached --others --exclude-standard)

# includes: "file:line:path" of every #include with quotes or angles in the C files.
includes() {
    grep -nHE '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]' "${C_FILES[@]}" |
        sed -E 's/^([^:]+:[0-9]+):[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]([^>"]+)[>"].*/\1:\2/'
}

# layer_of path: what a file of this folder may include of the project, as an extended regex.
may_include() {
    case $1 in
    core/base/*) echo 'core/base/' ;;
    core/loop/*) echo 'core/(base|loop)/' ;;
    core/wire/*) echo 'core/(base|wire)/' ;;
    core/db/*) echo 'core/(base|loop|db)/' ;;
    core/kv/*) echo 'core/(base|loop|kv)/' ;;
    core/bus/*) echo 'core/(base|loop|wire|bus)/' ;;
    # The pure core of the scheduler: no I/O, no clock, no randomness of its own.
    scheduler/core/*) echo '(core/base|core/wire|scheduler/core)/' ;;
    tools/*) echo 'core/base/' ;;
    tests/*) echo '(core|scheduler|worker|gateway|agent|cli|tests)/' ;;
    *) echo "(core|${1%%/*})/" ;;
    esac
}

check_layers() {
    local file line path
    while IFS=: read -r file line path; do
        case $path in
        core/* | scheduler/* | worker/* | gateway/* | agent/* | cli/* | tests/*) ;;
        *) continue ;;
        esac
        [[ $path =~ ^$(may_include "$file") ]] || echo "$file:$line: may not include $path"
    done < <(includes)
}

# Each library is known by one folder; everything else reads as one language.
check_doors() {
    local file line path allowed
    while IFS=: read -r file line path; do
        case $path in
        uv.h | uv/*) allowed='^core/(loop|kv|bus)/' ;;
        libpq-fe.h | libpq/*) allowed='^core/db/' ;;
        hiredis/*) allowed='^core/kv/' ;;
        nng/*) allowed='^(core/bus/|agent/http\.c$)' ;; # messages; its HTTP client
        protobuf-c/* | *.pb-c.h) allowed='^core/wire/' ;;
        curl/*) allowed='^(cli/|gateway/fetch\.c$)' ;;
        openssl/*) allowed='^gateway/jwt\.c$' ;;
        libwebsockets.h | libwebsockets/*) allowed='^gateway/' ;;
        vterm.h | http_parser.h) allowed='^agent/agentapi/' ;;
        cyaml/* | yaml.h) allowed='^worker/' ;;
        *) continue ;;
        esac
        [[ $file =~ $allowed || $file == tests/* ]] ||
            echo "$file:$line: $path belongs to ${allowed#^}"
    done < <(includes)
}

check_include_paths() {
    grep -nE '#[[:space:]]*include[[:space:]]*"(\.\./|\./|[^/"]+\.h")' "${C_FILES[@]}" |
        grep -vE '"(sql_query|sql_migration)\.h"' | sed 's/$/  (write the path from the root)/'
}

check_columns() {
    LC_ALL=C.UTF-8 grep -nHE '^.{101,}' "${C_FILES[@]}" | cut -d: -f1,2 |
        sed 's/$/: more than 100 columns/'
}

# SQL lives in sql/; the words in capitals at the begin of a string give it away elsewhere.
check_sql() {
    # (Redis has a SELECT of its own.)
    printf '%s\n' "${C_FILES[@]}" | grep -vE '^(tools/sqlgen|core/kv/|tests/)' | xargs grep -nE \
        '"[[:space:]]*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|COPY|CREATE|ALTER|DROP|TRUNCATE)[[:space:]]' |
        sed 's/$/  (move it to sql\/query)/'
}

# The licence is the first line, or the second one after "#!" and the like.
check_licence() {
    local file
    for file in "${OWN_FILES[@]}"; do
        [ -f "$file" ] || continue
        case $file in
        *.[ch] | *.sh | *.py | *.sql | *.def) ;;
        */run | */up | */down | */env) ;;
        *) continue ;;
        esac
        [ -s "$file" ] || continue
        head -2 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' ||
            echo "$file:1: no SPDX line"
    done
}

check_leftovers() {
    local words='TO''DO|FIX''ME|XX''X\b'
    printf '%s\n' "${OWN_FILES[@]}" | grep -vE '^(LICENSE|.*\.(png|svg|tar|gz))$' |
        xargs -d '\n' grep -nIwE "$words" 2>/dev/null
}

# Tests wait for events; the one place that may sleep between looks is tests/lib/wait.py.
check_sleeps() {
    find tests -name '*.py' ! -path tests/lib/wait.py -exec grep -nE '\b(time\.)?sleep\(' {} +
    find tests/unit -name '*.[ch]' -exec grep -nE '\b(u|nano)?sleep\(' {} + 2>/dev/null
}

check_processes() {
    printf '%s\n' "${OWN_FILES[@]}" | grep -E '^(tests|tools|deploy|\.ci)/' |
        grep -vx tools/tidy.sh | xargs -d '\n' grep -nIE '\b(pkill|killall|pgrep)\b' 2>/dev/null
}

# Every header is the manual of its part and stands alone.
check_headers() {
    local build generated=
    for build in build/dev build/asan build/*/; do
        [ -f "${build%/}/generated/stint/v1/envelope.pb-c.h" ] && generated=${build%/}/generated && break
    done
    if [ -z "$generated" ]; then
        echo "core/wire/wire.h: nothing is generated yet; build first (cmake --preset dev && ninja -C build/dev)"
        return
    fi
    local header
    for header in "${C_FILES[@]}"; do
        [[ $header == *.h && $header != tests/* ]] || continue
        printf '#include "%s"\n' "$header" |
            gcc -std=c17 -D_GNU_SOURCE -DSTINT_VERSION='"0"' -fsyntax-only -Wall -Wextra -Werror \
                -I. -I"$generated" $(pkg-config --cflags libpq hiredis libuv) -x c - >/dev/null 2>&1 ||
            echo "$header:1: does not compile alone"
    done
}

check_guards() {
    local header guard
    for header in "${C_FILES[@]}"; do
        [[ $header == *.h ]] || continue
        guard=$(tr 'a-z/.-' 'A-Z___' <<<"$header")
        grep -q "^#ifndef $guard\$" "$header" || echo "$header:1: the guard is not $guard"
    done
}

# Documents made from tables say so themselves: "tools/<name> > docs/<name>" in tools/generated.
check_generated() {
    [ -f tools/generated ] || return 0
    local command target
    while read -r target command; do
        case $target in '' | '#'*) continue ;; esac
        diff -q <(eval "$command") "$target" >/dev/null 2>&1 ||
            echo "$target:1: is not what \"$command\" prints"
    done <tools/generated
}

# While an upgrade rolls, the version before works on the new schema: a migration only adds.  One that
# takes away says so in its head, with the schema that a daemon must know to do without it
# ("-- contract: daemons need NNNN", an earlier one).  What a file drops and makes anew is no loss.
check_migrations() {
    local file need
    for file in sql/migration/*.sql; do
        [[ ${file##*/} > 0012_z ]] || continue # the rule is younger than those
        need=$(sed -nE 's/^-- contract: daemons need ([0-9]{4})$/\1/p' "$file")
        if [ -n "$need" ]; then
            compgen -G "sql/migration/${need}_*.sql" >/dev/null && [[ ${need} < ${file##*/} ]] ||
                echo "$file:1: there is no earlier migration $need"
            continue
        fi
        sed 's/--.*//' "$file" | tr '\n\t' '  ' | tr -s ' ' | awk -v file="$file" '
            BEGIN { RS = ";" }
            function lost(what) { print file ":1: " what " without \"-- contract: daemons need NNNN\" (CONTRIBUTING.md)" }
            function made(kind, name) { return toupper(all) ~ "CREATE (OR REPLACE )?" kind " " toupper(name) "[ (]" }
            { statement[NR] = toupper($0); all = all $0 ";" }
            END {
                for (i = 1; i in statement; i++) {
                    s = statement[i]
                    if (match(s, /DROP (TABLE|TYPE|SCHEMA|VIEW|FUNCTION|MATERIALIZED VIEW) (IF EXISTS )?[A-Z_0-9]+/)) {
                        n = split(substr(s, RSTART, RLENGTH), w, " ")
                        if (!made(w[2], w[n])) lost(substr(s, RSTART, RLENGTH))
                    }
                    if (s ~ /ALTER TABLE.* DROP (COLUMN )?[A-Z_]+/ && s !~ /DROP (CONSTRAINT|DEFAULT|NOT NULL|IDENTITY|EXPRESSION)/) lost("DROP COLUMN")
                    # A table that gives its name to a new one with the same columns is still there for everybody.
                    if (s ~ / RENAME /) {
                        n = match(s, /ALTER TABLE [A-Z_0-9]+ RENAME TO/) ? split(substr(s, RSTART, RLENGTH), w, " ") : 0
                        if (n == 0 || !made("TABLE", w[3])) lost("RENAME")
                    }
                    if (s ~ /ALTER (COLUMN )?[A-Z_]+ (SET DATA )?TYPE /) lost("another type")
                    if (s ~ / SET NOT NULL/) lost("SET NOT NULL")
                    if (s ~ /^ ?TRUNCATE/) lost("TRUNCATE")
                    m = split(s, column, /ADD COLUMN /)
                    for (k = 2; k <= m; k++)
                        if (column[k] ~ / NOT NULL/ && column[k] !~ / (DEFAULT|GENERATED) /) lost("ADD COLUMN … NOT NULL with no DEFAULT")
                }
            }'
    done
}

CHECKS="layers doors include_paths columns sql licence leftovers sleeps processes headers guards generated migrations"
for arg in "$@"; do
    if [ "$arg" = --help ] || [ "$arg" = -h ] || ! declare -F "check_$arg" >/dev/null; then
        sed -n '3,9s/^# \{0,1\}//p' "$0"
        echo "checks: $CHECKS"
        [ "$arg" = --help ] || [ "$arg" = -h ] && exit 0
        exit 64
    fi
done

passed=0 failed=0
for name in ${*:-$CHECKS}; do
    found=$("check_$name")
    if [ -z "$found" ]; then
        passed=$((passed + 1))
        echo "ok    $name"
    else
        failed=$((failed + 1))
        echo "FAIL  $name"
        sed 's/^/      /' <<<"$found"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
