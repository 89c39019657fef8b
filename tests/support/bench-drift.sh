#!/usr/bin/env bash
# Measures what `simdb drift` takes where nothing differs, with many nodes that run, beside as many `psql` one after the
# other, each of which asks a node for one row. It looks at processes, files, settings, catalogs and passwords as well.
#
#   make bench       or, with simdb on the PATH: tests/support/bench-drift.sh [CLUSTERS [ROUNDS]]
set -euo pipefail

clusters=${1:-1}
rounds=${2:-5}
[[ $clusters =~ ^[1-9][0-9]*$ && $rounds =~ ^[1-9][0-9]*$ ]] || {
    echo "usage: bench-drift.sh [CLUSTERS [ROUNDS]]" >&2
    exit 2
}
# How many nodes each cluster has.
size=20
# How many times as long as the round trips drift may take, in hundredths.
limit=100

fail() {
    echo "bench: $*" >&2
    exit 1
}
command -v simdb >/dev/null || fail "simdb is not on the PATH"
command -v psql >/dev/null || fail "psql is not on the PATH"

work=$(mktemp -d)
project=$work/project
export XDG_CONFIG_HOME=$work/key
finish() {
    simdb -chdir="$project" destroy -auto-approve -allow=data-loss >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

mkdir "$project"
{
    cat <<HCL
provider "local" {
  data_root  = "$work/data"
  port_range = "24000-24999"
}
network "lan" {}
HCL
    for ((cluster = 0; cluster < clusters; cluster++)); do
        cat <<HCL
cluster "c$cluster" {
  network = network.lan
  engine "postgresql" { parameters = { shared_buffers = "16MB", max_connections = 20 } }
  replication { mode = "async" }
  node "a" {}
  node "r" { count = $((size - 1)) }
  user "app" {}
  database "app" { owner = "app" }
  endpoint "rw" { target = "primary" }
}
HCL
    done
} >"$project/main.simdb.hcl"
chmod 755 "$work"
simdb -chdir="$project" apply -auto-approve >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "the apply failed"; }
nodes=$((clusters * size))

# The milliseconds that a command takes, the middle of several times.
middle() {
    local round begin times=()
    for ((round = 0; round < rounds; round++)); do
        begin=$(date +%s%N)
        "$@" >/dev/null || fail "$* failed"
        times+=($((($(date +%s%N) - begin) / 1000000)))
    done
    printf '%s\n' "${times[@]}" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# The places of the nodes of each cluster, which have a password in common.
places=() passwords=()
for ((cluster = 0; cluster < clusters; cluster++)); do
    eval "$(simdb -chdir="$project" env "c$cluster")"
    passwords+=("$PGPASSWORD")
    places+=("$(simdb -chdir="$project" state list -json "cluster.c$cluster.node.*" | sed -n 's/.*"listen": *"\([^"]*\)".*/\1/p')")
    [[ $(wc -l <<<"${places[cluster]}") -eq $size ]] || fail "the record does not say where all nodes listen"
done
# Each node is asked by itself.
unset PGSERVICE PGSERVICEFILE
export PGTARGETSESSIONATTRS=any PGPASSWORD
by_hand() {
    local cluster place
    for ((cluster = 0; cluster < clusters; cluster++)); do
        PGPASSWORD=${passwords[cluster]}
        while read -r place; do
            PGHOST=${place%:*} PGPORT=${place##*:} psql -XAtc 'SELECT pg_is_in_recovery()' || return 1
        done <<<"${places[cluster]}"
    done
}

drift=$(middle simdb -chdir="$project" drift)
psql=$(middle by_hand)
ratio=$((drift * 100 / psql))
printf 'drift of %d running nodes  %d ms; as many psql round trips %d ms; ratio %d.%02d (limit %d.%02d)\n' \
    "$nodes" "$drift" "$psql" $((ratio / 100)) $((ratio % 100)) $((limit / 100)) $((limit % 100))
((ratio <= limit)) || fail "drift takes too long"
