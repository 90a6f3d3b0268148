#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# format.sh - the one look of the C code.
#
#   tools/format.sh check [folder…]    name every file that clang-format 14 would change (exit 1)
#   tools/format.sh fix [folder…]      change them
#
# The version is pinned: another one formats the same configuration differently.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
check | fix) mode=$1 && shift ;;
*)
    sed -n '3,8s/^# \{0,1\}//p' "$0"
    exit 64
    ;;
esac

tool=
for candidate in clang-format-14 clang-format; do
    if command -v "$candidate" >/dev/null && "$candidate" --version | grep -q 'version 14\.'; then
        tool=$candidate
        break
    fi
done
if [ -z "$tool" ]; then
    echo "format: clang-format 14 is missing; install it with: apt-get install clang-format-14" >&2
    exit 69
fi

files=()
while IFS= read -r -d '' file; do
    if [[ $file == *.[ch] && -f $file ]]; then
        files+=("$file")
    fi
done < <(git ls-files -z --cached --others --exclude-standard -- "${@:-.}")
if [ "$mode" = fix ]; then
    "$tool" -i --style=file "${files[@]}"
    exit
fi

bad=$("$tool" --dry-run --style=file "${files[@]}" 2>&1 |
    sed -nE 's/^([^:]+):[0-9]+:[0-9]+: warning: code should be clang-formatted.*/\1/p' | sort | uniq -c)
if [ -n "$bad" ]; then
    echo "format: these files are not in the house's look (places, file); tools/format.sh fix mends them:"
    echo "$bad"
    exit 1
fi
echo "format: ${#files[@]} files are in the house's look"
