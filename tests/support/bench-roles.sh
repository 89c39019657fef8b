#!/usr/bin/env bash
# Measures for how long nobody's write is acknowledged while the lead moves: `simdb switchover`, and `simdb failover` of a
# primary that was killed just before, each beside the same procedure typed by hand (by-hand.sh). Both clusters are a
# primary and two standbys, commits wait for the first of them, and four clients write all the time. Then the same loss with
# `simdb monitor` beside it, which nobody tells of it.
#
#   make bench       or, with simdb and simdb-bench on the PATH: tests/support/bench-roles.sh [ROUNDS]
#
# A goal that is missed is told, and fails nothing: how fast a machine is, is not simdb's to say.
set -euo pipefail

rounds=${1:-5}
switchover_goal=0.25
failover_goal=0.3
monitor_goal=1.0
[[ $rounds =~ ^[1-9][0-9]*$ ]] || { echo "usage: bench-roles.sh [ROUNDS]" >&2; exit 2; }

by_hand=$(realpath "$(dirname "${BASH_SOURCE[0]}")")/by-hand.sh
kills=$(dirname "$by_hand")/kills.py
kill_rounds=$((4 * rounds))
source "$(dirname "$by_hand")/bench-common.sh"
command -v simdb-bench >/dev/null || fail "simdb-bench is not on the PATH"
nodes=3

make_by_hand() {
    local at
    primary_by_hand n0 "$1"
    ask "$1" "ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (n1, n2)'"
    for at in 1 2; do
        ask "$1" "SELECT pg_create_physical_replication_slot('n$at', true)" >/dev/null
        pg pg_basebackup -d "host=127.0.0.1 port=$1 user=replicator" -D "$hand/n$at" -c fast -X stream -S "n$at"
        as_user touch "$hand/n$at/standby.signal"
        as_user tee "$hand/n$at/postgresql.auto.conf" >/dev/null <<CONF
primary_conninfo = 'host=127.0.0.1 port=$1 user=replicator passfile=$PGPASSFILE application_name=n$at'
primary_slot_name = 'n$at'
CONF
        pg pg_ctl start -D "$hand/n$at" -l "$hand/n$at.log" -o "-p $(($1 + at))"
    done
    ask "$1" "SELECT pg_reload_conf()" >/dev/null
    until_true "$1" "SELECT count(*) = 2 FROM pg_stat_replication WHERE state = 'streaming'"
}

make_by_simdb() {
    mkdir "$config"
    cat >"$config/main.simdb.hcl" <<HCL
provider "local" {
  data_root  = "$config/data"
  port_range = "$1-$(($1 + nodes - 1))"
}

network "lan" {}

cluster "bench" {
  network = network.lan
  engine "postgresql" { version = "$version" }
  replication { mode = "sync" }
  failover {
    mode         = "automatic"
    max_per_hour = 60
  }
  node "n" { count = $nodes }
}
HCL
    (cd "$config" && simdb apply -auto-approve) >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "simdb apply failed"; }
}

# Prints the hosts from port $1 on, as simdb-bench reads them.
hosts() { seq -s, -f "127.0.0.1:%.0f" "$1" $(($1 + nodes - 1)); }

# Prints which of the servers from port $1 on leads, by number.
leader() {
    local at
    for ((at = 0; at < nodes; at++)); do
        if [[ $(ask $(($1 + at)) "SELECT pg_is_in_recovery()") == f ]]; then echo "$at"; return; fi
    done
    fail "nobody leads"
}

# Prints the first process of the server on port $2, whose data is somewhere below $1.
postmaster() {
    local file
    while read -r file; do
        if [[ $(sed -n 4p "$file") == "$2" ]]; then sed -n 1p "$file"; return; fi
    done < <(find "$1" -name postmaster.pid)
    fail "no server listens on $2"
}

# Runs a command under load in directory $1, after process $3 was killed; leaves its gap and its time in $gap and $took.
measure() {
    local directory=$1
    shift
    read -r gap took < <(cd "$directory" && simdb-bench gap "$@" 2>"$work/log") || true
    [[ -n $gap ]] || { cat "$work/log" >&2; fail "$* failed"; }
}

by_simdb() {
    local victim=-
    [[ $1 == switchover ]] || victim=$(postmaster "$config/data" $((simdb_port + $(PGPASSWORD=$secret leader "$simdb_port"))))
    PGPASSWORD=$secret measure "$config" "$(hosts "$simdb_port")" "$victim" simdb "$1" bench -auto-approve
}

by_hand() {
    local victim=- old as=()
    old=$(leader "$hand_port")
    [[ $1 == switchover ]] || victim=$(postmaster "$hand" $((hand_port + old)))
    [[ $(id -u) -ne 0 ]] || as=(runuser -u postgres --)
    PGPASSWORD=bench-secret measure "$hand" "$(hosts "$hand_port")" "$victim" "${as[@]}" env -u PGPASSWORD "$by_hand" "$1" \
        "$programs" "$hand" "$hand_port" "n$old" "n$(((old + 1) % nodes))" "n$(((old + 2) % nodes))"
}

# Starts a monitor, lets it notice that primaries are killed under load, and ends it. The clients and the account of their writes are
# libpq's and kills.py's, not simdb's.
watched() {
    local report gaps
    (cd "$config" && exec simdb monitor >monitor.log 2>monitor.runs) &
    monitor=$!
    trap 'kill "$monitor" 2>/dev/null || true; finish' EXIT
    until grep -qs ' took-over: ' "$config/monitor.log"; do sleep 0.1; done
    report=$(PGPASSWORD=$secret python3 "$kills" "$kill_rounds" "$(hosts "$simdb_port")" "$config/monitor.log")
    kill "$monitor"
    wait "$monitor"
    trap finish EXIT
    gaps=$(python3 -c 'import json, sys; print(*json.loads(sys.argv[1])["gaps"])' "$report")
    # shellcheck disable=SC2086 # one word per gap
    echo "kill -9 with simdb monitor, detection included: $(summary $gaps)"
    python3 -c 'import json, sys; r = json.loads(sys.argv[1]); print("acknowledged:", r["acknowledged"], "lost:", sum(r["lost"].values()))' "$report"
    # shellcheck disable=SC2086 # one word per gap
    awk -v b="$(median $gaps)" -v goal="$monitor_goal" 'BEGIN {
        printf "monitor: %.2f of the goal of %s s; repmgr, tuned: 3.3 s, Patroni, tuned: 6.9 s\n", b / goal, goal
    }'
}

# Prints the median and the worst of what follows.
summary() { printf 'median %s s, maximum %s s' "$(median "$@")" "$(printf '%s\n' "$@" | sort -n | tail -n 1)"; }

compare() {
    local what=$1 goal=$2 round hand_gaps=() simdb_gaps=()
    for ((round = 1; round <= rounds; round++)); do
        by_hand "$what"
        hand_gaps+=("$gap")
        by_simdb "$what"
        simdb_gaps+=("$gap")
        echo "$what $round: no write for ${hand_gaps[-1]} s by hand, ${simdb_gaps[-1]} s by simdb (all of it: $took s)"
    done
    echo "$what by hand: $(summary "${hand_gaps[@]}")"
    echo "$what by simdb: $(summary "${simdb_gaps[@]}")"
    awk -v what="$what" -v a="$(median "${hand_gaps[@]}")" -v b="$(median "${simdb_gaps[@]}")" -v goal="$goal" 'BEGIN {
        printf "%s: %.2f of what it takes by hand, %.2f of the goal of %s s\n", what, b / a, b / goal, goal
    }'
}

hand_port=$(free_ports 24600)
make_by_hand "$hand_port"
simdb_port=$(free_ports 24800)
make_by_simdb "$simdb_port"
secret=$(cd "$config" && simdb env bench -json | sed -n 's/.*"PGPASSWORD": *"\([^"]*\)".*/\1/p')
gap='' took=''
compare switchover "$switchover_goal"
compare failover "$failover_goal"
watched
