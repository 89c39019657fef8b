//! The binary starts and says what it is.

use simdb_tests::TestEnvironment;

#[test]
fn version_goes_to_standard_output_alone() {
    let output = TestEnvironment::new().run(&["version"]);
    output.expect_code(0);
    assert!(
        output.stdout.starts_with(concat!("simdb ", env!("CARGO_PKG_VERSION"))),
        "{}",
        output.stdout
    );
    assert_eq!(output.stderr, "");
}
