#!/usr/bin/env bash
# Measures what reading a configuration takes, `simdb validate` from start to end: 20 000 blocks (2 MB), 1 000 and 2 000
# references into a local of 2 000 keys, and a module that is used 500 times; beside `terraform validate` and `plan` of such a
# module where Terraform is installed. No server is started.
#
#   make bench       or, with simdb and simdb-bench on the PATH: tests/support/bench-language.sh [ROUNDS]
set -euo pipefail

rounds=${1:-3}
[[ $rounds =~ ^[1-9][0-9]*$ ]] || { echo "usage: bench-language.sh [ROUNDS]" >&2; exit 2; }

fail() {
    echo "bench: $*" >&2
    exit 1
}
for program in simdb simdb-bench; do
    command -v "$program" >/dev/null || fail "$program is not on the PATH"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
export CHECKPOINT_DISABLE=1

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

# Tells what was measured; the goal, where there is one, is $2 seconds.
tell() {
    awk -v what="$1" -v took="$took" -v goal="${2:-0}" -v peak="$peak" 'BEGIN {
        printf "%-52s %7.3f s  %5d MB", what, took, peak
        if (goal > 0) printf "  %.2f of %s s", took / goal, goal
        print ""
    }'
}

# Writes 20 000 blocks to directory $1.
blocks() {
    mkdir "$1"
    awk 'BEGIN {
        print "variable \"size\" {\n  type    = number\n  default = 2\n}\nnetwork \"lan\" {}"
        for (i = 0; i < 2500; i++) {
            printf "# Cluster %d of a team: what it holds is owned by its application, and reports read it. Its standbys are of one\n", i
            printf "# size with those of the other clusters, and its settings follow from its number.\n"
            printf "cluster \"c%d\" {\n  network = network.lan\n", i
            printf "  engine \"postgresql\" {\n    version = \"17\"\n    parameters = { work_mem = \"%dMB\", log_min_duration_statement = %d * 100, random_page_cost = 1.1 }\n  }\n", 4 + i % 60, i % 7
            printf "  replication {\n    mode = var.size > 1 ? \"sync\" : \"async\"\n    max_lag = \"${16 * (1 + %d %% 4)}MB\"\n  }\n", i
            printf "  node \"a\" {}\n  node \"r\" { count = var.size }\n"
            printf "  user \"app\" {\n    member_of = [\"pg_monitor\"]\n    connection_limit = 10 + %d\n  }\n", i % 90
            printf "  database \"app\" {\n    owner = \"app\"\n    encoding = upper(\"utf8\")\n  }\n"
            printf "  endpoint \"rw\" { target = \"primary\" }\n}\n"
        }
    }' >"$1/main.simdb.hcl"
}

# Writes $2 references into a local of 2 000 keys to directory $1.
references() {
    mkdir "$1"
    awk -v references="$2" 'BEGIN {
        print "locals {\n  table = {"
        for (i = 0; i < 2000; i++) printf "    k%d = { name = \"n%d\", size = %d }\n", i, i, i
        print "  }\n}\nlocals {"
        for (i = 0; i < references; i++) printf "  r%d = \"${local.table[\"k%d\"].name}-${local.table.k%d.size}\"\n", i, i % 2000, (i * 7) % 2000
        print "}"
    }' >"$1/main.simdb.hcl"
}

# Writes a module that is used $2 times to directory $1.
modules() {
    mkdir -p "$1/team"
    cat >"$1/main.simdb.hcl" <<HCL
network "lan" {}
module "team" {
  source   = "./team"
  for_each = { for number in range($2) : "t\${number}" => number }
  name     = each.key
  size     = each.value % 3
}
output "names" { value = [for it in module.team : it.name] }
HCL
    cat >"$1/team/main.simdb.hcl" <<'HCL'
variable "name" { type = string }
variable "size" {
  type = number
  validation {
    condition     = var.size >= 0
    error_message = "A size is needed."
  }
}
locals { title = upper("team ${var.name}") }
cluster "main" {
  engine "postgresql" {}
  node "a" {}
  node "r" { count = var.size }
}
output "name" { value = "${cluster.main.name}: ${local.title}" }
HCL
}

# Writes what Terraform makes of such a module to directory $1.
terraform_modules() {
    mkdir -p "$1/team"
    cat >"$1/main.tf" <<HCL
module "team" {
  source   = "./team"
  for_each = { for number in range($2) : "t\${number}" => number }
  name     = each.key
  size     = each.value % 3
}
output "names" { value = [for it in module.team : it.name] }
HCL
    cat >"$1/team/main.tf" <<'HCL'
variable "name" { type = string }
variable "size" {
  type = number
  validation {
    condition     = var.size >= 0
    error_message = "A size is needed."
  }
}
locals { title = upper("team ${var.name}") }
resource "terraform_data" "main" { input = var.name }
resource "terraform_data" "node" {
  count = 1 + var.size
  input = count.index
}
output "name" { value = "${terraform_data.main.input}: ${local.title}" }
HCL
    (cd "$1" && terraform init -input=false) >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "terraform init failed"; }
}

took='' peak=''
blocks "$work/blocks"
size=$(awk '{ bytes += length($0) + 1 } END { printf "%.1f", bytes / 1e6 }' "$work/blocks/main.simdb.hcl")
measure "$work/blocks" simdb validate
tell "validate 20 000 blocks ($size MB)" 1
for count in 1000 2000; do
    references "$work/references-$count" "$count"
    measure "$work/references-$count" simdb validate
    tell "validate $count references into 2 000 keys"
done
modules "$work/modules" 500
measure "$work/modules" simdb validate
tell "validate a module that is used 500 times"
if command -v terraform >/dev/null; then
    terraform_modules "$work/terraform" 500
    measure "$work/terraform" terraform validate
    tell "terraform: validate such a module"
    rounds=1 measure "$work/terraform" terraform plan -input=false
    tell "terraform: plan such a module"
else
    echo "terraform is not installed: nothing to compare with"
fi
