//! What a test needs of the machine, and what becomes of one that cannot have it.

/// Names what must be there: with the value `all`, a test that cannot run fails.
const REQUIRE: &str = "SIMDB_TEST_REQUIRE";

/// Says that a test, or a part of it, does not run here, and why.
///
/// # Panics
///
/// With `SIMDB_TEST_REQUIRE=all`, which is set where everything must run.
#[track_caller]
#[expect(clippy::print_stdout, reason = "a test that does not run says why")]
pub fn skip(reason: &str) {
    let required = std::env::var_os(REQUIRE).is_some_and(|value| value == "all");
    assert!(!required, "{REQUIRE}=all is set, and this test cannot run: {reason}");
    println!("skipped: {reason}");
}

/// Says that a test is part of `make test-faults` alone, because it takes long.
#[expect(clippy::print_stdout, reason = "a test that does not run says why")]
pub fn leave_to_faults(reason: &str) {
    println!("left to `make test-faults`: {reason}");
}
