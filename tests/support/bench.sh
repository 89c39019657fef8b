#!/usr/bin/env bash
# Measures `simdb apply` of a primary and a standby against the same work typed by hand, each in turn so that both see
# the same machine; then what `simdb version` takes.
#
#   make bench       or, with simdb and PostgreSQL's programs found: tests/support/bench.sh [ROUNDS]
#
# By hand means: initdb with checksums and a password, start, replication login, slot, pg_basebackup, pg_verifybackup,
# start the standby, wait until it streams and has replayed a marker. Both sides run the same settings, with fsync on.
# Only making the cluster is timed, never removing it. As root the servers run as user postgres.
set -euo pipefail

rounds=${1:-5}
goal=1.25
started=20
[[ $rounds =~ ^[1-9][0-9]*$ ]] || { echo "usage: bench.sh [ROUNDS]" >&2; exit 2; }

source "$(dirname "${BASH_SOURCE[0]}")/bench-common.sh"

make_by_hand() {
    local primary=$1 standby=$(($1 + 1)) marker
    primary_by_hand primary "$primary"
    ask "$primary" "SELECT pg_create_physical_replication_slot('standby', true)" >/dev/null
    pg pg_basebackup -d "host=127.0.0.1 port=$primary user=replicator" -D "$hand/standby" -c fast -X stream -S standby
    pg pg_verifybackup "$hand/standby"
    as_user touch "$hand/standby/standby.signal"
    as_user tee -a "$hand/standby/postgresql.conf" >/dev/null <<CONF
primary_conninfo = 'host=127.0.0.1 port=$primary user=replicator passfile=''$PGPASSFILE'''
primary_slot_name = 'standby'
CONF
    pg pg_ctl start -D "$hand/standby" -l "$hand/standby.log" -o "-p $standby"
    until_true "$primary" "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'"
    marker=$(ask "$primary" "SELECT pg_logical_emit_message(true, 'bench', 'marker')")
    until_true "$standby" "SELECT pg_last_wal_replay_lsn() >= '$marker'"
}

# Writes a configuration of a primary and $1 standbys, with ports from $2 on.
configure() {
    rm -rf "$config"
    mkdir "$config"
    cat >"$config/main.simdb.hcl" <<HCL
provider "local" {
  data_root  = "$config/data"
  port_range = "$2-$(($2 + $1))"
}

network "lan" {}

cluster "bench" {
  network = network.lan

  engine "postgresql" {
    version = "$version"
  }

  replication {
    mode = "async"
  }

  node "a" {}

  node "r" {
    count = $1
  }
}
HCL
}

by_hand=()
by_simdb=()
for ((round = 1; round <= rounds; round++)); do
    timed make_by_hand "$(free_ports 24100)"
    by_hand+=("$took")
    remove_by_hand

    configure 1 "$(free_ports 24300)"
    timed make_by_simdb
    by_simdb+=("$took")
    remove_by_simdb
    echo "round $round: by hand ${by_hand[-1]} s, simdb apply ${by_simdb[-1]} s"
done
reference=$(median "${by_hand[@]}")
measured=$(median "${by_simdb[@]}")
awk -v a="$reference" -v b="$measured" -v goal="$goal" 'BEGIN {
    printf "median: by hand %s s, simdb apply %s s, ratio %.2f (goal: at most %s)\n", a, b, b / a, goal
}'

starts=()
for ((start = 1; start <= started; start++)); do
    timed simdb version >/dev/null
    starts+=("$took")
done
echo "simdb version: median $(median "${starts[@]}") s of $started"
