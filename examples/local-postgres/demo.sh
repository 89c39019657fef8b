#!/bin/sh
# Makes a primary and two standbys with a user and a seeded database, writes through the primary, reads it back from a
# standby, shows that a second plan is empty, removes everything, and checks that nothing is left. Every command is shown
# before it runs.
#
#   make demo        or, with simdb on the PATH: examples/local-postgres/demo.sh
set -eu
cd "$(dirname "$0")"

# The key that the state's secrets are locked with would stay in the user's configuration directory.
XDG_CONFIG_HOME=$(mktemp -d)
export XDG_CONFIG_HOME

finish() {
    if [ -e .simdb ]; then
        echo "demo: failed; removing what it made" >&2
        simdb destroy -auto-approve -allow=data-loss >&2 && rm -rf .simdb ||
            echo "demo: what is left is recorded in $PWD/.simdb, its key is in $XDG_CONFIG_HOME" >&2
    fi
    [ -e .simdb ] || rm -rf "$XDG_CONFIG_HOME"
}

fail() {
    echo "demo: $*" >&2
    exit 1
}

# Shows a command, then runs it.
run() {
    printf '\n$'
    for word; do
        case $word in
        *[!A-Za-z0-9_./=:@%+-]*) printf " '%s'" "$(printf %s "$word" | sed "s/'/'\\\\''/g")" ;;
        *) printf ' %s' "$word" ;;
        esac
    done
    echo
    "$@"
}

say() { printf '\n# %s\n' "$*"; }

# Prints the one value that a node answers a query with.
ask() { simdb psql "$1" -- -X -At -v ON_ERROR_STOP=1 -c "$2"; }

[ ! -e .simdb ] || fail "$PWD/.simdb is there already: simdb destroy, then remove it"
trap finish EXIT
trap 'exit 130' INT TERM

say "A primary and two standbys, made and proven, with a user, a database and a table."
run simdb apply -auto-approve
run simdb status

say "Written through the primary, into the table of the seed."
run simdb psql orders -- -X -v ON_ERROR_STOP=1 \
    -d app -c "INSERT INTO greeting VALUES ('hello from the primary')"
written=$(ask orders "SELECT pg_current_wal_lsn()")

say "Read back from a standby, once it has replayed $written."
tries=0
until [ "$(ask 'r[1]' "SELECT pg_last_wal_replay_lsn() >= '$written'")" = t ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || fail "the standby did not replay $written"
    sleep 0.1
done
run simdb psql 'r[1]' -- -X -d app -c "SELECT text, pg_is_in_recovery() FROM greeting"
[ "$(simdb psql 'r[1]' -- -X -At -d app -c "SELECT text FROM greeting")" = "hello from the primary" ] ||
    fail "the standby has something else"

say "A second plan is empty: exit code 0, not 2."
run simdb plan -detailed-exitcode

# What must be gone afterwards: each server's directory with the processes in it, and its port.
left=
for node in a 'r[0]' 'r[1]'; do
    data=$(ask "$node" "SHOW data_directory")
    port=$(ask "$node" "SHOW port")
    [ -d "$data" ] || fail "$node names no data directory"
    left="$left $data:$port"
done

say "Everything is removed."
run simdb destroy -auto-approve -allow=data-loss

for place in $left; do
    data=${place%:*}
    port=${place##*:}
    [ ! -e "$data" ] || fail "directory $data is left"
    for process in /proc/[0-9]*; do
        case $(readlink "$process/cwd" 2>/dev/null || true) in
        "$data"*) fail "process ${process#/proc/} still runs in $data" ;;
        esac
    done
    hexadecimal=$(printf '%04X' "$port")
    if grep -Eqs "^ *[0-9]+: [0-9A-F]+:$hexadecimal [0-9A-F]+:0000 0A " /proc/net/tcp /proc/net/tcp6; then
        fail "something still listens on port $port"
    fi
done
rm -rf .simdb
say "Nothing is left: no process, no directory, no port."
