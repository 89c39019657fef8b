//! What a platform runs: servers and one-off tasks, with no engine words and no platform words in them.
//!
//! Everything lives under the *instance directory* of a node, a directory that each platform places where it likes. Texts are made of
//! parts, so that the planner can write them without knowing that place and without ever holding a secret. An argument
//! has no part for secrets: what is on a command line can be read by every process of the machine.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::address::NodeAddress;
use crate::digest::sha256;
use crate::maps::Few;
use crate::object::{EngineKind, Resources};
use crate::place::Bind;
use crate::sensitive::SecretName;

/// A piece of an argument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArgumentPart {
    /// As it stands. Most are constants, and a plan holds the arguments of every node that it touches.
    Text(Cow<'static, str>),
    /// The absolute path of the node's instance directory, under the name that servers which run already were noted with.
    #[serde(rename = "home")]
    InstanceDirectory,
    /// The absolute path of another node's instance directory, which the command reads. Only where both are on one machine is there one.
    DirectoryOf(NodeAddress),
}

/// One argument of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Argument(pub Vec<ArgumentPart>);

impl Argument {
    /// Makes an argument of plain text.
    pub fn text(text: impl Into<Cow<'static, str>>) -> Self {
        Self(vec![ArgumentPart::Text(text.into())])
    }

    /// Makes an argument that is `before`, then a path below the node's instance directory.
    pub fn below_directory(before: impl Into<Cow<'static, str>>, path: &str) -> Self {
        Self(vec![
            ArgumentPart::Text(before.into()),
            ArgumentPart::InstanceDirectory,
            ArgumentPart::Text(format!("/{path}").into()),
        ])
    }

    /// Makes an argument that is `before`, then a path below another node's instance directory.
    pub fn below_directory_of(before: impl Into<Cow<'static, str>>, node: NodeAddress, path: &str) -> Self {
        Self(vec![
            ArgumentPart::Text(before.into()),
            ArgumentPart::DirectoryOf(node),
            ArgumentPart::Text(format!("/{path}").into()),
        ])
    }

    /// Returns the argument as text, with the instance directory put in. A node on a machine of its own sees no other node's: there the
    /// path is one that is nowhere, and the command says so.
    pub fn render(&self, directory: &str) -> String {
        self.render_beside(directory, |node| format!("/instance directory of {node}"))
    }

    /// Returns the argument as text, with the instance directories put in: its own, and those of other nodes.
    pub fn render_beside(&self, directory: &str, of: impl Fn(&NodeAddress) -> String) -> String {
        let parts = self.0.iter().map(|part| match part {
            ArgumentPart::Text(text) => Cow::Borrowed(&**text),
            ArgumentPart::InstanceDirectory => Cow::Borrowed(directory),
            ArgumentPart::DirectoryOf(node) => Cow::Owned(of(node)),
        });
        parts.collect()
    }
}

/// A piece of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilePart {
    /// As it stands.
    Text(String),
    /// The absolute path of the node's instance directory. Digests of files that stand already rest on its name on the wire.
    #[serde(rename = "home")]
    InstanceDirectory,
    /// A password in clear, for files that a client reads (a passfile).
    Secret(SecretName),
    /// The SCRAM-SHA-256 verifier of a password, as `initdb --pwfile` takes it in place of the password.
    ScramVerifier(SecretName),
    /// The digest of a password that a server keeps for the method `mysql_native_password`, as a literal in a statement holds it.
    NativeVerifier(SecretName),
}

/// The text of a file. Every file is written with mode 0600, atomically.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileText(pub Vec<FilePart>);

impl FileText {
    /// Makes a file of plain text.
    pub fn text(text: impl Into<String>) -> Self {
        let mut text = text.into();
        // A plan holds the files of every node it touches.
        text.shrink_to_fit();
        Self(vec![FilePart::Text(text)])
    }

    /// Returns a digest of the text, secrets by name: it tells two texts apart without telling a secret.
    pub fn digest(&self) -> String {
        let parts = serde_json::to_vec(self).expect("parts of a file are plain data");
        sha256(parts)
    }

    /// Returns the names of the secrets that the file holds.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretName> {
        self.0.iter().filter_map(|part| match part {
            FilePart::Secret(name) | FilePart::ScramVerifier(name) | FilePart::NativeVerifier(name) => Some(name),
            FilePart::Text(_) | FilePart::InstanceDirectory => None,
        })
    }
}

/// A program of an engine, such as `initdb` of PostgreSQL 15. Where it is found is the platform's business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The engine.
    pub engine: EngineKind,
    /// Its major version.
    pub version: u16,
    /// The program's file name.
    pub program: String,
    /// What it is called with.
    pub arguments: Vec<Argument>,
}

/// A server that runs until it is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// What is run.
    pub command: Command,
    /// Its configuration: files by path below the instance directory. They are all in place before the server starts.
    pub files: Few<FileText>,
    /// The directory below the instance directory that holds the data, or nothing where the instance directory itself does; it exists, or the server
    /// is not started.
    pub data: String,
    /// Where the server listens.
    pub listen: Bind,
    /// The address of its platform's machine that leads there; absent where clients reach it where it listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Bind>,
    /// What tells the image that it is made from apart from others, where its platform has images; absent for the one that its
    /// command finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// How much of its machine it may take.
    #[serde(default, skip_serializing_if = "Resources::is_unlimited")]
    pub resources: Resources,
    /// A program of its engine that ends well while it answers, for people who look at it without simdb.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Box<Command>>,
    /// Empty files below the instance directory that must be there when the server starts: without them it would be another kind of
    /// server.
    #[serde(default)]
    pub present: Vec<String>,
    /// Files below the instance directory that must not be there then, for the same reason.
    #[serde(default)]
    pub absent: Vec<String>,
    /// Variables of its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, Argument>,
    /// How it is stopped.
    pub stop: Stop,
}

impl InstanceSpec {
    /// Returns everything that is written for the server: its files, and the markers that must be there.
    pub fn written(&self) -> impl Iterator<Item = (&String, Cow<'_, FileText>)> {
        let files = self.files.iter().map(|(name, text)| (name, Cow::Borrowed(text)));
        let markers = self.present.iter();
        files.chain(markers.map(|name| (name, Cow::Owned(FileText::default()))))
    }
}

/// How a server is stopped in order: its sessions end, and everything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// What its first process is sent.
    pub signal: StopSignal,
    /// How long it may take: with a full cache and a slow disk its last write takes its time.
    pub within: Duration,
}

/// A signal that asks a server to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopSignal {
    /// `SIGINT`.
    Interrupt,
    /// `SIGTERM`.
    Terminate,
}

/// A task that runs to its end on the instance directory of a node whose server is down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// What the task is called in messages and logs: `initdb`, `basebackup`.
    pub name: String,
    /// What is run, one after the other; the first failure ends the task. Where nothing below is said, they change nothing.
    pub commands: Vec<Command>,
    /// Files by path below the instance directory, written before the first command.
    pub files: Few<FileText>,
    /// Files of `files` that nobody needs once the task is over.
    pub temporary: Vec<String>,
    /// The directory below the instance directory that the task makes. The commands make it as `<product>.partial`; the platform
    /// renames it when all of them have succeeded. A product that exists is complete, and its task is not run again; a
    /// partial one is somebody's unfinished work and is removed first.
    pub product: Option<String>,
    /// The directory below the instance directory that becomes `<product>.partial` before the first command, for commands that change
    /// data in place: once they have begun, half of it is worth nothing.
    #[serde(default)]
    pub origin: Option<String>,
    /// A directory outside of the instance directory that is the product: it stays where it is, and a link leads to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<Outside>,
    /// Files below the instance directory that are removed before the first command.
    #[serde(default)]
    pub removes: Vec<String>,
    /// Directories below the instance directory that the product replaces; they are removed once it is complete.
    #[serde(default)]
    pub replaces: Vec<String>,
    /// What the commands must have printed; without it the task fails, though each of them succeeded. Some programs
    /// succeed where they did nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prints: Option<String>,
    /// The size in bytes of the volume that the task is the first to use; absent where its platform decides, or has no volumes with a size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<u64>,
}

/// Data that was made without simdb and stays where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// The directory that it is in.
    pub directory: String,
    /// Where its server listened.
    pub listen: Option<Bind>,
}

impl TaskSpec {
    /// Returns whether the task changes nothing: all that comes of it is what its commands print.
    pub fn is_question(&self) -> bool {
        let Self {
            name: _,
            commands: _,
            files,
            temporary: _,
            product,
            origin,
            outside: _,
            removes,
            replaces,
            prints: _,
            storage: _,
        } = self;
        product.is_none() && origin.is_none() && files.is_empty() && removes.is_empty() && replaces.is_empty()
    }

    /// Returns the name under which the commands make a product.
    pub fn partial(product: &str) -> String {
        format!("{product}.partial")
    }
}

/// Commands that are run in a directory made for them and thrown away, to learn whether they succeed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrialSpec {
    /// The files in the directory by name.
    pub files: BTreeMap<String, String>,
    /// The directories in it.
    pub directories: BTreeSet<String>,
    /// What is run, one after the other, with the directory as instance directory; the first failure ends the trial.
    pub commands: Vec<Command>,
}

/// The address a server of this machine listens on unless its network has a subnet.
pub const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
