//! The targets, one for each kind of input.

use std::path::Path;
use std::sync::Arc;

use simdb_planner::config::{self, Config, Options, Source};
use simdb_planner::diagnostic::Diagnostic;
use simdb_planner::observed::{Observed, PlatformFacts};
use simdb_planner::plan::Plan;
use simdb_planner::planner::{self, Inputs};
use simdb_state::object::{EngineKind, State, first_platform};
use simdb_state::secret::KeySource;
use simdb_state::sensitive::Secrets;
use simdb_state::store::Store;

/// A kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A configuration in the native syntax.
    Native,
    /// One in JSON.
    Json,
    /// One in TOML.
    Toml,
    /// Values of variables.
    Variables,
    /// An expression.
    Expression,
    /// A text to be formatted.
    Format,
    /// A lock file.
    Lock,
    /// The plan within a file.
    Plan,
    /// The file of a state.
    State,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Native,
        Self::Json,
        Self::Toml,
        Self::Variables,
        Self::Expression,
        Self::Format,
        Self::Lock,
        Self::Plan,
        Self::State,
    ];

    /// Returns the directory of its cases.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Json => "json",
            Self::Toml => "toml",
            Self::Variables => "variables",
            Self::Expression => "expression",
            Self::Format => "format",
            Self::Lock => "lock",
            Self::Plan => "plan",
            Self::State => "state",
        }
    }

    /// Runs an input.
    ///
    /// # Panics
    ///
    /// Panics where something does not hold.
    pub fn run(self, input: &[u8]) {
        let text = String::from_utf8_lossy(input);
        match self {
            Self::Native => configuration("main.simdb.hcl", &text),
            Self::Json => configuration("main.simdb.json", &text),
            Self::Toml => configuration("cluster.toml", &text),
            Self::Variables => variables(&text),
            Self::Expression => expression(&text),
            Self::Format => format(&text),
            Self::Lock => drop(config::Lock::read(&text)),
            Self::Plan => plan(input),
            Self::State => state(input),
        }
    }
}

fn load(name: &str, text: &str, is_lenient: bool) -> (Option<Config>, Vec<Diagnostic>) {
    let mut source = Source::default();
    source.add(name, text);
    let options = Options {
        variables: &[],
        files: &Arc::default(),
        is_lenient,
    };
    let (config, diagnostics) = config::load_with(&source, &options);
    for diagnostic in &diagnostics {
        assert!(!diagnostic.detail.is_empty(), "{diagnostic:?} says nothing");
        if let Some(span) = &diagnostic.span {
            assert!(
                source.positions(span).is_some(),
                "{diagnostic:?} is nowhere in the text"
            );
        }
    }
    (config, diagnostics)
}

/// Reads a configuration, with and without values of its variables, evaluates its outputs and plans.
fn configuration(name: &str, text: &str) {
    load(name, text, true);
    let (config, diagnostics) = load(name, text, false);
    let is_wrong = diagnostics.iter().any(Diagnostic::is_error);
    assert_eq!(
        config.is_none(),
        is_wrong,
        "there is a configuration exactly where there is no error"
    );
    let Some(config) = config else { return };
    config.outputs(&State::default(), &Secrets::new());
    // A plan of thousands of nodes takes longer than there is.
    if config
        .desired
        .clusters
        .values()
        .map(|cluster| cluster.nodes.len())
        .sum::<usize>()
        < 100
    {
        planned(&config);
    }
}

/// Plans a configuration on a platform that offers what it may ask for.
pub fn planned(config: &Config) -> Plan {
    let mut facts = PlatformFacts::default();
    for version in 15..=18 {
        let engines = facts.engines.entry(EngineKind::Postgresql).or_default();
        engines.insert(version, format!("/usr/lib/postgresql/{version}/bin"));
    }
    let observed = Observed {
        platforms: [(first_platform(), facts)].into(),
        ..Observed::default()
    };
    let inputs = Inputs {
        desired: &config.desired,
        recorded: &State::default(),
        observed: &observed,
        proposal: None,
    };
    planner::plan(inputs).plan
}

fn variables(text: &str) {
    config::variable_file("values", text);
    config::variable_file_json("values", text);
}

fn expression(text: &str) {
    let config = Config::default();
    let (value, diagnostics) = config.evaluate(text, &State::default(), &Secrets::new());
    let is_wrong = diagnostics.iter().any(Diagnostic::is_error);
    assert_eq!(
        value.is_none(),
        is_wrong,
        "there is a value exactly where there is no error: {diagnostics:?}"
    );
    config::is_unfinished(text);
}

/// Formats a text twice: the second time nothing changes, and what it means never does.
fn format(text: &str) {
    let Ok(formatted) = config::format("main.simdb.hcl", text) else {
        return;
    };
    let again = config::format("main.simdb.hcl", &formatted);
    assert_eq!(
        again.as_deref(),
        Ok(formatted.as_str()),
        "formatting changes what is formatted"
    );
    assert_eq!(
        meaning(text),
        meaning(&formatted),
        "formatting changes what a text means"
    );
}

/// Returns what a text means, places left out.
fn meaning(text: &str) -> (Vec<String>, String) {
    let (config, diagnostics) = load("main.simdb.hcl", text, false);
    let mut said: Vec<String> = diagnostics.into_iter().map(|problem| problem.summary).collect();
    said.sort();
    let outputs = config.map(|config| config.outputs(&State::default(), &Secrets::new()).0);
    (said, format!("{outputs:?}"))
}

fn plan(input: &[u8]) {
    let Ok(plan) = serde_json::from_slice::<Plan>(input) else {
        return;
    };
    let written = serde_json::to_vec(&plan).expect("a plan that was read can be written");
    let again: Plan = serde_json::from_slice(&written).expect("a plan that was written can be read");
    assert_eq!(again, plan);
    plan.impact();
}

/// Opens the file of a state and reads all that is in it.
fn state(input: &[u8]) {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let path = directory.path().join("state.db");
    std::fs::write(&path, input).expect("there is room for the file");
    runtime().block_on(async {
        if let Ok(Some(store)) = Store::open(&path, &keys(directory.path())).await {
            let _ = store.snapshot().await;
            let _ = store.secrets().await;
        }
    });
}

/// Returns the file of a state that holds nothing yet.
pub fn empty_state() -> Vec<u8> {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let path = directory.path().join("state.db");
    runtime().block_on(async {
        let store = Store::create(&path, &keys(directory.path())).await;
        drop(store.expect("a state can be made in an empty directory"));
    });
    std::fs::read(path).expect("the state was made")
}

fn keys(directory: &Path) -> KeySource {
    KeySource {
        directory: directory.join("keys"),
        passphrase: None,
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime of one thread needs nothing that could be missing")
}
