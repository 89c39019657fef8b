//! A bounded run of every target. `SIMDB_FUZZ_CASES` says how many inputs each gets, `SIMDB_FUZZ_SEED` where they start.
//!
//! An input that breaks something is written to the directory of the build, with its name in the message; kept below
//! `cases/TARGET/` it is run first from then on.

use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use simdb_fuzz::corpus;
use simdb_fuzz::mutate::{self, Random};
use simdb_fuzz::targets::Target;

/// How long one input may take, on a machine that has other things to do.
const LIMIT: Duration = Duration::from_secs(20);

/// How much memory the whole run may take.
const MEMORY_KIB: u64 = 1 << 20;

fn setting(name: &str, usual: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(usual, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text}"))
    })
}

/// Runs an input, and says which it was where something does not hold.
fn run(target: Target, input: &[u8], name: &str) {
    let start = Instant::now();
    let result = panic::catch_unwind(AssertUnwindSafe(|| target.run(input)));
    let took = start.elapsed();
    if result.is_ok() && took < LIMIT {
        return;
    }
    let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", target.name()));
    std::fs::write(&kept, input).expect("the build can write to its directory");
    panic!(
        "{} breaks or hangs ({took:?}). Keep it below cases/{}/",
        kept.display(),
        target.name()
    );
}

/// Returns the most memory that this process has taken so far.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells of every process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    number.expect("Linux tells the peak of its memory")
}

fn fuzz(target: Target, usual: u64) {
    for (path, input) in corpus::cases(target) {
        run(target, &input, &path.file_name().unwrap_or_default().to_string_lossy());
    }
    let (corpus, words) = (corpus::of(target), corpus::words());
    for (number, input) in corpus.iter().enumerate() {
        run(target, input, &format!("corpus-{number}"));
    }
    let first: u64 = setting("SIMDB_FUZZ_SEED", 1);
    for seed in first..first + setting("SIMDB_FUZZ_CASES", usual) {
        let mut random = Random::new(seed);
        run(target, &mutate::input(&corpus, &words, &mut random), &seed.to_string());
    }
    let peak = peak();
    assert!(peak < MEMORY_KIB, "{} took {peak} KiB", target.name());
}

#[test]
fn any_configuration_is_read_or_refused() {
    fuzz(Target::Native, 3000);
}

#[test]
fn any_configuration_in_json_is_read_or_refused() {
    fuzz(Target::Json, 3000);
}

#[test]
fn any_configuration_in_toml_is_read_or_refused() {
    fuzz(Target::Toml, 3000);
}

#[test]
fn any_values_of_variables_are_read_or_refused() {
    fuzz(Target::Variables, 3000);
}

#[test]
fn any_expression_is_evaluated_or_refused() {
    fuzz(Target::Expression, 5000);
}

#[test]
fn any_text_is_formatted_without_a_change_of_meaning() {
    fuzz(Target::Format, 3000);
}

#[test]
fn any_lock_file_is_read_or_refused() {
    fuzz(Target::Lock, 2000);
}

#[test]
fn any_plan_is_read_or_refused() {
    fuzz(Target::Plan, 2000);
}

#[test]
fn any_state_is_read_or_refused() {
    fuzz(Target::State, 300);
}

#[test]
fn every_target_is_run() {
    let text = include_str!("seeded.rs");
    for target in Target::ALL {
        assert!(text.contains(&format!("Target::{target:?},")), "{target:?}");
    }
}
