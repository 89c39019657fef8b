#!/bin/sh
# Makes a primary and two standbys in pods, writes through the primary, lets a standby lead, kills that one and lets another one lead,
# reads what was written, removes everything, and checks that nothing is left. Every command is shown before it runs.
#
#   make demo-kubernetes    or, with simdb and kubectl on the PATH and a cluster at hand: examples/kubernetes-postgres/demo.sh
set -eu
cd "$(dirname "$0")"

# The key that the state's secrets are locked with would stay in the user's configuration directory.
XDG_CONFIG_HOME=$(mktemp -d)
export XDG_CONFIG_HOME

# A cluster that was started for the demo alone has images of its own.
if [ -n "${SIMDB_TEST_KUBECONFIG-}" ]; then
    KUBECONFIG=$SIMDB_TEST_KUBECONFIG
    export KUBECONFIG
    [ -z "${SIMDB_TEST_KUBERNETES_BED-}" ] || SIMDB_VAR_image='simdb.test/postgres:{version}'
    [ -z "${SIMDB_VAR_image-}" ] || export SIMDB_VAR_image
fi
SIMDB_VAR_namespace=simdb-demo-$$
export SIMDB_VAR_namespace

finish() {
    if [ -e .simdb ]; then
        echo "demo: failed; removing what it made" >&2
        simdb destroy -auto-approve -allow=data-loss >&2 && rm -rf .simdb ||
            echo "demo: what is left is recorded in $PWD/.simdb, its key is in $XDG_CONFIG_HOME" >&2
    fi
    [ -e .simdb ] || rm -rf "$XDG_CONFIG_HOME"
    kubectl delete namespace "$SIMDB_VAR_namespace" --wait=false >/dev/null 2>&1 || true
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

# Runs kubectl in the namespace of the demo.
objects() {
    kubectl --namespace "$SIMDB_VAR_namespace" "$@"
}

all=statefulsets,pods,services,persistentvolumeclaims,poddisruptionbudgets

[ -z "${SIMDB_TEST_KUBERNETES_MISSING-}" ] || fail "$SIMDB_TEST_KUBERNETES_MISSING"
[ ! -e .simdb ] || fail "$PWD/.simdb is there already: simdb destroy, then remove it"
trap finish EXIT
trap 'exit 130' INT TERM
kubectl create namespace "$SIMDB_VAR_namespace" >/dev/null

say "A primary and two standbys in pods, made and proven."
run simdb apply -auto-approve
run simdb status
run objects get "$all" --label-columns simdb.dev/role

say "Written through the primary, into the table of the seed."
run simdb psql orders -- -X -v ON_ERROR_STOP=1 \
    -d app -c "INSERT INTO greeting VALUES ('hello from the primary')"

say "A second plan is empty: exit code 0, not 2."
run simdb plan -detailed-exitcode

say "A standby leads in place of the primary, which follows it."
run simdb switchover orders -to 'r[0]' -auto-approve

say "The new primary is killed, and another node leads in its place."
run objects exec orders-r-0-0 -- sh -c 'kill -KILL $(cat /tmp/simdb/pid)'
run simdb failover orders -auto-approve
run simdb status
[ "$(simdb psql orders -- -X -At -d app -c "SELECT text FROM greeting")" = "hello from the primary" ] ||
    fail "what was written is lost"

say "Everything is removed."
run simdb destroy -auto-approve -allow=data-loss
left=$(objects get "$all" --selector app.kubernetes.io/managed-by=simdb --output name)
[ -z "$left" ] || fail "the cluster still has: $left"
rm -rf .simdb
say "Nothing is left: no pod, no volume, no service."
