//! An API server for tests of what is asked of one: it answers as it is told, and remembers every request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OnceCell;

use super::KubernetesPlatform;
use super::looks::Looks;
use super::names::Names;
use super::settings::Settings;

/// What is answered to a request, by its method and path: a status and a document.
type Answers = dyn Fn(&str, &str) -> (u16, Value) + Send + Sync;

/// The namespace of the servers.
pub(super) const NAMESPACE: &str = "db";

/// What was asked, in order.
pub(super) type Asked = Arc<Mutex<Vec<String>>>;

pub(super) struct Fake {
    directory: TempDir,
    port: u16,
    asked: Asked,
    changes: Asked,
}

impl Fake {
    /// Starts one on a port of this machine. It ends with the runtime of its test.
    pub(super) async fn start(answers: impl Fn(&str, &str) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers: Arc<Answers> = Arc::new(answers);
        let (asked, changes) = (Asked::default(), Asked::default());
        let noted = (Arc::clone(&asked), Arc::clone(&changes));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answers), noted.clone()));
            }
        });
        Self {
            directory: tempfile::tempdir().unwrap(),
            port,
            asked,
            changes,
        }
    }

    /// Returns the settings of a provider that reaches it, with further arguments.
    pub(super) fn settings(&self, arguments: &[(&str, &str)]) -> Settings {
        let path = self.directory.path().join("config");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\nclusters:\n- name: test\n  cluster:\n    server: http://127.0.0.1:{}\ncontexts:\n- \
             name: test\n  context:\n    cluster: test\n    user: me\n    namespace: {NAMESPACE}\nusers:\n- name: me\n  user: {{}}\n",
            self.port
        );
        std::fs::write(&path, text).unwrap();
        let mut all = BTreeMap::from([("kubeconfig".to_owned(), path.display().to_string())]);
        all.extend(
            arguments
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        Settings::read(&all, self.directory.path())
    }

    /// Opens the platform on it, with arguments of its provider.
    pub(super) fn platform(&self, arguments: &[(&str, &str)]) -> KubernetesPlatform {
        KubernetesPlatform {
            settings: self.settings(arguments),
            names: Names::new("1a2b", "/srv"),
            grant: None,
            server: OnceCell::new(),
            locks: Mutex::default(),
            looks: Looks::default(),
        }
    }

    /// Returns what it was asked so far, and forgets it: methods and paths, without what comes after a question mark.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// Returns what it is asked for beside reading: methods, paths and bodies.
    pub(super) fn changes(&self) -> Asked {
        Arc::clone(&self.changes)
    }
}

/// Answers the requests of one connection.
async fn serve(stream: TcpStream, answers: Arc<Answers>, (asked, changes): (Asked, Asked)) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if !matches!(stream.read_line(&mut first).await, Ok(1..)) {
            return;
        }
        loop {
            let mut line = String::new();
            if !matches!(stream.read_line(&mut line).await, Ok(1..)) {
                return;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(text) = line.strip_prefix("content-length:") {
                length = text.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let bare = path.split('?').next().unwrap_or_default();
        asked.lock().unwrap().push(format!("{method} {bare}"));
        if method != "GET" {
            let body = String::from_utf8_lossy(&body);
            changes.lock().unwrap().push(format!("{method} {bare} {body}"));
        }
        let (status, document) = answers(method, path);
        let text = document.to_string();
        let head = format!(
            "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        if stream.write_all((head + &text).as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Returns a list of objects.
pub(super) fn list(items: &[Value]) -> (u16, Value) {
    (
        200,
        json!({ "kind": "List", "apiVersion": "v1", "metadata": {}, "items": items }),
    )
}

/// Returns what is said of an object that is not there.
pub(super) fn missing() -> (u16, Value) {
    let said = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "message": "not found", "code": 404 });
    (404, said)
}

/// Returns what is said where a right is missing.
pub(super) fn forbidden() -> (u16, Value) {
    let said = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "message": "may not", "code": 403 });
    (403, said)
}
