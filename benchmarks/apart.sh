#!/bin/sh
# Router, sm and c2s as processes of their own, in the foreground; SIGTERM ends them.
#   apart.sh CONFIG
set -u
config=$1
run() {
    name=$1
    shift
    twistd --nodaemon --pidfile= "$name" -c "$config" --node bench "$@" &
    pids="$pids $!"
}
pids=
trap 'kill $pids 2>/dev/null; wait; exit 0' TERM INT
run jabberd-router --set http.enabled=false
run jabberd-sm --set http.enabled=false
run jabberd-c2s --set http.enabled=false
wait
