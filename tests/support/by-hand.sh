#!/usr/bin/env bash
# A role change as somebody types it who knows how: psql, pg_ctl and pg_rewind, and no tool in between. Run by the user
# that owns the servers, for bench-roles.sh:
#
#   by-hand.sh switchover PROGRAMS DIRECTORY PORT PRIMARY TO OTHER
#   by-hand.sh failover   PROGRAMS DIRECTORY PORT PRIMARY ONE OTHER
#
# The data of node n0 is in DIRECTORY/n0, its server listens on PORT, n1's on the next one, and so on. All that can be done
# while the former primary writes is done before it is stopped, and all that can wait waits until clients write again.
set -euo pipefail

procedure=$1 programs=$2 directory=$3 first=$4 old=$5 new=$6 other=$7

port() { echo $((first + ${1#n})); }
ask() { "$programs/psql" -h 127.0.0.1 -p "$(port "$1")" -U postgres -d postgres -XAtq -v ON_ERROR_STOP=1 -c "$2"; }
quietly() { "$@" >"$directory/by-hand.log" 2>&1 || { cat "$directory/by-hand.log" >&2; exit 1; }; }

# Waits until the server of node $1 answers the query $2 with t.
until_true() {
    local tries=0
    until [[ $(ask "$1" "$2" 2>/dev/null) == t ]]; do
        tries=$((tries + 1))
        [[ $tries -lt 6000 ]] || { echo "by hand: $1 never said yes to: $2" >&2; exit 1; }
        sleep 0.01
    done
}

conninfo() {
    echo "host=127.0.0.1 port=$(port "$2") user=replicator passfile=$directory/passfile application_name=$1"
}

# What the new primary needs: slots for the others, and the names that commits wait for from the first one on.
prepare() {
    ask "$new" "SELECT pg_create_physical_replication_slot(name, true) FROM (VALUES ('$old'), ('$other')) v (name)" >/dev/null
    ask "$new" "ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 ($other, $old)'"
    ask "$new" "SELECT pg_reload_conf()" >/dev/null
}

lead() {
    ask "$new" "SELECT pg_promote()" >/dev/null
    ask "$other" "ALTER SYSTEM SET primary_conninfo = '$(conninfo "$other" "$new")'"
    ask "$other" "SELECT pg_reload_conf()" >/dev/null
}

# Lets the former primary follow, and takes away what it kept for others.
follow() {
    cat >"$directory/$old/postgresql.auto.conf" <<CONF
primary_conninfo = '$(conninfo "$old" "$new")'
primary_slot_name = '$old'
CONF
    touch "$directory/$old/standby.signal"
    quietly "$programs/pg_ctl" start -D "$directory/$old" -l "$directory/$old.log" -o "-p $(port "$old")"
    until_true "$new" "SELECT count(*) = 2 FROM pg_stat_replication WHERE state = 'streaming'"
    ask "$old" "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots" >/dev/null
}

switchover() {
    local control checkpoint
    prepare
    ask "$old" CHECKPOINT
    quietly "$programs/pg_ctl" stop -D "$directory/$old" -m fast
    control=$("$programs/pg_controldata" "$directory/$old")
    [[ $control == *"cluster state:"*"shut down"* ]] || { echo "by hand: $old is not shut down" >&2; exit 1; }
    checkpoint=$(sed -n 's/^Latest checkpoint location: *//p' <<<"$control")
    until_true "$new" "SELECT pg_last_wal_replay_lsn() > '$checkpoint'"
    lead
    follow
}

failover() {
    local process position behind
    # What is left of a server whose first process is dead may go on writing.
    for process in /proc/[0-9]*; do
        if [[ $process/cwd -ef $directory/$old ]]; then kill -9 "${process#/proc/}" || true; fi
    done
    position="SELECT pg_wal_lsn_diff(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0')"
    behind=$(($(ask "$other" "$position") - $(ask "$new" "$position")))
    [[ $behind -le 0 ]] || { process=$new new=$other other=$process; }
    prepare
    lead
    ask "$new" CHECKPOINT
    rm -f "$directory/$old/postmaster.pid"
    quietly "$programs/pg_rewind" -D "$directory/$old" \
        --source-server="host=127.0.0.1 port=$(port "$new") user=postgres dbname=postgres passfile=$directory/passfile"
    follow
}

"$procedure"
