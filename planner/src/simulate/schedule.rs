//! How a run goes: in which order the steps come, what happens between them, and where it ends.

use std::collections::BTreeSet;

use super::{Cut, Fault, InstanceDirectory, World};
use crate::guard;
use crate::plan::{Plan, Step};

/// How a run goes.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    /// Where it is cut off.
    pub cut: Cut,
    /// Which of the steps that could come next does, one number a step and over again; none, the first one.
    pub order: Vec<u8>,
    /// What happens meanwhile. Each step has two moments: before it starts, and between its end and its record.
    pub faults: Vec<(u8, Fault)>,
    /// Whether every step runs twice, as after a run that was killed before it could record it.
    pub twice: bool,
}

impl Schedule {
    fn pick(&self, round: usize, ready: &BTreeSet<usize>) -> Option<usize> {
        let choice = self.order.get(round % self.order.len().max(1)).copied().unwrap_or(0);
        ready.iter().nth(usize::from(choice) % ready.len().max(1)).copied()
    }

    fn at(&self, moment: usize) -> impl Iterator<Item = &Fault> {
        let due = self.faults.iter().filter(move |(at, _)| usize::from(*at) == moment);
        due.map(|(_, fault)| fault)
    }
}

impl World {
    /// Runs a plan until it is done or cut off, and enforces the invariants after every step and whatever happens
    /// between them. A step that fails keeps those that wait for it from starting, and no others. An error is what a
    /// real step would say of something that could not be seen when the plan was made.
    ///
    /// # Panics
    /// Where a guard refuses, an effect cannot happen, or an invariant is broken: each is a defect of the planner.
    pub fn follow(&mut self, plan: &Plan, schedule: &Schedule) -> Result<(), String> {
        self.faulted.clear();
        let asked = |directory: &InstanceDirectory| {
            let server = directory.server.as_ref();
            server.is_some_and(|server| !server.frozen && !server.replays)
        };
        let unasked = self.directories.iter().filter(|(_, directory)| !asked(directory));
        self.unasked = unasked.map(|(node, _)| node.clone()).collect();
        let mut open: Vec<usize> = plan.steps.iter().map(|step| step.after.len()).collect();
        let mut ready: BTreeSet<usize> = (0..open.len()).filter(|at| open[*at] == 0).collect();
        let mut failure = None;
        let mut round = 0;
        while let Some(at) = schedule.pick(round, &ready) {
            ready.remove(&at);
            schedule.at(2 * round).for_each(|fault| self.inject(fault));
            let step = &plan.steps[at];
            if let Err(refusal) = guard::check(step, &self.state) {
                panic!("{} of {} is refused: {refusal}", step.action.name(), step.address);
            }
            self.state.begin(&step.delta);
            match schedule.cut {
                Cut::Before(last) if last == round => return Ok(()),
                Cut::Within(last) if last == round => {
                    self.begin(step);
                    return Ok(());
                }
                _ => {}
            }
            match self.take(step, plan, schedule, round) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => {
                    failure.get_or_insert(error);
                    round += 1;
                    continue;
                }
            }
            for (later, step) in plan.steps.iter().enumerate() {
                if step.after.iter().any(|earlier| earlier.index() == at) {
                    open[later] -= 1;
                    if open[later] == 0 {
                        ready.insert(later);
                    }
                }
            }
            round += 1;
        }
        failure.map_or(Ok(()), Err)
    }

    /// Lets one step happen and records it; false where the run is cut off between the two.
    fn take(&mut self, step: &Step, plan: &Plan, schedule: &Schedule, round: usize) -> Result<bool, String> {
        self.waited_for(step, plan);
        let mut outputs = self.effect(step)?;
        self.sound();
        if schedule.twice {
            outputs = self.effect(step)?;
            self.sound();
        }
        schedule.at(2 * round + 1).for_each(|fault| self.inject(fault));
        if schedule.cut == Cut::After(round) {
            return Ok(false);
        }
        self.state.apply(&step.delta, &outputs);
        self.truthful(step);
        Ok(true)
    }
}
