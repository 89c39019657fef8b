//! A plan in a file: what was reviewed is what runs.
//!
//! ```text
//!   {"simdb_plan":1,"version":"0.1.0","lineage":"…","created":"…"}\n   anybody may read this line
//!   nonce, sealed(zlib(JSON of Body))                                  the key of the state opens it
//! ```
//!
//! The first line is authenticated with the rest. The body holds the steps, the configuration they were made from with the
//! values of its variables, and what the record held of every object that the steps change: an object that moved since
//! makes the plan stale, and nothing else does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{BufWriter, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use simdb_planner::config::{Source, VariableInput};
use simdb_planner::diagnostic::Span;
use simdb_planner::plan::{Plan, Step};
use simdb_planner::planner::Finding;
use simdb_state::address::Address;
use simdb_state::delta::Edit;
use simdb_state::json::{Json, Members};
use simdb_state::object::State;
use simdb_state::store::{Lineage, Store};

use crate::args::Selection;
use crate::error::CliError;
use crate::views::doc::{
    ComparedDoc, Estimates, InterruptedDoc, NotComparedDoc, ObjectDoc, Operation, OutputChangeDoc, PlanDoc, StateDoc,
};

/// The format of the file. A file of another one is refused by its number.
const FORMAT: u32 = 1;

/// How many bytes are compressed at once.
const BUFFER: usize = 1 << 16;

/// How many bytes the first line has at most.
const MAX_HEADER: usize = 1000;

/// What a cluster has that says nothing about what it is: any verification moves it.
const PROOF: &str = "verified";

/// The line that anybody may read.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    simdb_plan: u32,
    version: String,
    lineage: Lineage,
    created: String,
}

/// A plan that was reviewed, and all that it takes to run it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedPlan {
    /// What it is for.
    pub(crate) operation: Operation,
    /// What runs.
    pub(crate) plan: Plan,
    /// What would have brought the record back: what it was about had drifted.
    #[serde(default)]
    drift: Plan,
    /// What differed from the record, and no plan mends.
    #[serde(default)]
    found: Vec<Finding>,
    #[serde(default)]
    estimates: Estimates,
    /// The files of the configuration.
    source: BTreeMap<String, String>,
    variables: Vec<SavedVariable>,
    /// What was recorded of every object that the plan changes; `null` for one that was not there.
    objects: Vec<(Address, Option<Members>)>,
    output_changes: Vec<OutputChangeDoc>,
    compared: ComparedDoc,
    not_compared: Vec<NotComparedDoc>,
    interrupted: Option<InterruptedDoc>,
    /// What it is about.
    #[serde(default)]
    pub(crate) selection: Selection,
}

/// The value of a variable, as it came.
#[derive(Debug, Serialize, Deserialize)]
struct SavedVariable {
    name: String,
    text: String,
    origin: String,
    /// File, first byte and the byte after the last.
    span: Option<(String, usize, usize)>,
}

/// An object that is not what it was when the plan was made.
#[derive(Clone, Debug, PartialEq)]
struct Moved {
    address: Address,
    how: String,
}

impl SavedPlan {
    /// Keeps a plan together with what it was made from.
    pub(crate) fn new(
        (plan, drift, found): (&Plan, &Plan, &[Finding]),
        document: &PlanDoc,
        estimates: Estimates,
        (source, variables): (&Source, &[VariableInput]),
        selection: &Selection,
        recorded: &State,
    ) -> Self {
        let files = source.files().map(|(name, text)| (name.to_owned(), text.to_owned()));
        let variables = variables.iter().map(|input| SavedVariable {
            name: input.name.clone(),
            text: input.text.clone(),
            origin: input.origin.clone(),
            span: input
                .span
                .as_ref()
                .map(|span| (span.file.clone(), span.start, span.end)),
        });
        let objects = Objects::of(recorded);
        Self {
            operation: document.operation,
            source: files.collect(),
            variables: variables.collect(),
            objects: touched(plan)
                .into_iter()
                .map(|address| (address.clone(), objects.at(&address)))
                .collect(),
            output_changes: document.output_changes.clone(),
            compared: document.compared.clone(),
            not_compared: document.not_compared.clone(),
            interrupted: document.interrupted.clone(),
            selection: selection.clone(),
            plan: plan.clone(),
            drift: drift.clone(),
            found: found.to_owned(),
            estimates,
        }
    }

    /// Returns the plan as people and programs read it.
    pub(crate) fn document(&self) -> PlanDoc {
        let mut document = PlanDoc {
            compared: self.compared.clone(),
            complete: self.not_compared.is_empty(),
            not_compared: self.not_compared.clone(),
            interrupted: self.interrupted.clone(),
            ..PlanDoc::new(self.operation, &self.plan, &self.drift, &self.found)
                .with_outputs(self.output_changes.clone())
        };
        document.estimate(&self.estimates);
        document
    }

    /// Returns the configuration that it was made from.
    pub(crate) fn source(&self) -> Source {
        let mut source = Source::default();
        for (name, text) in &self.source {
            source.add(name, text.clone());
        }
        source
    }

    /// Returns the values of variables that it was made with.
    pub(crate) fn variables(&self) -> Vec<VariableInput> {
        let input = |saved: &SavedVariable| VariableInput {
            name: saved.name.clone(),
            text: saved.text.clone(),
            origin: saved.origin.clone(),
            span: saved.span.clone().map(|(file, start, end)| Span { file, start, end }),
        };
        self.variables.iter().map(input).collect()
    }

    /// Refuses to run where an object that the plan changes is not recorded as it was when the plan was made.
    pub(crate) fn check_record(&self, recorded: &State) -> Result<(), CliError> {
        let now = Objects::of(recorded);
        let moved = self.objects.iter().filter_map(|(address, before)| {
            let how = moved(before.as_ref(), now.at(address).as_ref())?;
            Some(Moved {
                address: address.clone(),
                how,
            })
        });
        stale(
            &moved.collect::<Vec<_>>(),
            "recorded otherwise than when the plan was made",
        )
    }

    /// Refuses to run where a plan of this moment, made from the same configuration, has not all of its steps: what the
    /// servers are is not what it was.
    pub(crate) fn check_world(&self, now: &Plan) -> Result<(), CliError> {
        let mut by_address: BTreeMap<&Address, Vec<&Step>> = BTreeMap::new();
        for step in &now.steps {
            by_address.entry(&step.address).or_default().push(step);
        }
        let at = |step: &Step| by_address.get(&step.address).map_or(&[][..], Vec::as_slice);
        let is_same = |a: &Step, b: &Step| a.action == b.action && a.delta == b.delta;
        let missing = self
            .plan
            .steps
            .iter()
            .filter(|step| !at(step).iter().any(|other| is_same(step, other)));
        let moved = missing.map(|step| {
            let name = step.action.name();
            let how = match at(step).iter().find(|other| other.action.name() == name) {
                Some(other) if other.reason != step.reason => {
                    format!(
                        "{name} was planned because {}, and is due because {}",
                        step.reason, other.reason
                    )
                }
                Some(_) => format!("{name} would be done otherwise by now"),
                None => format!("{name} was planned because {}, and is not due any more", step.reason),
            };
            Moved {
                address: step.address.clone(),
                how,
            }
        });
        stale(&moved.collect::<Vec<_>>(), "not what it was when the plan was made")
    }

    /// Writes the file, readable by its owner alone: it is there as a whole or not at all.
    pub(crate) async fn write(&self, path: &Path, store: &Store) -> Result<(), CliError> {
        let header = Header {
            simdb_plan: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            lineage: store.lineage().clone(),
            created: Timestamp::now().to_string(),
        };
        let header = serde_json::to_string(&header).expect("it has string keys and no other way to fail");
        // The compressor takes its time for each call, however little it is given.
        let body = ZlibEncoder::new(Vec::new(), Compression::fast());
        let mut body = BufWriter::with_capacity(BUFFER, body);
        serde_json::to_writer(&mut body, self).expect("memory takes what is written");
        let body = body.into_inner().expect("memory takes what is written");
        let body = body.finish().expect("memory takes what is written");
        let sealed = store.seal(header.as_bytes(), &body).await?;
        let written = write(path, &[header.as_bytes(), b"\n", &sealed]);
        written.map_err(|source| CliError::Write {
            path: path.to_owned(),
            source,
        })
    }

    /// Reads a file that [`SavedPlan::write`] made for the same state.
    pub(crate) async fn read(path: &Path, store: Option<&Store>) -> Result<Self, CliError> {
        let bytes = fs::read(path).map_err(|source| CliError::Read {
            path: path.to_owned(),
            source,
        })?;
        let foreign = || refused(path, "is no plan that simdb saved", "Save one: simdb plan -out FILE");
        let end = bytes
            .iter()
            .take(MAX_HEADER)
            .position(|byte| *byte == b'\n')
            .ok_or_else(foreign)?;
        let (line, sealed) = (&bytes[..end], &bytes[end + 1..]);
        let format = serde_json::from_slice::<Value>(line).ok();
        let format = format.as_ref().and_then(|header| header.get("simdb_plan")?.as_u64());
        if format.ok_or_else(foreign)? != u64::from(FORMAT) {
            return Err(refused(
                path,
                "was saved by another version of simdb",
                "A plan runs with the version that made it. Plan again: simdb plan -out FILE",
            ));
        }
        let header: Header = serde_json::from_slice(line).map_err(|_| foreign())?;
        let Some(store) = store.filter(|store| *store.lineage() == header.lineage) else {
            return Err(refused(
                path,
                "belongs to another state",
                "It runs where it was made. To see which state a configuration has: simdb state list",
            ));
        };
        let damaged = || {
            refused(
                path,
                "is damaged, or the key of the state is another one by now",
                "Plan again: simdb plan -out FILE",
            )
        };
        let body = store.unseal(line, sealed).await?.ok_or_else(damaged)?;
        let mut text = Vec::new();
        ZlibDecoder::new(body.as_slice())
            .read_to_end(&mut text)
            .map_err(|_| damaged())?;
        serde_json::from_slice(&text).map_err(|_| {
            refused(
                path,
                "was saved by another version of simdb",
                "A plan runs with the version that made it. Plan again: simdb plan -out FILE",
            )
        })
    }
}

fn refused(path: &Path, what: &str, hint: &str) -> CliError {
    CliError::refused(
        "Saved plan cannot be used",
        format!("{} {what}. {hint}", path.display()),
    )
}

fn write(path: &Path, parts: &[&[u8]]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let beside = path.with_file_name(name);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// Returns the objects that a plan changes.
fn touched(plan: &Plan) -> BTreeSet<Address> {
    let edited = plan
        .steps
        .iter()
        .flat_map(|step| step.delta.0.iter().map(Edit::address));
    let own = plan.steps.iter().map(|step| step.address.clone());
    let moved = plan.moves.iter().map(|moved| moved.to.clone());
    own.chain(edited).chain(moved).collect()
}

/// What is recorded, by address.
struct Objects(BTreeMap<Address, Members>);

impl Objects {
    fn of(state: &State) -> Self {
        let objects = StateDoc::new(state, 0).objects.into_iter();
        let values = |object: ObjectDoc| {
            let mut values = object.values;
            values.remove(PROOF);
            (object.address, values)
        };
        Self(objects.map(values).collect())
    }

    fn at(&self, address: &Address) -> Option<Members> {
        self.0.get(address).cloned()
    }
}

/// Says how an object moved, if it did.
fn moved(before: Option<&Members>, now: Option<&Members>) -> Option<String> {
    let (before, now) = match (before, now) {
        (None, None) => return None,
        (None, Some(_)) => return Some("it was made".to_owned()),
        (Some(_), None) => return Some("it was removed".to_owned()),
        (Some(before), Some(now)) => (before, now),
    };
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let side = |side: &Members, name: &String| side.get(name).unwrap_or(&Json::Null).to_string();
    let changes: Vec<String> = names
        .into_iter()
        .filter(|name| before.get(*name) != now.get(*name))
        .map(|name| format!("{name} {} -> {}", side(before, name), side(now, name)))
        .collect();
    (!changes.is_empty()).then(|| changes.join(", "))
}

fn stale(moved: &[Moved], what: &str) -> Result<(), CliError> {
    if moved.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = moved
        .iter()
        .map(|Moved { address, how }| format!("  {address}: {how}"))
        .collect();
    Err(CliError::refused(
        "Saved plan is stale",
        format!(
            "What it changes is {what}:\n{}\n\nPlan again, and review that: simdb plan -out FILE",
            lines.join("\n")
        ),
    ))
}
