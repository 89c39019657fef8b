//! The paths over a connection: methods, codes, headers, limits.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use simdb_state::store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::rehearsal::Rehearsal;
use crate::error::CliError;
use crate::monitor::api::{self, Files, STREAMS, Sources, bind, guard};
use crate::monitor::board::{Kind, News, Publisher};
use crate::monitor::notify::Deliveries;
use crate::monitor::order::Orders;

/// How long an answer may take here before a test says that there is none.
const LIMIT: Duration = Duration::from_secs(20);

/// An API that is served, and where.
struct Served {
    address: SocketAddr,
    _api: api::Served,
}

async fn served() -> (Publisher, Served) {
    let mut round = Rehearsal::new().round;
    // The clock of the machine says how old a round is.
    round.at = Timestamp::now();
    let publisher = Publisher::new(round);
    let bound = bind("127.0.0.1:0".parse().unwrap(), Files::default()).await.unwrap();
    let sources = Sources {
        board: publisher.board(),
        // Nobody takes them.
        orders: Orders::new().0,
        deliveries: Deliveries::default(),
        store: Store::in_memory().await.unwrap(),
    };
    let served = Served {
        address: bound.address,
        _api: bound.serve(sources),
    };
    (publisher, served)
}

async fn send(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Sends a request, and returns the whole answer.
pub(super) async fn ask(address: SocketAddr, line: &str, headers: &str) -> String {
    let request = format!("{line} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
    let mut stream = send(address, &request).await;
    let mut answer = String::new();
    timeout(LIMIT, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    answer
}

pub(super) fn code(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap()
}

/// Reads until a text has come.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut read = String::new();
    let mut buffer = [0; 4_096];
    while !read.contains(text) {
        let count = timeout(LIMIT, stream.read(&mut buffer)).await.unwrap().unwrap();
        assert_ne!(count, 0, "the stream ended: {read}");
        read += &String::from_utf8_lossy(&buffer[..count]);
    }
    read
}

pub(super) const HOST: &str = "Host: localhost:8008\r\n";

#[tokio::test]
async fn checks_are_answered_to_get_head_and_options_with_the_same_code() {
    let (_publisher, served) = served().await;
    for (path, expected) in [
        ("/patroni/orders/a", "200"),
        ("/patroni/orders/a/", "200"),
        ("/patroni/orders/r-0/primary", "503"),
        ("/patroni/orders/r%5B0%5D/replica?lag=10MB", "200"),
        ("/patroni/orders/z/primary", "404"),
        ("/patroni/oders/a/primary", "404"),
    ] {
        for method in ["GET", "HEAD", "OPTIONS"] {
            let answer = ask(served.address, &format!("{method} {path}"), HOST).await;
            assert_eq!(code(&answer), expected, "{method} {path}");
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            assert_eq!(body.is_empty(), method != "GET", "{method} {path}: {body}");
        }
    }
}

#[tokio::test]
async fn every_path_answers_and_says_what_browsers_may_do() {
    let (_publisher, served) = served().await;
    for path in [
        "/cluster/status",
        "/cluster/nodes",
        "/cluster/health",
        "/health",
        "/livez",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/v1/clusters",
        "/v1/clusters/orders",
        "/v1/events?after=3",
        "/patroni/orders/a/cluster",
        "/patroni/orders/a/history",
        "/patroni/orders/a/metrics",
    ] {
        let answer = ask(served.address, &format!("GET {path}"), HOST).await;
        assert_eq!(code(&answer), "200", "{path}");
        assert!(answer.contains("content-security-policy: default-src 'self'"), "{path}");
        assert!(answer.contains("x-content-type-options: nosniff"), "{path}");
    }
    let config = ask(served.address, "GET /patroni/orders/a/config", HOST).await;
    assert_eq!(code(&config), "502");
    let open = ask(
        served.address,
        "GET /metrics",
        &format!("{HOST}Accept: application/openmetrics-text\r\n"),
    )
    .await;
    assert!(
        open.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{open}"
    );
    let counted = ask(served.address, "GET /metrics", HOST).await;
    assert!(
        counted.contains("simdb_http_requests_total{path=\"/v1/clusters/{cluster}\",code=\"200\"} 1\n"),
        "{counted}"
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let (_publisher, served) = served().await;
    for (line, headers, expected) in [
        ("GET /nothing", HOST, "404"),
        ("DELETE /health", HOST, "405"),
        ("GET /v1/events?after=x", HOST, "400"),
        ("GET /health", "Host: evil.example\r\n", "421"),
        ("GET /v1/stream", "Host: localhost\r\nLast-Event-ID: x\r\n", "400"),
    ] {
        let answer = ask(served.address, line, headers).await;
        assert_eq!(code(&answer), expected, "{line} {headers}");
        assert!(answer.contains("\"error\":"), "{line}: {answer}");
    }
    let long = format!("{HOST}X-Long: {}\r\n", "x".repeat(20_000));
    assert_eq!(code(&ask(served.address, "GET /health", &long).await), "431");
}

#[test]
fn a_host_is_this_machine_by_its_loopback_addresses_alone() {
    for own in [
        "localhost",
        "LOCALHOST:8008",
        "127.0.0.1",
        "127.0.0.2:80",
        "[::1]:8008",
        "[::1]",
    ] {
        assert!(guard::is_own(own), "{own}");
    }
    for other in [
        "",
        "localhost.evil.example",
        "evil.example:8008",
        "10.0.0.1",
        "[fe80::1]:80",
        "127.0.0.1.evil.example",
    ] {
        assert!(!guard::is_own(other), "{other}");
    }
}

#[tokio::test]
async fn an_address_that_others_reach_is_refused() {
    let (_publisher, served) = served().await;
    let error = bind("0.0.0.0:0".parse().unwrap(), Files::default()).await.unwrap_err();
    assert!(matches!(&error, CliError::Diagnosed(diagnostics) if diagnostics[0].summary.contains("open to others")));
    let error = bind(served.address, Files::default()).await.unwrap_err();
    assert!(
        matches!(&error, CliError::Diagnosed(diagnostics) if diagnostics[0].detail.contains("Choose another port"))
    );
}

#[tokio::test]
async fn the_page_is_sent_once_as_long_as_it_is_the_same() {
    let (_publisher, served) = served().await;
    for (path, kind) in [
        ("/", "text/html"),
        ("/page.css", "text/css"),
        ("/page.js", "text/javascript"),
    ] {
        let answer = ask(served.address, &format!("GET {path}"), HOST).await;
        assert_eq!(code(&answer), "200", "{path}");
        assert!(
            answer.contains(&format!("content-type: {kind}; charset=utf-8")),
            "{path}"
        );
        assert!(answer.contains("content-security-policy: default-src 'self'"), "{path}");
        let (_, rest) = answer.split_once("etag: ").unwrap();
        let (tag, _) = rest.split_once("\r\n").unwrap();
        let again = ask(
            served.address,
            &format!("GET {path}"),
            &format!("{HOST}If-None-Match: {tag}\r\n"),
        )
        .await;
        assert_eq!(code(&again), "304", "{path}");
        assert!(again.ends_with("\r\n\r\n"), "{path}");
    }
}

fn news(text: &str) -> News {
    News {
        kind: Kind::Lost,
        cluster: None,
        node: None,
        term: None,
        text: text.to_owned(),
    }
}

#[tokio::test]
async fn a_stream_tells_events_as_they_happen_and_goes_on_where_it_ended() {
    let (mut publisher, served) = served().await;
    publisher.tell(news("before"));
    let open = |headers: &str| format!("GET /v1/stream HTTP/1.1\r\n{HOST}{headers}\r\n");
    let mut first = send(served.address, &open("")).await;
    let read = read_until(&mut first, "event: clusters").await;
    assert!(!read.contains("before"), "{read}");
    publisher.tell(news("while it listens"));
    let read = read_until(&mut first, "while it listens").await;
    assert!(read.contains("event: event\nid: 2\n"), "{read}");
    drop(first);
    publisher.tell(news("while nobody listened"));
    let mut second = send(served.address, &open("Last-Event-ID: 1\r\n")).await;
    let read = read_until(&mut second, "while nobody listened").await;
    assert!(
        read.contains("while it listens") && !read.contains("event: reset"),
        "{read}"
    );
    let mut third = send(served.address, &open("Last-Event-ID: 70\r\n")).await;
    let read = read_until(&mut third, "while nobody listened").await;
    assert!(read.contains("event: reset\nid: 0\n"), "{read}");
}

#[tokio::test]
async fn so_many_streams_are_open_at_once_and_no_more() {
    let (_publisher, served) = served().await;
    let request = format!("GET /v1/stream HTTP/1.1\r\n{HOST}\r\n");
    let mut open = Vec::new();
    for _ in 0..STREAMS {
        let mut stream = send(served.address, &request).await;
        read_until(&mut stream, "event: clusters").await;
        open.push(stream);
    }
    assert_eq!(code(&ask(served.address, "GET /v1/stream", HOST).await), "429");
    assert_eq!(code(&ask(served.address, "GET /health", HOST).await), "200");
    drop(open);
    // The places of listeners that left are free again.
    let again = async {
        while code(&ask_once(served.address, &request).await) != "200" {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, again).await.unwrap();
}

/// Sends a request, and returns the beginning of the answer.
async fn ask_once(address: SocketAddr, request: &str) -> String {
    let mut stream = send(address, request).await;
    read_until(&mut stream, "\r\n\r\n").await
}
