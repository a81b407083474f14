#!/bin/sh
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
#
# A private PostgreSQL cluster for as long as standard input is open.
#
#     t/lib/pg.sh [name=value]...        settings for postgresql.conf; fsync=off unless given
#
# Prints the connection string when the server is ready.  Then each line on standard input is a command, answered by
# a line: kill (SIGKILL to the whole server), start, pause, resume (SIGSTOP and SIGCONT).  At the end of the input the
# server is stopped and its folder removed.  PostgreSQL refuses root: as root it runs as the user postgres.

# shellcheck disable=SC2046,SC2086  # lists of process ids are meant to be split

set -eu

bin=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin | sort -V | tail -1)
dir=$(mktemp -d "${TMPDIR:-/tmp}/chancery-pg.XXXXXX")
as=

if [ "$(id -u)" = 0 ]; then
    chown postgres "$dir"
    as="setpriv --reuid=postgres --regid=postgres --init-groups"
fi
cd "$dir"

pids() {
    master=$(head -1 "$dir/data/postmaster.pid")
    echo "$master" $(ps -o pid= --ppid "$master")
}

start() {
    # A killed server may leave its lock file; pg_ctl sees whether it still runs.
    $as "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 start >/dev/null 2>&1 </dev/null || {
        cat "$dir/log" >&2
        exit 1
    }
}

finish() {
    trap - EXIT
    if [ -f "$dir/data/postmaster.pid" ]; then
        kill -CONT $(pids) 2>/dev/null || true
        $as "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true
    fi
    cd /
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

$as "$bin/initdb" -D "$dir/data" -A trust -U chancery --no-sync --locale=C.UTF-8 >/dev/null
{
    echo "listen_addresses = ''"
    echo "unix_socket_directories = '$dir'"
    echo "max_connections = 60"
    echo "fsync = off"
    for setting; do
        echo "${setting%%=*} = '${setting#*=}'"
    done
} >>"$dir/data/postgresql.conf"
start
echo "host=$dir user=chancery dbname=postgres"

while read -r command; do
    case $command in
    kill)
        all=$(pids)
        kill -KILL $all 2>/dev/null || true # one of them may have ended by itself
        for pid in $all; do
            while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
        done
        ;;
    start) start ;;
    pause) kill -STOP $(pids) 2>/dev/null || true ;;
    resume) kill -CONT $(pids) 2>/dev/null || true ;;
    esac
    echo ok
done
