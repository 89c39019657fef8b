//! Runs programs in a directory that is thrown away, outside of every instance directory.

use std::fs::{self, DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use simdb_state::instance::TrialSpec;
use tempfile::TempDir;
use tokio::time::timeout;

use super::command::Program;
use super::files::At;
use super::user::RunAs;
use crate::platform::PlatformError;

/// How long a program may take. A plan waits for it.
const LIMIT: Duration = Duration::from_secs(15);

/// The directory. A simdb that is killed leaves it to whoever cleans the directory for temporary files.
pub(super) struct Place(TempDir);

impl Place {
    /// Makes the directory with what belongs into it, for the servers' user alone.
    pub(super) async fn new(trial: &TrialSpec, user: &RunAs) -> Result<Self, PlatformError> {
        let above = std::env::temp_dir();
        let private = Permissions::from_mode(0o700);
        let made = tempfile::Builder::new()
            .prefix("simdb-trial-")
            .permissions(private)
            .tempdir_in(&above);
        let place = Self(made.at("make a directory in", &above)?);
        for name in &trial.directories {
            let path = place.path().join(name);
            DirBuilder::new()
                .mode(0o700)
                .create(&path)
                .at("make directory", &path)?;
            give_away(&path, user)?;
        }
        for (name, text) in &trial.files {
            let path = place.path().join(name);
            fs::write(&path, text).at("write file", &path)?;
            give_away(&path, user)?;
        }
        give_away(place.path(), user)?;
        let closed = user
            .closed(&[place.path().to_owned()])
            .await
            .at("enter", place.path())?;
        if closed.is_empty() {
            return Ok(place);
        }
        Err(PlatformError::Unusable(format!(
            "User \"{}\", as whom servers run, cannot enter {}. Set TMPDIR to a directory that everybody can enter.",
            user.name,
            above.display()
        )))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs a program; returns what it wrote to its standard error where it failed.
    pub(super) async fn run(&self, program: &Program, user: &RunAs) -> Result<Option<String>, PlatformError> {
        let path = program.directory.join(&program.name);
        let mut command = program.command_in(self.path(), user);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command.kill_on_drop(true);
        let child = command.spawn().at("start program", &path)?;
        let Ok(output) = timeout(LIMIT, child.wait_with_output()).await else {
            return Err(PlatformError::Slow {
                program: program.name.clone(),
                limit: LIMIT,
            });
        };
        let output = output.at("wait for program", &path)?;
        Ok((!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

/// Gives something that was just made here to the servers' user, who was not let in yet.
fn give_away(path: &Path, user: &RunAs) -> Result<(), PlatformError> {
    let file = File::open(path).at("open", path)?;
    user.own(&file).at("give away", path)
}
