//! What every platform must do alike, as tests that a platform runs on itself.
//!
//! The contract is in the documentation of [`Platform`] and of the specifications it is given; each check names its rule.

use std::time::Duration;

use futures_util::FutureExt;
use simdb_planner::observed::{Observation, ProcessFacts, RouteFacts};
use simdb_state::address::InstanceAddress;
use simdb_state::instance::{FileText, InstanceSpec, TaskSpec};
use simdb_state::name::NetworkName;
use simdb_state::object::{Network, Witness};
use simdb_state::route::Route;
use simdb_state::sensitive::Secrets;
use simdb_state::store::{Grant, Store};
use tokio::time::{sleep, timeout};

use crate::platform::{Endpoints, Fabric, InstanceFacts, Platform, PlatformError, StopMode};

/// How long a server may take until it is where a check needs it.
const LIMIT: Duration = Duration::from_mins(2);

/// How often a removal is looked at: each time at other moments of it.
const ROUNDS: usize = 10;

/// What the checks run: a platform's own tests know which programs it has.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// A node without an instance directory.
    pub node: InstanceAddress,
    /// Makes the instance's data, and prints something.
    pub task: TaskSpec,
    /// Makes half of a product, then fails.
    pub failing: TaskSpec,
    /// Reads the instance's data, and changes nothing.
    pub question: TaskSpec,
    /// Runs on the data, and logs something, also when it reads its files again. One of its files is in the data.
    pub instance: InstanceSpec,
    /// What the two need.
    pub secrets: Secrets,
    /// How the platform knows that nothing of a server runs any more.
    pub witness: Witness,
}

/// Returns the grant of a lock that nobody else wants.
pub fn grant() -> Grant {
    let locked = async {
        let store = Store::in_memory().await.expect("memory can be written");
        store
            .lock("test", Duration::ZERO)
            .await
            .expect("no process holds the lock")
    };
    let writer = locked.now_or_never().expect("memory answers at once");
    writer.grant()
}

/// Checks a platform, from a node that is not there to a node that is gone again.
pub async fn check_platform(platform: &dyn Platform, fixture: &Fixture) {
    let checks = Checks { platform, fixture };
    checks
        .what_is_not_there_is_absent_and_can_be_stopped_and_dropped()
        .await;
    checks.a_server_without_data_is_not_started().await;
    checks.a_failed_task_leaves_no_product().await;
    checks.a_task_makes_its_product_once().await;
    checks.a_server_is_started_once().await;
    checks.a_file_that_is_no_longer_listed_goes().await;
    checks.a_marker_is_there_or_not_as_the_spec_says().await;
    checks.a_server_reads_its_files_again_without_a_restart().await;
    checks.a_task_is_refused_while_the_server_runs().await;
    checks
        .a_stopped_server_is_down_and_can_be_started_again(StopMode::Fast)
        .await;
    checks
        .a_stopped_server_is_down_and_can_be_started_again(StopMode::Immediate)
        .await;
    checks.a_dropped_node_is_gone().await;
    for _ in 0..ROUNDS {
        checks.a_node_can_be_dropped_while_it_is_looked_at().await;
    }
}

/// Checks that networks can be made, looked at and removed, each call twice. One of `impossible` addresses is refused.
pub async fn check_fabric(fabric: &dyn Fabric, usable: &Network, impossible: &Network) {
    let lan: NetworkName = "lan".parse().expect("it is a name");
    for _ in 0..2 {
        fabric.ensure_network(&lan, usable).await.expect("it can be made");
        let seen = fabric.network(&lan).await.expect("it can be looked at");
        let facts = seen.seen().expect("it is there");
        assert!(
            facts.subnet.is_none() || facts.subnet == usable.subnet,
            "{facts:?} has the addresses of {usable:?}"
        );
    }
    for _ in 0..2 {
        fabric.drop_network(&lan).await.expect("it can be removed");
    }
    let left = fabric.networks().await.expect("networks can be listed");
    assert!(!left.contains(&lan), "a removed network is gone");
    let refused = fabric.ensure_network(&lan, impossible).await;
    assert!(
        matches!(refused, Err(PlatformError::Addresses { .. })),
        "{impossible:?} cannot be made, and {refused:?}"
    );
}

/// Checks a directory with two routes of different names.
pub async fn check_directory(directory: &dyn Endpoints, first: &Route, second: &Route) {
    let seen = |route: &Route| {
        let endpoint = route.endpoint.clone();
        async move {
            let seen = directory.lookup(&endpoint).await;
            seen.expect("a route can be looked up")
        }
    };
    directory
        .withdraw(&first.endpoint)
        .await
        .expect("what is not there can be withdrawn");
    assert_eq!(seen(first).await, Observation::Absent);
    for route in [first, second, first] {
        directory
            .publish(route)
            .await
            .expect("a route can be published, and again");
        assert_eq!(seen(route).await, facts(route));
    }
    let mut moved = first.clone();
    moved.hosts.reverse();
    directory.publish(&moved).await.expect("a route can be moved");
    assert_eq!(seen(first).await, facts(&moved));
    assert_eq!(seen(second).await, facts(second));
    for route in [first, second, first] {
        directory
            .withdraw(&route.endpoint)
            .await
            .expect("a route can be withdrawn, and again");
        assert_eq!(seen(route).await, Observation::Absent);
    }
}

fn facts(route: &Route) -> Observation<RouteFacts> {
    let Route { hosts, hints, .. } = route.clone();
    Observation::Seen(RouteFacts { hosts, hints })
}

struct Checks<'a> {
    platform: &'a dyn Platform,
    fixture: &'a Fixture,
}

impl Checks<'_> {
    async fn look(&self) -> Observation<InstanceFacts> {
        self.platform
            .inspect(&self.fixture.node)
            .await
            .expect("a node can be looked at")
    }

    async fn directory(&self) -> InstanceFacts {
        match self.look().await {
            Observation::Seen(directory) => directory,
            other => panic!("the instance directory is there, and was seen as {other:?}"),
        }
    }

    async fn pid(&self) -> u32 {
        match self.directory().await.process {
            ProcessFacts::Running { pid } => pid,
            other => panic!(
                "the server does not run, and was seen as {other:?}: {:?}",
                self.log().await
            ),
        }
    }

    async fn log(&self) -> Vec<String> {
        self.platform
            .log(&self.fixture.node, 20)
            .await
            .expect("a log can be read")
    }

    async fn ensure(&self) -> Result<(), PlatformError> {
        let Fixture {
            node,
            instance,
            secrets,
            ..
        } = self.fixture;
        self.platform.ensure(node, instance, secrets).await
    }

    /// Stops the server, and expects the witness of this kind of platform.
    async fn stop(&self, mode: StopMode) {
        let witness = self.platform.stop(&self.fixture.node, mode).await;
        let witness = witness.expect("a server can be stopped");
        assert_eq!(witness, self.fixture.witness);
    }

    async fn run(&self, task: &TaskSpec) -> Result<String, PlatformError> {
        self.platform
            .run_task(&self.fixture.node, task, &self.fixture.secrets)
            .await
    }

    /// Waits until the server has done something: what is stopped before that proves little.
    async fn wait_until_it_logs(&self, more_than: usize) {
        let log = async {
            while self
                .platform
                .log(&self.fixture.node, usize::MAX)
                .await
                .expect("a log can be read")
                .len()
                <= more_than
            {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LIMIT, log).await.expect("a server that runs writes to its log");
    }

    async fn what_is_not_there_is_absent_and_can_be_stopped_and_dropped(&self) {
        assert_eq!(self.look().await, Observation::Absent);
        assert_eq!(self.log().await, Vec::<String>::new());
        for mode in [StopMode::Fast, StopMode::Immediate] {
            match self.platform.stop(&self.fixture.node, mode).await {
                Ok(witness) => assert_eq!(witness, self.fixture.witness),
                // Where what is gone may run on somewhere else.
                Err(error) => assert!(matches!(error, PlatformError::Unprovable { .. }), "{error:?}"),
            }
        }
        self.platform
            .reload(&self.fixture.node)
            .await
            .expect("what is not there needs to read nothing");
        self.platform
            .drop(&self.fixture.node)
            .await
            .expect("what is not there can be dropped");
        assert!(
            !self
                .platform
                .list()
                .await
                .expect("instance directories can be listed")
                .contains(&self.fixture.node)
        );
    }

    async fn a_server_without_data_is_not_started(&self) {
        let error = self.ensure().await.expect_err("there is no data");
        assert!(matches!(error, PlatformError::DataMissing { .. }), "{error:?}");
        let directory = self.directory().await;
        assert_eq!(directory.process, ProcessFacts::Down);
        assert!(
            !directory.directories.contains(&self.fixture.instance.data),
            "what is not there must not look complete"
        );
    }

    async fn a_failed_task_leaves_no_product(&self) {
        for _ in 0..2 {
            let error = self.run(&self.fixture.failing).await.expect_err("the task fails");
            assert!(matches!(error, PlatformError::TaskFailed { .. }), "{error:?}");
            let product = self
                .fixture
                .failing
                .product
                .as_ref()
                .expect("the failing task has a product");
            assert!(!self.directory().await.directories.contains(product));
        }
    }

    async fn a_task_makes_its_product_once(&self) {
        let product = self.fixture.task.product.as_ref().expect("the task has a product");
        let printed = self.run(&self.fixture.task).await.expect("the task succeeds");
        assert_ne!(printed, "", "a task returns what it printed");
        let directories = self.directory().await.directories;
        assert!(
            directories.contains(product) && !directories.contains(&TaskSpec::partial(product)),
            "{directories:?}"
        );
        let printed = self.run(&self.fixture.task).await.expect("the task is done");
        assert_eq!(printed, "", "a task that is done is not run again");
        let before = self.directory().await;
        let printed = self.run(&self.fixture.question).await.expect("a question is answered");
        assert_ne!(printed, "", "a question returns what it printed");
        assert_eq!(self.directory().await, before, "a question changes nothing");
    }

    async fn a_server_is_started_once(&self) {
        self.ensure().await.expect("the server starts");
        let directory = self.directory().await;
        let first = self.pid().await;
        assert_eq!(directory.listen, Some(self.fixture.instance.listen));
        self.wait_until_it_logs(0).await;
        self.ensure().await.expect("the server runs");
        assert_eq!(self.pid().await, first, "what runs is not restarted");
        assert!(
            self.platform
                .list()
                .await
                .expect("instance directories can be listed")
                .contains(&self.fixture.node)
        );
    }

    async fn a_file_that_is_no_longer_listed_goes(&self) {
        const NAME: &str = "below/extra";
        let Fixture {
            node,
            instance,
            secrets,
            ..
        } = self.fixture;
        let mut longer = instance.clone();
        longer.files.insert(NAME.to_owned(), FileText::text("extra"));
        self.platform
            .ensure(node, &longer, secrets)
            .await
            .expect("files of a server that runs can be written");
        assert!(self.directory().await.files.contains_key(NAME));
        self.ensure().await.expect("the server runs");
        let files = self.directory().await.files;
        assert!(
            files
                .keys()
                .all(|name| instance.written().any(|(written, _)| written == name)),
            "{files:?}"
        );
        assert_eq!(files.len(), instance.written().count(), "{files:?}");
        assert!(files.values().all(|file| !file.edited), "{files:?}");
    }

    async fn a_marker_is_there_or_not_as_the_spec_says(&self) {
        let Fixture {
            node,
            instance,
            secrets,
            ..
        } = self.fixture;
        let marker = format!("{}/marker", instance.data);
        let mut with = instance.clone();
        with.present.push(marker.clone());
        let mut without = instance.clone();
        without.absent.push(marker.clone());
        for (spec, expected) in [(&with, true), (&with, true), (&without, false), (&without, false)] {
            let ensured = self.platform.ensure(node, spec, secrets).await;
            ensured.expect("markers of a server that runs can be set");
            assert_eq!(self.directory().await.files.contains_key(&marker), expected);
        }
    }

    async fn a_server_reads_its_files_again_without_a_restart(&self) {
        let first = self.pid().await;
        let before = self
            .platform
            .log(&self.fixture.node, usize::MAX)
            .await
            .expect("a log can be read")
            .len();
        self.platform
            .reload(&self.fixture.node)
            .await
            .expect("a server can be told to read its files");
        self.wait_until_it_logs(before).await;
        assert_eq!(self.pid().await, first);
    }

    async fn a_task_is_refused_while_the_server_runs(&self) {
        let error = self.run(&self.fixture.failing).await.expect_err("the server runs");
        assert!(matches!(error, PlatformError::InUse { .. }), "{error:?}");
    }

    async fn a_stopped_server_is_down_and_can_be_started_again(&self, mode: StopMode) {
        let first = self.pid().await;
        self.stop(mode).await;
        assert_eq!(self.directory().await.process, ProcessFacts::Down);
        self.stop(mode).await;
        self.run(&self.fixture.failing).await.expect_err("the task fails");
        let before = self
            .platform
            .log(&self.fixture.node, usize::MAX)
            .await
            .expect("a log can be read")
            .len();
        self.ensure().await.expect("the server starts again");
        let directories = self.directory().await.directories;
        assert!(
            !directories.iter().any(|name| name.ends_with(".partial")),
            "what a task left unfinished is gone: {directories:?}"
        );
        assert_ne!(self.pid().await, first);
        self.wait_until_it_logs(before).await;
        self.pid().await;
    }

    async fn a_dropped_node_is_gone(&self) {
        for _ in 0..2 {
            self.platform
                .drop(&self.fixture.node)
                .await
                .expect("a node can be dropped, and again");
            self.expect_gone().await;
        }
    }

    async fn expect_gone(&self) {
        assert_eq!(self.look().await, Observation::Absent);
        assert!(
            !self
                .platform
                .list()
                .await
                .expect("instance directories can be listed")
                .contains(&self.fixture.node)
        );
    }

    async fn a_node_can_be_dropped_while_it_is_looked_at(&self) {
        let Self { platform, fixture } = self;
        self.run(&fixture.task).await.expect("the task succeeds");
        let looking = async {
            loop {
                self.look().await;
                // What is gone cannot be asked.
                let _ = self.run(&fixture.question).await;
                self.log().await;
                platform.list().await.expect("instance directories can be listed");
            }
        };
        tokio::select! {
            dropped = platform.drop(&fixture.node) => dropped.expect("a node can be dropped while it is looked at"),
            () = looking => {}
        }
        self.expect_gone().await;
        let _ = self.run(&fixture.question).await;
        self.expect_gone().await;
    }
}
