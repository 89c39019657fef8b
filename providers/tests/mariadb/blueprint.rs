//! What is run for a node: its server, and the tasks that make its data.

use std::time::Duration;

use simdb_providers::engine::mariadb::LOGIN;
use simdb_providers::engine::mariadb::steps::{CONF, STREAM};
use simdb_state::address::NodeAddress;
use simdb_state::instance::{Argument, Command, FilePart, FileText, InstanceSpec, Stop, StopSignal, TaskSpec};
use simdb_state::object::{EngineKind, Resources};
use simdb_state::place::Bind;
use simdb_state::sensitive::SecretName;

/// The directory of the data of every node here.
pub(crate) const DATA: &str = "data-1";

/// Copies the data of a server that runs, and looks whether the pages of the copy are whole: a copy with a broken one can be prepared and
/// started.
const COPY: &str = r#"set -eu
mariabackup --defaults-file="$1" --backup --protocol=tcp --datadir="$2" --target-dir="$3"
mariabackup --prepare --target-dir="$3"
find "$3" -name '*.ibd' -exec sh -c 'for file; do innochecksum "$file" || exit 1; done' sh {} +
"#;

fn command(program: &str, arguments: Vec<Argument>) -> Command {
    Command {
        engine: EngineKind::Mariadb,
        version: 1011,
        program: program.to_owned(),
        arguments,
    }
}

fn text(text: impl Into<String>) -> FilePart {
    FilePart::Text(text.into())
}

/// Returns the task that makes empty data.
pub(crate) fn birth(password: &SecretName) -> TaskSpec {
    let partial = TaskSpec::partial(DATA);
    let accounts = FileText(vec![
        text(format!(
            "FLUSH PRIVILEGES;\nDELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys';\nFLUSH PRIVILEGES;\n\
             CREATE USER {LOGIN}@'127.0.0.1' IDENTIFIED VIA mysql_native_password USING '"
        )),
        FilePart::NativeVerifier(password.clone()),
        text(format!(
            "';\nGRANT ALL ON *.* TO {LOGIN}@'127.0.0.1' WITH GRANT OPTION;\nCREATE DATABASE simdb;\n"
        )),
    ]);
    let arguments = vec![
        Argument::text("--no-defaults"),
        Argument::below_directory("--datadir=", &partial),
        Argument::below_directory("--tmpdir=", &partial),
        Argument::below_directory("--extra-file=", "birth.sql"),
        Argument::text("--skip-test-db"),
        Argument::text("--skip-name-resolve"),
        Argument::text("--auth-root-authentication-method=normal"),
    ];
    TaskSpec {
        name: "install-db".to_owned(),
        commands: vec![command("mariadb-install-db", arguments)],
        files: [("birth.sql".to_owned(), accounts)].into_iter().collect(),
        temporary: vec!["birth.sql".to_owned()],
        product: Some(DATA.to_owned()),
        ..TaskSpec::default()
    }
}

/// Returns the task that copies the data of a source.
pub(crate) fn copy(source: &NodeAddress, at: Bind, password: &SecretName) -> TaskSpec {
    let login = FileText(vec![
        text(format!(
            "[mariabackup]\nuser={LOGIN}\nhost={}\nport={}\npassword=",
            at.host, at.port
        )),
        FilePart::Secret(password.clone()),
        text("\n"),
    ]);
    let arguments = vec![
        Argument::below_directory("", "copy.sh"),
        Argument::below_directory("", "copy.cnf"),
        Argument::below_directory_of("", source.clone(), DATA),
        Argument::below_directory("", &TaskSpec::partial(DATA)),
    ];
    TaskSpec {
        name: "mariabackup".to_owned(),
        commands: vec![command("/bin/sh", arguments)],
        files: [
            ("copy.cnf".to_owned(), login),
            ("copy.sh".to_owned(), FileText::text(COPY)),
        ]
        .into_iter()
        .collect(),
        temporary: vec!["copy.cnf".to_owned(), "copy.sh".to_owned()],
        product: Some(DATA.to_owned()),
        ..TaskSpec::default()
    }
}

/// Returns the server of a node. `options` come after those that all have.
pub(crate) fn server(listen: Bind, server_id: u32, replication: &SecretName, options: &[String]) -> InstanceSpec {
    let Bind { host, port } = listen;
    let directory = || FilePart::InstanceDirectory;
    let mut conf = vec![text("[mariadbd]\ndatadir=")];
    for (before, after) in [
        ("", format!("/{DATA}\ntmpdir=")),
        ("", format!("/{DATA}\npid-file=")),
        ("", format!("/{DATA}/mariadbd.pid\n")),
    ] {
        conf.extend([text(before), directory(), text(after)]);
    }
    conf.push(text(format!(
        "port={port}\nbind-address={host}\nsocket=\nskip-name-resolve\nserver-id={server_id}\ngtid-domain-id=0\n\
         gtid-strict-mode=ON\nlog-bin=bin\nlog-slave-updates=ON\nbinlog-format=ROW\nbinlog-row-image=FULL\n\
         sync-binlog=1\ninnodb-flush-log-at-trx-commit=1\nrelay-log=relay\nrelay-log-recovery=ON\nskip-slave-start\n\
         slave-parallel-threads=4\nslave-net-timeout=10\nreport-host={host}\nreport-port={port}\n\
         innodb-buffer-pool-size=64M\ncharacter-set-server=utf8mb4\n{}\n",
        options.join("\n")
    )));
    let stream = FileText(vec![
        text("password="),
        FilePart::Secret(replication.clone()),
        text("\n"),
    ]);
    InstanceSpec {
        command: command("mariadbd", vec![Argument::below_directory("--defaults-file=", CONF)]),
        files: [(CONF.to_owned(), FileText(conf)), (STREAM.to_owned(), stream)]
            .into_iter()
            .collect(),
        data: DATA.to_owned(),
        listen,
        published: None,
        image: None,
        resources: Resources::default(),
        probe: None,
        present: Vec::new(),
        absent: Vec::new(),
        environment: std::collections::BTreeMap::new(),
        stop: Stop {
            signal: StopSignal::Terminate,
            within: Duration::from_mins(1),
        },
    }
}
