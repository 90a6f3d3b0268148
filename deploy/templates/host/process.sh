#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# process.sh start|stop DIR - the agent of one task, by the pid that DIR/.pid names.
set -u
dir=$2

# Still ours?  Pids come round again.
runs() {
	read -r pid 2>/dev/null <"$dir/.pid" || return 1
	tr '\0' ' ' 2>/dev/null <"/proc/$pid/environ" | grep -q "STINT_HOST_DIR=$dir "
}

stop() {
	runs || return 0
	kill -TERM "$pid"
	# Five minutes, as long as a container gets in the other examples.
	turns=1500
	while runs && [ $turns -gt 0 ]; do
		sleep 0.2 2>/dev/null || sleep 1
		turns=$((turns - 1))
	done
	runs && kill -KILL "$pid"
	rm -f "$dir/.pid"
}

start() {
	stop
	rm -rf "$dir/.bin"
	mkdir -p "$dir/.bin"
	# A clean environment: what Terraform was given is none of the agent's business.
	setsid env -i PATH="$PATH" HOME="$dir" TMPDIR="$dir/.bin" BINARY_DIR="$dir/.bin" \
		STINT_HOST_DIR="$dir" CODER_AGENT_TOKEN="$CODER_AGENT_TOKEN" \
		sh -c "$INIT_SCRIPT" >>"$dir/.init.log" 2>&1 </dev/null &
	echo $! >"$dir/.pid"
}

"$1"
