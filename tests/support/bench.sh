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

fail() {
    echo "bench: $*" >&2
    exit 1
}

# Where PostgreSQL's programs are: the newest that packages install, else those on the PATH.
programs=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
[[ -x $programs/initdb ]] || programs=$(dirname "$(readlink -f "$(type -P initdb)")")
[[ -x $programs/pg_verifybackup ]] || fail "PostgreSQL's programs are neither in /usr/lib/postgresql nor on the PATH"
version=$("$programs/postgres" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
command -v simdb >/dev/null || fail "simdb is not on the PATH"

work=$(mktemp -d)
hand=$work/hand
config=$work/config
# The key that the state's secrets are locked with would stay in the user's configuration directory.
export XDG_CONFIG_HOME=$work/key
export PGPASSFILE=$hand/passfile PGCONNECT_TIMEOUT=10

if [[ $(id -u) -eq 0 ]]; then
    as_user() { runuser -u postgres -- "$@"; }
    owner=postgres
else
    as_user() { "$@"; }
    owner=$(id -un)
fi

# Runs one of PostgreSQL's programs. Its output is shown only if it fails.
pg() {
    local program=$1
    shift
    as_user "$programs/$program" "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "$program failed"; }
}

# Stops the two servers made by hand, and removes their data.
remove_by_hand() {
    local node
    for node in standby primary; do
        [[ ! -e $hand/$node/postmaster.pid ]] ||
            as_user "$programs/pg_ctl" stop -D "$hand/$node" -m immediate >/dev/null || true
    done
    rm -rf "$hand"
}

# Removes the cluster that simdb made.
remove_by_simdb() {
    if [[ -e $config/.simdb ]]; then
        (cd "$config" && simdb destroy -auto-approve -allow=data-loss) >"$work/log" 2>&1 ||
            { cat "$work/log" >&2; return 1; }
    fi
    rm -rf "$config"
}

finish() {
    trap - EXIT
    remove_by_hand
    if remove_by_simdb; then
        rm -rf "$work"
    else
        echo "bench: what is left is recorded in $config/.simdb, its key is in $XDG_CONFIG_HOME" >&2
    fi
}
trap finish EXIT
trap 'exit 130' INT TERM

# User postgres has to get through, and simdb's data root is made below.
chmod 755 "$work"
cd "$work"

# Prints the first port from $1 on that, with the next, nothing listens on.
free_ports() {
    local port=$1
    while ( : <>"/dev/tcp/127.0.0.1/$port" ) 2>/dev/null || ( : <>"/dev/tcp/127.0.0.1/$((port + 1))" ) 2>/dev/null; do
        port=$((port + 2))
    done
    echo "$port"
}

# What simdb writes to postgresql.conf besides name, port and what follows a standby.
settings() {
    cat <<CONF
hot_standby = on
listen_addresses = '127.0.0.1'
log_line_prefix = '%m [%p] %q%u@%d %a '
max_replication_slots = 64
max_slot_wal_keep_size = 10GB
max_wal_senders = 64
password_encryption = 'scram-sha-256'
unix_socket_directories = ''
wal_level = logical
wal_log_hints = on
wal_retrieve_retry_interval = 100ms
fsync = on
CONF
}

ask() { as_user "$programs/psql" -h 127.0.0.1 -p "$1" -U postgres -d postgres -XAtq -v ON_ERROR_STOP=1 -c "$2"; }

# Waits until the server on port $1 answers the query $2 with t.
until_true() {
    local tries=0
    until [[ $(ask "$1" "$2") == t ]]; do
        tries=$((tries + 1))
        [[ $tries -lt 600 ]] || fail "not seen within a minute: $2"
        sleep 0.05
    done
}

make_by_hand() {
    local primary=$1 standby=$(($1 + 1)) marker
    install -d -m 700 -o "$owner" "$hand"
    as_user sh -c "umask 077; echo bench-secret >'$hand/pwfile'; echo '127.0.0.1:*:*:*:bench-secret' >'$PGPASSFILE'"
    pg initdb -D "$hand/primary" --username=postgres --pwfile="$hand/pwfile" --auth=scram-sha-256 --data-checksums \
        --encoding=UTF8 --no-locale --no-instructions
    settings | as_user tee -a "$hand/primary/postgresql.conf" >/dev/null
    pg pg_ctl start -D "$hand/primary" -l "$hand/primary.log" -o "-p $primary"
    ask "$primary" "CREATE ROLE replicator LOGIN REPLICATION PASSWORD 'bench-secret'"
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

make_by_simdb() {
    (cd "$config" && simdb apply -auto-approve) >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "simdb apply failed"; }
}

# Runs a command and leaves the seconds it took in $took.
timed() {
    local before=${EPOCHREALTIME/,/.}
    "$@"
    took=$(awk -v a="$before" -v b="${EPOCHREALTIME/,/.}" 'BEGIN { printf "%.3f", b - a }')
}

median() {
    printf '%s\n' "$@" | sort -n |
        awk '{ v[NR] = $1 } END { printf "%.3f", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
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
