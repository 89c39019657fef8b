//! An API server with given objects, for tests of what simdb makes of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use simdb_state::address::InstanceAddress;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex as Lock;

use super::Hold;
use super::client::Server;
use super::names::{LINEAGE, Names};
use super::settings::Settings;
use super::site::Site;
use crate::conformance::grant;

/// What is there, by path.
pub(super) type Objects = BTreeMap<String, Value>;

/// What was asked for beside reading: method, path and body.
pub(super) type Changes = Arc<Mutex<Vec<String>>>;

/// Returns the site of a node whose API server has these objects and no others, and what is changed there. Changes are answered, and made
/// nowhere.
pub(super) async fn site(objects: Objects) -> (Site, Changes) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let changes = Changes::default();
    let noted = Arc::clone(&changes);
    tokio::spawn(async move {
        let objects = Arc::new(objects);
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&objects), Arc::clone(&noted)));
        }
    });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.conf");
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{ "name": "test", "cluster": { "server": url } }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "me", "namespace": "db" } }],
        "users": [{ "name": "me", "user": {} }],
    });
    std::fs::write(&path, kubeconfig.to_string()).unwrap();
    let arguments = BTreeMap::from([("kubeconfig".to_owned(), path.display().to_string())]);
    let settings = Settings::read(&arguments, directory.path());
    let node: InstanceAddress = "cluster.orders.node.a".parse().unwrap();
    let site = Site {
        server: Server::connect(&settings).await.unwrap(),
        names: Names::new(WHOSE, "/srv"),
        own: Names::instance(&node),
    };
    (site, changes)
}

/// Returns the right to change a node whose API server has these objects, and what is changed there.
pub(super) async fn hold(objects: Objects) -> (Hold, Changes) {
    let (site, changes) = site(objects).await;
    let hold = Hold {
        site,
        grant: grant(),
        _lock: Arc::new(Lock::new(())).lock_owned().await,
    };
    (hold, changes)
}

/// The lineage of the objects.
const WHOSE: &str = "0a1b";

/// Returns an object of the node.
pub(super) fn object(api: &str, kind: &str, name: &str, more: &Value) -> (String, Value) {
    let mut object = json!({ "metadata": { "name": name, "uid": "u1", "labels": { LINEAGE: WHOSE } } });
    merge(&mut object, more);
    (format!("{api}/namespaces/db/{kind}/{name}"), object)
}

/// Returns a machine with what it reports of itself.
pub(super) fn machine(name: &str, ready: &str) -> (String, Value) {
    let conditions = json!([{ "type": "Ready", "status": ready }]);
    let node = json!({ "metadata": { "name": name }, "status": { "conditions": conditions } });
    (format!("/api/v1/nodes/{name}"), node)
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// Answers the requests of a connection.
async fn answer(stream: TcpStream, objects: Arc<Objects>, changes: Changes) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let mut length = 0;
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await.unwrap();
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let path = path.split('?').next().unwrap();
        if method != "GET" {
            let body = String::from_utf8_lossy(&body);
            changes.lock().unwrap().push(format!("{method} {path} {body}"));
        }
        let missing = json!({ "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": "it is not there" });
        let found = objects.get(path).unwrap_or(&missing);
        let status = found["code"].as_u64().unwrap_or(200);
        let text = found.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        stream.write_all((head + &text).as_bytes()).await.unwrap();
    }
}
