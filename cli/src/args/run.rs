//! How plans are made, approved and run.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args};
use simdb_planner::plan::{Impact, STEPS};
use simdb_planner::suggest::did_you_mean;
use simdb_providers::executor::{StepLimits, Terms};

use super::{Planning, duration};

/// How a plan is made, approved and run.
#[derive(Debug, Args)]
pub struct Apply {
    /// How to plan.
    #[command(flatten)]
    pub planning: Planning,
    /// Do not ask; never covers data loss, see -allow.
    #[arg(long)]
    pub auto_approve: bool,
    /// Refuse a plan whose worst impact is above this one [default with -auto-approve: downtime]
    #[arg(long, value_name = "IMPACT", value_parser = impact())]
    pub allow: Option<Impact>,
    /// What a plan takes, too.
    #[command(flatten)]
    pub running: Running,
    /// How long steps may take, or those of one kind: 10m, seed=2h [default: until what they wait for has a limit]
    #[arg(long = "step-timeout", value_name = "[STEP=]DURATION", value_parser = step_limit)]
    pub step_timeouts: Vec<StepLimit>,
    /// How often a step is tried again that failed for a reason which passes by itself.
    #[arg(long, value_name = "N", default_value_t = Terms::default().retries)]
    pub retries: u32,
}

/// How an apply runs. A plan takes the same, so that both can be called alike: it runs no step, takes no lock and asks nothing.
#[derive(Debug, Args)]
pub struct Running {
    /// How many steps an apply runs at once.
    #[arg(long, value_name = "N", default_value_t = Terms::default().parallelism, value_parser = parallelism)]
    pub parallelism: usize,
    /// How long an apply waits for the lock of the state, such as 30s or 5m.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub lock_timeout: Duration,
    /// Whether an apply asks where approval is needed; without it that is an error.
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true",
          num_args = 0..=1, require_equals = true, action = ArgAction::Set)]
    pub input: bool,
}

/// How long steps may take: those of one kind, or all that have no limit of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepLimit {
    name: Option<String>,
    limit: Duration,
}

impl Apply {
    /// Returns on which terms the steps run. Of two limits of one kind the last counts.
    pub(crate) fn step_terms(&self) -> Terms {
        let mut limits = StepLimits::default();
        for StepLimit { name, limit } in &self.step_timeouts {
            match name {
                Some(name) => drop(limits.by_name.insert(name.clone(), *limit)),
                None => limits.all = Some(*limit),
            }
        }
        Terms {
            parallelism: self.running.parallelism,
            limits,
            retries: self.retries,
            ..Terms::default()
        }
    }
}

/// All impacts as they are typed, the worst last.
const IMPACTS: [(&str, Impact); 6] = [
    ("none", Impact::None),
    ("reload", Impact::Reload),
    ("restart", Impact::Restart),
    ("write-pause", Impact::WritePause),
    ("downtime", Impact::Downtime),
    ("data-loss", Impact::DataLoss),
];

fn impact() -> impl TypedValueParser<Value = Impact> {
    PossibleValuesParser::new(IMPACTS.map(|(name, _)| name)).map(|text| {
        let found = IMPACTS.into_iter().find(|(name, _)| *name == text);
        found.expect("the parser lets only these through").1
    })
}

fn parallelism(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|&number| number > 0)
        .ok_or_else(|| "it must be a whole number above 0".to_owned())
}

fn step_limit(text: &str) -> Result<StepLimit, String> {
    let (name, limit) = match text.split_once('=') {
        Some((name, limit)) => (Some(name), limit),
        None => (None, text),
    };
    if let Some(name) = name.filter(|name| !STEPS.contains(name)) {
        let meant = did_you_mean(name, STEPS);
        return Err(format!("no step is called \"{name}\"{meant}"));
    }
    let limit = duration(limit)?;
    if limit.is_zero() {
        return Err("a step takes longer than no time at all".to_owned());
    }
    Ok(StepLimit {
        name: name.map(str::to_owned),
        limit,
    })
}
