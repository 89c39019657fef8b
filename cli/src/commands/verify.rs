//! `simdb verify`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use simdb_planner::engine::instance::{SUPERUSER, superuser_password};
use simdb_planner::engine::sync::{self, APPLY_DELAY};
use simdb_planner::plan::{Checked, Server};
use simdb_providers::engine::compare::{Comparison, compare};
use simdb_providers::engine::ledger::{Ledger, LedgerError, Load, Report, Target};
use simdb_providers::engine::log_files;
use simdb_providers::engine::verify::{Expected, verify_sync};
use simdb_providers::executor::chain;
use simdb_providers::sessions::Sessions;
use simdb_state::address::NodeAddress;
use simdb_state::delta::{Delta, Edit};
use simdb_state::name::ClusterName;
use simdb_state::object::{CommitLevel, Damage, Role, State};
use simdb_state::sensitive::Secrets;
use simdb_state::store::{Entry, LockError, Store};

use crate::args::Verify;
use crate::error::CliError;
use crate::exit::Exit;
use crate::interrupt;
use crate::session::{Project, block_on};
use crate::target;
use crate::ui::Ui;
use crate::views::doc::VerifyDoc;
use crate::views::human;
use crate::views::json::document;

/// Checks that the nodes of a cluster hold the same. What cannot be checked is not verified.
pub(super) fn run(arguments: &Verify, ui: &Ui) -> Result<Exit, CliError> {
    block_on(async {
        let project = Project::open()?;
        let store = project.store().await?;
        let Some(store) = store else {
            target::cluster_or_only(&State::default(), arguments.cluster.as_deref())?;
            return Ok(Exit::Failed);
        };
        let snapshot = store.snapshot().await?;
        let cluster = target::cluster_or_only(&snapshot.state, arguments.cluster.as_deref())?;
        let secrets = store.secrets().await?;
        let world = project.recorded_world(store.lineage(), &snapshot);
        let verification = Verification {
            arguments,
            store: &store,
            secrets: &secrets,
            sessions: world.sessions(&secrets),
            cluster: &cluster,
            ui,
        };
        let found = verification.run().await?;
        ui.answer(&if arguments.json {
            document(&found)
        } else {
            human::verify::render(&found, ui.terminal.width)
        });
        Ok(if found.verified { Exit::Done } else { Exit::Unhealthy })
    })
}

struct Verification<'a> {
    arguments: &'a Verify,
    store: &'a Store,
    secrets: &'a Secrets,
    sessions: Sessions<'a>,
    cluster: &'a ClusterName,
    ui: &'a Ui,
}

impl Verification<'_> {
    /// Proves that replication works, writes under load where that is asked for, and compares all tables.
    async fn run(&self) -> Result<VerifyDoc, CliError> {
        let members = self.members().await?;
        let mut found = VerifyDoc::new(self.cluster.clone(), members.standbys.len());
        if !self.sync(&members, &mut found).await {
            return Ok(found);
        }
        let mut members = members;
        if self.arguments.load.is_some() {
            match self.load(&members).await? {
                Ok(report) => found.load(self.arguments.clients, &report),
                Err(error) => {
                    found.problem(chain(&error));
                    return Ok(found);
                }
            }
            // The primary may have moved meanwhile.
            members = self.members().await?;
        }
        match compare(&members.all(), &self.sessions, self.arguments.timeout).await {
            Ok(comparison) => {
                found.comparison(&comparison);
                self.record(&comparison, &mut found).await;
            }
            Err(error) => found.problem(chain(&error)),
        }
        self.logs(&members, &mut found).await;
        Ok(found)
    }

    /// Compares the logs of all standbys with the primary's. What was replayed over since is seen in no table.
    async fn logs(&self, members: &Members, found: &mut VerifyDoc) {
        let standbys = members.standbys.values().map(|standby| standby.server.clone());
        let standbys: Vec<Server> = standbys.collect();
        match log_files::compare(&members.primary, &standbys, &self.sessions).await {
            Ok(differences) => found.logs(&members.primary.node.node, differences),
            Err(error) => found.problem(chain(&error)),
        }
    }

    /// Records which nodes hold something else, so that they take no lead until their data is made anew.
    async fn record(&self, comparison: &Comparison, found: &mut VerifyDoc) {
        let astray = comparison.astray();
        if astray.is_empty() {
            return;
        }
        let names: Vec<String> = astray.keys().map(|address| address.node.to_string()).collect();
        let names = names.join(", ");
        match self.mark(astray).await {
            Ok(()) => found.problem(format!(
                "{names} takes no lead until its data is made anew: run simdb resync {} NODE",
                self.cluster
            )),
            Err(error) => found.problem(format!("that {names} differs could not be recorded: {}", chain(&error))),
        }
    }

    async fn mark(&self, astray: BTreeMap<NodeAddress, String>) -> Result<(), LockError> {
        let mut writer = self.store.lock("verify", Duration::ZERO).await?;
        let recorded = |address: &NodeAddress| writer.state().nodes.contains_key(address);
        let edits = astray
            .into_iter()
            .filter(|(address, _)| recorded(address))
            .map(|(address, what)| Edit::Damage(address, Some(Damage::Differs(what))));
        let marked = [Entry::Found(Delta(edits.collect()))];
        let committed = writer.commit(&marked).await;
        writer.unlock().await?;
        Ok(committed?)
    }

    async fn members(&self) -> Result<Members, CliError> {
        let state = self.store.snapshot().await?.state;
        Members::new(&state, self.cluster).ok_or_else(|| {
            let cluster = self.cluster;
            let detail =
                format!("Cluster \"{cluster}\" has no primary recorded. Look at it with: simdb status {cluster}");
            CliError::refused("No primary", detail)
        })
    }

    async fn sync(&self, members: &Members, found: &mut VerifyDoc) -> bool {
        let limit = self.arguments.timeout;
        let expected = Expected {
            standbys: &members.standbys,
            synchronous: &members.synchronous,
            awaited: members.awaited,
            commit: members.commit,
        };
        match verify_sync(&members.primary, expected, &self.sessions, limit).await {
            Ok(marker) => found.marker = Some(marker),
            Err(error) => found.problem(chain(&error)),
        }
        found.verified
    }

    /// Writes under load until the time is over or somebody interrupts, and accounts for every row.
    async fn load(&self, members: &Members) -> Result<Result<Report, LedgerError>, CliError> {
        let interrupted = interrupt::once()?;
        let duration = self.arguments.load.unwrap_or_default();
        let Some(target) = self.target(members) else {
            let detail = "The state does not hold the superuser's password, so simdb cannot write.";
            return Err(CliError::refused("No password", detail));
        };
        let load = Load {
            clients: self.arguments.clients,
            ..Load::default()
        };
        let ledger = match Ledger::start(target, load).await {
            Ok(ledger) => ledger,
            Err(error) => return Ok(Err(error)),
        };
        self.ui
            .tell(&format!("Writing for {duration:?}; an interrupt ends it sooner.\n"));
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            () = interrupted => {}
        }
        let written = ledger.stop().await;
        let members = self.members().await?;
        let report = written
            .check(&members.all(), &self.sessions, self.arguments.timeout)
            .await;
        let removed = written.remove().await;
        Ok(report.and_then(|report| removed.map(|()| report)))
    }

    /// Leads to whichever node of the cluster takes writes.
    fn target(&self, members: &Members) -> Option<Target> {
        Some(Target {
            hosts: members
                .all()
                .iter()
                .filter_map(|server| server.place.clients.clone())
                .collect(),
            user: SUPERUSER.to_owned(),
            password: self.secrets.get(&superuser_password(self.cluster))?.clone(),
            database: SUPERUSER.to_owned(),
        })
    }
}

/// The servers of a cluster that are to hold the same. A node that was stopped on request is none of them.
struct Members {
    primary: Server,
    /// By the name under which their upstream sees them.
    standbys: BTreeMap<String, Checked>,
    /// Those that commits wait for.
    synchronous: BTreeSet<String>,
    /// How many of them.
    awaited: u32,
    commit: CommitLevel,
}

impl Members {
    fn new(state: &State, cluster: &ClusterName) -> Option<Self> {
        let mut primary = None;
        let mut standbys = BTreeMap::new();
        let election = state.elections.get(cluster);
        let settings = state.clusters.get(cluster)?;
        let rule = &settings.sync_rule;
        for (address, node) in state.nodes_of(cluster).filter(|(_, node)| !node.stopped_by_request) {
            let Some(place) = node.place.clone() else { continue };
            let server = Server {
                node: address.clone(),
                place: Box::new(place),
                password: superuser_password(cluster),
            };
            match &node.role {
                Some(Role::Primary { .. }) => primary = Some(server),
                Some(Role::Standby { follows }) => {
                    let upstream = election.is_some_and(|election| election.primary != *follows);
                    let checked = Checked {
                        server,
                        upstream: upstream.then(|| follows.identifier()),
                        delayed: node.parameters.contains_key(APPLY_DELAY),
                    };
                    standbys.insert(address.node.identifier(), checked);
                }
                _ => {}
            }
        }
        Some(Self {
            primary: primary?,
            standbys,
            synchronous: rule.standbys.clone(),
            awaited: rule.number,
            commit: sync::marker_level(settings.synchronous_commit),
        })
    }

    /// Returns those that hold the same at once: a delayed standby shows it later.
    fn all(&self) -> Vec<Server> {
        let standbys = self.standbys.values().filter(|standby| !standby.delayed);
        let all = std::iter::once(&self.primary).chain(standbys.map(|standby| &standby.server));
        all.cloned().collect()
    }
}
