//! MariaDB servers below a temporary directory, and nothing left of them when it goes.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use simdb_planner::plan::Server;
use simdb_providers::engine::mariadb::verifier::Method;
use simdb_providers::engine::mariadb::{Connection, LOGIN};
use simdb_providers::password;
use simdb_providers::platform::tcp::Tcp;
use simdb_providers::sessions::Sessions;
use simdb_state::address::NodeAddress;
use simdb_state::place::{Bind, HostPort, Place};
use simdb_state::sensitive::{SecretName, Secrets, Sensitive};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::port::Port;

/// More than anything here takes, on a machine that is busy.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// The user that servers run as where the tests are root's: a server refuses to be.
const USER: &str = "mysql";

/// The login that streams.
pub(crate) const REPLICATOR: &str = "replicator";

/// A temporary directory with the passwords of the servers in it.
#[derive(Debug)]
pub(crate) struct Bed {
    root: TempDir,
    pub(crate) secrets: Secrets,
    password: SecretName,
    pub(crate) replication: Sensitive<String>,
}

/// A server.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) address: NodeAddress,
    pub(crate) directory: PathBuf,
    pub(crate) server_id: u32,
    port: Port,
    process: Option<Child>,
}

impl Bed {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        // The user that servers run as must be able to enter it.
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        let password = SecretName::password(&format!("cluster.shop.user.{LOGIN}").parse().unwrap());
        Self {
            root,
            secrets: [(password.clone(), password::generate().unwrap())].into(),
            password,
            replication: password::generate().unwrap(),
        }
    }

    /// Makes a server without data.
    pub(crate) fn node(&self, name: &str, server_id: u32) -> Node {
        let directory = self.root.path().join(name);
        fs::create_dir(&directory).unwrap();
        own(&directory);
        Node {
            address: format!("cluster.shop.node.{name}").parse().unwrap(),
            directory,
            server_id,
            port: Port::claim(),
            process: None,
        }
    }

    /// Makes a server with empty data that only simdb may log in to.
    pub(crate) fn born(&self, name: &str, server_id: u32) -> Node {
        let node = self.node(name, server_id);
        let accounts = format!(
            "FLUSH PRIVILEGES;\n\
             DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys';\n\
             FLUSH PRIVILEGES;\n\
             CREATE USER {LOGIN}@'127.0.0.1' IDENTIFIED VIA mysql_native_password USING '{}';\n\
             GRANT ALL ON *.* TO {LOGIN}@'127.0.0.1' WITH GRANT OPTION;\n\
             CREATE DATABASE simdb COMMENT 'data=6f1d';\n",
            Method::Native.verifier(self.own_password())
        );
        let file = node.directory.join("birth.sql");
        fs::write(&file, accounts).unwrap();
        own(&file);
        let mut command = as_user("mariadb-install-db");
        command
            .arg("--no-defaults")
            .arg(format!("--datadir={}", node.data().display()))
            // A server that starts removes what others have in its directory of temporary files.
            .arg(format!("--tmpdir={}", node.data().display()))
            .args([
                "--skip-test-db",
                "--skip-name-resolve",
                "--auth-root-authentication-method=normal",
            ])
            .arg(format!("--extra-file={}", file.display()));
        succeeded(&command.output().unwrap());
        node
    }

    /// Makes a server with a copy of the data of one that runs, and returns what the copy took.
    pub(crate) fn copied(&self, name: &str, server_id: u32, source: &Node) -> Node {
        let node = self.node(name, server_id);
        let defaults = node.write_client_file("mariabackup", LOGIN, self.own_password(), source);
        let mut backup = as_user("mariabackup");
        backup
            .arg(format!("--defaults-file={}", defaults.display()))
            .args(["--backup", "--protocol=tcp"])
            .arg(format!("--datadir={}", source.data().display()))
            .arg(format!("--target-dir={}", node.data().display()));
        succeeded(&backup.output().unwrap());
        let mut prepare = as_user("mariabackup");
        prepare
            .arg("--prepare")
            .arg(format!("--target-dir={}", node.data().display()));
        succeeded(&prepare.output().unwrap());
        node
    }

    pub(crate) fn own_password(&self) -> &Sensitive<String> {
        &self.secrets[&self.password]
    }

    pub(crate) fn sessions(&self) -> Sessions<'_> {
        Sessions::new(Arc::new(Tcp), &self.secrets)
    }

    pub(crate) fn server(&self, node: &Node) -> Server {
        Server {
            node: node.address.clone(),
            place: Box::new(Place::shared(node.port.listen)),
            password: self.password.clone(),
        }
    }

    pub(crate) async fn connect(&self, node: &Node) -> Connection {
        Connection::open(&self.sessions(), &self.server(node)).await.unwrap()
    }

    /// Starts a server that is down, and returns a session with it. `options` come after those that all have.
    pub(crate) async fn start(&self, node: &mut Node, options: &[&str]) -> Connection {
        node.launch(options);
        let start = Instant::now();
        loop {
            match Connection::open(&self.sessions(), &self.server(node)).await {
                Ok(connection) => return connection,
                Err(error) => {
                    let ended = node.process.as_mut().unwrap().try_wait().unwrap();
                    assert!(ended.is_none(), "{error:?}\n{}", node.log());
                    assert!(start.elapsed() < LIMIT, "{error:?}\n{}", node.log());
                    sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }
}

impl Node {
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    pub(crate) fn listen(&self) -> Bind {
        self.port.listen
    }

    pub(crate) fn at(&self) -> HostPort {
        self.port.listen.into()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Writes an option file for a client program, and returns its path.
    pub(crate) fn write_client_file(
        &self,
        group: &str,
        user: &str,
        password: &Sensitive<String>,
        server: &Node,
    ) -> PathBuf {
        let file = self.directory.join(format!("{group}.cnf"));
        let Bind { host, port } = server.listen();
        let text = format!(
            "[{group}]\nuser={user}\npassword={}\nhost={host}\nport={port}\n",
            password.expose()
        );
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        own(&file);
        file
    }

    fn launch(&mut self, options: &[&str]) {
        assert!(self.process.is_none(), "it runs already");
        let (data, directory, Bind { host, port }) = (self.data(), &self.directory, self.listen());
        let mut file = format!(
            "[mariadbd]\ndatadir={data}\ntmpdir={data}\nport={port}\nbind-address={host}\nsocket=\npid-file={data}/mariadbd.pid\n\
             log-error={log}\nskip-name-resolve\nserver-id={id}\ngtid-domain-id=0\ngtid-strict-mode=ON\nlog-bin=bin\n\
             log-slave-updates=ON\nbinlog-format=ROW\nbinlog-row-image=FULL\nsync-binlog=1\n\
             innodb-flush-log-at-trx-commit=1\nrelay-log=relay\nrelay-log-recovery=ON\nskip-slave-start\n\
             slave-parallel-threads=4\nslave-net-timeout=10\nreport-host={host}\nreport-port={port}\n\
             innodb-buffer-pool-size=64M\ncharacter-set-server=utf8mb4\nplugin-load-add=auth_ed25519\n",
            data = data.display(),
            log = directory.join("log").display(),
            id = self.server_id,
        );
        for option in options {
            file.push_str(option);
            file.push('\n');
        }
        let path = directory.join("mariadbd.cnf");
        fs::write(&path, file).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        own(&path);
        let mut command = as_user("/usr/sbin/mariadbd");
        command.arg(format!("--defaults-file={}", path.display()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(command.spawn().unwrap());
    }

    /// Asks the server to end in order, and waits until it has.
    pub(crate) fn stop(&mut self) {
        self.end(Signal::SIGTERM);
    }

    /// Ends the server at once.
    pub(crate) fn kill(&mut self) {
        self.end(Signal::SIGKILL);
    }

    fn end(&mut self, signal: Signal) {
        let mut process = self.process.take().expect("it runs");
        kill(Pid::from_raw(process.id().try_into().unwrap()), signal).unwrap();
        process.wait().unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill();
        }
    }
}

/// Prepares a program to run as the servers' user.
pub(crate) fn as_user(program: &str) -> Command {
    if !Uid::effective().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args([
        &format!("--reuid={USER}"),
        &format!("--regid={USER}"),
        "--clear-groups",
        program,
    ]);
    command
}

/// Gives a file or directory to the servers' user.
pub(crate) fn own(path: &Path) {
    if Uid::effective().is_root() {
        let user = nix::unistd::User::from_name(USER)
            .unwrap()
            .expect("MariaDB's package made its user");
        std::os::unix::fs::chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    }
}

pub(crate) fn succeeded(output: &Output) -> String {
    let (stdout, stderr) = (&output.stdout, &output.stderr);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(stderr));
    String::from_utf8_lossy(stdout).into_owned()
}

/// A port at which somebody accepts connections and says nothing.
pub(crate) fn silent() -> (TcpListener, Bind) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = listener.local_addr().unwrap();
    let bind = Bind {
        host: at.ip(),
        port: at.port(),
    };
    (listener, bind)
}
