//! Where a command works: the only place that knows which files, backend and platform there are.

pub(crate) mod contents;
mod files;
pub(crate) mod modules;
mod platforms;
mod storage;
pub(crate) mod workspace;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use simdb_planner::config::{self, Config, MonitorSettings, Settings, Source, VariableInput};
use simdb_planner::desired::{Desired, LocalSettings};
use simdb_planner::diagnostic::Diagnostic;
use simdb_providers::effects::ProviderEffects;
use simdb_providers::platform::local::setup;
use simdb_providers::platform::registry::{self, Setup};
use simdb_providers::platform::{Known, World};
use simdb_state::name::PlatformName;
use simdb_state::object::{ProviderSettings, State};
use simdb_state::secret::KeySource;
use simdb_state::store::{Grant, Lineage, Snapshot, Writer};
use tokio::runtime::Builder;

use crate::args::VariableArgument;
use crate::error::CliError;
use crate::exit::Exit;
use crate::ops::Site;
use crate::saved::SavedPlan;
use crate::ui::Ui;
use crate::views::doc::DiagnosticDoc;
use crate::views::human::diagnostic;

use contents::Ground;
use workspace::Workspace;

pub(crate) use files::is_configuration;
pub(crate) use platforms::platforms;

/// The configuration in the working directory.
pub(crate) struct Project {
    /// Its absolute path.
    pub(crate) directory: PathBuf,
    /// Its files.
    pub(crate) source: Source,
    settings: Settings,
    workspace: Workspace,
    /// The values of its variables, where they are part of a saved plan; else they are looked for.
    inputs: Option<Vec<VariableInput>>,
}

impl Project {
    /// Reads the files of the working directory; their `simdb` block is all that must make sense, and the selected workspace must
    /// be there.
    pub(crate) fn open() -> Result<Project, CliError> {
        let project = Self::in_working_directory()?;
        if project.has(&project.workspace)? {
            Ok(project)
        } else {
            Err(project.lacks(&project.workspace))
        }
    }

    /// Reads the files of the working directory, whether or not the selected workspace is there.
    pub(crate) fn in_working_directory() -> Result<Project, CliError> {
        let directory = std::env::current_dir().map_err(|source| CliError::Directory {
            path: ".".into(),
            source,
        })?;
        let workspace = Workspace::selected(&directory)?;
        let project = Self::at(directory)?;
        Ok(Project { workspace, ..project })
    }

    /// Reads the files of a directory, which is an absolute path, in its default workspace.
    pub(crate) fn at(directory: PathBuf) -> Result<Project, CliError> {
        let source = files::configuration(&directory)?;
        Self::new(directory, source, Workspace::default(), None)
    }

    /// Returns the configuration that a plan was saved with, in place of the one that stands in the directory by now.
    pub(crate) fn with_saved(self, saved: &SavedPlan) -> Result<Project, CliError> {
        let state = self.state_place()?;
        let inputs = Some(saved.variables());
        let saved = Self::new(self.directory, saved.source(), self.workspace, inputs)?;
        if saved.state_place()? == state {
            return Ok(saved);
        }
        let detail =
            "The configuration keeps its state elsewhere since the plan was made. Plan again: simdb plan -out FILE";
        Err(CliError::refused("Saved plan is stale", detail))
    }

    fn new(
        directory: PathBuf,
        source: Source,
        workspace: Workspace,
        inputs: Option<Vec<VariableInput>>,
    ) -> Result<Project, CliError> {
        let (settings, diagnostics) = config::settings(&source);
        if diagnostics.iter().any(Diagnostic::is_error) {
            return Err(CliError::Diagnosed(DiagnosticDoc::all(&diagnostics, &source)));
        }
        Ok(Project {
            directory,
            source,
            settings,
            workspace,
            inputs,
        })
    }

    /// Returns the project with one more file, which need not be there.
    pub(crate) fn with_file(mut self, name: &str, text: &str) -> Project {
        self.source.add(name, text);
        self
    }

    /// Returns the values of variables, as they came, for a saved plan to keep.
    pub(crate) fn kept_inputs(&self, variables: &[VariableArgument]) -> Result<Vec<VariableInput>, CliError> {
        let ephemeral = config::ephemeral_variables(&self.source);
        let mut inputs = self.values(variables)?.inputs;
        inputs.retain(|input| !ephemeral.contains(&input.name));
        Ok(inputs)
    }

    /// Refuses values of variables that a saved plan has already: of those that are typed, only ephemeral ones count.
    pub(crate) fn check_values(&self, variables: &[VariableArgument]) -> Result<(), CliError> {
        let ephemeral = config::ephemeral_variables(&self.source);
        let is_kept = |argument: &&VariableArgument| match argument {
            VariableArgument::Value { name, .. } => !ephemeral.contains(name),
            VariableArgument::File(_) => ephemeral.is_empty(),
        };
        let Some(kept) = variables.iter().find(is_kept) else {
            return Ok(());
        };
        let what = match kept {
            VariableArgument::Value { name, .. } => format!("-var '{name}=...'"),
            VariableArgument::File(name) => format!("-var-file={name}"),
        };
        let detail = format!(
            "The values of variables are part of a saved plan, but for those of ephemeral ones. Leave out {what}, or plan again with it."
        );
        Err(CliError::refused("Saved plan has its values", detail))
    }

    fn values(&self, variables: &[VariableArgument]) -> Result<files::Values, CliError> {
        match &self.inputs {
            Some(inputs) => {
                let mut values = files::Values::of(inputs.clone());
                let ephemeral = config::ephemeral_variables(&self.source);
                // The plan was saved without them.
                if !ephemeral.is_empty() {
                    let given = files::variables(&self.directory, variables)?;
                    values.add(given, |input| ephemeral.contains(&input.name));
                }
                Ok(values)
            }
            None => files::variables(&self.directory, variables),
        }
    }

    /// Reads the whole configuration; returns it with all warnings.
    pub(crate) fn load(&self, variables: &[VariableArgument]) -> Result<(Config, Vec<DiagnosticDoc>), CliError> {
        let (config, diagnostics) = self.check(variables, false)?;
        config
            .map(|config| (config, diagnostics.clone()))
            .ok_or(CliError::Diagnosed(diagnostics))
    }

    /// Reads the whole configuration; returns what could be made of it and all that is wrong with it. Values of variables
    /// may be missing where that is asked for.
    pub(crate) fn check(
        &self,
        variables: &[VariableArgument],
        is_lenient: bool,
    ) -> Result<(Option<Config>, Vec<DiagnosticDoc>), CliError> {
        if self.source.files().next().is_none() {
            return Err(CliError::refused(
                "No configuration",
                format!(
                    "There is no file *.simdb.hcl in {}. Write one, or let simdb write a commented one: simdb init",
                    self.directory.display()
                ),
            ));
        }
        let values = self.values(variables)?;
        // Values of variables come from files, too, and diagnostics point into those, into modules and seeds.
        let mut everything = self.source.clone();
        let (mut config, mut diagnostics) =
            contents::load(self.ground(), &self.source, &values.inputs, is_lenient, &mut everything);
        if let Some(config) = &mut config {
            diagnostics.extend(files::seeds(&self.directory, &mut config.desired, &mut everything));
        }
        let version = config::check_version(&self.settings, env!("CARGO_PKG_VERSION"));
        let all: Vec<Diagnostic> = version
            .into_iter()
            .chain(values.diagnostics)
            .chain(diagnostics)
            .collect();
        let config = config.filter(|_| !all.iter().any(Diagnostic::is_error));
        values
            .source
            .files()
            .for_each(|(name, text)| everything.add(name, text));
        Ok((config, DiagnosticDoc::all(&all, &everything)))
    }

    /// Returns how the local platform is set up, for commands that only look and work without a configuration, too. Where
    /// data lives the record says, also where a configuration says something else. Nothing where neither says it.
    pub(crate) fn local_settings(
        &self,
        variables: &[VariableArgument],
        recorded: Option<ProviderSettings>,
        ui: &Ui,
    ) -> Option<LocalSettings> {
        match (self.load(variables), recorded) {
            (Ok((mut config, _)), recorded) => {
                settle(&mut config.desired, recorded);
                Some(config.desired.local)
            }
            (Err(_), Some(recorded)) => {
                let warning = self.unread("So provider \"local\" is taken to be as it is on record.");
                ui.tell(&diagnostic::render(&warning, ui.terminal.width));
                Some(recorded_settings(recorded))
            }
            (Err(_), None) => {
                let warning = self.unread("So where data lives is not known: this record does not say it yet.");
                ui.tell(&diagnostic::render(&warning, ui.terminal.width));
                None
            }
        }
    }

    /// Returns the configuration, or the record in place of one that is missing or broken: what an emergency asks for needs
    /// none, and a warning says so. It is an error where the record does not say where data lives.
    pub(crate) fn load_or_recorded(
        &self,
        variables: &[VariableArgument],
        snapshot: &Snapshot,
    ) -> Result<(Config, Vec<DiagnosticDoc>), CliError> {
        match (self.load(variables), snapshot.settings.clone()) {
            (Ok((mut config, warnings)), settings) => {
                settle(&mut config.desired, settings);
                Ok((config, warnings))
            }
            (Err(_), Some(settings)) if !snapshot.state.clusters.is_empty() => {
                let warning = self.unread("So simdb takes the record for the configuration.");
                let config = Config::recorded(&snapshot.state, recorded_settings(settings));
                Ok((config, vec![warning]))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Returns the record as a configuration, whatever the files say: what nobody has applied, a monitor does not apply.
    pub(crate) fn recorded(snapshot: &Snapshot) -> Config {
        let settings = snapshot.settings.clone().map(recorded_settings);
        Config::recorded(&snapshot.state, settings.unwrap_or_default())
    }

    /// Returns how a monitor is set up.
    pub(crate) fn monitor(&self) -> (&MonitorSettings, Duration) {
        let monitor = &self.settings.monitor;
        (monitor, monitor.lease(&self.settings.state))
    }

    /// Says that a command goes on without the configuration.
    fn unread(&self, consequence: &str) -> DiagnosticDoc {
        let (title, detail) = if self.source.files().next().is_none() {
            ("There is no configuration here", consequence.to_owned())
        } else {
            let detail = format!("{consequence} To see what is wrong: simdb validate");
            ("The configuration cannot be read", detail)
        };
        DiagnosticDoc::unplaced(&Diagnostic::warning(title, detail))
    }

    /// Returns where the nodes of a record are while the local platform is set up like this.
    pub(crate) fn provider_settings(&self, lineage: &Lineage, local: &LocalSettings) -> ProviderSettings {
        setup::recorded(&self.setup(&self.servers(), Some(lineage), local, None))
    }

    /// Returns what a configuration may refer to beside its own text.
    pub(crate) fn ground(&self) -> Ground<'_> {
        Ground {
            directory: &self.directory,
            workspace: &self.workspace,
        }
    }

    /// Returns where the entries of the project's endpoints are.
    pub(crate) fn service_file(&self) -> PathBuf {
        setup::service_file(&self.servers())
    }

    /// Returns the platforms that clusters run on, to be looked at. Without a record there is none of their nodes yet.
    pub(crate) fn world(&self, lineage: Option<&Lineage>, local: &LocalSettings, platforms: Known) -> World {
        World::new(
            registry::open(&self.setup(&self.servers(), lineage, local, None)),
            platforms,
        )
    }

    /// Returns platforms as a record says that they were set up, to be looked at.
    pub(crate) fn world_of(&self, lineage: &Lineage, settings: ProviderSettings, platforms: Known) -> World {
        self.world(Some(lineage), &recorded_settings(settings), platforms)
    }

    /// Returns the platforms that a record's nodes were last worked on, to be looked at.
    pub(crate) fn recorded_world(&self, lineage: &Lineage, snapshot: &Snapshot) -> World {
        let recorded = snapshot.settings.clone();
        let local = recorded.map(recorded_settings).unwrap_or_default();
        self.world(Some(lineage), &local, platforms(&snapshot.state, &Desired::default()))
    }

    /// Returns the platforms that clusters run on, to be changed by the holder of the record's lock.
    pub(crate) fn site(&self, writer: &Writer, recorded: &State, desired: &Desired) -> Site {
        let servers = self.servers();
        let setup = self.setup(&servers, Some(writer.lineage()), &desired.local, Some(writer.grant()));
        let world = World::new(registry::open(&setup), platforms(recorded, desired));
        let effects = ProviderEffects::new(world.clone(), self.directory.clone(), writer.grant());
        let effects = Arc::new(effects);
        #[cfg(feature = "testing")]
        let effects = crate::testing::wrapped(effects);
        Site { world, effects }
    }

    /// Returns the directory of what leads to the servers of the selected workspace.
    fn servers(&self) -> PathBuf {
        self.workspace.servers(&self.directory)
    }

    fn setup<'a>(
        &'a self,
        servers: &'a Path,
        lineage: Option<&'a Lineage>,
        local: &'a LocalSettings,
        grant: Option<Grant>,
    ) -> Setup<'a> {
        Setup {
            directory: &self.directory,
            servers,
            lineage: lineage.map(|lineage| lineage.0.as_str()),
            local,
            grant,
        }
    }
}

/// Keeps the providers that no block declares any more as they are on record, where something on record is on them: that is still
/// there to be looked at, and to be removed.
pub(crate) fn keep_providers(desired: &mut Desired, snapshot: &Snapshot) {
    let used = platforms(&snapshot.state, &Desired::default()).platforms();
    let recorded = snapshot.settings.iter().flat_map(|settings| settings.others.clone());
    let used = recorded.filter(|(name, _)| is_among(&used, name));
    keep_undeclared(desired, used.collect());
}

/// Sets the platforms up as they are on record as far as that is not for a configuration to say: where data is, and providers that
/// no block declares any more.
fn settle(desired: &mut Desired, recorded: Option<ProviderSettings>) {
    if let Some(recorded) = recorded {
        desired.local.data_root = Some(recorded.data_root);
        keep_undeclared(desired, recorded.others);
    }
}

/// Adds providers on which nothing that is declared is; the others are as their blocks say, or have their defaults without one.
fn keep_undeclared(desired: &mut Desired, providers: BTreeMap<String, BTreeMap<String, String>>) {
    let declared = platforms(&State::default(), desired).platforms();
    let kept = providers.into_iter().filter(|(name, _)| !is_among(&declared, name));
    for (name, arguments) in kept {
        desired.local.others.entry(name).or_insert(arguments);
    }
}

fn is_among(platforms: &BTreeSet<PlatformName>, name: &str) -> bool {
    platforms.iter().any(|platform| platform.as_str() == name)
}

fn recorded_settings(settings: ProviderSettings) -> LocalSettings {
    let ProviderSettings {
        data_root,
        run_as,
        binaries,
        others,
    } = settings;
    LocalSettings {
        data_root: Some(data_root),
        run_as,
        binaries,
        others,
        ..LocalSettings::default()
    }
}

fn keys() -> Result<KeySource, CliError> {
    KeySource::from_environment().map_err(CliError::Keys)
}

/// Runs work that takes time to its end. What it leaves running (a question nobody answered) ends with the program.
pub(crate) fn block_on(work: impl Future<Output = Result<Exit, CliError>>) -> Result<Exit, CliError> {
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use simdb_state::object::Network;

    use super::*;

    const FAR: &str = "far.east";

    /// Returns the arguments of the provider that a network on record may be on, and of which the record says "one".
    fn kept(text: &str, network_is_on: &str) -> Option<BTreeMap<String, String>> {
        let mut source = Source::default();
        source.add("main", text);
        let (config, problems) = config::load(&source, &[]);
        let mut desired = config.unwrap_or_else(|| panic!("{problems:?}")).desired;
        let network = Network {
            platform: network_is_on.parse().unwrap(),
            subnet: None,
            also_on: BTreeSet::new(),
        };
        let snapshot = Snapshot {
            state: State {
                networks: BTreeMap::from([("lan".parse().unwrap(), network)]),
                ..State::default()
            },
            serial: 1,
            unfinished: None,
            settings: Some(ProviderSettings {
                others: BTreeMap::from([(FAR.to_owned(), arguments("one"))]),
                ..ProviderSettings::default()
            }),
        };
        keep_providers(&mut desired, &snapshot);
        desired.local.others.remove(FAR)
    }

    fn arguments(host: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("host".to_owned(), host.to_owned())])
    }

    #[test]
    fn a_provider_without_a_block_is_kept_as_long_as_something_on_record_is_on_it() {
        assert_eq!(kept("network \"other\" {}\n", FAR), Some(arguments("one")));
        assert_eq!(kept("network \"other\" {}\n", "local"), None);
    }

    #[test]
    fn what_is_declared_outranks_what_is_on_record() {
        let mut desired = Desired::default();
        desired.local.others.insert(FAR.to_owned(), arguments("two"));
        let recorded = ProviderSettings {
            data_root: "data".to_owned(),
            others: BTreeMap::from([
                (FAR.to_owned(), arguments("one")),
                ("gone".to_owned(), arguments("three")),
            ]),
            ..ProviderSettings::default()
        };
        settle(&mut desired, Some(recorded));
        assert_eq!(desired.local.data_root.as_deref(), Some("data"));
        assert_eq!(desired.local.others[FAR], arguments("two"));
        assert_eq!(desired.local.others["gone"], arguments("three"));
    }
}
