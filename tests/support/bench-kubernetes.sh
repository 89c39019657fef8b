#!/usr/bin/env bash
# Measures, on a Kubernetes cluster, `simdb apply` of a primary and two standbys against the same objects made by `kubectl apply` and
# filled by hand through `kubectl exec`, each in turn so that both see the same machine. Then for how long nobody's write is
# acknowledged while the lead moves. Then plans of 100 clusters of three nodes, and how often they ask the API server.
#
#   make bench       or, with simdb and simdb-bench on the PATH: tests/support/kubernetes/bed.sh tests/support/bench-kubernetes.sh [ROUNDS]
#
# By hand means: per node a volume, a service and a set of one pod that waits; initdb with checksums and a password, replication login,
# slots, pg_basebackup and pg_verifybackup of both standbys side by side, and a wait until they stream and have replayed a marker. Only making
# the cluster is timed, never removing it. A goal that is missed is told, and fails nothing.
set -euo pipefail

rounds=${1:-5}
goal=1.25
[[ $rounds =~ ^[1-9][0-9]*$ ]] || { echo "usage: bench-kubernetes.sh [ROUNDS]" >&2; exit 2; }
if [[ -z ${SIMDB_TEST_KUBERNETES_BED-} || ! -d ${SIMDB_TEST_KUBERNETES_BED}/n1 ]]; then
    echo "bench: no Kubernetes cluster: ${SIMDB_TEST_KUBERNETES_MISSING-run it with tests/support/kubernetes/bed.sh}"
    exit 0
fi

support=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
source "$support/bench-common.sh"
command -v simdb-bench >/dev/null || fail "simdb-bench is not on the PATH"
export KUBECONFIG=$SIMDB_TEST_KUBECONFIG
image=simdb.test/postgres
namespace=simdb-bench-$$
kubectl create namespace "$namespace" >/dev/null
here=(kubectl --namespace "$namespace")

# Runs kubectl. Its output is shown only if it fails.
told() { "${here[@]}" "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "kubectl $1 failed"; }; }

# Runs a script in the pod of a node that is made by hand.
in_pod() { told exec "hand-$1-0" -- sh -euc "$2"; }

ask_in() { "${here[@]}" exec "hand-$1-0" -- psql -h 127.0.0.1 -U postgres -d postgres -XAtq -v ON_ERROR_STOP=1 -c "$2"; }

until_in() {
    local tries=0
    until [[ $(ask_in "$1" "$2" 2>"$work/refusal") == t ]]; do
        tries=$((tries + 1))
        [[ $tries -lt 600 ]] || { cat "$work/refusal" >&2; fail "not seen within a minute: $2"; }
        sleep 0.05
    done
}

# What simdb makes for a node, with a first process that waits.
objects_of() {
    cat <<YAML
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: hand-$1, labels: {bench: hand}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 512Mi}}}
---
apiVersion: v1
kind: Service
metadata: {name: hand-$1, labels: {bench: hand}}
spec: {selector: {server: hand-$1}, publishNotReadyAddresses: true, ports: [{name: server, port: 5432}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: hand-$1, labels: {bench: hand}}
spec:
  replicas: 1
  serviceName: hand-$1
  selector: {matchLabels: {server: hand-$1}}
  template:
    metadata: {labels: {server: hand-$1, bench: hand, component: database}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 999, runAsGroup: 999, fsGroup: 999, fsGroupChangePolicy: OnRootMismatch}
      automountServiceAccountToken: false
      enableServiceLinks: false
      affinity:
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - {weight: 100, podAffinityTerm: {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {component: database}}}}
      containers:
      - name: server
        image: $image:$version
        command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 1; done"]
        env: [{name: PGPASSFILE, value: /tmp/pass}]
        volumeMounts: [{name: data, mountPath: /srv}, {name: tmp, mountPath: /tmp}, {name: shm, mountPath: /dev/shm}]
      volumes:
      - {name: data, persistentVolumeClaim: {claimName: hand-$1}}
      - {name: tmp, emptyDir: {}}
      - {name: shm, emptyDir: {medium: Memory, sizeLimit: 256Mi}}
YAML
}

serve="pg_ctl start -D /srv/pg -l /srv/log -w >/dev/null"
passfile="umask 077; echo '*:*:*:*:bench-secret' >/tmp/pass"

standby_by_hand() {
    in_pod "$1" "$passfile
        pg_basebackup -d 'host=hand-0.$namespace.svc.cluster.local user=replicator' -D /srv/pg -c fast -X stream -S s$1
        pg_verifybackup /srv/pg >/dev/null; >/srv/pg/standby.signal
        echo \"primary_conninfo = 'host=hand-0.$namespace.svc.cluster.local user=replicator passfile=/tmp/pass application_name=s$1'
primary_slot_name = 's$1'\" >>/srv/pg/postgresql.conf
        $serve"
}

make_by_hand() {
    local node marker clones=()
    for node in 0 1 2; do objects_of $node; done >"$work/objects.yaml"
    told apply -f "$work/objects.yaml"
    for node in 0 1 2; do told wait --for=condition=Ready "pod/hand-$node-0" --timeout=60s; done
    in_pod 0 "$passfile
        echo bench-secret >/tmp/pwfile
        initdb -D /srv/pg --username=postgres --pwfile=/tmp/pwfile --auth=scram-sha-256 --data-checksums \
            --encoding=UTF8 --no-locale --no-instructions >/dev/null
        echo \"$(settings | sed "s/'127.0.0.1'/'*'/")\" >>/srv/pg/postgresql.conf
        echo 'host replication all all scram-sha-256' >>/srv/pg/pg_hba.conf
        $serve"
    ask_in 0 "CREATE ROLE replicator LOGIN REPLICATION PASSWORD 'bench-secret'"
    ask_in 0 "SELECT pg_create_physical_replication_slot('s1', true), pg_create_physical_replication_slot('s2', true)" >/dev/null
    for node in 1 2; do
        standby_by_hand $node &
        clones+=($!)
    done
    for node in "${clones[@]}"; do wait "$node"; done
    until_in 0 "SELECT count(*) = 2 FROM pg_stat_replication WHERE state = 'streaming'"
    marker=$(ask_in 0 "SELECT pg_logical_emit_message(true, 'bench', 'marker')")
    for node in 1 2; do until_in $node "SELECT pg_last_wal_replay_lsn() >= '$marker'"; done
}

remove_objects() { "${here[@]}" delete statefulset,service,pvc --selector bench=hand --wait >/dev/null 2>&1 || true; }

finish_all() {
    remove_objects
    finish
    kubectl delete namespace "$namespace" --wait=false >/dev/null 2>&1 || true
}
trap finish_all EXIT

provider() {
    cat <<HCL
provider "kubernetes" {
  kubeconfig = "$KUBECONFIG"
  namespace  = "$namespace"
  image      = "$image:{version}"
  storage    = "512MB"
}
HCL
}

# Writes a configuration of three nodes in pods; the rest of the cluster's block is $1.
configure() {
    rm -rf "$config"
    mkdir "$config"
    {
        provider
        cat <<HCL
cluster "bench" {
  engine "postgresql" { version = "$version" }
  $1
  node "n" { count = 3 }
}
HCL
    } >"$config/main.simdb.hcl"
}

by_hand=()
by_simdb=()
for ((round = 1; round <= rounds; round++)); do
    timed make_by_hand
    by_hand+=("$took")
    remove_objects

    configure 'replication { mode = "async" }'
    timed make_by_simdb
    by_simdb+=("$took")
    remove_by_simdb
    echo "kubernetes, round $round: by hand ${by_hand[-1]} s, simdb apply ${by_simdb[-1]} s"
done
awk -v a="$(median "${by_hand[@]}")" -v b="$(median "${by_simdb[@]}")" -v goal="$goal" 'BEGIN {
    printf "kubernetes, median: by hand %s s, simdb apply %s s, ratio %.2f (goal: at most %s)\n", a, b, b / a, goal
}'

# Prints the hosts of the three pods, as simdb-bench reads them: they keep their addresses while the lead moves.
hosts() {
    local node
    for node in 0 1 2; do
        "${here[@]}" get pod "bench-n-$node-0" -o 'jsonpath={.status.podIP}:5432{"\n"}'
    done | paste -sd,
}

# Clients are on a machine of the cluster: from here there is no way to pods but through the API server. So is simdb, whose connections
# take that way all the same.
configure 'replication { mode = "sync" }
  user "app" { login = true }
  database "app" { owner = "app" }'
make_by_simdb
secret=$(cd "$config" && simdb env bench -user app -database app -json | sed -n 's/.*"PGPASSWORD": *"\([^"]*\)".*/\1/p')
gaps=()
for ((round = 1; round <= rounds; round++)); do
    read -r gap rest < <("$support/kubernetes/fault.sh" on n1 env PGPASSWORD="$secret" PGUSER=app PGDATABASE=app PATH="$PATH" \
        XDG_CONFIG_HOME="$XDG_CONFIG_HOME" KUBECONFIG="$KUBECONFIG" sh -c 'cd "$1" && shift && exec simdb-bench "$@"' sh "$config" \
        gap "$(hosts)" - simdb switchover bench -auto-approve 2>"$work/log") || true
    [[ -n $gap ]] || { cat "$work/log" >&2; fail "switchover failed"; }
    gaps+=("$gap")
done
echo "kubernetes, switchover: no write for $(median "${gaps[@]}") s (median), $(printf '%s\n' "${gaps[@]}" | sort -n | tail -n 1) s at most"
remove_by_simdb

# How often simdb asked for something in the namespace so far, by what the API server logged.
requests() { grep -F "\"namespace\":\"$namespace\"" "$SIMDB_TEST_KUBERNETES_BED/audit.log" | grep -vcE '"userAgent":"(kube|bed)' || true; }

rm -rf "$config"
mkdir "$config"
{
    provider
    for ((cluster = 0; cluster < 100; cluster++)); do
        cat <<HCL
cluster "c$cluster" {
  engine "postgresql" { version = "$version" }
  node "n" { count = 3 }
  endpoint "rw" { target = "primary" }
  endpoint "ro" { target = "standby" }
}
HCL
    done
} >"$config/main.simdb.hcl"
times=()
for ((round = 1; round <= rounds; round++)); do
    before=$(requests)
    timed eval '(cd "$config" && simdb plan >"$work/log" 2>&1)' || { cat "$work/log" >&2; fail "simdb plan failed"; }
    times+=("$took")
    asked=$(($(requests) - before))
done
echo "kubernetes, plan of 100 clusters with 3 nodes each: $(median "${times[@]}") s, $asked requests"
