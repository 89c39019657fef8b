//! What is run for a node: its server, and the tasks that make its data.

use std::time::Duration;

use simdb_state::identity::DataIdentity;
use simdb_state::instance::{
    Argument, ArgumentPart, Command, FilePart, FileText, InstanceSpec, LOOPBACK, Outside, Stop, StopSignal, TaskSpec,
};
use simdb_state::object::{Data, EngineKind};
use simdb_state::place::{Bind, Place};
use simdb_state::sensitive::SecretName;

use super::conf::{self, CONF, Standbys};
pub use super::logins::{DATABASE, REPLICATION_USER, SUPERUSER, replication_password, superuser_password, user};
use crate::engine::node::{NodeContext, Upstream};
use crate::observed::{ImportFacts, NodeFacts, UnmanagedServer};

/// Ends its sessions, writes a checkpoint, and ends (the fast shutdown).
pub const STOP: Stop = Stop {
    signal: StopSignal::Interrupt,
    within: Duration::from_mins(1),
};

/// The file in the data that `ALTER SYSTEM` writes.
const ALTERED: &str = "postgresql.auto.conf";

/// Returns whether a file holds what was set in a session for the whole server.
pub(crate) fn is_altered(file: &str) -> bool {
    file.rsplit('/').next() == Some(ALTERED)
}

/// The file that a node streams and clones with, below its instance directory.
pub const PASSFILE: &str = "passfile";

/// The variable that names a passfile to clients.
const PASSFILE_VARIABLE: &str = "PGPASSFILE";

/// The file that says who is let in.
pub const HBA: &str = "pg_hba.conf";

/// The passfile of a rewind, which needs more rights than a stream; it is there only as long as that runs.
const REWIND_PASSFILE: &str = "rewind.passfile";

fn command(version: u16, program: &str, arguments: Vec<Argument>) -> Command {
    Command {
        engine: EngineKind::Postgresql,
        version,
        program: program.to_owned(),
        arguments,
    }
}

/// Returns the server of a node.
pub fn server(node: &NodeContext<'_>) -> InstanceSpec {
    let data = Data::directory(node.generation);
    // `ALTER SYSTEM` writes to the last one, and would outrank every setting of the others; simdb never uses it.
    let files = [
        (CONF.to_owned(), conf::postgresql_conf(node)),
        (HBA.to_owned(), conf::pg_hba_conf(node)),
        (
            PASSFILE.to_owned(),
            conf::passfile(REPLICATION_USER, node.replication_password.clone()),
        ),
        (format!("{data}/{ALTERED}"), FileText::default()),
    ];
    let signal = vec![standby_signal(&data)];
    let (present, absent) = match node.upstream {
        Some(_) => (signal, Vec::new()),
        None => (Vec::new(), signal),
    };
    // From data that is elsewhere no relative path leads to the passfile.
    let passfile = (PASSFILE_VARIABLE.to_owned(), Argument::below_directory("", PASSFILE));
    let environment = node.outside.then_some(passfile).into_iter().collect();
    let arguments = vec![
        Argument::text("-D"),
        Argument::below_directory("", &data),
        Argument::text("-c"),
        Argument::below_directory("config_file=", CONF),
        Argument::text("-c"),
        Argument::below_directory("hba_file=", HBA),
    ];
    InstanceSpec {
        command: command(node.release.version, "postgres", arguments),
        files: files.into_iter().collect(),
        data,
        listen: node.place.bind,
        published: node.place.published(),
        image: node.image.as_ref().map(|image| image.digest.clone()),
        resources: node.resources,
        // One at an address of this machine alone is looked at as the process that it is.
        probe: (!node.place.bind.host.is_loopback())
            .then(|| Box::new(command(node.release.version, "pg_isready", probe(node.place.bind)))),
        present,
        absent,
        environment,
        stop: STOP,
    }
}

/// Returns what the program is called with that asks a server whether it lets clients in.
fn probe(at: Bind) -> Vec<Argument> {
    let host = if at.host.is_unspecified() { LOOPBACK } else { at.host };
    [
        "-q".to_owned(),
        "-h".to_owned(),
        host.to_string(),
        "-p".to_owned(),
        at.port.to_string(),
    ]
    .map(Argument::text)
    .into()
}

/// Returns whether a server at that place was last told to let in standbys and simdb alone.
pub fn keeps_clients_out(facts: &NodeFacts, place: &Place) -> bool {
    let written = facts.files.get(HBA).filter(|file| !file.edited);
    let outside = facts.outside.is_some();
    written.is_some_and(|file| {
        let texts = Standbys::ALL.map(|standbys| conf::pg_hba_conf_without_clients(place, outside, standbys));
        texts.iter().any(|text| text.digest() == file.digest)
    })
}

/// Returns the server of a node that lets in standbys and simdb, and no clients.
pub fn without_clients(node: &NodeContext<'_>) -> InstanceSpec {
    let mut instance = server(node);
    instance.files.insert(
        HBA.to_owned(),
        conf::pg_hba_conf_without_clients(&node.place, node.outside, Standbys::of(node)),
    );
    instance
}

/// Returns the file that makes a server replay, and keeps it from ever writing.
fn standby_signal(data: &str) -> String {
    format!("{data}/standby.signal")
}

/// Returns the task that seals data whose server is down: whoever starts it now starts it read-only.
pub fn seal(data: &str) -> TaskSpec {
    TaskSpec {
        name: "seal".to_owned(),
        files: [(standby_signal(data), FileText::default())].into_iter().collect(),
        ..TaskSpec::default()
    }
}

/// What `pg_controldata` says of data that was rewound, and of no data that `pg_rewind` left as it was.
const REWOUND: &str = "in archive recovery";

/// What the last server on some data did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastRun {
    /// It wrote its own log.
    Wrote,
    /// It wrote its own log, and was shut down in order.
    WroteToTheEnd,
    /// It replayed the log of another server, or nothing shows that it wrote.
    Replayed,
}

/// Returns the task that takes a node's data back to where its upstream's log branches off, and brings it up to that.
///
/// It changes the data in place, so the directory is a partial one from the first moment: cut off, it is worth nothing,
/// and the node is cloned. The upstream has made a checkpoint since it was promoted (up to 15, `pg_rewind` takes both for
/// the same timeline otherwise, and says so with exit code 0).
///
/// `pg_rewind` recovers data that was not shut down in order, and that writes a checkpoint on the timeline of the data. On
/// the timeline of another server this is a branch that no position tells from the log it replaced, so that data whose
/// last server replayed is rewound only where that was shut down in order. Data that `pg_rewind` takes for a part of the
/// upstream's log by its positions is believed only where the server that wrote this log was shut down in order; else the
/// task fails, and the node is cloned.
pub fn rewind(node: &NodeContext<'_>, upstream: &Upstream, from: u32, last: LastRun) -> TaskSpec {
    let product = Data::directory(node.generation);
    let partial = TaskSpec::partial(&product);
    let (user, password) = rewinder(node);
    let source = Argument(vec![
        ArgumentPart::Text(
            format!(
                "--source-server=host={} port={} user={user} dbname={DATABASE} application_name=simdb{} passfile='",
                upstream.at.host,
                upstream.at.port,
                conf::patience(&upstream.at)
            )
            .into(),
        ),
        ArgumentPart::InstanceDirectory,
        ArgumentPart::Text(format!("/{REWIND_PASSFILE}'").into()),
    ]);
    let mut arguments = vec![
        Argument::text("-D"),
        Argument::below_directory("", &partial),
        source,
        // It starts the server for a moment where that was not shut down in order, with the settings it ran with.
        Argument::below_directory("--config-file=", CONF),
    ];
    if last != LastRun::Wrote {
        arguments.push(Argument::text("--no-ensure-shutdown"));
    }
    let state = vec![Argument::text("-D"), Argument::below_directory("", &partial)];
    TaskSpec {
        name: "rewind".to_owned(),
        commands: vec![
            command(node.release.version, "pg_rewind", arguments),
            command(node.release.version, "pg_controldata", state),
        ],
        prints: (last != LastRun::WroteToTheEnd).then(|| REWOUND.to_owned()),
        files: [(REWIND_PASSFILE.to_owned(), conf::passfile(user, password))]
            .into_iter()
            .collect(),
        temporary: vec![REWIND_PASSFILE.to_owned()],
        product: Some(product),
        origin: Some(Data::directory(from)),
        outside: None,
        // A server that recovers for a moment must not take itself for a standby, and must not find the lock of the one
        // that was killed: a task only runs where none is left.
        removes: vec![standby_signal(&partial), format!("{partial}/postmaster.pid")],
        replaces: Vec::new(),
        storage: node.resources.storage,
    }
}

/// Returns the login with which a node's data is rewound, and its password. Servers that are found by name let the superuser in from their
/// own machine alone; there the login that streams may read what a rewind needs.
fn rewinder(node: &NodeContext<'_>) -> (&'static str, SecretName) {
    if node.place.is_named() {
        (REPLICATION_USER, node.replication_password.clone())
    } else {
        (SUPERUSER, superuser_password(&node.address.cluster))
    }
}

/// The file with which a server that was made without simdb gets simdb's own login.
const LOGIN: &str = "login.sql";

/// Returns the task that gives simdb's own login its password, or makes it, on a server that was made without simdb: as the
/// servers' user, through the socket of the machine.
pub fn login(node: &NodeContext<'_>, unmanaged: &UnmanagedServer) -> TaskSpec {
    let text = FileText(vec![
        FilePart::Text(format!(
            "SET log_statement = 'none';\nSET synchronous_commit = local;\nSET password_encryption = 'scram-sha-256';\n\
             SELECT 'CREATE ROLE {SUPERUSER}' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{SUPERUSER}') \\gexec\n\
             ALTER ROLE {SUPERUSER} WITH SUPERUSER LOGIN PASSWORD '"
        )),
        FilePart::ScramVerifier(superuser_password(&node.address.cluster)),
        FilePart::Text("' VALID UNTIL 'infinity';\n".to_owned()),
    ]);
    let mut arguments = session(&unmanaged.socket, unmanaged.listen.port, &unmanaged.role);
    arguments.extend([Argument::text("-v"), Argument::text("ON_ERROR_STOP=1")]);
    arguments.push(Argument::below_directory("--file=", LOGIN));
    TaskSpec {
        name: "login".to_owned(),
        commands: vec![command(node.release.version, "psql", arguments)],
        files: [(LOGIN.to_owned(), text)].into_iter().collect(),
        temporary: vec![LOGIN.to_owned()],
        ..TaskSpec::default()
    }
}

/// Returns the arguments of a `psql` that asks a server through the socket of its machine, and asks nobody for a password.
pub fn session(socket: &str, port: u16, role: &str) -> Vec<Argument> {
    let texts = [
        "-X".to_owned(),
        "-A".to_owned(),
        "-t".to_owned(),
        "-q".to_owned(),
        "--no-password".to_owned(),
        format!("--host={socket}"),
        format!("--port={port}"),
        format!("--username={role}"),
        format!("--dbname={DATABASE}"),
    ];
    texts.into_iter().map(Argument::text).collect()
}

/// Returns the task that links data that was made without simdb, once it has looked whose it is.
pub fn link(node: &NodeContext<'_>, facts: &ImportFacts, identity: &DataIdentity) -> TaskSpec {
    let state = vec![Argument::text("-D"), Argument::text(facts.directory.clone())];
    TaskSpec {
        name: "link".to_owned(),
        commands: vec![command(node.release.version, "pg_controldata", state)],
        prints: Some(identity.to_string()),
        product: Some(Data::directory(node.generation)),
        outside: Some(Outside {
            directory: facts.directory.clone(),
            listen: facts.server.as_ref().map(|server| server.listen),
        }),
        ..TaskSpec::default()
    }
}

/// Returns the task that makes empty data: checksums on, SCRAM only, a locale that every platform has.
///
/// `initdb` gets the password as a SCRAM verifier, which it takes in place of the password.
pub fn birth(node: &NodeContext<'_>) -> TaskSpec {
    let product = Data::directory(node.generation);
    let verifier = FileText(vec![
        FilePart::ScramVerifier(superuser_password(&node.address.cluster)),
        FilePart::Text("\n".to_owned()),
    ]);
    let arguments = vec![
        Argument::text("-D"),
        Argument::below_directory("", &TaskSpec::partial(&product)),
        Argument::text(format!("--username={SUPERUSER}")),
        Argument::below_directory("--pwfile=", "initdb.password"),
        Argument::text("--auth=scram-sha-256"),
        Argument::text("--data-checksums"),
        Argument::text("--encoding=UTF8"),
        Argument::text("--no-locale"),
        Argument::text("--no-instructions"),
    ];
    TaskSpec {
        name: "initdb".to_owned(),
        commands: vec![command(node.release.version, "initdb", arguments)],
        files: [("initdb.password".to_owned(), verifier)].into_iter().collect(),
        temporary: vec!["initdb.password".to_owned()],
        product: Some(product),
        storage: node.resources.storage,
        ..TaskSpec::default()
    }
}

/// Returns the task that copies an upstream's data and verifies the copy.
///
/// The slot exists already, so that no log is missing between the end of the copy and the standby's first start; the
/// checkpoint is fast, because a spread one takes minutes on an idle server.
pub fn copy(node: &NodeContext<'_>, upstream: &Upstream, replaces: Vec<String>) -> TaskSpec {
    let product = Data::directory(node.generation);
    let partial = TaskSpec::partial(&product);
    let connection = Argument(vec![
        ArgumentPart::Text(
            format!(
                "host={} port={} user={REPLICATION_USER} application_name=simdb-basebackup{} passfile='",
                upstream.at.host,
                upstream.at.port,
                conf::patience(&upstream.at)
            )
            .into(),
        ),
        ArgumentPart::InstanceDirectory,
        ArgumentPart::Text("/passfile'".into()),
    ]);
    let clone = vec![
        Argument::text("-D"),
        Argument::below_directory("", &partial),
        Argument::text("-d"),
        connection,
        Argument::text(format!("--slot={}", upstream.slot)),
        Argument::text("--wal-method=stream"),
        Argument::text("--checkpoint=fast"),
        Argument::text("--no-password"),
    ];
    let verify = vec![Argument::text("--quiet"), Argument::below_directory("", &partial)];
    TaskSpec {
        name: "basebackup".to_owned(),
        commands: vec![
            command(node.release.version, "pg_basebackup", clone),
            command(node.release.version, "pg_verifybackup", verify),
        ],
        files: [(
            PASSFILE.to_owned(),
            conf::passfile(REPLICATION_USER, node.replication_password.clone()),
        )]
        .into_iter()
        .collect(),
        product: Some(product),
        replaces,
        storage: node.resources.storage,
        ..TaskSpec::default()
    }
}
