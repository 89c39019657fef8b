#!/bin/sh
# Makes a primary and two standbys and starts the service on them, writes and reads a note, kills the primary and lets a
# standby lead while the service runs, writes again, removes everything, and checks that nothing is left. Every command is
# shown before it runs.
#
#   make demo-pool-manager    or, with simdb and simdb-pool-manager on the PATH: examples/pool-manager/demo.sh
set -eu
cd "$(dirname "$0")"

# The key that the state's secrets are locked with would stay in the user's configuration directory.
XDG_CONFIG_HOME=$(mktemp -d)
export XDG_CONFIG_HOME
LISTEN=${LISTEN-127.0.0.1:3000}
export LISTEN
service=

finish() {
    [ -z "$service" ] || kill "$service" 2>/dev/null || true
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

# Waits until the service says that its databases are well.
wait_for_health() {
    tries=0
    until curl -fs -o /dev/null "http://$LISTEN/health"; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || fail "the service is not healthy: $(curl -s "http://$LISTEN/health")"
        kill -0 "$service" 2>/dev/null || fail "the service has ended"
        sleep 0.1
    done
}

# Writes a note, shows the answer, and keeps its token.
add_note() {
    answer=$(run curl -s --retry 20 --retry-delay 1 --json "{\"text\":\"$1\"}" "http://$LISTEN/notes")
    echo "$answer"
    token=$(echo "$answer" | string token)
    [ -n "$token" ] || fail "no token in the answer"
}

# Prints the value of a string in an answer.
string() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

[ ! -e .simdb ] || fail "$PWD/.simdb is there already: simdb destroy, then remove it"
trap finish EXIT
trap 'exit 130' INT TERM

say "A primary and two standbys, made and proven."
run simdb apply -auto-approve

say "The service, with one URL that names all three."
DATABASE_URL=$(simdb output -raw url)
export DATABASE_URL
printf '\n$ simdb-pool-manager\n'
simdb-pool-manager &
service=$!
wait_for_health
run curl -s "http://$LISTEN/health"
echo

say "A note is written to the primary. Its token makes a read see it, from a replica that has it."
add_note hello
run curl -s -i -H "x-after: $token" "http://$LISTEN/notes"
echo

say "The primary is killed, a standby leads in its place, and the service follows by itself."
data=$(simdb psql notes -- -X -At -c "SHOW data_directory")
kill -9 "$(head -n 1 "$data/postmaster.pid")"
run simdb failover notes -auto-approve
add_note "hello again"
notes=$(curl -s -H "x-after: $token" "http://$LISTEN/notes")
echo "$notes"
for text in '"hello"' '"hello again"'; do
    case $notes in
    *"$text"*) ;;
    *) fail "$text is missing" ;;
    esac
done
wait_for_health
run curl -s "http://$LISTEN/health"
echo

say "Everything is removed."
kill "$service"
wait "$service" || fail "the service did not end as it should"
service=
run simdb destroy -auto-approve -allow=data-loss
rm -rf .simdb
say "Nothing is left."
