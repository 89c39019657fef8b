//! What keeps a platform from doing what it was asked.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use simdb_state::address::InstanceAddress;
use simdb_state::name::{ClusterName, NetworkName, PlatformName};
use simdb_state::object::EngineKind;
use simdb_state::sensitive::SecretName;
use simdb_state::store::StoreError;
use thiserror::Error;

use super::holder::Holder;

/// Why a platform could not do what it was asked.
#[derive(Debug, Error)]
pub enum PlatformError {
    /// The platform cannot be used as it is; the sentence says what to do.
    #[error("use the platform: {0}")]
    Unusable(String),
    /// Whoever opened the platform only looks at it.
    #[error("change {0}: the platform was opened to be looked at")]
    OnlyLooked(String),
    /// The lock of the record was lost: somebody else may be at work there.
    #[error("change {subject}: nothing more was done to it")]
    LockLost {
        /// What was to be changed.
        subject: String,
        /// What became of the lock.
        #[source]
        source: Box<StoreError>,
    },
    /// A later holder of the lock was there than the record knows of.
    #[error(
        "change the directory of {node}: it was changed under lock {noted} of the state, and lock {held} is held here, so this \
         state is a backup or a copy from before; work with the newest one, or where there is no newer one run: rm {notes}"
    )]
    OlderState {
        /// The node.
        node: InstanceAddress,
        /// The token noted in its instance directory.
        noted: u64,
        /// The token of the lock that is held.
        held: u64,
        /// Where such notes are, as a pattern.
        notes: String,
    },
    /// The platform's files are not those of this machine.
    #[error("read the files of {0}: they are not on this machine")]
    OtherMachine(InstanceAddress),
    /// The platform does not tell when a server ends.
    #[error("wait for the end of the server of {0}: its platform does not tell")]
    Untold(InstanceAddress),
    /// The operating system refused.
    #[error("{doing} {path:?}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With which file, directory or program.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Something stands where a node's instance directory belongs, and it was not made by this project.
    #[error("use {path:?} as the instance directory of {node}: {reason}; move it away, or set another data_root")]
    ForeignInstanceDirectory {
        /// The node.
        node: InstanceAddress,
        /// Where its instance directory belongs.
        path: PathBuf,
        /// What tells that it is not ours.
        reason: String,
    },
    /// No installation of an engine's version was found.
    #[error("find the programs of {engine} {version}: looked in {searched}; install them, or name their directory")]
    EngineMissing {
        /// The engine.
        engine: EngineKind,
        /// Its major version.
        version: u16,
        /// Where programs were looked for.
        searched: String,
    },
    /// A file needs a secret that was not handed over.
    #[error("write file \"{file}\" of {node}: secret \"{secret}\" is not at hand")]
    SecretMissing {
        /// The node.
        node: InstanceAddress,
        /// The file.
        file: String,
        /// The secret.
        secret: SecretName,
    },
    /// A server cannot start without its data.
    #[error("start the server of {node}: its data directory {path:?} does not exist")]
    DataMissing {
        /// The node.
        node: InstanceAddress,
        /// Where the data should be.
        path: PathBuf,
    },
    /// A server did not stop in time.
    #[error(
        "stop the server of {node}: processes {pids:?} still run after {} s; the end of its log:\n{log}",
        limit.as_secs()
    )]
    StillRunning {
        /// The node.
        node: InstanceAddress,
        /// The processes that are left.
        pids: Vec<u32>,
        /// How long it was waited for.
        limit: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// Whether a server still runs cannot be found out.
    #[error("stop the server of {node}: it may still run, and nothing proves that it does not: {reason}")]
    Unprovable {
        /// The node.
        node: InstanceAddress,
        /// Why it cannot be known.
        reason: String,
    },
    /// A task needs the data for itself.
    #[error("run task \"{task}\" of {node}: process {pid} uses the node's data; stop the node first")]
    InUse {
        /// The node.
        node: InstanceAddress,
        /// The task.
        task: String,
        /// The process that uses the data.
        pid: u32,
    },
    /// Another simdb is at work there, and does not come to an end.
    #[error("lock {subject}: {holder} has held it for more than {} s", limit.as_secs())]
    Busy {
        /// What was to be locked.
        subject: String,
        /// How long it was waited for.
        limit: Duration,
        /// Who holds it.
        holder: Holder,
    },
    /// A command of a task failed.
    #[error("run task \"{task}\" of {node}: {program} ended with {status}:\n{stderr}")]
    TaskFailed {
        /// The node; boxed, or every result would be as large as this variant.
        node: Box<InstanceAddress>,
        /// The task.
        task: String,
        /// The command that failed.
        program: String,
        /// How it ended.
        status: String,
        /// The last lines of what it wrote to its standard error.
        stderr: String,
    },
    /// A task ended well, but did not make what it was to make.
    #[error("run task \"{task}\" of {node}: it succeeded and did not make {path:?}")]
    ProductMissing {
        /// The node.
        node: InstanceAddress,
        /// The task.
        task: String,
        /// What it was to make.
        path: PathBuf,
    },
    /// A task ended well, but what it printed shows that it did not do what it was to do.
    #[error("run task \"{task}\" of {node}: it succeeded and did not print {text:?}")]
    NotPrinted {
        /// The node.
        node: InstanceAddress,
        /// The task.
        task: String,
        /// What it was to print.
        text: String,
    },
    /// A trial took too long.
    #[error("try the parameters: {program} gave no answer within {} s", limit.as_secs())]
    Slow {
        /// The command that did not end.
        program: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// A cluster belongs to a platform that is not set up.
    #[error("reach the platform of cluster {cluster}: {}", match platform {
        Some(platform) => format!("\"{platform}\" is not set up here"),
        None => "the record does not name it".to_owned(),
    })]
    Elsewhere {
        /// The cluster.
        cluster: ClusterName,
        /// Its platform, where that is known.
        platform: Option<PlatformName>,
    },
    /// An instance would have the place of one that was moved to another address.
    #[error("reach {instance}: its platform knows {moved} by that address, which has moved from there")]
    Moved {
        /// The address.
        instance: InstanceAddress,
        /// Where that is now which had the address when it was made.
        moved: InstanceAddress,
    },
    /// A network belongs to a platform that is not set up.
    #[error("reach the platform of network {network}: {}", match platform {
        Some(platform) => format!("\"{platform}\" is not set up here"),
        None => "the record does not name it".to_owned(),
    })]
    NetworkElsewhere {
        /// The network.
        network: NetworkName,
        /// Its platform, where that is known.
        platform: Option<PlatformName>,
    },
    /// The addresses of a network cannot be used here.
    #[error("make network {network}: {subnet} cannot be used on this machine: {reason}")]
    Addresses {
        /// The network.
        network: NetworkName,
        /// Its addresses.
        subnet: String,
        /// Why not.
        reason: String,
    },
    /// An entry of the service file belongs to somebody else.
    #[error("publish service \"{name}\": {path:?} has an entry of that name that was not written by simdb; rename it")]
    ForeignEntry {
        /// The entry.
        name: String,
        /// The file it stands in.
        path: PathBuf,
    },
}
