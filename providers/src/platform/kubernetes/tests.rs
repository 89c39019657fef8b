//! The platform as its users see it, with a real API server, real kubelets and a real engine.
//!
//! `tests/support/kubernetes/bed.sh` starts a cluster for them, and makes its images. Each test has a namespace for itself.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;
use simdb_planner::desired::LocalSettings;
use simdb_state::instance::{Argument, Command, FilePart, FileText, Stop, StopSignal};
use simdb_state::object::{EngineKind, Network, Resources};
use simdb_state::place::{Bind, HostPort};
use simdb_state::route::{Hints, Route, Wanted};
use simdb_state::sensitive::{SecretName, Sensitive};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::client::Object;
use super::*;
use crate::conformance::{Fixture, check_directory, check_fabric, check_platform, grant};
use crate::platform::registry::{self, Setup};

/// Returns the kubeconfig of the tests' cluster; none where it cannot be had, which is said, and fails where all tests must run.
fn kubeconfig(nodes: bool) -> Option<String> {
    let bed = std::env::var("SIMDB_TEST_KUBERNETES_BED").ok();
    // A bed of an API server alone has no machines that would run anything.
    let has_nodes = bed.is_none_or(|bed| std::path::Path::new(&bed).join("n1").exists());
    if let (Ok(path), true) = (std::env::var("SIMDB_TEST_KUBECONFIG"), has_nodes || !nodes) {
        return Some(path);
    }
    let missing = std::env::var("SIMDB_TEST_KUBERNETES_MISSING");
    let reason = missing.unwrap_or_else(|_| "run it with tests/support/kubernetes/bed.sh".to_owned());
    let required = std::env::var_os("SIMDB_TEST_REQUIRE").is_some_and(|value| value == "all");
    assert!(
        !required,
        "SIMDB_TEST_REQUIRE=all is set, and this test cannot run: {reason}"
    );
    println!("skipped: {reason}");
    None
}

/// A project in a namespace of its own.
struct Project {
    kubeconfig: String,
    namespace: String,
    directory: TempDir,
}

impl Project {
    async fn new(name: &str, nodes: bool) -> Option<Self> {
        let project = Self {
            kubeconfig: kubeconfig(nodes)?,
            namespace: format!("{name}-{}", std::process::id()),
            directory: tempfile::tempdir().unwrap(),
        };
        let namespace: Namespace = serde_json::from_value(json!({ "metadata": {
            "name": project.namespace, "labels": { "pod-security.kubernetes.io/enforce": "restricted" },
        } }))
        .unwrap();
        let api: Api<Namespace> = Api::all(project.server().await.client);
        api.create(&PostParams::default(), &namespace).await.unwrap();
        Some(project)
    }

    fn arguments(&self) -> BTreeMap<String, String> {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        BTreeMap::from([
            pair("kubeconfig", &self.kubeconfig),
            pair("namespace", &self.namespace),
            pair("image", "simdb.test/postgres:{version}"),
            pair("pooler_image", "simdb.test/pgbouncer:1"),
            pair("storage", "512MB"),
        ])
    }

    async fn server(&self) -> Server {
        let settings = Settings::read(&self.arguments(), self.directory.path());
        Server::connect(&settings).await.unwrap()
    }

    fn open(&self, lineage: &str, grant: Option<Grant>) -> Arc<dyn Provider> {
        let local = LocalSettings {
            others: BTreeMap::from([("kubernetes".to_owned(), self.arguments())]),
            ..LocalSettings::default()
        };
        let all = registry::open(&Setup {
            directory: self.directory.path(),
            servers: self.directory.path(),
            lineage: Some(lineage),
            local: &local,
            grant,
        });
        Arc::clone(&all[&"kubernetes".parse().unwrap()])
    }

    /// Returns the names of all objects that simdb made in the namespace.
    async fn objects(&self) -> BTreeSet<String> {
        let server = self.server().await;
        let mut all = BTreeSet::new();
        names::<StatefulSet>(&server, &mut all).await;
        names::<Pod>(&server, &mut all).await;
        names::<Service>(&server, &mut all).await;
        names::<PersistentVolumeClaim>(&server, &mut all).await;
        names::<PodDisruptionBudget>(&server, &mut all).await;
        names::<NetworkPolicy>(&server, &mut all).await;
        all
    }

    /// Removes the namespace, which has nothing of simdb any more.
    async fn finish(self) {
        assert_eq!(self.objects().await, BTreeSet::new());
        let api: Api<Namespace> = Api::all(self.server().await.client);
        api.delete(&self.namespace, &DeleteParams::default()).await.unwrap();
    }
}

async fn names<T: Object>(server: &Server, all: &mut BTreeSet<String>) {
    let listed = server.list::<T>(&format!("{MANAGED_BY}={MANAGER}")).await.unwrap();
    all.extend(
        listed
            .items
            .iter()
            .map(|object| format!("{} {}", T::kind(&()), object.name_any())),
    );
}

fn node() -> InstanceAddress {
    "cluster.orders.node.a".parse().unwrap()
}

fn anywhere() -> Bind {
    Bind {
        host: "0.0.0.0".parse().unwrap(),
        port: 5432,
    }
}

/// Returns a real engine.
fn fixture() -> Fixture {
    let password = SecretName::password(&"cluster.orders.user.postgres".parse().unwrap());
    let command = |program: &str, arguments: Vec<Argument>| Command {
        engine: EngineKind::Postgresql,
        version: 15,
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
    let settings = "listen_addresses = '*'\nport = 5432\nunix_socket_directories = ''\nautovacuum = off\n";
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
            listen: anywhere(),
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
        witness: Witness::ProcessesGone,
    }
}

/// Makes the data of a node and starts its server.
async fn start(platform: &dyn Provider) -> Fixture {
    let fixture = fixture();
    let task = platform.run_task(&fixture.node, &fixture.task, &fixture.secrets).await;
    task.unwrap();
    let ensured = platform
        .ensure(&fixture.node, &fixture.instance, &fixture.secrets)
        .await;
    ensured.unwrap();
    fixture
}

async fn process(platform: &dyn Provider) -> ProcessFacts {
    match platform.inspect(&node()).await.unwrap() {
        Observation::Seen(facts) => facts.process,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_keeps_the_contract() {
    let Some(project) = Project::new("contract", true).await else {
        return;
    };
    let platform = project.open("1a2b", Some(grant()));
    let facts = platform.facts().await;
    assert!(facts.problems.is_empty(), "{:?}", facts.problems);
    check_platform(&*platform, &fixture()).await;
    project.finish().await;
}

#[tokio::test]
async fn networks_keep_the_contract() {
    let Some(project) = Project::new("networks", false).await else {
        return;
    };
    let platform = project.open("1a2b", Some(grant()));
    let network = |subnet: Option<&str>| Network {
        platform: "kubernetes".parse().unwrap(),
        subnet: subnet.map(str::to_owned),
        also_on: std::collections::BTreeSet::new(),
    };
    check_fabric(&*platform, &network(None), &network(Some("172.30.0.0/24"))).await;
    project.finish().await;
}

#[tokio::test]
async fn the_directory_keeps_the_contract() {
    let Some(project) = Project::new("directory", false).await else {
        return;
    };
    let platform = project.open("1a2b", Some(grant()));
    let route = |name: &str| Route {
        endpoint: format!("cluster.orders.endpoint.{name}").parse().unwrap(),
        to: vec!["a".parse().unwrap(), "b".parse().unwrap()],
        hosts: ["orders-a.db.svc", "orders-b.db.svc"]
            .map(|host| HostPort {
                host: host.parse().unwrap(),
                port: 5432,
            })
            .to_vec(),
        hints: Hints {
            database: "app".to_owned(),
            wanted: Wanted::Writer,
        },
    };
    check_directory(&*platform, &route("rw"), &route("ro")).await;
    // Somebody leads clients elsewhere.
    platform.publish(&route("rw")).await.unwrap();
    let server = project.server().await;
    let elsewhere = json!({ "spec": { "selector": { "simdb.dev/server": "orders-b" } } });
    server.merge::<Service>("orders-rw", &elsewhere).await.unwrap();
    let seen = platform.lookup(&route("rw").endpoint).await.unwrap();
    assert_eq!(seen.seen().unwrap().hosts, Vec::new());
    platform.publish(&route("rw")).await.unwrap();
    let seen = platform.lookup(&route("rw").endpoint).await.unwrap();
    assert_eq!(seen.seen().unwrap().hosts, route("rw").hosts);
    platform.withdraw(&route("rw").endpoint).await.unwrap();
    project.finish().await;
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    let Some(project) = Project::new("foreign", false).await else {
        return;
    };
    let theirs = project.open("3c4d", Some(grant()));
    let route = Route {
        endpoint: "cluster.orders.endpoint.rw".parse().unwrap(),
        to: vec!["a".parse().unwrap()],
        hosts: Vec::new(),
        hints: Hints::default(),
    };
    theirs.publish(&route).await.unwrap();
    let server = project.server().await;
    let names = Names::new("3c4d", "/elsewhere");
    let settings = Settings::read(&project.arguments(), project.directory.path());
    let made = pod::Made::of(
        &fixture().instance.command,
        "db:15".to_owned(),
        Resources::default(),
        None,
    );
    let volume = build::volume(&names, &Names::instance(&node()), &settings, &made);
    server.create(&volume).await.unwrap();
    let ours = project.open("1a2b", Some(grant()));
    let before = project.objects().await;
    let is_foreign = |error: &PlatformError| matches!(error, PlatformError::ForeignInstanceDirectory { .. });
    let error = ours.inspect(&node()).await.unwrap_err();
    assert!(is_foreign(&error), "{error}");
    let fixture = fixture();
    let error = ours
        .run_task(&node(), &fixture.task, &fixture.secrets)
        .await
        .unwrap_err();
    assert!(is_foreign(&error), "{error}");
    let error = ours.stop(&node(), StopMode::Immediate).await.unwrap_err();
    assert!(is_foreign(&error), "{error}");
    let error = Platform::drop(&*ours, &node()).await.unwrap_err();
    assert!(is_foreign(&error), "{error}");
    let error = ours.publish(&route).await.unwrap_err();
    assert!(matches!(error, PlatformError::ForeignEntry { .. }), "{error}");
    assert!(matches!(
        ours.lookup(&route.endpoint).await.unwrap(),
        Observation::Unknown(_)
    ));
    ours.withdraw(&route.endpoint).await.unwrap();
    assert_eq!(project.objects().await, before);
    assert!(ours.list().await.unwrap().is_empty());
    theirs.withdraw(&route.endpoint).await.unwrap();
    let now = DeleteParams::default();
    server.delete::<PersistentVolumeClaim>("orders-a", &now).await.unwrap();
    timeout(Duration::from_secs(30), async {
        while !project.objects().await.is_empty() {
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await
    .expect("it goes");
    project.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_reached_through_the_api_server() {
    let Some(project) = Project::new("forward", true).await else {
        return;
    };
    let platform = project.open("1a2b", Some(grant()));
    start(&*platform).await;
    let place = Place::shared(anywhere());
    // It asks whether TLS may be spoken, and is told that it may not.
    let answered = timeout(Duration::from_secs(30), async {
        loop {
            let mut stream = platform.dial(&node(), &place).await.unwrap();
            stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await.unwrap();
            let mut answer = [0];
            if stream.read_exact(&mut answer).await.is_ok() {
                break answer[0];
            }
        }
    });
    assert_eq!(answered.await.expect("it listens"), b'N');
    let missing = platform.dial(&"cluster.orders.node.b".parse().unwrap(), &place).await;
    assert!(missing.is_err());
    Platform::drop(&*platform, &node()).await.unwrap();
    project.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_comes_back_with_its_pod_unless_it_was_stopped() {
    let Some(project) = Project::new("pods", true).await else {
        return;
    };
    let platform = project.open("1a2b", Some(grant()));
    let fixture = start(&*platform).await;
    let server = project.server().await;
    let remove = async || {
        let before = server.get::<Pod>("orders-a-0").await.unwrap().unwrap().metadata.uid;
        server
            .delete::<Pod>("orders-a-0", &DeleteParams::default().grace_period(30))
            .await
            .unwrap();
        let again = async {
            loop {
                let pod = server.get::<Pod>("orders-a-0").await.unwrap();
                if pod.is_some_and(|pod| pod.metadata.uid != before && explain::waits(&pod).is_none()) {
                    break;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(Duration::from_mins(1), again)
            .await
            .expect("the set makes another one");
    };
    remove().await;
    let runs = async {
        while !matches!(process(&*platform).await, ProcessFacts::Running { .. }) {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(20), runs).await.expect("it runs again");
    assert_eq!(
        platform.stop(&fixture.node, StopMode::Immediate).await.unwrap(),
        Witness::ProcessesGone
    );
    remove().await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(process(&*platform).await, ProcessFacts::Down, "it was stopped");
    Platform::drop(&*platform, &node()).await.unwrap();
    project.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_older_than_the_last_change_changes_nothing() {
    let Some(project) = Project::new("older", true).await else {
        return;
    };
    let newer = project.open("1a2b", Some(grant()));
    let fixture = start(&*newer).await;
    let server = project.server().await;
    let written = server
        .run("orders-a-0", "printf 99 >/var/lib/simdb/.simdb/token", None)
        .await;
    written.unwrap();
    let error = newer.stop(&fixture.node, StopMode::Immediate).await.unwrap_err();
    assert!(matches!(error, PlatformError::OlderState { noted: 99, .. }), "{error}");
    assert!(matches!(process(&*newer).await, ProcessFacts::Running { .. }));
    server
        .run("orders-a-0", "printf 0 >/var/lib/simdb/.simdb/token", None)
        .await
        .unwrap();
    Platform::drop(&*newer, &node()).await.unwrap();
    project.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_pod_does_not_answer_is_ended_through_its_machine_and_starts_when_it_is_told_so() {
    let Some(project) = Project::new("fence", true).await else {
        return;
    };
    let platform = KubernetesPlatform {
        settings: Settings::read(&project.arguments(), project.directory.path()),
        names: Names::new("1a2b", "/srv"),
        grant: Some(grant()),
        server: OnceCell::new(),
        locks: Mutex::default(),
        looks: Looks::default(),
    };
    let fixture = start(&platform).await;
    let hold = platform.take(&node()).await.unwrap();
    let refused = fence::from_outside(&hold, StopMode::Fast, "it is a test".to_owned()).await;
    assert!(matches!(refused, Err(PlatformError::Unprovable { .. })), "{refused:?}");
    for _ in 0..2 {
        // Who asks again after a crash finds no pod, and what was proven.
        let witness = fence::from_outside(&hold, StopMode::Immediate, "it is a test".to_owned()).await;
        assert_eq!(witness.unwrap(), Witness::PodGone);
    }
    drop(hold);
    assert!(matches!(
        platform.inspect(&node()).await.unwrap(),
        Observation::Unknown(_)
    ));
    let seal = TaskSpec {
        name: "seal".to_owned(),
        files: [("data-1/sealed".to_owned(), FileText::default())]
            .into_iter()
            .collect(),
        ..TaskSpec::default()
    };
    platform.run_task(&node(), &seal, &fixture.secrets).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(
        process(&platform).await,
        ProcessFacts::Down,
        "nothing starts it by itself"
    );
    platform
        .ensure(&node(), &fixture.instance, &fixture.secrets)
        .await
        .unwrap();
    assert!(matches!(process(&platform).await, ProcessFacts::Running { .. }));
    let set = project
        .server()
        .await
        .get::<StatefulSet>("orders-a")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(site::annotation(&set.metadata, names::FENCED), None);
    Platform::drop(&platform, &node()).await.unwrap();
    project.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_removed_by_force_proves_nothing() {
    let Some(project) = Project::new("force", true).await else {
        return;
    };
    let platform = project.open("1a2b", Some(grant()));
    start(&*platform).await;
    let server = project.server().await;
    let off = json!({ "spec": { "replicas": 0 } });
    server.merge::<StatefulSet>("orders-a", &off).await.unwrap();
    let force = DeleteParams::default().grace_period(0);
    server.delete::<Pod>("orders-a-0", &force).await.unwrap();
    let stopped = platform.stop(&node(), StopMode::Immediate).await;
    assert!(matches!(stopped, Err(PlatformError::Unprovable { .. })), "{stopped:?}");
    Platform::drop(&*platform, &node()).await.unwrap();
    project.finish().await;
}
