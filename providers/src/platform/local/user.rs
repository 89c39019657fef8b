//! As whom servers and tasks run: as ourselves, or, when simdb runs as root, as a user without its rights.

use std::fs::File;
use std::io;
use std::os::unix::fs::fchown;
use std::path::PathBuf;

use nix::unistd::{Uid, User};
use tokio::process::Command;

/// Debian's and Red Hat's packages make this user for their own servers.
const DEFAULT: &str = "postgres";

/// Prints those of its arguments that the user it runs as cannot enter: the kernel is the judge, not our reading of
/// mode bits.
const CLOSED_DIRECTORIES: &str = r#"for d in "$@"; do test -x "$d" || printf '%s\n' "$d"; done"#;

/// Who owns instance directories, and whose processes run in them.
#[derive(Clone, Debug)]
pub(super) struct RunAs {
    /// The user's name, for messages.
    pub(super) name: String,
    uid: u32,
    gid: u32,
    /// Whether this is somebody else than the user simdb runs as.
    switch: bool,
}

impl RunAs {
    /// Finds the user; what is wrong with it is a sentence with a way out.
    pub(super) fn resolve(run_as: Option<&str>) -> Result<Self, String> {
        let own = Uid::effective();
        let user = match run_as {
            Some(name) => Self::by_name(name)?,
            None if own.is_root() => Self::by_name(DEFAULT)?,
            None => return Ok(Self::ourselves()),
        };
        if user.uid == 0 {
            return Err(format!(
                "Servers refuse to run as \"{}\", which is the superuser. Set run_as to another user.",
                user.name
            ));
        }
        if user.uid != own.as_raw() && !own.is_root() {
            return Err(format!(
                "Only root can run servers as user \"{}\". Remove run_as, or run simdb as root.",
                user.name
            ));
        }
        Ok(user)
    }

    fn by_name(name: &str) -> Result<Self, String> {
        match User::from_name(name) {
            Ok(Some(user)) => Ok(Self {
                switch: user.uid != Uid::effective(),
                name: user.name,
                uid: user.uid.as_raw(),
                gid: user.gid.as_raw(),
            }),
            Ok(None) => Err(format!(
                "There is no user \"{name}\" to run servers as. Make one, or set run_as to another user."
            )),
            Err(error) => Err(format!(
                "User \"{name}\" could not be looked up ({error}). Set run_as to another user."
            )),
        }
    }

    /// Returns simdb's own user.
    pub(super) fn ourselves() -> Self {
        let uid = Uid::effective();
        // A user without an entry runs containers everywhere, and has every right here but a name.
        let name = User::from_uid(uid)
            .ok()
            .flatten()
            .map_or_else(|| uid.to_string(), |user| user.name);
        Self {
            name,
            uid: uid.as_raw(),
            gid: nix::unistd::Gid::effective().as_raw(),
            switch: false,
        }
    }

    /// Returns the user's number.
    pub(super) fn uid(&self) -> u32 {
        self.uid
    }

    /// Lets a command run as the user, without any rights of root's groups.
    pub(super) fn apply(&self, command: &mut Command) {
        if self.switch {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Returns whether something that a user made may mislead simdb: it has rights that the servers' user has not.
    pub(super) fn distrusts(&self, uid: u32) -> bool {
        self.switch && uid == self.uid
    }

    /// Gives a file or directory to the user.
    pub(super) fn own(&self, file: &File) -> io::Result<()> {
        if self.switch {
            fchown(file, Some(self.uid), Some(self.gid))
        } else {
            Ok(())
        }
    }

    /// Returns those directories that the user cannot enter.
    pub(super) async fn closed(&self, directories: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(CLOSED_DIRECTORIES).arg("sh").args(directories);
        command
            .current_dir("/")
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        self.apply(&mut command);
        let output = command.output().await?;
        let printed = String::from_utf8_lossy(&output.stdout);
        Ok(printed.lines().map(PathBuf::from).collect())
    }
}
