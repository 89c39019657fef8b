#!/bin/sh
# Runs a command with a Kubernetes that is there for it alone.
#
#   bed.sh [--api | --nodes] COMMAND [ARGUMENT...]
#
# --api starts etcd and an API server, and any user can have it: objects are stored and validated, and nothing acts on them.
# --nodes, the default, starts a whole cluster of two nodes, n1 and n2, with images of PostgreSQL and PgBouncer of this machine.
#
# The command finds the kubeconfig of an administrator in SIMDB_TEST_KUBECONFIG and the bed's directory, which fault.sh reads, in
# SIMDB_TEST_KUBERNETES_BED; kubectl is on its PATH. Where the bed cannot run, SIMDB_TEST_KUBERNETES_MISSING says why, and the tests
# that need it skip themselves: SIMDB_TEST_REQUIRE=all makes that a failure. A cluster that SIMDB_TEST_KUBECONFIG names already
# is used as it is. The bed goes with the command, with all that was made in it.
# shellcheck source-path=SCRIPTDIR
set -eu

say() { echo "bed: $*" >&2; }

# Takes the bed down, says why there is none, and runs the command without one.
without() {
    say "$1"
    take_down
    trap - EXIT INT TERM
    SIMDB_TEST_KUBERNETES_MISSING=$1
    export SIMDB_TEST_KUBERNETES_MISSING
    shift
    exec "$@"
}

usage() {
    echo "usage: bed.sh [--api | --nodes] COMMAND [ARGUMENT...]" >&2
    exit 2
}

tier=nodes
case ${1-} in
--api | --nodes)
    tier=${1#--}
    shift
    ;;
-*) usage ;;
esac
[ $# -gt 0 ] || usage
[ -z "${SIMDB_TEST_KUBECONFIG-}" ] || exec "$@"

here=$(cd "$(dirname "$0")" && pwd)
. "$here/machines.sh"
. "$here/daemons.sh"
PATH=$PATH:/usr/sbin:/sbin

# The number of a process and when it started, which no second process has.
identity() { cut -d' ' -f1,22 "/proc/$1/stat" 2>/dev/null; }

# Removes beds whose script was killed.
for bed in /var/tmp/simdb-kubernetes.*; do
    [ -O "$bed" ] || continue
    owner=$(cat "$bed/owner" 2>/dev/null) || owner=
    if [ -z "$owner" ]; then
        # Another script may be making it at this moment.
        [ -z "$(find "$bed" -maxdepth 0 -mmin +1)" ] || take_down
    elif [ "$(identity "${owner% *}")" != "$owner" ]; then
        take_down
    fi
done

bed=$(mktemp -d /var/tmp/simdb-kubernetes.XXXXXX)
identity $$ >"$bed/owner"
echo "$tier" >"$bed/tier"
trap take_down EXIT
trap 'exit 130' INT TERM

mkdir "$bed/keys" "$bed/control"
# shellcheck source=/dev/null
. "$here/$tier.sh"
bring_up "$@"

SIMDB_TEST_KUBECONFIG=$bed/keys/admin.conf
SIMDB_TEST_KUBERNETES_BED=$bed
export SIMDB_TEST_KUBECONFIG SIMDB_TEST_KUBERNETES_BED
"$@"
