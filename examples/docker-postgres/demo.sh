#!/bin/sh
# Makes a primary and two standbys in containers, writes through the primary, kills it, lets a standby lead, reads what was
# written, removes everything, and checks that nothing is left. Every command is shown before it runs.
#
#   make demo-docker        or, with simdb on the PATH and the image postgres:15: examples/docker-postgres/demo.sh
set -eu
cd "$(dirname "$0")"

# The key that the state's secrets are locked with would stay in the user's configuration directory.
XDG_CONFIG_HOME=$(mktemp -d)
export XDG_CONFIG_HOME

# An engine that was started for the demo alone.
DOCKER_HOST=${SIMDB_TEST_DOCKER_HOST-${DOCKER_HOST-unix:///var/run/docker.sock}}
export DOCKER_HOST

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

# Prints what the engine has of the project: containers, volumes and networks.
objects() {
    docker ps --all --quiet --filter "label=dev.simdb.lineage=$lineage"
    docker volume ls --quiet --filter "label=dev.simdb.lineage=$lineage"
    docker network ls --quiet --filter "label=dev.simdb.lineage=$lineage"
}

[ -z "${SIMDB_TEST_DOCKER_MISSING-}" ] || fail "$SIMDB_TEST_DOCKER_MISSING"
[ ! -e .simdb ] || fail "$PWD/.simdb is there already: simdb destroy, then remove it"
trap finish EXIT
trap 'exit 130' INT TERM

say "A primary and two standbys in containers, made and proven."
run simdb apply -auto-approve
run simdb status
lineage=$(simdb state pull | sed -n 's/.*"lineage": *"\([^"]*\)".*/\1/p' | head -n 1)
[ -n "$(objects)" ] || fail "the engine has nothing of the project"
run docker ps --filter "label=dev.simdb.lineage=$lineage"

say "Written through the primary, into the table of the seed."
run simdb psql orders -- -X -v ON_ERROR_STOP=1 \
    -d app -c "INSERT INTO greeting VALUES ('hello from the primary')"

say "A second plan is empty: exit code 0, not 2."
run simdb plan -detailed-exitcode

say "The primary is killed, and a standby leads in its place."
run docker kill "$(docker ps --quiet --filter 'label=dev.simdb.address=cluster.orders.node.a' --filter "label=dev.simdb.lineage=$lineage")"
run simdb failover orders -auto-approve
run simdb status
[ "$(simdb psql orders -- -X -At -d app -c "SELECT text FROM greeting")" = "hello from the primary" ] ||
    fail "what was written is lost"

say "Everything is removed."
run simdb destroy -auto-approve -allow=data-loss
left=$(objects)
[ -z "$left" ] || fail "the engine still has: $left"
rm -rf .simdb
say "Nothing is left: no container, no volume, no network."
