//! The `simdb` program: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    simdb::run(std::env::args_os()).into()
}
