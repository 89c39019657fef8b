//! What changes something, over a connection: who may, and what the watcher is told.

use std::net::SocketAddr;

use jiff::Timestamp;
use simdb_state::store::Store;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::http::{HOST, ask, code};
use super::rehearsal::Rehearsal;
use crate::monitor::api::{Files, Served, Sources, bind};
use crate::monitor::board::Publisher;
use crate::monitor::notify::Deliveries;
use crate::monitor::order::{Asked, Orders, Reply};
use crate::monitor::outcome::Outcome;

const TOKEN: &str = "0123456789abcdef";

/// An API that takes writes, and a watcher that carries out nothing.
struct Written {
    address: SocketAddr,
    store: Store,
    asked: mpsc::Receiver<Asked>,
    _served: Served,
    _publisher: Publisher,
}

async fn written(token: Option<&str>) -> Written {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    if let Some(token) = token {
        std::fs::write(&path, token).unwrap();
        let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, own).unwrap();
    }
    let files = Files {
        token: token.map(|_| path),
        tls: None,
    };
    let mut round = Rehearsal::new().round;
    round.at = Timestamp::now();
    let publisher = Publisher::new(round);
    let (orders, asked) = Orders::new();
    let bound = bind("127.0.0.1:0".parse().unwrap(), files).await.unwrap();
    let store = Store::in_memory().await.unwrap();
    let address = bound.address;
    let served = bound.serve(Sources {
        board: publisher.board(),
        orders,
        deliveries: Deliveries::default(),
        store: store.clone(),
    });
    Written {
        address,
        store,
        asked,
        _served: served,
        _publisher: publisher,
    }
}

async fn post(address: SocketAddr, path: &str, token: &str, body: &str) -> String {
    let length = body.len();
    let headers = format!("{HOST}Authorization: Bearer {token}\r\nContent-Length: {length}\r\n");
    // The headers end where the body begins.
    let headers = format!("{headers}\r\n{body}");
    ask(address, &format!("POST {path}"), &headers).await
}

/// Answers the next order, and returns its words.
fn answering(mut asked: mpsc::Receiver<Asked>, reply: impl FnOnce() -> Reply + Send + 'static) -> JoinHandle<String> {
    tokio::spawn(async move {
        let next = asked.recv().await.unwrap();
        let text = format!(
            "{}: {} ({})",
            next.ordered.cluster, next.ordered.order, next.ordered.who
        );
        next.reply.send(reply()).unwrap();
        text
    })
}

fn begun(outcome: Outcome) -> impl FnOnce() -> Reply + Send + 'static {
    let (result, receiver) = oneshot::channel();
    result.send(outcome).unwrap();
    move || Reply::Begun(receiver)
}

#[tokio::test]
async fn who_bears_no_token_changes_nothing() {
    let without = written(None).await;
    let answer = post(without.address, "/v1/clusters/orders/switchover", TOKEN, "{}").await;
    assert_eq!(code(&answer), "403");
    assert!(answer.contains("token_file"), "{answer}");
    let mut with = written(Some(TOKEN)).await;
    for path in [
        "/v1/clusters/orders/switchover",
        "/patroni/orders/a/failover",
        "/v1/clusters/orders/pause",
    ] {
        for token in ["", "0123456789abcdeg"] {
            let answer = post(with.address, path, token, "{}").await;
            assert_eq!(code(&answer), "401", "{path}");
            assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
        }
    }
    assert!(with.asked.try_recv().is_err());
    assert!(with.store.pauses().await.unwrap().is_empty());
    // Reading needs no token on loopback.
    assert_eq!(code(&ask(with.address, "GET /v1/clusters", HOST).await), "200");
}

#[tokio::test]
async fn an_order_reaches_the_watcher_and_its_outcome_is_answered() {
    for (path, body, order, outcome, expected) in [
        (
            "/v1/clusters/orders/switchover",
            r#"{"to": "r-0"}"#,
            "orders: switch over to r[0] (127.0.0.1, over the API)",
            Outcome::Done,
            "200",
        ),
        (
            "/patroni/orders/r-1/switchover",
            r#"{"leader": "a", "candidate": "r-0"}"#,
            "orders: switch over to r[0] (127.0.0.1, over the API)",
            Outcome::Done,
            "200",
        ),
        (
            "/v1/clusters/orders/failover",
            "",
            "orders: fail over (127.0.0.1, over the API)",
            Outcome::Refused("Nobody could take over.".to_owned()),
            "422",
        ),
        (
            "/patroni/orders/a/restart",
            "",
            "orders: restart a (127.0.0.1, over the API)",
            Outcome::Failed("a step failed".to_owned()),
            "503",
        ),
    ] {
        let api = written(Some(TOKEN)).await;
        let told = answering(api.asked, begun(outcome));
        let answer = post(api.address, path, TOKEN, body).await;
        assert_eq!(code(&answer), expected, "{answer}");
        assert_eq!(told.await.unwrap(), order);
    }
}

#[tokio::test]
async fn one_thing_is_done_at_a_time() {
    let api = written(Some(TOKEN)).await;
    let told = answering(api.asked, || {
        Reply::Busy("fail over from a: its process ended".to_owned())
    });
    let answer = post(api.address, "/v1/clusters/orders/resync", TOKEN, r#"{"node": "r[0]"}"#).await;
    assert_eq!(code(&answer), "409");
    assert!(answer.contains("fail over from a"), "{answer}");
    told.await.unwrap();
}

#[tokio::test]
async fn a_cluster_is_paused_and_unpaused() {
    let api = written(Some(TOKEN)).await;
    let body = r#"{"seconds": 60, "reason": "new disks"}"#;
    let answer = post(api.address, "/v1/clusters/orders/pause", TOKEN, body).await;
    assert_eq!(code(&answer), "200", "{answer}");
    let pauses = api.store.pauses().await.unwrap();
    let pause = pauses.values().next().unwrap();
    assert_eq!(pause.who, "127.0.0.1, over the API");
    assert!(pause.holds(Timestamp::now().as_second()) && !pause.holds(Timestamp::now().as_second() + 61));
    let answer = post(api.address, "/v1/clusters/orders/unpause", TOKEN, "").await;
    assert!(answer.contains("it was paused by 127.0.0.1"), "{answer}");
    assert!(api.store.pauses().await.unwrap().is_empty());
}

#[tokio::test]
async fn large_bodies_and_too_many_writes_are_refused() {
    let api = written(Some(TOKEN)).await;
    let large = format!("{{\"reason\": \"{}\"}}", "a".repeat(70_000));
    let answer = post(api.address, "/v1/clusters/orders/pause", TOKEN, &large).await;
    assert_eq!(code(&answer), "413");
    let mut codes = Vec::new();
    for _ in 0..40 {
        let answer = post(api.address, "/v1/clusters/orders/unpause", "guess", "").await;
        codes.push(code(&answer).to_owned());
    }
    // Guesses are counted, too.
    assert_eq!(codes.iter().filter(|code| *code == "401").count(), 31);
    let answer = post(api.address, "/v1/clusters/orders/unpause", TOKEN, "").await;
    assert_eq!(code(&answer), "429");
    assert!(answer.contains("retry-after: "), "{answer}");
}
