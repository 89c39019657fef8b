//! Prepares a program to run in an instance directory: its user, its session, its environment.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::directory::InstanceDirectory;
use super::user::RunAs;

/// Where programs look for other programs, after the directory of their engine.
pub(super) const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Puts a program into a session of its own: no terminal's Ctrl-C or end reaches it, and the end of simdb neither.
pub(super) const SETSID: &str = "setsid";

/// A program that was found, with its arguments.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) directory: PathBuf,
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
}

impl Program {
    /// Prepares the program to run in an instance directory. `setsid` becomes the program, so that its process number is the program's,
    /// and that of its session and group.
    pub(super) fn command(&self, directory: &InstanceDirectory) -> Command {
        self.command_in(&directory.path, &directory.user)
    }

    /// Prepares the program to run in a directory, as a user.
    pub(super) fn command_in(&self, directory: &Path, user: &RunAs) -> Command {
        let mut command = Command::new(SETSID);
        command.arg(self.directory.join(&self.name)).args(&self.arguments);
        command.env_clear();
        command.env("PATH", format!("{}:{SYSTEM_PATH}", self.directory.display()));
        // Messages are read by people who search for them, and a language pack must not change what a server does.
        command.env("LANG", "C").env("LC_ALL", "C");
        command.current_dir(directory);
        user.apply(&mut command);
        command
    }
}
