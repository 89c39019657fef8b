#!/usr/bin/env bash
# Measures, on a Docker Engine, `simdb apply` of a primary and a standby against the same work typed by hand: docker run and
# pg_basebackup, each in turn so that both see the same machine. Then for how long nobody's write is acknowledged while the lead moves,
# beside the same on local processes.
#
#   make bench       or, with simdb and simdb-bench on the PATH: tests/support/docker-engine.sh tests/support/bench-docker.sh [ROUNDS]
#
# By hand means: a network and volumes, initdb with checksums and a password, the primary's container, replication login, slot,
# pg_basebackup, pg_verifybackup, the standby's container, wait until it streams and has replayed a marker; four containers, as nobody
# would do with less. Only making the cluster is timed, never removing it. A goal that is missed is told, and fails nothing.
set -euo pipefail

rounds=${1:-5}
goal=1.25
[[ $rounds =~ ^[1-9][0-9]*$ ]] || { echo "usage: bench-docker.sh [ROUNDS]" >&2; exit 2; }
if [[ -z ${SIMDB_TEST_DOCKER_HOST-} ]]; then
    echo "bench: no Docker Engine: ${SIMDB_TEST_DOCKER_MISSING-run it with tests/support/docker-engine.sh}"
    exit 0
fi

source "$(dirname "${BASH_SOURCE[0]}")/bench-common.sh"
command -v simdb-bench >/dev/null || fail "simdb-bench is not on the PATH"
export DOCKER_HOST=$SIMDB_TEST_DOCKER_HOST
image=postgres:$version
subnet=172.31.240
primary=$subnet.1
standby=$subnet.2

# Runs docker. Its output is shown only if it fails.
docked() { docker "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "docker $1 failed"; }; }

# Runs a script in a container that goes with it, on the volume bench-$1 and in the network $2.
task() {
    docked run --rm --network "$2" --user 999:999 --volume "bench-$1:/data" --volume "$hand:/hand:ro" --entrypoint /bin/sh "$image" -ec "$3"
}

serve() {
    docked run --detach --name "bench-$1" --network bench --ip "$2" --user 999:999 --volume "bench-$1:/data" --restart unless-stopped \
        --stop-signal SIGINT --shm-size 256m --entrypoint postgres "$image" -D /data/pg
}

# The password is in a file that psql reads here, and in one that pg_basebackup reads there.
prepare_by_hand() {
    install -d -m 755 "$hand"
    echo bench-secret >"$hand/pwfile"
    echo '*:*:*:*:bench-secret' | tee "$hand/passfile.node" >"$PGPASSFILE"
    chmod 600 "$PGPASSFILE"
    chown "$owner" "$PGPASSFILE"
    settings | sed "s/'127.0.0.1'/'*'/" >"$hand/settings"
    chmod 644 "$hand/pwfile" "$hand/passfile.node" "$hand/settings"
}

ask_at() { as_user "$programs/psql" -h "$1" -U postgres -d postgres -XAtq -v ON_ERROR_STOP=1 -c "$2"; }

until_at() {
    local tries=0
    until [[ $(ask_at "$1" "$2" 2>"$work/refusal") == t ]]; do
        tries=$((tries + 1))
        [[ $tries -lt 1200 ]] || { cat "$work/refusal" >&2; fail "not seen within a minute: $2"; }
        sleep 0.05
    done
}

make_by_hand() {
    local marker volume
    docked network create --subnet "$subnet.0/24" --gateway "$subnet.254" bench
    for volume in primary standby; do
        docked volume create "bench-$volume"
    done
    own primary
    own standby
    task primary none "initdb -D /data/pg --username=postgres --pwfile=/hand/pwfile --auth=scram-sha-256 --data-checksums \
        --encoding=UTF8 --no-locale --no-instructions >/dev/null; cat /hand/settings >>/data/pg/postgresql.conf
        echo 'host all all samenet scram-sha-256
host replication all samenet scram-sha-256' >>/data/pg/pg_hba.conf"
    serve primary "$primary"
    until_at "$primary" "SELECT true"
    ask_at "$primary" "CREATE ROLE replicator LOGIN REPLICATION PASSWORD 'bench-secret'"
    ask_at "$primary" "SELECT pg_create_physical_replication_slot('standby', true)" >/dev/null
    task standby bench "umask 077; cat /hand/passfile.node >/data/pass
        pg_basebackup -d 'host=$primary user=replicator passfile=/data/pass' -D /data/pg -c fast -X stream -S standby
        pg_verifybackup /data/pg >/dev/null; >/data/pg/standby.signal
        echo \"primary_conninfo = 'host=$primary user=replicator passfile=/data/pass'
primary_slot_name = 'standby'\" >>/data/pg/postgresql.conf"
    serve standby "$standby"
    until_at "$primary" "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'"
    marker=$(ask_at "$primary" "SELECT pg_logical_emit_message(true, 'bench', 'marker')")
    until_at "$standby" "SELECT pg_last_wal_replay_lsn() >= '$marker'"
}

# Gives a volume to the servers' user: the image has no chown, and the daemon's place of it is on this machine.
own() { chown 999:999 "$(docker volume inspect --format '{{.Mountpoint}}' "bench-$1")"; }

remove_containers() {
    docker rm --force bench-primary bench-standby >/dev/null 2>&1 || true
    docker volume rm bench-primary bench-standby >/dev/null 2>&1 || true
    docker network rm bench >/dev/null 2>&1 || true
    rm -rf "$hand"
}

finish_all() {
    remove_containers
    finish
}
trap finish_all EXIT

# Writes a configuration of $1 nodes in containers; the rest of the cluster's block is $2.
configure() {
    rm -rf "$config"
    mkdir "$config"
    cat >"$config/main.simdb.hcl" <<HCL
provider "docker" {
  host = "$SIMDB_TEST_DOCKER_HOST"
}

network "lan" {
  subnet = "172.31.241.0/24"
}

cluster "bench" {
  network = network.lan
  engine "postgresql" { version = "$version" }
  $2
  node "n" { count = $1 }
}
HCL
}

by_hand=()
by_simdb=()
for ((round = 1; round <= rounds; round++)); do
    prepare_by_hand
    timed make_by_hand
    by_hand+=("$took")
    remove_containers

    configure 2 'replication { mode = "async" }'
    timed make_by_simdb
    by_simdb+=("$took")
    remove_by_simdb
    echo "docker, round $round: by hand ${by_hand[-1]} s, simdb apply ${by_simdb[-1]} s"
done
awk -v a="$(median "${by_hand[@]}")" -v b="$(median "${by_simdb[@]}")" -v goal="$goal" 'BEGIN {
    printf "docker, median: by hand %s s, simdb apply %s s, ratio %.2f (goal: at most %s)\n", a, b, b / a, goal
}'

# Prints the hosts of three nodes, as simdb-bench reads them.
in_containers() { printf '172.31.241.%s:5432\n' 1 2 3 | paste -sd,; }
on_this_machine() { seq -s, -f "127.0.0.1:%.0f" "$port" $((port + 2)); }

configure_local() {
    rm -rf "$config"
    mkdir "$config"
    port=$(free_ports 24500)
    cat >"$config/main.simdb.hcl" <<HCL
provider "local" {
  data_root  = "$config/data"
  port_range = "$port-$((port + 2))"
}

network "lan" {}

cluster "bench" {
  network = network.lan
  engine "postgresql" { version = "$version" }
  replication { mode = "sync" }
  node "n" { count = 3 }
}
HCL
}

# Leaves in $gaps for how long nobody's write was acknowledged, in each of several switchovers under load.
switchovers() {
    local hosts=$1 round gap rest secret
    secret=$(cd "$config" && simdb env bench -json | sed -n 's/.*"PGPASSWORD": *"\([^"]*\)".*/\1/p')
    gaps=()
    for ((round = 1; round <= rounds; round++)); do
        read -r gap rest < <(cd "$config" && PGPASSWORD=$secret simdb-bench gap "$hosts" - simdb switchover bench -auto-approve 2>"$work/log") || true
        [[ -n $gap ]] || { cat "$work/log" >&2; fail "switchover failed"; }
        gaps+=("$gap")
    done
}

configure 3 'replication { mode = "sync" }'
make_by_simdb
switchovers "$(in_containers)"
docker_gap=$(median "${gaps[@]}")
remove_by_simdb
configure_local
make_by_simdb
switchovers "$(on_this_machine)"
local_gap=$(median "${gaps[@]}")
awk -v a="$local_gap" -v b="$docker_gap" 'BEGIN {
    printf "docker, switchover: no write for %s s, on local processes %s s (medians), %.1f times\n", b, a, b / a
}'
