#!/usr/bin/env bash
# Measures what planning takes where nothing is looked at (-refresh=false): plans that make 1 000 and 10 000 nodes, and
# plans of as many that are recorded already and change nothing; beside `terraform plan` of as many terraform_data where
# Terraform is installed. Then a plan of 10 000 nodes that is saved, read and checked, and how many steps a second are
# recorded. The states are made by simdb's executor on simulated effects, so no server is started.
#
#   make bench       or, with simdb and simdb-bench on the PATH: tests/support/bench-plan.sh [ROUNDS]
set -euo pipefail

rounds=${1:-3}
[[ $rounds =~ ^[1-9][0-9]*$ ]] || { echo "usage: bench-plan.sh [ROUNDS]" >&2; exit 2; }
# Of any plan, in MB.
memory=150
# Recorded steps a second.
rate=200

fail() {
    echo "bench: $*" >&2
    exit 1
}
for program in simdb simdb-bench; do
    command -v "$program" >/dev/null || fail "$program is not on the PATH"
done
# A version that is found here: without one there is no plan.
version=$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -V | tail -n 1)
[[ -x $version ]] || version=$(type -P postgres) || fail "PostgreSQL is neither in /usr/lib/postgresql nor on the PATH"
version=$("$version" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
# The key that the states' secrets are locked with would stay in the user's configuration directory.
export XDG_CONFIG_HOME=$work/key CHECKPOINT_DISABLE=1

# Writes a configuration of $2 clusters with $3 nodes each to directory $1.
configure() {
    mkdir "$1"
    {
        echo "provider \"local\" { port_range = \"20000-31999\" }"
        echo "network \"lan\" {}"
        for ((cluster = 0; cluster < $2; cluster++)); do
            cat <<HCL
cluster "c$cluster" {
  network = network.lan
  engine "postgresql" { version = "$version" }
  replication { mode = "async" }
  node "a" {}
  node "r" { count = $(($3 - 1)) }
  endpoint "rw" { target = "primary" }
  endpoint "ro" { target = "standby" }
}
HCL
        done
    } >"$1/main.simdb.hcl"
}

# Prints what stands in the middle.
median() { printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# Runs a command in directory $1 several times, and leaves the middle of its times and memories in $took and $peak.
measure() {
    local directory=$1 times=() peaks=() round
    shift
    for ((round = 0; round < rounds; round++)); do
        read -r took peak < <(cd "$directory" && simdb-bench measure "$@" 2>"$work/log") || true
        [[ -n $took ]] || { cat "$work/log" >&2; fail "$* failed"; }
        times+=("$took") peaks+=("$peak")
    done
    took=$(median "${times[@]}") peak=$(median "${peaks[@]}")
}

# Tells what was measured, beside a goal of $2 seconds.
tell() {
    awk -v what="$1" -v took="$took" -v goal="$2" -v peak="$peak" -v memory="$memory" 'BEGIN {
        printf "%-42s %7.3f s  %5.2f of %s s  %5d MB  %5.2f of %s MB\n", what, took, took / goal, goal, peak, peak / memory, memory
    }'
}

# Plans $2 clusters with $3 nodes each, before they are there and after; the goal is $4 seconds.
plans() {
    local directory=$work/$1 what="$(($2 * $3)) nodes in $2 clusters" recorded
    configure "$directory" "$2" "$3"
    measure "$directory" simdb plan -refresh=false
    tell "create $what" "$4"
    recorded=$(cd "$directory" && simdb-bench record . 500) || fail "the state was not made"
    # Any difference is a failure here.
    measure "$directory" simdb plan -refresh=false -detailed-exitcode
    tell "no changes of $what" "$4"
    rm -rf "$directory"
}

# Saves a plan of $2 clusters with $3 nodes each, reads it, and has it checked against a record in which all of it was made
# meanwhile: it is refused there. The goal of each is $4 seconds.
saved() {
    local directory=$work/$1 what="plan of $(($2 * $3)) new nodes" recorded
    configure "$directory" "$2" "$3"
    measure "$directory" simdb plan -refresh=false -out plan
    tell "save a $what" "$4"
    measure "$directory" simdb show plan
    tell "read a saved $what" "$4"
    recorded=$(cd "$directory" && simdb-bench record . 500) || fail "the state was not made"
    measure "$directory" sh -c '! simdb apply plan >refusal 2>&1 && grep -q "Saved plan is stale" refusal'
    tell "check a saved $what" "$4"
    rm -rf "$directory"
}

# Plans $1 resources that are not there.
terraform_plan() {
    local directory=$work/terraform-$1
    mkdir "$directory"
    printf 'resource "terraform_data" "node" {\n  count = %s\n  input = count.index\n}\n' "$1" >"$directory/main.tf"
    (cd "$directory" && terraform init -input=false) >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "terraform init failed"; }
    rounds=1 measure "$directory" terraform plan -input=false
    printf '%-42s %7.3f s  %22d MB\n' "terraform: create $1 terraform_data" "$took" "$peak"
    rm -rf "$directory"
}

took='' peak=''
plans small 1 1000 0.1
plans large 1 10000 1
plans wide 1000 10 1
saved saved 1 10000 2
if command -v terraform >/dev/null; then
    terraform_plan 1000
    terraform_plan 10000
else
    echo "terraform is not installed: nothing to compare with"
fi

configure "$work/record" 1 1000
simdb-bench record "$work/record" 10 | awk -v goal="$rate" '{
    printf "%d steps recorded in %s s: %d steps/s, %.1f of %d\n", $1, $2, $1 / $2, $1 / $2 / goal, goal
}'
