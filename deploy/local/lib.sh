# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# lib.sh - what up, down and env share: where things are, how they speak, and processes by pid.
#
# $STINT_HOME (else .stint in the repository)
#   credentials     the first user, 0600            postgres/  redis/   the stores' data
#   config/         the token of that user, 0600    data/      workspaces, unpacked templates
#   run/NAME        pid, start time, boot, and fingerprint of a process we started
#   secrets/NAME    keys that templates name, 0600  agents/    agent programs to mount, if you like
#   sockets bulk    where sockets and large data are when not in here
#   log/NAME.log    what each process had to say
#
# A process is ours when its pid, its start time and the machine's boot are those we wrote down: a
# pid alone may have been given to somebody else since.

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
home=${STINT_HOME:-$repo/.stint}
[[ $home == /* ]] || home=$PWD/$home
stint=$repo/build/release/cli/stint

# ---------------------------------------------------------------- speaking

if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
    bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
    bold='' red='' green='' plain=''
fi

say() { printf '%s\n' "$*"; }
step() { printf '%s==>%s %s\n' "$bold" "$plain" "$*"; }
done_with() { printf '  %sok%s  %s\n' "$green" "$plain" "$*"; }

# die WHAT [NEXT STEP...]: every failure says what to do next.
die() {
    printf '%s%s: %s%s\n' "$red" "${0##*/}" "$1" "$plain" >&2
    shift
    local line
    for line in "$@"; do printf '  -> %s\n' "$line" >&2; done
    exit 1
}

usage_error() { die "$1" "${0##*/} --help tells what there is"; }

show_tail() {
    [[ -s $1 ]] || return 0
    printf '  the end of %s:\n' "$1" >&2
    tail -n "${2:-15}" "$1" | sed 's/^/  | /' >&2
}

# run_logged TITLE LOG COMMAND...: quiet but for a line that shows how long and how far.
run_logged() {
    local title=$1 log=$2 begin=$SECONDS shown=0 rc=0
    shift 2
    "$@" >>"$log" 2>&1 9>&- </dev/null &
    child=$!
    while kill -0 "$child" 2>/dev/null; do
        sleep 0.2
        ((SECONDS > begin + shown)) || continue
        shown=$((SECONDS - begin))
        if [[ -t 1 ]]; then
            printf '\r\e[K  ..  %s (%ds) %s' "$title" "$shown" "$(tail -n 1 "$log" | tr -d '\r\e' | cut -c1-50)"
        elif ((shown % 15 == 0)); then
            printf '  ..  %s (%ds)\n' "$title" "$shown"
        fi
    done
    wait "$child" || rc=$?
    child=
    [[ ! -t 1 ]] || printf '\r\e[K'
    ((rc != 0)) || done_with "$title ($((SECONDS - begin))s)"
    return "$rc"
}

# What Ctrl-C leaves behind would go on building.
child=
trap '[[ -z $child ]] || kill "$child" 2>/dev/null' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# take_lock: one up or down at a time for this home.
take_lock() {
    exec 9>"$home/lock"
    flock -n 9 || die "another up or down is at work on $home" "wait for it to end"
}

# ---------------------------------------------------------------- processes

boot_id() { cat /proc/sys/kernel/random/boot_id; }

# start_time PID: in ticks since boot; fails when there is no such process, or only its corpse.
start_time() {
    local stat fields
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    read -ra fields <<<"${stat##*) }"
    [[ ${fields[0]} != [ZX] ]] || return 1
    printf '%s' "${fields[19]}"
}

# is_alive PID START_TIME BOOT
is_alive() { [[ $3 == "$(boot_id)" && $(start_time "$1") == "$2" ]]; }

# recorded NAME: sets pid, started, boot and print; fails when nothing is written down.
recorded() {
    [[ -r $home/run/$1 ]] && read -r pid started boot print <"$home/run/$1" && [[ -n ${boot:-} ]]
}

is_running() { local pid started boot print; recorded "$1" && is_alive "$pid" "$started" "$boot"; }

has_print() { local pid started boot print; recorded "$1" && [[ $print == "$2" ]]; }

# spawn NAME FINGERPRINT COMMAND...: in a session of its own, with its log, and nothing of our
# environment but what the command itself sets.
spawn() {
    local name=$1 print=$2 pid
    shift 2
    log_of "$name"
    setsid "$@" </dev/null >>"$log" 2>&1 9>&- &
    pid=$!
    printf '%s %s %s %s\n' "$pid" "$(start_time "$pid" || echo 0)" "$(boot_id)" "$print" >"$home/run/$name"
    disown
}

# log_of NAME: from here on new_log tells what it says.
log_of() {
    log=$home/log/$1.log
    log_begin=$(stat -c %s "$log" 2>/dev/null || echo 0)
}

# new_log: what the process that was spawned last has logged so far.
new_log() { tail -c "+$((log_begin + 1))" "$log" 2>/dev/null; }

not_ready() {
    printf '  what %s had to say:\n' "$1" >&2
    new_log | tail -n 15 | sed 's/^/  | /' >&2
    die "$2" "its log is $log" "$3"
}

# wait_until NAME SECONDS CONDITION...: or die with the end of its log.
wait_until() {
    local name=$1 deadline=$((SECONDS + $2)) said=0
    shift 2
    until "$@"; do
        is_running "$name" || not_ready "$name" "$name ended at once" "mend what it says, then run up again"
        ((SECONDS < deadline)) || not_ready "$name" "$name does not get ready" "deploy/local/down stops everything"
        if ((said == 0 && SECONDS > deadline - 25)); then
            say "  ..  waiting for $name"
            said=1
        fi
        sleep 0.1
    done
}

# end_process NAME SECONDS [SIGNAL]: graceful, then harder; by its pid and nothing else.
end_process() {
    local pid started boot print deadline=$((SECONDS + $2))
    recorded "$1" || return 0
    if is_alive "$pid" "$started" "$boot"; then
        kill "-${3:-TERM}" "$pid" 2>/dev/null || true
        while is_alive "$pid" "$started" "$boot"; do
            if ((SECONDS >= deadline)); then
                say "  ..  $1 (pid $pid) did not end within $2 s: killing it"
                kill -KILL "$pid" 2>/dev/null || true
                deadline=$((SECONDS + 5))
            fi
            sleep 0.05
        done
    fi
    rm -f "$home/run/$1"
}

# ---------------------------------------------------------------- looking around

# http_status PORT PATH: the status a GET gets, "" when nobody answers.
http_status() {
    local status='' line
    {
        exec 8<>"/dev/tcp/127.0.0.1/$1" &&
            printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' "$2" >&8 &&
            IFS=' ' read -r -t 3 line status _ <&8
        exec 8>&-
    } 2>/dev/null
    printf '%s' "$status"
}

# config_value KEY: of the JSON file that `stint login` wrote.
config_value() {
    sed -n 's/^ *"'"$1"'": *"\([^"]*\)".*/\1/p' "$home/config/stint/config.json" 2>/dev/null
}

# as_admin ARGUMENTS...: the command line as the first user.
as_admin() {
    env -u STINT_URL -u STINT_TOKEN -u CODER_URL -u CODER_SESSION_TOKEN \
        XDG_CONFIG_HOME="$home/config" "$stint" "$@"
}

# sandboxes: pid, start time and boot of each workspace's sandbox, dead or alive.
sandboxes() {
    local file
    for file in "$home"/data/workspaces/*/sandbox.json; do
        [[ -r $file ]] || continue
        tr -d ' \n"{}' <"$file" | tr ',' '\n' | awk -F: '
            { v[$1] = $2 } END { if (v["pid"] > 0) print v["pid"], v["start_time"], v["boot_id"] }'
    done
}

live_sandboxes() {
    local pid started boot
    while read -r pid started boot; do
        ! is_alive "$pid" "$started" "$boot" || printf '%s %s %s\n' "$pid" "$started" "$boot"
    done < <(sandboxes)
}
