//! Planners that are broken on purpose: each must be caught by an invariant within a few histories.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestRunner};
use simdb_state::address::NodeAddress;
use simdb_state::instance::{FilePart, InstanceSpec, TaskSpec};
use simdb_state::object::Verdict;

use super::{Mutation, Story, story};
use crate::observed::{Observation, Observed};
use crate::plan::{Action, Evidence, Plan, Server, Step, StepId};

/// How many histories a broken planner may survive.
const LIMIT: usize = 3_000;

fn stories() -> impl Iterator<Item = Story> {
    let config = Config {
        rng_seed: RngSeed::Fixed(4711),
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    std::iter::from_fn(move || Some(story().new_tree(&mut runner).unwrap().current()))
}

/// Returns what an invariant says of a history, if one is broken.
fn caught(story: &Story, mutation: Option<&Mutation>) -> Option<String> {
    let lived = catch_unwind(AssertUnwindSafe(|| story.live(mutation)));
    lived.err().map(|payload| message(&*payload))
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("something else").to_owned()
}

/// Leaves out the steps that are meant; who waited for one of them waits for what that waited for.
fn without(plan: &mut Plan, meant: fn(&Action) -> bool) {
    let mut kept: Vec<Step> = Vec::new();
    let mut instead: Vec<BTreeSet<StepId>> = Vec::new();
    for step in std::mem::take(&mut plan.steps) {
        let after: BTreeSet<StepId> = step
            .after
            .iter()
            .flat_map(|earlier| instead[earlier.index()].iter().copied())
            .collect();
        if meant(&step.action) {
            instead.push(after);
        } else {
            let id = StepId(u32::try_from(kept.len()).unwrap());
            instead.push(BTreeSet::from([id]));
            kept.push(Step { after, ..step });
        }
    }
    plan.steps = kept;
}

/// Lets the steps that are meant wait for nothing.
fn at_once(plan: &mut Plan, meant: fn(&Action) -> bool) {
    let meant = plan.steps.iter_mut().filter(|step| meant(&step.action));
    meant.for_each(|step| step.after.clear());
}

fn is_fence(action: &Action) -> bool {
    matches!(action, Action::Fence { .. })
}

/// All standbys seem to have come equally far.
fn look_alike(observed: &mut Observed) {
    for observation in observed.nodes.values_mut() {
        if let Observation::Seen(facts) = observation
            && let Some(Observation::Seen(server)) = &mut facts.server
        {
            server.position = simdb_state::lsn::Lsn(0x0300_0000);
            server.timeline = 1;
        }
    }
}

fn ask_nobody(plan: &mut Plan) {
    for step in &mut plan.steps {
        if let Action::Promote { survivors, .. } = &mut step.action {
            survivors.clear();
        }
    }
}

fn wait_for_nobody(instance: &mut InstanceSpec) {
    let parts = instance
        .files
        .get_mut("postgresql.conf")
        .into_iter()
        .flat_map(|file| &mut file.0);
    for part in parts {
        if let FilePart::Text(text) = part {
            let lines = text
                .lines()
                .filter(|line| !line.starts_with("synchronous_standby_names"));
            *text = lines.flat_map(|line| [line, "\n"]).collect();
        }
    }
}

/// Rewinds all data that is there, the way `pg_rewind` does by itself.
fn rewind_everything(plan: &mut Plan) {
    let upstreams: BTreeMap<NodeAddress, Server> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::Join { server, upstream, .. } => Some((server.node.clone(), upstream.clone())),
            _ => None,
        })
        .collect();
    for step in &mut plan.steps {
        if let Action::Clone { node, task, data } = &step.action
            && let Some((origin, source)) = task.replaces.last().zip(upstreams.get(node))
        {
            step.action = Action::Rejoin {
                task: Box::new(TaskSpec {
                    product: task.product.clone(),
                    origin: Some(origin.clone()),
                    ..TaskSpec::default()
                }),
                node: node.clone(),
                data: data.clone(),
                source: source.clone(),
            };
        }
    }
}

fn as_it_is(_: &mut Observed) {}

const MUTATIONS: [Mutation; 14] = [
    Mutation {
        name: "drop the fence",
        look: as_it_is,
        edit: |plan| without(plan, is_fence),
    },
    Mutation {
        name: "promote before the fence",
        look: as_it_is,
        edit: |plan| at_once(plan, |action| matches!(action, Action::Promote { .. })),
    },
    Mutation {
        name: "skip the seal",
        look: as_it_is,
        edit: |plan| {
            for step in &mut plan.steps {
                if let Action::Fence { seal, .. } = &mut step.action {
                    *seal = None;
                }
            }
        },
    },
    Mutation {
        name: "skip the rewind",
        look: as_it_is,
        edit: |plan| without(plan, |action| matches!(action, Action::Rejoin { .. })),
    },
    Mutation {
        name: "let a standby's data recover by itself",
        look: as_it_is,
        edit: rewind_everything,
    },
    Mutation {
        name: "skip the election",
        look: as_it_is,
        edit: |plan| without(plan, |action| matches!(action, Action::Elect { .. })),
    },
    Mutation {
        name: "elect without compare-and-set",
        look: as_it_is,
        edit: |plan| {
            for step in &mut plan.steps {
                if let Action::Elect { election, .. } = &mut step.action {
                    election.term.0 += 1;
                }
            }
        },
    },
    Mutation {
        name: "promote the less advanced",
        look: look_alike,
        edit: ask_nobody,
    },
    Mutation {
        name: "promote without the last record",
        look: as_it_is,
        edit: |plan| {
            for step in &mut plan.steps {
                if let Action::Promote {
                    evidence, survivors, ..
                } = &mut step.action
                {
                    survivors.clear();
                    *evidence = Evidence::Verdict(Verdict::Argued {
                        responders: 1,
                        waited: 1,
                        listed: 1,
                    });
                }
            }
        },
    },
    Mutation {
        name: "tighten too early",
        look: as_it_is,
        edit: |plan| at_once(plan, |action| action.name() == "sync-names"),
    },
    Mutation {
        name: "follow before serving",
        look: as_it_is,
        edit: |plan| at_once(plan, |action| matches!(action, Action::Follow { .. })),
    },
    Mutation {
        name: "drop a slot before its user is gone",
        look: as_it_is,
        edit: |plan| at_once(plan, |action| action.name() == "drop-slot"),
    },
    Mutation {
        name: "drop a listed standby before loosening",
        look: as_it_is,
        edit: |plan| at_once(plan, |action| matches!(action, Action::DropNode { .. })),
    },
    Mutation {
        name: "promote with commits that wait for nobody",
        look: as_it_is,
        edit: |plan| {
            for step in &mut plan.steps {
                if let Action::Promote { instance, .. } = &mut step.action {
                    wait_for_nobody(instance);
                }
            }
        },
    },
];

#[test]
fn every_broken_planner_is_caught() {
    for mutation in &MUTATIONS {
        let mut lived = stories().take(LIMIT).enumerate();
        let found = lived.find_map(|(at, story)| Some((at + 1, caught(&story, Some(mutation))?)));
        let (at, invariant) = found.unwrap_or_else(|| panic!("{} is not caught", mutation.name));
        println!(
            "{}: caught by history {at}: {}",
            mutation.name,
            invariant.lines().next().unwrap_or_default()
        );
    }
}
