//! Plans of whole configurations against a simulated world, so that views are tested on what the planner says.

mod documents;
mod plans;
mod widths;

use simdb_planner::config::{self, Config, Source};
use simdb_planner::desired::LocalSettings;
use simdb_planner::planner::scope::Scope;
use simdb_planner::simulate::{Cut, World};
use simdb_state::sensitive::Secrets;

use crate::ops::{self, Known, Planned};
use crate::views::doc::{Estimates, Operation};

/// A world in which configurations are planned and applied.
#[derive(Default)]
pub(crate) struct Rehearsal {
    /// What is there.
    pub(crate) world: World,
    /// How long steps took before.
    pub(crate) estimates: Estimates,
}

impl Rehearsal {
    /// Returns where servers are by a configuration.
    pub(crate) fn settings(text: &str) -> LocalSettings {
        load(text).0.desired.local
    }

    /// Plans what a configuration asks for.
    pub(crate) fn plan(&self, operation: Operation, text: &str) -> Planned {
        let (config, source) = load(text);
        let secrets = Secrets::new();
        let known = Known {
            config: &config,
            recorded: &self.world.state,
            unfinished: None,
            secrets: &secrets,
            moves: &[],
            scope: &Scope::default(),
        };
        let mut planned = ops::plan(operation, &known, &self.world.observe(), None, &source);
        planned.document.estimate(&self.estimates);
        planned
    }

    /// Plans and runs what a configuration asks for.
    pub(crate) fn apply(&mut self, text: &str) {
        let plan = self.plan(Operation::Apply, text).plan;
        self.world.run(&plan, Cut::Never).unwrap();
    }
}

fn load(text: &str) -> (Config, Source) {
    let mut source = Source::default();
    source.add("main.simdb.hcl", text);
    let (config, diagnostics) = config::load(&source, &[]);
    (config.unwrap_or_else(|| panic!("{diagnostics:?}")), source)
}

/// A cluster of a primary and standbys, with one parameter.
pub(crate) fn cluster(standbys: usize, work_mem: &str) -> String {
    format!(
        "provider \"local\" {{ port_range = \"20000-29999\" }}\n\
         network \"lan\" {{}}\ncluster \"orders\" {{\n  network = network.lan\n  engine \"postgresql\" {{ parameters = {{ work_mem = \"{work_mem}\" }} }}\n  \
         node \"a\" {{}}\n  node \"r\" {{ count = {standbys} }}\n  \
         user \"app\" {{}}\n  database \"app\" {{ owner = \"app\" }}\n  endpoint \"rw\" {{ target = \"primary\" }}\n}}\n"
    )
}
