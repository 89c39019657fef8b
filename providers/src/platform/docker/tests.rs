//! The platform as its users see it, with a real daemon and a real engine.
//!
//! `tests/support/docker-engine.sh` starts a daemon for them, and makes its images.

use std::collections::BTreeSet;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, RestartPolicyNameEnum};
use bollard::query_parameters::CreateContainerOptionsBuilder;
use simdb_planner::desired::LocalSettings;
use simdb_state::instance::{Argument, Command, FilePart, FileText, Stop, StopSignal};
use simdb_state::object::{EngineKind, Network, Resources};
use simdb_state::place::{Bind, HostPort};
use simdb_state::route::{Hints, Route, Wanted};
use simdb_state::sensitive::{SecretName, Sensitive};

use simdb_state::store::Store;
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::conformance::{Fixture, check_directory, check_fabric, check_platform, grant};
use crate::platform::registry::Setup;
use crate::platform::{Providers, registry};

/// Returns where the tests' daemon listens; none where it cannot be had, which is said, and fails where all tests must run.
fn daemon() -> Option<String> {
    if let Ok(host) = std::env::var("SIMDB_TEST_DOCKER_HOST") {
        return Some(host);
    }
    let missing = std::env::var("SIMDB_TEST_DOCKER_MISSING");
    let reason = missing.unwrap_or_else(|_| "run it with tests/support/docker-engine.sh".to_owned());
    let required = std::env::var_os("SIMDB_TEST_REQUIRE").is_some_and(|value| value == "all");
    assert!(
        !required,
        "SIMDB_TEST_REQUIRE=all is set, and this test cannot run: {reason}"
    );
    println!("skipped: {reason}");
    None
}

/// A project on the daemon, with a network.
struct Project {
    host: String,
    lineage: String,
    directory: TempDir,
    subnet: String,
}

impl Project {
    fn new(number: u8) -> Option<Self> {
        Some(Self {
            host: daemon()?,
            lineage: format!("{number:03}{}", std::process::id()),
            directory: tempfile::tempdir().unwrap(),
            subnet: format!("172.29.{number}.0/24"),
        })
    }

    fn open(&self, grant: Option<Grant>) -> Arc<dyn Provider> {
        let arguments = BTreeMap::from([("host".to_owned(), self.host.clone())]);
        let local = LocalSettings {
            others: BTreeMap::from([("docker".to_owned(), arguments)]),
            ..LocalSettings::default()
        };
        let all: Providers = registry::open(&Setup {
            directory: self.directory.path(),
            servers: self.directory.path(),
            lineage: Some(&self.lineage),
            local: &local,
            grant,
        });
        Arc::clone(&all[&"docker".parse().unwrap()])
    }

    fn network(&self) -> Network {
        Network {
            platform: "docker".parse().unwrap(),
            subnet: Some(self.subnet.clone()),
            also_on: std::collections::BTreeSet::new(),
        }
    }

    fn address(&self, last: u8) -> Bind {
        let subnet = self.subnet.strip_suffix("0/24").unwrap();
        Bind {
            host: format!("{subnet}{last}").parse().unwrap(),
            port: 5432,
        }
    }

    fn docker(&self) -> Docker {
        Docker::connect_with_unix(&self.host, 60, bollard::API_DEFAULT_VERSION).unwrap()
    }

    /// Returns the names of all containers, volumes and networks of the project.
    async fn objects(&self) -> BTreeSet<String> {
        let docker = self.docker();
        let filter = HashMap::from([("label".to_owned(), vec![format!("{LINEAGE}={}", self.lineage)])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filter).build();
        let containers = docker.list_containers(Some(options)).await.unwrap();
        let options = ListVolumesOptionsBuilder::new().filters(&filter).build();
        let volumes = docker.list_volumes(Some(options)).await.unwrap();
        let options = bollard::query_parameters::ListNetworksOptionsBuilder::new()
            .filters(&filter)
            .build();
        let networks = docker.list_networks(Some(options)).await.unwrap();
        let containers = containers
            .into_iter()
            .flat_map(|container| container.names.unwrap_or_default());
        let volumes = volumes
            .volumes
            .unwrap_or_default()
            .into_iter()
            .map(|volume| volume.name);
        let networks = networks.into_iter().filter_map(|network| network.name);
        containers.chain(volumes).chain(networks).collect()
    }
}

fn node() -> InstanceAddress {
    "cluster.orders.node.a".parse().unwrap()
}

/// Returns a real engine on an address.
fn fixture(listen: Bind, version: u16) -> Fixture {
    let password = SecretName::password(&"cluster.orders.user.postgres".parse().unwrap());
    let command = |program: &str, arguments: Vec<Argument>| Command {
        engine: EngineKind::Postgresql,
        version,
        program: program.to_owned(),
        arguments,
    };
    let on = |program: &str, directory: &str, mut arguments: Vec<Argument>| {
        arguments.insert(0, Argument::below_directory("--pgdata=", directory));
        command(program, arguments)
    };
    let initdb = vec![
        Argument::text("--auth=scram-sha-256"),
        Argument::text("--username=postgres"),
        Argument::text("--no-sync"),
        Argument::below_directory("--pwfile=", "pwfile"),
    ];
    let task = TaskSpec {
        name: "initdb".to_owned(),
        commands: vec![on("initdb", "data-1.partial", initdb.clone())],
        files: [(
            "pwfile".to_owned(),
            FileText(vec![FilePart::ScramVerifier(password.clone())]),
        )]
        .into_iter()
        .collect(),
        temporary: vec!["pwfile".to_owned()],
        product: Some("data-1".to_owned()),
        ..TaskSpec::default()
    };
    let mut failing = TaskSpec {
        commands: vec![on("initdb", "data-2.partial", initdb)],
        product: Some("data-2".to_owned()),
        ..task.clone()
    };
    failing.commands.push(on("pg_controldata", "nowhere", Vec::new()));
    let settings = format!(
        "listen_addresses = '{}'\nport = {}\nunix_socket_directories = ''\nautovacuum = off\n",
        listen.host, listen.port
    );
    Fixture {
        node: node(),
        task,
        failing,
        question: TaskSpec {
            name: "controldata".to_owned(),
            commands: vec![on("pg_controldata", "data-1", Vec::new())],
            ..TaskSpec::default()
        },
        instance: InstanceSpec {
            command: command(
                "postgres",
                vec![
                    Argument::text("-D"),
                    Argument::below_directory("", "data-1"),
                    Argument::text("-c"),
                    Argument::below_directory("config_file=", "postgresql.conf"),
                ],
            ),
            files: [("postgresql.conf".to_owned(), FileText::text(settings))]
                .into_iter()
                .collect(),
            data: "data-1".to_owned(),
            listen,
            published: None,
            image: None,
            resources: Resources::default(),
            probe: None,
            present: Vec::new(),
            absent: Vec::new(),
            environment: BTreeMap::new(),
            stop: Stop {
                signal: StopSignal::Interrupt,
                within: Duration::from_mins(1),
            },
        },
        secrets: Secrets::from([(password, Sensitive::new("swordfish".to_owned()))]),
        witness: Witness::ContainerExited,
    }
}

/// Returns the newest version that the daemon has an image of.
async fn version(platform: &dyn Provider) -> u16 {
    let facts = platform.facts().await;
    assert!(facts.problems.is_empty(), "{:?}", facts.problems);
    *facts.engines[&EngineKind::Postgresql].last_key_value().unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_keeps_the_contract() {
    let Some(project) = Project::new(1) else { return };
    let platform = project.open(Some(grant()));
    let fixture = fixture(project.address(1), version(&*platform).await);
    let lan = "lan".parse().unwrap();
    platform.ensure_network(&lan, &project.network()).await.unwrap();
    check_platform(&*platform, &fixture).await;
    platform.drop_network(&lan).await.unwrap();
    assert_eq!(project.objects().await, BTreeSet::new());
}

#[tokio::test]
async fn networks_keep_the_contract() {
    let Some(project) = Project::new(2) else { return };
    let Some(other) = Project::new(3) else { return };
    let (platform, theirs) = (project.open(Some(grant())), other.open(Some(grant())));
    let lan = "lan".parse().unwrap();
    theirs.ensure_network(&lan, &other.network()).await.unwrap();
    check_fabric(&*platform, &project.network(), &other.network()).await;
    let refused = platform.ensure_network(&lan, &other.network()).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .contains(&format!("network \"simdb-{}", &other.lineage[..4])),
        "{refused}"
    );
    theirs.drop_network(&lan).await.unwrap();
    assert_eq!(project.objects().await, BTreeSet::new());
    assert_eq!(other.objects().await, BTreeSet::new());
}

#[tokio::test]
async fn the_directory_keeps_the_contract() {
    let Some(project) = Project::new(4) else { return };
    let platform = project.open(Some(grant()));
    let route = |name: &str| Route {
        endpoint: format!("cluster.orders.endpoint.{name}").parse().unwrap(),
        to: vec!["a".parse().unwrap(), "b".parse().unwrap()],
        hosts: [1, 2].map(|last| HostPort::from(project.address(last))).to_vec(),
        hints: Hints {
            database: "app".to_owned(),
            wanted: Wanted::Writer,
        },
    };
    // What a name leads to is there, whether it runs or not.
    let docker = project.docker();
    let names = Names::new(&project.lineage, "");
    let image = format!("postgres:{}", version(&*platform).await);
    let servers = [1, 2].map(|last| format!("{}.orders.n{last}", names.prefix()));
    for (last, name) in (1..).zip(&servers) {
        let mut labels = names.labels(Kind::Server, "cluster.orders.node.a");
        labels.insert(LISTEN.to_owned(), project.address(last).to_string());
        let body = ContainerCreateBody {
            image: Some(image.clone()),
            entrypoint: Some(vec!["/bin/sh".to_owned()]),
            labels: Some(labels),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        docker.create_container(Some(options), body).await.unwrap();
    }
    check_directory(&*platform, &route("rw"), &route("ro")).await;
    for name in &servers {
        docker.remove_container(name, None).await.unwrap();
    }
    assert_eq!(project.objects().await, BTreeSet::new());
}

/// Makes the data of a node and starts its server.
async fn start(project: &Project, platform: &dyn Provider) -> Fixture {
    let fixture = fixture(project.address(1), version(platform).await);
    platform
        .ensure_network(&"lan".parse().unwrap(), &project.network())
        .await
        .unwrap();
    platform
        .run_task(&fixture.node, &fixture.task, &fixture.secrets)
        .await
        .unwrap();
    platform
        .ensure(&fixture.node, &fixture.instance, &fixture.secrets)
        .await
        .unwrap();
    fixture
}

async fn finish(project: &Project, platform: &dyn Provider) {
    Platform::drop(platform, &node()).await.unwrap();
    platform.drop_network(&"lan".parse().unwrap()).await.unwrap();
    assert_eq!(project.objects().await, BTreeSet::new());
}

/// Returns when the daemon starts the container of a server by itself.
async fn policy(project: &Project) -> Option<RestartPolicyNameEnum> {
    let container = format!("simdb-{}.orders.a", &project.lineage[..8.min(project.lineage.len())]);
    let found = project.docker().inspect_container(&container, None).await.unwrap();
    found.host_config.unwrap().restart_policy.unwrap().name
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_comes_back_with_nobody_but_simdb() {
    let Some(project) = Project::new(5) else { return };
    let platform = project.open(Some(grant()));
    let fixture = start(&project, &*platform).await;
    assert_eq!(policy(&project).await, Some(RestartPolicyNameEnum::UNLESS_STOPPED));
    let witness = platform.stop(&fixture.node, StopMode::Immediate).await.unwrap();
    assert_eq!(witness, Witness::ContainerExited);
    assert_eq!(policy(&project).await, Some(RestartPolicyNameEnum::NO));
    platform
        .ensure(&fixture.node, &fixture.instance, &fixture.secrets)
        .await
        .unwrap();
    assert_eq!(policy(&project).await, Some(RestartPolicyNameEnum::UNLESS_STOPPED));
    finish(&project, &*platform).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_started_a_moment_ago_is_stopped_in_order() {
    let Some(project) = Project::new(9) else { return };
    let platform = project.open(Some(grant()));
    let fixture = start(&project, &*platform).await;
    for _ in 0..5 {
        let stopped = timeout(Duration::from_secs(30), platform.stop(&fixture.node, StopMode::Fast)).await;
        assert_eq!(stopped.unwrap().unwrap(), Witness::ContainerExited);
        let Fixture {
            node,
            instance,
            secrets,
            ..
        } = &fixture;
        platform.ensure(node, instance, secrets).await.unwrap();
    }
    finish(&project, &*platform).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_is_seen_and_used_though_all_containers_were_removed() {
    let Some(project) = Project::new(6) else { return };
    let platform = project.open(Some(grant()));
    let fixture = start(&project, &*platform).await;
    platform.stop(&fixture.node, StopMode::Fast).await.unwrap();
    let before = platform.inspect(&fixture.node).await.unwrap();
    let docker = project.docker();
    let objects = project.objects().await;
    for container in objects.iter().filter_map(|name| name.strip_prefix('/')) {
        docker.remove_container(container, None).await.unwrap();
    }
    let looker = project.open(None);
    let seen = looker.inspect(&fixture.node).await.unwrap();
    let (seen, before) = (seen.seen().unwrap(), before.seen().unwrap());
    assert_eq!((&seen.directories, &seen.files), (&before.directories, &before.files));
    let printed = looker
        .run_task(&fixture.node, &fixture.question, &fixture.secrets)
        .await
        .unwrap();
    assert!(printed.contains("shut down"), "{printed}");
    assert!(
        project.objects().await.iter().all(|name| !name.starts_with('/')),
        "a look leaves nothing"
    );
    platform
        .ensure(&fixture.node, &fixture.instance, &fixture.secrets)
        .await
        .unwrap();
    finish(&project, &*platform).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_looks_or_has_an_older_record_changes_nothing() {
    let Some(project) = Project::new(7) else { return };
    let store = Store::in_memory().await.unwrap();
    let older = grant();
    for _ in 0..3 {
        store
            .lock("test", Duration::ZERO)
            .await
            .unwrap()
            .unlock()
            .await
            .unwrap();
    }
    let writer = store.lock("test", Duration::ZERO).await.unwrap();
    let platform = project.open(Some(writer.grant()));
    let fixture = start(&project, &*platform).await;
    for (platform, older) in [(project.open(None), false), (project.open(Some(older)), true)] {
        let refused = |error: &PlatformError| match error {
            PlatformError::OnlyLooked(_) => !older,
            PlatformError::OlderState { notes, .. } => older && notes.ends_with("/.simdb/token.json"),
            _ => false,
        };
        let Fixture {
            node,
            instance,
            secrets,
            failing,
            ..
        } = &fixture;
        let changes = [
            platform.ensure(node, instance, secrets).await,
            platform.reload(node).await,
            platform.stop(node, StopMode::Fast).await.map(drop),
            platform.run_task(node, failing, secrets).await.map(drop),
            Platform::drop(&*platform, node).await,
        ];
        for change in changes {
            let error = change.expect_err("it is refused");
            assert!(refused(&error), "{error:?}");
        }
    }
    assert!(matches!(
        platform.inspect(&fixture.node).await.unwrap().seen().unwrap().process,
        ProcessFacts::Running { .. }
    ));
    finish(&project, &*platform).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_of_somebody_else_is_neither_used_nor_removed() {
    let Some(project) = Project::new(8) else { return };
    let platform = project.open(Some(grant()));
    let fixture = fixture(project.address(1), version(&*platform).await);
    let docker = project.docker();
    let name = format!("simdb-{}.orders.a", &project.lineage[..8.min(project.lineage.len())]);
    let theirs = bollard::models::VolumeCreateRequest {
        name: Some(name.clone()),
        ..Default::default()
    };
    docker.create_volume(theirs).await.unwrap();
    let Fixture {
        node, task, secrets, ..
    } = &fixture;
    let foreign = |error: PlatformError| matches!(error, PlatformError::ForeignInstanceDirectory { .. });
    assert!(foreign(platform.run_task(node, task, secrets).await.unwrap_err()));
    assert!(foreign(platform.inspect(node).await.unwrap_err()));
    assert!(foreign(Platform::drop(&*platform, node).await.unwrap_err()));
    assert!(docker.inspect_volume(&name).await.unwrap().labels.is_empty());
    docker
        .remove_volume(&name, None::<bollard::query_parameters::RemoveVolumeOptions>)
        .await
        .unwrap();
    assert_eq!(project.objects().await, BTreeSet::new());
}
