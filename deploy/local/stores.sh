# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2034 # variables shared with lib.sh and up
# stores.sh - a Postgres and a Redis of our own: unix sockets only, never a service that runs already.
#
# Postgres refuses to run as root: for root it runs as the user postgres, who must be able to walk to
# its data.  A unix socket's path may have 107 bytes.  Where $STINT_HOME fails either test, data and
# sockets go elsewhere, and the files `bulk` and `sockets` in $STINT_HOME say where.

as_store=()
((EUID != 0)) || as_store=(setpriv --reuid=postgres --regid=postgres --init-groups)

# Can the stores' user walk to DIR?
store_reaches() { "${as_store[@]}" test -x "$1" 2>/dev/null; }

choose_bulk() {
    if [[ ! -s $home/bulk ]]; then
        bulk=$home
        store_reaches "$home" || bulk=/var/lib/stint-local/$(printf '%s' "$home" | cksum | cut -d' ' -f1)
        printf '%s\n' "$bulk" >"$home/bulk"
    fi
    bulk=$(<"$home/bulk")
    mkdir -p "$bulk" 2>/dev/null || die "cannot make $bulk" "set STINT_HOME to a directory of yours"
    local name
    for name in postgres redis data; do
        mkdir -p "$bulk/$name"
        [[ $bulk == "$home" || -e $home/$name ]] || ln -s "$bulk/$name" "$home/$name"
    done
    as_owner "$bulk/postgres"
    chmod 700 "$bulk/postgres" "$bulk/redis"
}

as_owner() { ((EUID != 0)) || chown postgres: "$1"; }

# The longest socket is <sockets>/pg/.s.PGSQL.5432.
choose_sockets() {
    if [[ -s $home/sockets && -d $(<"$home/sockets") ]]; then
        sockets=$(<"$home/sockets")
    else
        sockets=$home/run/sockets
        if ((${#sockets} > 80)) || ! store_reaches "$home"; then
            local base=/tmp
            ((EUID == 0)) || base=${XDG_RUNTIME_DIR:-/tmp}
            ((${#base} <= 60)) || base=/tmp
            sockets=$(mktemp -d "$base/stint-XXXXXX") ||
                die "cannot make a directory for sockets below $base" "is the disk full? df $base"
        fi
        printf '%s\n' "$sockets" >"$home/sockets"
    fi
    mkdir -p "$sockets/pg"
    chmod 711 "$sockets"
    as_owner "$sockets/pg"
    chmod 700 "$sockets/pg"
}

# ---------------------------------------------------------------- Postgres

# The programs of the version that made the data, else of the newest one.
find_postgres() {
    local version=''
    [[ ! -r $bulk/postgres/PG_VERSION ]] || version=$(<"$bulk/postgres/PG_VERSION")
    # shellcheck disable=SC2086 # a pattern
    pg_bin=$(printf '%s\n' /usr/lib/postgresql/${version:-[0-9]*}/bin | sort -V | tail -n 1)
    [[ -x $pg_bin/postgres ]] || pg_bin=$(dirname "$(command -v postgres || echo /none/none)")
    [[ -x $pg_bin/postgres ]] || die "no Postgres${version:+ of version $version} in /usr/lib/postgresql" \
        "apt-get install postgresql${version:+-$version}" \
        ${version:+"or begin anew: deploy/local/down --purge, then up"}
}

init_postgres() {
    [[ ! -s $bulk/postgres/PG_VERSION ]] || return 0
    run_logged "Postgres makes its data directory" "$home/log/initdb.log" "${as_store[@]}" env -C / "$pg_bin/initdb" \
        -D "$bulk/postgres" -U stint --auth=trust -E UTF8 --no-locale --no-instructions || {
        show_tail "$home/log/initdb.log"
        die "Postgres could not make $bulk/postgres" "see $home/log/initdb.log; is the disk full? df $bulk"
    }
}

pg_is_ready() { "$pg_bin/pg_isready" -q -h "$sockets/pg" -U stint -d postgres; }

start_postgres() {
    local print=$bulk:$sockets
    find_postgres
    init_postgres
    is_running postgres && has_print postgres "$print" && { done_with "Postgres runs already"; return; }
    end_process postgres 60 INT
    # In / because its user may not be able to walk to where we are.
    spawn postgres "$print" "${as_store[@]}" env -C / -i PATH="$PATH" LANG=C.UTF-8 "$pg_bin/postgres" \
        -D "$bulk/postgres" -c listen_addresses= -c "unix_socket_directories=$sockets/pg" \
        -c unix_socket_permissions=0700 -c max_connections=200
    wait_until postgres 60 pg_is_ready
    done_with "Postgres ($("$pg_bin/postgres" --version | sed 's/[^0-9]*\([0-9.]*\).*/\1/'), private, $sockets/pg)"
}

make_database() {
    local psql=("$pg_bin/psql" -X -q -h "$sockets/pg" -U stint -d postgres -v ON_ERROR_STOP=1)
    [[ $("${psql[@]}" -Atc "SELECT 1 FROM pg_database WHERE datname = 'stint'") == 1 ]] ||
        "${psql[@]}" -c 'CREATE DATABASE stint' || die "cannot make the database" "see $home/log/postgres.log"
    database_url="postgresql:///stint?host=$sockets/pg&user=stint"
}

# ---------------------------------------------------------------- Redis

redis_is_ready() { [[ $(redis-cli -s "$sockets/redis" ping 2>/dev/null) == PONG ]]; }

start_redis() {
    local print=$bulk:$sockets
    redis_url=unix://$sockets/redis
    is_running redis && has_print redis "$print" && { done_with "Redis runs already"; return; }
    command -v redis-server >/dev/null || die "no redis-server" "apt-get install redis-server"
    end_process redis 30
    spawn redis "$print" env -i PATH="$PATH" redis-server --port 0 --unixsocket "$sockets/redis" \
        --unixsocketperm 700 --dir "$bulk/redis" --appendonly yes --save '' --daemonize no
    wait_until redis 60 redis_is_ready
    done_with "Redis (private, $sockets/redis)"
}
