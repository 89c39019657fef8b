//! Applications on the routing library: reads and writes by declared intent, on real servers that fail, lag and change
//! their roles.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use simdb_pool_manager::{prepare, router};
use simdb_route::{Config, Error, Lag, PoolManager, QueryIntent, Token};
use simdb_tests::{Scenario, TestEnvironment, Version, any, has_pgbouncer, wait_until};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, SimpleQueryMessage};

const LOGIN: &str = r#"
  user "app" { password = "not-a-secret" }
  database "app" { owner = "app" }
"#;

const WRITERS: usize = 4;

/// Returns the URL of some servers, as `HOST:PORT`.
fn url(hosts: &[String]) -> String {
    format!("postgres://app:not-a-secret@{}/app", hosts.join(","))
}

/// Returns where each node listens.
fn addresses(status: &serde_json::Value) -> BTreeMap<String, String> {
    let nodes = status["nodes"].as_array().unwrap().iter();
    let address = |node: &serde_json::Value| {
        let text = |key: &str| node[key].as_str().unwrap().to_owned();
        (text("node"), text("address"))
    };
    nodes.map(address).collect()
}

fn config(hosts: impl IntoIterator<Item = String>) -> Config {
    Config::from_urls(&url(&hosts.into_iter().collect::<Vec<_>>()), None).unwrap()
}

async fn served_by(pools: &PoolManager, intent: QueryIntent) -> String {
    pools.get(intent).await.unwrap().address().to_owned()
}

async fn make_table(pools: &PoolManager) {
    let table = async |client: &Client| {
        Ok(client
            .batch_execute("CREATE TABLE entry (id bigint PRIMARY KEY)")
            .await?)
    };
    pools.write(table).await.unwrap();
}

async fn insert(pools: &PoolManager, id: i64) -> Result<Option<Token>, Error> {
    // A simple query, as PgBouncer lends servers for a transaction each, and keeps no prepared statements.
    let sql = format!("INSERT INTO entry VALUES ({id})");
    let work = async |client: &Client| Ok(client.batch_execute(&sql).await?);
    Ok(pools.write(work).await?.1)
}

/// Returns whether a read with this intent finds a row, and the server that said so.
async fn find(pools: &PoolManager, intent: QueryIntent, id: i64) -> Result<(bool, String), Error> {
    let mut connection = pools.get(intent).await?;
    let rows = connection
        .simple_query(&format!("SELECT FROM entry WHERE id = {id}"))
        .await;
    let rows = rows.map_err(|error| connection.explain(error))?;
    let found = rows.iter().any(|message| matches!(message, SimpleQueryMessage::Row(_)));
    Ok((found, connection.address().to_owned()))
}

/// What came of an application's work.
#[derive(Default)]
struct Outcome {
    acknowledged: BTreeSet<i64>,
    /// Writes that a server refused because it was no primary any more.
    moved: usize,
    /// Writes whose connection broke.
    broken: usize,
    /// Reads by token, and those that did not see the write.
    read: usize,
    missed: usize,
    /// When writes were acknowledged.
    times: Vec<Instant>,
}

/// An application: several tasks that write, and read what they have written.
struct Application {
    outcome: Arc<Mutex<Outcome>>,
    ended: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Application {
    fn start(runtime: &Runtime, pools: &PoolManager) -> Self {
        let outcome = Arc::new(Mutex::new(Outcome::default()));
        let ended = Arc::new(AtomicBool::new(false));
        let next = Arc::new(AtomicI64::new(0));
        let tasks = (0..WRITERS)
            .map(|_| {
                let (pools, outcome, ended, next) = (pools.clone(), outcome.clone(), ended.clone(), next.clone());
                runtime.spawn(async move {
                    while !ended.load(Ordering::Relaxed) {
                        work(&pools, &outcome, next.fetch_add(1, Ordering::Relaxed)).await;
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                })
            })
            .collect();
        Self { outcome, ended, tasks }
    }

    fn acknowledged(&self) -> usize {
        self.outcome.lock().unwrap().acknowledged.len()
    }

    #[track_caller]
    fn further(&self, rows: usize) {
        let before = self.acknowledged();
        wait_until("the application writes", || {
            assert!(self.tasks.iter().all(|task| !task.is_finished()), "a task has failed");
            self.acknowledged() >= before + rows
        });
    }

    fn stop(self, runtime: &Runtime) -> Outcome {
        self.ended.store(true, Ordering::Relaxed);
        for task in self.tasks {
            runtime.block_on(task).unwrap();
        }
        std::mem::take(&mut *self.outcome.lock().unwrap())
    }
}

async fn work(pools: &PoolManager, outcome: &Mutex<Outcome>, id: i64) {
    match insert(pools, id).await {
        Ok(token) => {
            {
                let mut outcome = outcome.lock().unwrap();
                outcome.acknowledged.insert(id);
                outcome.times.push(Instant::now());
            }
            let Some(token) = token else { return };
            match find(pools, QueryIntent::ReadAfter(token), id).await {
                Ok((found, _)) => {
                    let mut outcome = outcome.lock().unwrap();
                    outcome.read += 1;
                    outcome.missed += usize::from(!found);
                }
                Err(Error::Broken { .. } | Error::Unproven { .. } | Error::Moved { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        Err(Error::Moved { .. }) => outcome.lock().unwrap().moved += 1,
        Err(Error::Broken { .. }) => outcome.lock().unwrap().broken += 1,
        Err(error) => panic!("{error:?}"),
    }
}

/// Returns the longest time without an acknowledged write.
fn longest_gap(times: &[Instant]) -> Duration {
    let gaps = times.windows(2).map(|pair| pair[1].saturating_duration_since(pair[0]));
    gaps.max().unwrap_or_default()
}

#[test]
fn an_application_follows_failovers_loses_nothing_and_writes_to_no_other_server() {
    let body = format!("replication {{ mode = \"quorum\" }}\n node \"a\" {{}}\n node \"r\" {{ count = 2 }}\n{LOGIN}");
    let scenario = Scenario::new(&Version::installed(), &body);
    let runtime = Runtime::new().unwrap();
    let pools = runtime.block_on(PoolManager::connect(config(
        addresses(&scenario.status()).into_values(),
    )));
    runtime.block_on(make_table(&pools));
    let application = Application::start(&runtime, &pools);
    application.further(100);
    let mut lost = Vec::new();
    for _ in 0..2 {
        let primary = scenario.primary();
        let began = Instant::now();
        scenario.kill_all(&primary);
        scenario.failover();
        lost.push(began.elapsed());
        application.further(100);
        wait_until("all servers answer", || pools.health().is_healthy());
    }
    let outcome = application.stop(&runtime);
    let gap = longest_gap(&outcome.times);
    println!(
        "{} written, {} read, {} broken; longest gap {gap:?}, failovers took {lost:?}",
        outcome.acknowledged.len(),
        outcome.read,
        outcome.broken
    );
    assert_eq!((outcome.moved, outcome.missed), (0, 0));
    // A connection of each writer breaks at each failover.
    assert!(outcome.broken <= WRITERS * 2 * 2, "{}", outcome.broken);
    assert!(
        lost.iter().any(|lost| gap <= *lost + Duration::from_millis(500)),
        "{gap:?} {lost:?}"
    );
    let rows = runtime.block_on(async {
        let client = pools.get(QueryIntent::Write).await.unwrap();
        client.query("SELECT id FROM entry", &[]).await.unwrap()
    });
    let rows: BTreeSet<i64> = rows.iter().map(|row| row.get(0)).collect();
    assert!(outcome.acknowledged.is_subset(&rows), "acknowledged writes are lost");
    drop(pools);
    scenario.assert_settled(any(1));
    scenario.destroy();
}

#[test]
fn reads_are_shared_limited_and_fall_back_and_the_service_says_how_its_databases_are() {
    let body = format!("replication {{ mode = \"quorum\" }}\n node \"a\" {{}}\n node \"r\" {{ count = 2 }}\n{LOGIN}");
    let scenario = Scenario::new(&Version::installed(), &body);
    let places = addresses(&scenario.status());
    let runtime = Runtime::new().unwrap();
    let pools = runtime.block_on(PoolManager::connect(config(places.values().cloned())));
    runtime.block_on(prepare(&pools));
    assert_eq!(pools.primary().as_ref(), Some(&places["a"]));

    // The schema is replayed by all before reads are counted.
    let is_shared = || {
        let mut shares: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..2000 {
            *shares
                .entry(runtime.block_on(served_by(&pools, QueryIntent::Read)))
                .or_default() += 1;
        }
        let half = |node: &str| (900..=1100).contains(shares.get(&places[node]).unwrap_or(&0));
        half("r[0]") && half("r[1]")
    };
    wait_until("reads are shared by the replicas", is_shared);
    exhaust(&runtime, &places["a"]);

    let service = serve(&runtime, &pools);
    let alone = runtime.block_on(PoolManager::connect(config([places["a"].clone()])));
    let alone = serve(&runtime, &alone);
    let healthy = r#"{"status":"healthy","version":"0.1.0","db_primary":"connected","db_replica":"connected"}"#;
    assert_eq!(get(service, "/health", ""), (200, healthy.to_owned()));
    let single = r#"{"status":"healthy","version":"0.1.0","db_primary":"connected","db_replica":null}"#;
    assert_eq!(get(alone, "/health", ""), (200, single.to_owned()));
    notes(service);

    for node in ["r[0]", "r[1]"] {
        scenario.kill_all(node);
    }
    let unhealthy = r#"{"status":"unhealthy","version":"0.1.0","db_primary":"connected","db_replica":"disconnected"}"#;
    wait_until("the service is unhealthy", || {
        get(service, "/health", "") == (503, unhealthy.to_owned())
    });
    assert_eq!(runtime.block_on(served_by(&pools, QueryIntent::Read)), places["a"]);
    scenario.kill_all("a");
    let down = r#"{"status":"unhealthy","version":"0.1.0","db_primary":"disconnected","db_replica":"disconnected"}"#;
    wait_until("nothing answers", || {
        get(service, "/health", "") == (503, down.to_owned())
    });

    scenario.simdb(&["apply", "-auto-approve"]);
    wait_until("all is well", || {
        get(service, "/health", "") == (200, healthy.to_owned())
    });
    scenario.assert_settled(any(1));
    scenario.destroy();
}

/// Takes all connections to a server, and wants one more.
fn exhaust(runtime: &Runtime, place: &str) {
    let mut config = config([place.to_owned()]);
    config.max_connections = 2;
    config.acquire_timeout = Duration::from_millis(200);
    runtime.block_on(async {
        let pools = PoolManager::connect(config).await;
        let _one = pools.get(QueryIntent::Write).await.unwrap();
        let _two = pools.get(QueryIntent::Read).await.unwrap();
        let error = pools.get(QueryIntent::Write).await.unwrap_err();
        assert!(matches!(error, Error::Exhausted { limit: 2, .. }), "{error}");
    });
}

/// Writes and reads through the service.
fn notes(service: SocketAddr) {
    let (status, body) = request(service, "POST", "/notes", "", r#"{"text":"hello"}"#);
    assert_eq!(status, 201, "{body}");
    let added: serde_json::Value = serde_json::from_str(&body).unwrap();
    let (id, token) = (&added["id"], added["token"].as_str().unwrap());
    let after = format!("x-after: {token}\r\n");
    let note = format!(r#"{{"id":{id},"text":"hello"}}"#);
    assert_eq!(get(service, &format!("/notes/{id}"), &after), (200, note.clone()));
    assert_eq!(get(service, "/notes", &after), (200, format!("[{note}]")));
    assert_eq!(get(service, "/notes/999", "").0, 404);
    assert_eq!(get(service, "/notes", "x-after: soon\r\n").0, 400);
    assert_eq!(get(service, "/notes", "x-after: 99:0/1\r\n").0, 409);
    assert_eq!(request(service, "POST", "/notes", "", "{}").0, 400);
}

/// Serves on a port that is free, for as long as the runtime lives.
fn serve(runtime: &Runtime, pools: &PoolManager) -> SocketAddr {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let pools = pools.clone();
    runtime.spawn(async move { axum::serve(listener, router(pools)).await });
    address
}

fn get(service: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    request(service, "GET", path, headers, "")
}

fn request(service: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(service).unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[test]
fn a_replica_that_is_a_second_behind_serves_what_its_lag_allows() {
    let body = format!(
        "replication {{ mode = \"async\" }}\n node \"a\" {{}}\n node \"b\" {{ apply_delay = \"1s\" }}\n{LOGIN}"
    );
    let scenario = Scenario::new(&Version::installed(), &body);
    let places = addresses(&scenario.status());
    let runtime = Runtime::new().unwrap();
    let pools = runtime.block_on(PoolManager::connect(config(places.values().cloned())));
    runtime.block_on(make_table(&pools));
    let application = Application::start(&runtime, &pools);
    application.further(50);

    let lenient = QueryIntent::ReadWithin(Lag::of_time(Duration::from_secs(30)));
    let strict = QueryIntent::ReadWithin(Lag::of_time(Duration::from_millis(500)));
    wait_until("the replica serves", || {
        runtime.block_on(served_by(&pools, lenient)) == places["b"]
    });
    for _ in 0..40 {
        assert_eq!(runtime.block_on(served_by(&pools, strict)), places["a"]);
        application.further(5);
    }
    let outcome = application.stop(&runtime);
    assert_eq!((outcome.missed, outcome.broken, outcome.moved), (0, 0, 0));
    assert!(outcome.read > 0);

    let began = Instant::now();
    let token = runtime.block_on(insert(&pools, -1)).unwrap().unwrap();
    let after = QueryIntent::ReadAfter(token);
    assert_eq!(
        runtime.block_on(find(&pools, after, -1)).unwrap(),
        (true, places["a"].clone())
    );
    wait_until("the replica has it", || {
        let (found, server) = runtime.block_on(find(&pools, after, -1)).unwrap();
        assert!(found, "{server} does not have what it should");
        server == places["b"]
    });
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    drop(pools);
    scenario.destroy();
}

#[test]
fn an_application_behind_pgbouncer_follows_a_switchover() {
    if !has_pgbouncer() {
        return;
    }
    let environment = TestEnvironment::with_configuration(&format!(
        "network \"lan\" {{}}\n\ncluster \"orders\" {{\n  engine \"postgresql\" {{}}\n  node \"a\" {{}}\n  node \"b\" {{}}\n\
         {LOGIN}\n  endpoint \"rw\" {{\n    target = \"primary\"\n    via = \"pgbouncer\"\n  }}\n}}\n"
    ));
    environment.done(&["apply", "-auto-approve"]);
    let document =
        |arguments: &[&str]| -> serde_json::Value { serde_json::from_str(&environment.run(arguments).stdout).unwrap() };
    let variables = document(&["env", "-json", "orders"])["variables"].clone();
    let part = |name: &str| variables[name].as_str().unwrap().to_owned();
    let pooler = format!("{}:{}", part("PGHOST"), part("PGPORT"));
    let places = addresses(&document(&["status", "-json"])["clusters"][0]);
    assert!(!places.values().any(|place| *place == pooler), "{pooler} {places:?}");

    let runtime = Runtime::new().unwrap();
    let replicas = url(&places.values().cloned().collect::<Vec<_>>());
    let config = Config::from_urls(&url(std::slice::from_ref(&pooler)), Some(&replicas)).unwrap();
    let pools = runtime.block_on(PoolManager::connect(config));
    runtime.block_on(make_table(&pools));
    // The pooler and node a lead to one server.
    assert_eq!(runtime.block_on(served_by(&pools, QueryIntent::Write)), pooler);
    wait_until("the standby serves", || {
        runtime.block_on(served_by(&pools, QueryIntent::Read)) == places["b"]
    });
    let application = Application::start(&runtime, &pools);
    application.further(50);
    environment.done(&["switchover", "orders", "-to", "b", "-auto-approve"]);
    application.further(50);
    let outcome = application.stop(&runtime);
    assert_eq!((outcome.moved, outcome.missed), (0, 0));
    wait_until("all answer", || pools.health().is_healthy());
    wait_until("the other one serves", || {
        runtime.block_on(served_by(&pools, QueryIntent::Read)) == places["a"]
    });
    drop(pools);
    environment.destroy();
}
