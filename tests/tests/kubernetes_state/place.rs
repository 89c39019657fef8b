//! A namespace of an API server for one test, and a way to that server which can be disturbed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use simdb_providers::backend::Remote;
use simdb_state::backend::{Backend, BackendError, Storage};
use simdb_tests::{Output, skip};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A namespace for one test; it is left to the bed.
pub(crate) struct Namespace {
    pub(crate) name: String,
    pub(crate) kubeconfig: PathBuf,
    /// Holds a kubeconfig that leads another way.
    pub(crate) directory: tempfile::TempDir,
}

impl Namespace {
    /// Makes one; nothing where there is no API server, which is said.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let Some(kubeconfig) = std::env::var_os("SIMDB_TEST_KUBECONFIG") else {
            let missing = std::env::var("SIMDB_TEST_KUBERNETES_MISSING");
            skip(&missing.unwrap_or_else(|_| {
                "SIMDB_TEST_KUBECONFIG is not set: tests/support/kubernetes/bed.sh --api".to_owned()
            }));
            return None;
        };
        let namespace = Self {
            name: format!("{name}-{}", std::process::id()),
            kubeconfig: kubeconfig.into(),
            directory: tempfile::tempdir().unwrap(),
        };
        namespace.kubectl(&["create", "namespace", &namespace.name]);
        Some(namespace)
    }

    /// Runs kubectl in the namespace, which must succeed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("kubectl");
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["-n", &self.name])
            .args(arguments);
        let output = Output::of(&mut command);
        output.expect_code(0);
        output.stdout
    }

    /// Returns where a state is.
    pub(crate) fn remote(&self, name: &str, kubeconfig: &Path) -> Remote {
        let pairs = [
            ("namespace", self.name.clone()),
            ("name", name.to_owned()),
            ("kubeconfig", kubeconfig.display().to_string()),
        ];
        let arguments: BTreeMap<String, String> = pairs.map(|(name, value)| (name.to_owned(), value)).into();
        Remote::open("kubernetes", &arguments, Path::new("/")).unwrap()
    }

    pub(crate) fn storage(&self, name: &str) -> Arc<dyn Storage> {
        self.remote(name, &self.kubeconfig).storage(None)
    }

    /// Makes an empty state.
    pub(crate) async fn made(&self, name: &str) -> Arc<dyn Backend> {
        assert!(self.storage(name).create(Vec::new()).await.unwrap());
        self.opened(name).await
    }

    /// Opens a state that is there.
    pub(crate) async fn opened(&self, name: &str) -> Arc<dyn Backend> {
        self.storage(name).open().await.unwrap().unwrap()
    }

    /// Opens a state through a way that can be disturbed.
    pub(crate) async fn opened_by(&self, way: &Way, name: &str) -> Arc<dyn Backend> {
        let path = self.kubeconfig_of(&format!("https://127.0.0.1:{}", way.port));
        self.remote(name, &path).storage(None).open().await.unwrap().unwrap()
    }

    /// Writes a kubeconfig with another address of the API server.
    pub(crate) fn kubeconfig_of(&self, url: &str) -> PathBuf {
        let text = std::fs::read_to_string(&self.kubeconfig).unwrap();
        let path = self.directory.path().join("kubeconfig");
        std::fs::write(&path, text.replace(&format!("https://{}", self.server()), url)).unwrap();
        path
    }

    /// Returns where the API server listens.
    pub(crate) fn server(&self) -> SocketAddr {
        let text = std::fs::read_to_string(&self.kubeconfig).unwrap();
        let (_, rest) = text.split_once("https://").expect("the API server has an address");
        let end = rest.find(['"', '\n', '/']).expect("it ends");
        rest[..end].trim().parse().unwrap()
    }
}

/// Returns what is said of an error: the problem, and the way out.
pub(crate) fn said(error: &BackendError) -> String {
    format!("{error} | {}", error.hint().unwrap_or_default())
}

/// A way to the API server.
pub(crate) struct Way {
    port: u16,
    mode: Arc<AtomicU8>,
}

/// What becomes of what goes along a way.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    /// It arrives.
    Open = 0,
    /// Requests arrive; the next answer is lost with the connection, and then the way is open again.
    LosesAnswer = 1,
    /// Nothing arrives, and connections are closed.
    Closed = 2,
}

impl Way {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = Self {
            port: listener.local_addr().unwrap().port(),
            mode: Arc::default(),
        };
        let mode = Arc::clone(&way.mode);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, Arc::clone(&mode)));
            }
        });
        way
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::SeqCst);
    }
}

async fn carry(client: TcpStream, server: SocketAddr, mode: Arc<AtomicU8>) {
    if mode.load(Ordering::SeqCst) == Mode::Closed as u8 {
        return;
    }
    let server = TcpStream::connect(server).await.unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = async {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_server.read(&mut bytes).await {
            let lost = mode.compare_exchange(
                Mode::LosesAnswer as u8,
                Mode::Open as u8,
                Ordering::SeqCst,
                Ordering::SeqCst,
            );
            if lost.is_ok() || mode.load(Ordering::SeqCst) == Mode::Closed as u8 {
                return;
            }
            if to_client.write_all(&bytes[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = answers => {}
        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
    }
}
