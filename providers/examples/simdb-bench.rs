//! What `make bench` needs beside simdb itself:
//!
//! ```text
//!   simdb-bench record DIR PARALLELISM    applies the configuration in DIR on simulated effects; prints steps and seconds
//!   simdb-bench measure PROGRAM ARGS...   runs a program; prints seconds, and the most memory it held in MB
//!   simdb-bench gap HOSTS VICTIM PROGRAM ARGS...
//!                                         runs a program while clients write to whichever of HOSTS (HOST:PORT,...) takes
//!                                         writes, with PGPASSWORD, PGUSER and PGDATABASE (postgres); first kills process VICTIM, where it is not -. Prints
//!                                         the longest time without an acknowledged write, and the program's, in seconds
//! ```
//!
//! `record` leaves the state that an apply of as many real nodes would leave, written by the same executor, store and
//! journal; only what happens to servers is made up.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use simdb_planner::config::{self, Source};
use simdb_planner::desired::Desired;
use simdb_planner::diagnostic::Severity;
use simdb_planner::observed::{Observed, PlatformFacts};
use simdb_planner::plan::{Action, Plan, Step};
use simdb_planner::planner::{Inputs, plan};
use simdb_providers::effects::{Effects, StepError};
use simdb_providers::engine::postgresql::ledger::{Ledger, Load, Target};
use simdb_providers::event::{Event, EventSink};
use simdb_providers::executor::{Terms, execute};
use simdb_state::delta::Outputs;
use simdb_state::identity::DataIdentity;
use simdb_state::lsn::Lsn;
use simdb_state::object::{EngineKind, State, first_platform};
use simdb_state::place::{Host, HostPort};
use simdb_state::secret::KeySource;
use simdb_state::sensitive::{Secrets, Sensitive};
use simdb_state::store::{RunEnd, Store};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let answer = match &words[..] {
        ["record", directory, parallelism] => record(Path::new(directory), parallelism.parse()?)?,
        ["measure", program, arguments @ ..] => measure(program, arguments)?,
        ["gap", hosts, victim, program, arguments @ ..] => gap(hosts, victim, program, arguments)?,
        _ => return Err("usage: simdb-bench record|measure|gap ..., as its source says".into()),
    };
    writeln!(io::stdout(), "{answer}")?;
    Ok(())
}

/// Runs a program without its output, and returns what it took.
fn measure(program: &str, arguments: &[&str]) -> Result<String, Failure> {
    let began = Instant::now();
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).status()?;
    let took = began.elapsed();
    if !status.success() {
        return Err(format!("{program} {}: {status}", arguments.join(" ")).into());
    }
    // In KiB on Linux.
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss() * 1024 / 1_000_000;
    Ok(format!("{:.3} {peak}", took.as_secs_f64()))
}

/// Clients that write at once, with a rest in between: how much a machine can write is not what is measured.
const LOAD: Load = Load {
    clients: 4,
    pause: Duration::from_millis(1),
    answer_limit: Duration::from_secs(30),
};

/// How many rows are acknowledged before something happens, and after it.
const ROWS: u64 = 200;

/// Runs a program under load, and returns for how long nothing was acknowledged meanwhile, and how long it took.
fn gap(hosts: &str, victim: &str, program: &str, arguments: &[&str]) -> Result<String, Failure> {
    let said = |name: &str| std::env::var(name).unwrap_or_else(|_| "postgres".to_owned());
    let at = |host: &str| -> Result<HostPort, Failure> {
        let address: SocketAddr = host.parse()?;
        Ok(HostPort {
            host: Host::Ip(address.ip()),
            port: address.port(),
        })
    };
    let target = Target {
        hosts: hosts.split(',').map(at).collect::<Result<_, _>>()?,
        user: said("PGUSER"),
        password: Sensitive::new(std::env::var("PGPASSWORD")?),
        database: said("PGDATABASE"),
    };
    let victim: Option<i32> = if victim == "-" { None } else { Some(victim.parse()?) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let ledger = Ledger::start(target, LOAD).await?;
        timeout(PATIENCE, ledger.further(ROWS)).await?;
        if let Some(victim) = victim {
            kill(Pid::from_raw(victim), Signal::SIGKILL)?;
        }
        let began = ledger.started().elapsed();
        let mut command = Command::new(program);
        command.args(arguments).stdout(Stdio::null());
        let status = tokio::task::spawn_blocking(move || command.status()).await??;
        let ended = ledger.started().elapsed();
        if !status.success() {
            return Err(format!("{program} {}: {status}", arguments.join(" ")).into());
        }
        timeout(PATIENCE, ledger.further(ROWS)).await?;
        let written = ledger.stop().await;
        let gap = written.fates.longest_gap_within(began..=ended).unwrap_or_default();
        written.remove().await?;
        Ok(format!(
            "{:.3} {:.3}",
            gap.as_secs_f64(),
            ended.saturating_sub(began).as_secs_f64()
        ))
    })
}

/// How long clients may have to wait for their rows.
const PATIENCE: Duration = Duration::from_mins(1);

/// Makes the record of a configuration, and returns how many steps it took, and how long they did.
fn record(directory: &Path, parallelism: usize) -> Result<String, Failure> {
    let desired = read(directory)?;
    let plan = first_plan(&desired)?;
    let path = directory.join(".simdb/state.db");
    fs::create_dir_all(directory.join(".simdb"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let took = runtime.block_on(run(&plan, &path, parallelism))?;
    Ok(format!("{} {:.3}", plan.steps.len(), took.as_secs_f64()))
}

fn read(directory: &Path) -> Result<Desired, Failure> {
    let mut source = Source::default();
    let name = "main.simdb.hcl";
    source.add(name, fs::read_to_string(directory.join(name))?);
    let (config, diagnostics) = config::load(&source, &[]);
    Ok(config.ok_or_else(|| format!("{diagnostics:?}"))?.desired)
}

/// Plans on a machine that has every version that is declared, and nothing else.
fn first_plan(desired: &Desired) -> Result<Plan, Failure> {
    let versions = desired.clusters.values().filter_map(|cluster| cluster.version);
    let engines = versions.map(|version| (version, "/simulated".to_owned())).collect();
    let facts = PlatformFacts {
        engines: [(EngineKind::Postgresql, engines)].into(),
        ..PlatformFacts::default()
    };
    let observed = Observed {
        platforms: [(first_platform(), facts)].into(),
        ..Observed::default()
    };
    let planned = plan(Inputs {
        desired,
        recorded: &State::default(),
        observed: &observed,
        proposal: None,
    });
    let errors = planned.diagnostics.iter();
    let errors: Vec<_> = errors
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .collect();
    if errors.is_empty() {
        Ok(planned.plan)
    } else {
        Err(format!("{errors:?}").into())
    }
}

async fn run(plan: &Plan, path: &Path, parallelism: usize) -> Result<Duration, Failure> {
    let store = Store::create(path, &KeySource::from_environment()?).await?;
    let mut writer = store.lock("apply", Duration::ZERO).await?;
    let effects = Arc::new(Simulated);
    let began = Instant::now();
    writer.begin("apply", plan, u32::try_from(plan.steps.len())?).await?;
    let cancel = CancellationToken::new();
    let terms = Terms {
        parallelism,
        ..Terms::default()
    };
    let outcome = execute(plan, &mut writer, effects, &Silent, &terms, &cancel).await?;
    writer.finish(RunEnd::Done).await?;
    let took = began.elapsed();
    writer.unlock().await?;
    match outcome.failed.first() {
        None => Ok(took),
        Some((_, cause)) => Err(cause.clone().into()),
    }
}

/// Nothing happens, and every step found what is there afterwards.
#[derive(Debug)]
struct Simulated;

#[async_trait]
impl Effects for Simulated {
    async fn run(&self, step: &Step, _: &Secrets) -> Result<Outputs, StepError> {
        let identifier = Outputs {
            identity: Some(DataIdentity::from(4711)),
            ..Outputs::default()
        };
        Ok(match &step.action {
            Action::Primary { .. } | Action::Clone { .. } => identifier,
            Action::Verify { .. } => Outputs {
                marker: Some(Lsn(0x0300_0060).into()),
                ..Outputs::default()
            },
            _ => Outputs::default(),
        })
    }
}

struct Silent;

impl EventSink for Silent {
    fn on_event(&self, _: &Event) {}
}
