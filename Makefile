# `make demo` and `make test` install what is missing (tests/support/setup.sh) and do the rest.

SHELL := /bin/sh
# Where the toolchain is after a first `make setup`.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
# How many real servers run at once is what cargo-nextest bounds (.config/nextest.toml).
NEXTEST := cargo nextest run --locked

# The tests that need a Kubernetes cluster, and the programs that this is made of: they are built beside the other tests, which wait
# for disks and for each other.
IN_PODS := binary(/kubernetes/) | test(/kubernetes/)
BED := etcd kubectl kubelet kube-apiserver kube-controller-manager kube-scheduler kube-proxy bed-helper

# The profile of the planner's tests leaves debug assertions out for speed. A few histories run with them, on code that is
# not optimised, as that is built sooner.
ASSERTED := $(foreach crate,simdb-planner simdb-state,$(foreach setting,debug-assertions=true opt-level=0,\
	--config profile.dev.package.$(crate).$(setting)))

.PHONY: demo demo-docker demo-kubernetes demo-pool-manager test test-long test-faults bench lint advisories fmt clean setup setup-test setup-lint

demo: setup  ## A primary and two standbys: made, written, read, removed.
	cargo build --locked -p simdb
	PATH="$(TARGET)/debug:$$PATH" examples/local-postgres/demo.sh

demo-docker: setup  ## The same in containers, on a Docker Engine that is there for it alone.
	@tests/support/setup.sh docker
	cargo build --locked -p simdb
	PATH="$(TARGET)/debug:$$PATH" tests/support/docker-engine.sh examples/docker-postgres/demo.sh

demo-kubernetes: setup  ## The same in pods, on a Kubernetes cluster that is there for it alone.
	@tests/support/setup.sh kubernetes
	cargo build --locked -p simdb
	PATH="$(TARGET)/debug:$$PATH" tests/support/kubernetes/bed.sh examples/kubernetes-postgres/demo.sh

demo-pool-manager: setup  ## A service whose primary is killed beneath it, and which goes on.
	cargo build --locked -p simdb -p simdb-pool-manager
	PATH="$(TARGET)/debug:$$PATH" examples/pool-manager/demo.sh

test: setup-test  ## All tests, those on real servers, in containers and in pods included.
	cargo build --locked -p simdb
	nice -n 19 tests/support/kubernetes/build.sh $(BED) >/dev/null 2>&1 & \
		tests/support/docker-engine.sh $(NEXTEST) --workspace --all-features -E 'not ($(IN_PODS))'
	tests/support/kubernetes/bed.sh $(NEXTEST) --workspace --all-features -E '$(IN_PODS)'
	cargo test --locked --workspace --all-features --doc
	SIMDB_TEST_DEBUG_ASSERTIONS=1 PROPTEST_CASES=100 PROPTEST_RNG_SEED=4711 \
		cargo test --locked $(ASSERTED) -p simdb-planner --all-features --lib -- properties --skip mutations --skip unknown

# How many random histories and texts `make test-long` lives through, each time other ones.
CASES ?= 100000

test-long: setup  ## Random histories of clusters and random texts, as many as CASES says.
	PROPTEST_CASES=$(CASES) PROPTEST_MAX_SHRINK_ITERS=20000 cargo test --locked -p simdb-planner -p simdb-language --all-features --lib -- properties --nocapture
	SIMDB_FUZZ_CASES=$(CASES) SIMDB_FUZZ_SEED=$$(date +%s) cargo test --locked -p simdb-fuzz

test-faults: setup-test  ## Every fault on every version, role changes in a row and cut off at every step, random kills: takes a while.
	cargo build --locked -p simdb
	SIMDB_TEST_FAULTS=1 $(NEXTEST) --profile faults -p simdb-tests --test roles --test faults --test standbys --test crash_roles --test together --test kills --test monitor --test monitor_kills
	SIMDB_TEST_FAULTS=1 tests/support/docker-engine.sh $(NEXTEST) --profile faults -p simdb-tests --all-features --test docker_faults --test docker_crash
	SIMDB_TEST_FAULTS=1 tests/support/kubernetes/bed.sh $(NEXTEST) --profile faults --test-threads 1 -p simdb-tests --all-features --test kubernetes_faults --test kubernetes_crash

bench: setup  ## What simdb takes: reading configurations, planning, recording, applying and role changes against the same work typed by hand.
	cargo build --release --locked -p simdb
	cargo build --release --locked -p simdb-providers --example simdb-bench
	PATH="$(TARGET)/release:$(TARGET)/release/examples:$$PATH" tests/support/bench-language.sh
	PATH="$(TARGET)/release:$(TARGET)/release/examples:$$PATH" tests/support/bench-plan.sh
	PATH="$(TARGET)/release:$$PATH" tests/support/bench.sh
	PATH="$(TARGET)/release:$$PATH" tests/support/bench-drift.sh
	PATH="$(TARGET)/release:$(TARGET)/release/examples:$$PATH" tests/support/bench-roles.sh
	PATH="$(TARGET)/release:$(TARGET)/release/examples:$$PATH" tests/support/docker-engine.sh tests/support/bench-docker.sh
	PATH="$(TARGET)/release:$(TARGET)/release/examples:$$PATH" tests/support/kubernetes/bed.sh tests/support/bench-kubernetes.sh

lint: setup-lint  ## Format, lints, what the source may name and import, and what the dependencies may be.
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	cargo test --locked -p simdb-tests --test structure
	cargo deny --locked --all-features check bans licenses sources

advisories: setup-lint  ## Known vulnerabilities of the dependencies: asks the advisory database.
	cargo deny --locked --all-features check advisories

fmt: setup
	cargo fmt --all

clean:
	cargo clean

setup:
	@tests/support/setup.sh

setup-test:
	@tests/support/setup.sh cargo-nextest docker kubernetes promtool haproxy schemathesis browser

setup-lint:
	@tests/support/setup.sh cargo-deny
