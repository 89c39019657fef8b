# `make demo` and `make test` install what is missing (tests/support/setup.sh) and do the rest.

SHELL := /bin/sh
# Where the toolchain is after a first `make setup`.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
# cargo-nextest bounds how many real servers run at once; without it the same tests run under cargo test.
NEXTEST := $(shell PATH="$(PATH)" cargo nextest --version >/dev/null 2>&1 && echo yes)

.PHONY: demo test test-long test-faults bench lint fmt clean setup

demo: setup  ## A primary and two standbys: made, written, read, removed.
	cargo build --locked -p simdb
	PATH="$(TARGET)/debug:$$PATH" examples/local-postgres/demo.sh

test: setup  ## All tests, those on real servers included.
	cargo build --locked -p simdb
ifeq ($(NEXTEST),yes)
	cargo nextest run --locked --workspace --all-features
	cargo test --locked --workspace --all-features --doc
else
	RUST_TEST_THREADS=2 cargo test --locked --workspace --all-features --no-fail-fast
endif

# How many random histories `make test-long` lives through, each time other ones.
CASES ?= 100000

test-long: setup  ## Random histories of clusters, as many as CASES says.
	PROPTEST_CASES=$(CASES) PROPTEST_MAX_SHRINK_ITERS=20000 cargo test --locked -p simdb-planner --all-features --lib -- properties --nocapture

test-faults: setup  ## Every fault on every version, role changes in a row and cut off at every step, random kills: takes a while.
	cargo build --locked -p simdb
ifeq ($(NEXTEST),yes)
	SIMDB_TEST_FAULTS=1 cargo nextest run --locked --profile faults -p simdb-tests --test roles --test faults --test standbys --test crash_roles --test together --test kills
else
	SIMDB_TEST_FAULTS=1 RUST_TEST_THREADS=2 cargo test --locked -p simdb-tests --test roles --test faults --test standbys --test crash_roles --test together --test kills --no-fail-fast
endif

bench: setup  ## What simdb takes: planning, recording, applying and role changes against the same work typed by hand.
	cargo build --release --locked -p simdb
	cargo build --release --locked -p simdb-providers --example simdb-bench
	PATH="$(TARGET)/release:$(TARGET)/release/examples:$$PATH" tests/support/bench-plan.sh
	PATH="$(TARGET)/release:$$PATH" tests/support/bench.sh
	PATH="$(TARGET)/release:$(TARGET)/release/examples:$$PATH" tests/support/bench-roles.sh

lint: setup  ## Format, lints, and what is in the tree twice.
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	cargo tree --locked --workspace --duplicates --depth 0

fmt: setup
	cargo fmt --all

clean:
	cargo clean

setup:
	@tests/support/setup.sh
