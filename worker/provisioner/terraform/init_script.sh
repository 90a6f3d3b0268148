#!/usr/bin/env sh
# SPDX-License-Identifier: Apache-2.0
# The beginning of a workspace that Terraform has made: fetch stint-agent from the gateway, check it,
# become it.  Needs a POSIX shell and one of curl, wget and busybox, nothing else.
#
# The provider puts the gateway's URL and the way of authentication into the next two lines.
CODER_AGENT_URL="${ACCESS_URL}"
CODER_AGENT_AUTH="${AUTH_TYPE}"
STINT_ARCH=@ARCH@
export CODER_AGENT_URL CODER_AGENT_AUTH

say() { echo "stint: $*" >&2; }
give_up() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
# A tool by its own name, or busybox's.
tool() { if have "$1"; then "$@"; elif have busybox; then busybox "$@"; else return 127; fi; }
# The shell may be pid 1, to which TERM means nothing by itself.
rest() {
	tool sleep "$1" &
	wait $! 2>/dev/null || :
}
trap 'exit 143' TERM INT

[ "$CODER_AGENT_AUTH" = token ] ||
	give_up "coder_agent's auth is \"$CODER_AGENT_AUTH\"; Stint knows auth = \"token\"."
[ -n "${CODER_AGENT_TOKEN:-}${CODER_AGENT_TOKEN_FILE:-}" ] ||
	give_up "CODER_AGENT_TOKEN is not set: the template has to put coder_agent's token into this" \
		"workspace's environment, for example env = [\"CODER_AGENT_TOKEN=\${coder_agent.main.token}\"]."
machine=$(tool uname -m 2>/dev/null) || machine=
case "$STINT_ARCH:$machine" in
amd64:x86_64 | arm64:aarch64 | arm64:arm64 | *:) ;;
*) give_up "coder_agent's arch is $STINT_ARCH, but this machine is $machine: set arch in the template." ;;
esac

# ---- fetching

# fetch URL FILE: false when it did not come; says why.
fetch() {
	if have curl; then
		code=$(curl -sSL --connect-timeout 15 -o "$2" -w '%{http_code}' "$1") || return 1
		[ "$code" = 200 ] && return 0
		say "$1: status $code: $(tool head -c 600 "$2" 2>/dev/null)"
		return 1
	elif have wget; then
		wget -q -O "$2" "$1"
	elif have busybox; then
		busybox wget -q -O "$2" "$1"
	fi
}

digest() { # digest FILE: nothing when there is no program for it
	{ tool sha256sum "$1" || shasum -a 256 "$1" || openssl dgst -sha256 -r "$1"; } 2>/dev/null |
		{ read -r hex rest_of_line && echo "$hex"; }
}

# is_whole FILE DIGEST
is_whole() {
	got=$(digest "$1")
	if [ -n "$got" ]; then
		[ "$got" = "$2" ]
	else # no sha256sum here: the program looks at itself
		"$1" verify "$2"
	fi
}

# get DIRECTORY: stint-agent there, whole and able to run.
get() {
	url="${CODER_AGENT_URL%/}/bin/stint-agent-linux-$STINT_ARCH"
	fetch "$url.sha256" "$1/digest" || { say "cannot fetch $url.sha256"; return 1; }
	read -r wanted rest_of_line <"$1/digest"
	fetch "$url" "$1/stint-agent" || { say "cannot fetch $url"; return 1; }
	tool chmod 0755 "$1/stint-agent" || { say "there is no chmod here"; return 1; }
	is_whole "$1/stint-agent" "$wanted" || { say "$url came damaged"; return 1; }
	"$1/stint-agent" version >/dev/null
}

# ---- a place for it: one that can be written, and run from

place() {
	for base in "${BINARY_DIR:-}" "${TMPDIR:-/tmp}" /var/tmp "${HOME:-}" /dev/shm /run .; do
		dir="$base/stint-agent.$$"
		[ -n "$base" ] && tool mkdir -p "$dir" 2>/dev/null || continue
		if { echo '#!/bin/sh'; echo 'exit 0'; } 2>/dev/null >"$dir/try" &&
			tool chmod 0755 "$dir/try" && { "$dir/try" 2>/dev/null || [ ! -e /bin/sh ]; }; then
			return 0
		fi
		tool rm -rf "$dir"
	done
	return 1
}

if [ -n "${STINT_AGENT:-}" ] && [ -x "$STINT_AGENT" ]; then
	exec "$STINT_AGENT" run
fi
have curl || have wget || have busybox ||
	give_up "none of curl, wget and busybox is in this image. Add one of them, or put stint-agent into" \
		"it and name it in STINT_AGENT."
place || give_up "no directory here can be written and run from; set BINARY_DIR to one."

pause=1
until get "$dir"; do
	say "trying again in $pause s"
	rest "$pause"
	pause=$((pause < 16 ? pause * 2 : 30))
done
tool rm -f "$dir/digest" "$dir/try"
tool ln -sf stint-agent "$dir/coder" 2>/dev/null || tool cp "$dir/stint-agent" "$dir/coder"
PATH="$dir:$PATH"
export PATH
cd "${HOME:-/}" 2>/dev/null || cd /
exec "$dir/stint-agent" run
