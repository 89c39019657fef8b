use std::os::unix::fs::PermissionsExt as _;

use jiff::Timestamp;
use simdb_planner::watch::Standing;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::monitor::board::{Publisher, Round};

fn publisher() -> Publisher {
    Publisher::new(Round {
        number: 1,
        at: Timestamp::now(),
        started: Timestamp::now(),
        who: "ann@east".to_owned(),
        standing: Standing::Decides,
        at_work: None,
        late: Duration::ZERO,
        took: Duration::ZERO,
        state: Arc::default(),
        serial: 1,
        store_away: None,
        clusters: BTreeMap::new(),
    })
}

fn news(kind: Kind) -> News {
    News {
        kind,
        cluster: Some("orders".parse().unwrap()),
        node: None,
        term: None,
        text: "what happened".to_owned(),
    }
}

fn hook(way: HookWay, events: &[&str]) -> Hook {
    Hook {
        name: "ops".to_owned(),
        way,
        events: events.iter().map(ToString::to_string).collect(),
    }
}

/// Answers one request after another with these codes, and returns the bodies.
async fn answer(listener: TcpListener, codes: &[u16]) -> Vec<Value> {
    let mut bodies = Vec::new();
    for code in codes {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = Vec::new();
        let body = loop {
            let mut buffer = [0; 4_096];
            let count = stream.read(&mut buffer).await.unwrap();
            read.extend_from_slice(&buffer[..count]);
            let text = String::from_utf8_lossy(&read).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && let Ok(document) = serde_json::from_str(body)
            {
                assert!(head.starts_with("POST /hook?to=ops HTTP/1.1\r\n"), "{head}");
                break document;
            }
            assert_ne!(count, 0, "{text}");
        };
        bodies.push(body);
        let answer = format!("HTTP/1.1 {code} Answer\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
    bodies
}

#[tokio::test]
async fn a_webhook_is_told_in_order_of_its_kinds_alone_and_again_where_it_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?to=ops", listener.local_addr().unwrap());
    let mut publisher = publisher();
    publisher.tell(news(Kind::Lost));
    let (complaints, _complained) = mpsc::channel(1);
    let hooks = [hook(HookWay::Webhook(url), &["lost", "failed-over"])];
    let (_tasks, deliveries) = start(&hooks, Path::new("/"), &publisher.board(), &complaints);
    publisher.tell(news(Kind::Decided));
    publisher.tell(news(Kind::FailedOver));
    let bodies = answer(listener, &[500, 200, 204]).await;
    let kinds: Vec<_> = bodies.iter().map(|body| body["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["lost", "lost", "failed-over"]);
    assert_eq!(bodies[0]["monitor"], "ann@east");
    assert_eq!(bodies[0]["cluster"], "orders");
    assert_eq!(bodies[0]["format_version"], FORMAT_VERSION);
    let told = timeout(ATTEMPT, async {
        while deliveries.counts().get(&("ops".to_owned(), true)) != Some(&2) {
            tokio::task::yield_now().await;
        }
    });
    told.await.unwrap();
}

#[tokio::test]
async fn a_command_reads_the_event_and_one_that_fails_says_how_it_ended() {
    let directory = tempfile::tempdir().unwrap();
    let (program, heard) = (directory.path().join("hook.sh"), directory.path().join("heard"));
    std::fs::write(&program, "#!/bin/sh\ncat >\"$1\"\n[ -z \"$2\" ]\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let words = |last: &str| -> Vec<String> {
        [program.to_str().unwrap(), heard.to_str().unwrap(), last]
            .map(str::to_owned)
            .into()
    };
    let document = json!({ "kind": "lost" });
    // Where another test starts a program at this moment, that one holds the script open for writing.
    let mut ran = command::run(&words(""), &document).await;
    while matches!(&ran, Err(why) if why.contains("busy")) {
        ran = command::run(&words(""), &document).await;
    }
    assert_eq!(ran, Ok(()));
    assert_eq!(std::fs::read_to_string(&heard).unwrap().trim(), r#"{"kind":"lost"}"#);
    let failed = command::run(&words("fail"), &document).await.unwrap_err();
    assert!(failed.contains("ended with exit status: 1"), "{failed}");
    let missing = command::run(&["/no/such/program".to_owned()], &document)
        .await
        .unwrap_err();
    assert!(missing.contains("cannot be run"), "{missing}");
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_cannot_be_told_is_complained_about_once_for_each_outage() {
    let mut publisher = publisher();
    let (complaints, mut complained) = mpsc::channel(8);
    let command = HookWay::Command(vec!["/no/such/program".to_owned()]);
    let (_tasks, deliveries) = start(&[hook(command, &[])], Path::new("/"), &publisher.board(), &complaints);
    publisher.tell(news(Kind::Lost));
    publisher.tell(news(Kind::Alarm));
    let complaint = complained.recv().await.unwrap();
    assert_eq!(complaint.kind, Kind::Untold);
    assert!(
        complaint.text.contains("hook \"ops\" was not told of event 1 (lost)"),
        "{}",
        complaint.text
    );
    while deliveries.counts().get(&("ops".to_owned(), false)) != Some(&2) {
        tokio::task::yield_now().await;
    }
    assert!(complained.try_recv().is_err());
}

#[tokio::test]
async fn the_path_of_a_url_is_not_told() {
    let why = webhook::post("http://127.0.0.1:1/a-secret", &json!({}))
        .await
        .unwrap_err();
    assert!(why.contains("127.0.0.1:1") && !why.contains("a-secret"), "{why}");
    let why = webhook::post("http://ann:pass@host/", &json!({})).await.unwrap_err();
    assert!(why.contains("webhook_file") && !why.contains("pass@"), "{why}");
}
