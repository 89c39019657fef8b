//! Modules from repositories: got by the `git` program when `simdb init` asks for it, and found where they are after that.
//!
//! What a source led to is pinned in a lock file, and its files are kept beside the state, so that every other command
//! works without a network and writes nothing.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use simdb_planner::config::{LOCK_FILE, Lock, Repository};
use tokio::process::Command;

use crate::error::CliError;
use crate::file;
use crate::views::doc::DiagnosticDoc;

/// Where modules are kept, seen from the configuration.
const KEPT: &str = ".simdb/modules";
/// How a directory is called while a repository is got, before the number of the process.
const SCRATCH: &str = ".getting-";
/// How long git may take for one step: a repository can be large, and a host can be silent.
const LIMIT: Duration = Duration::from_mins(5);

/// Returns the directory of a repository that was got before, or why there is none.
pub(super) fn checkout(directory: &Path, source: &str) -> Result<String, String> {
    let lock = read_lock(directory)
        .map_err(|_| format!("The lock file {LOCK_FILE} cannot be read. To see why: simdb init"))?;
    let commit = lock.commits.get(source);
    let commit = commit.ok_or_else(|| format!("{source:?} was not got yet. Get it: simdb init"))?;
    let kept = kept(source, commit);
    if directory.join(&kept).is_dir() {
        return Ok(kept);
    }
    Err(format!(
        "{source:?} is pinned to commit {commit}, and is not kept on this machine. Get it: simdb init"
    ))
}

/// Returns where the files of a commit are kept, seen from the configuration.
fn kept(source: &str, commit: &str) -> String {
    let (path, _) = source.split_once('?').unwrap_or((source, ""));
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
    let name = last.trim_end_matches(".git");
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    format!("{KEPT}/{name}-{commit}")
}

/// Reads the lock file; an empty one where there is none.
pub(crate) fn read_lock(directory: &Path) -> Result<Lock, CliError> {
    let path = directory.join(LOCK_FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Lock::default()),
        Err(source) => return Err(CliError::Read { path, source }),
    };
    let (lock, diagnostics) = Lock::read(&text);
    if diagnostics.is_empty() {
        return Ok(lock);
    }
    let mut source = simdb_planner::config::Source::default();
    source.add(LOCK_FILE, text);
    Err(CliError::Diagnosed(DiagnosticDoc::all(&diagnostics, &source)))
}

/// Gets a repository, unless it is kept already, and returns its commit: the pinned one, else what the source leads to.
pub(crate) async fn get(directory: &Path, source: &str, pinned: Option<&str>) -> Result<String, CliError> {
    if let Some(commit) = pinned.filter(|commit| directory.join(kept(source, commit)).is_dir()) {
        return Ok(commit.to_owned());
    }
    let repository = Repository::parse(source).map_err(|detail| CliError::refused("Invalid module source", detail))?;
    let all = directory.join(KEPT);
    let written = |path: &Path, source| CliError::Write {
        path: path.to_owned(),
        source,
    };
    remove_leftovers(&all);
    let scratch = all.join(format!("{SCRATCH}{}", std::process::id()));
    std::fs::create_dir_all(&scratch).map_err(|error| written(&scratch, error))?;
    let got = fetched(&scratch, &repository, pinned).await;
    let moved = got.and_then(|commit| {
        let _ = std::fs::remove_dir_all(scratch.join(".git"));
        let target = directory.join(kept(source, &commit));
        if !target.is_dir() {
            std::fs::rename(&scratch, &target).map_err(|error| written(&target, error))?;
        }
        Ok(commit)
    });
    // It is gone where all went well.
    let _ = std::fs::remove_dir_all(&scratch);
    moved
}

/// Removes what a simdb that was killed had begun to get. What cannot be removed is in the way of nothing.
fn remove_leftovers(kept: &Path) {
    for entry in std::fs::read_dir(kept).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(SCRATCH));
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Checks a repository out into a directory that is empty, and returns the commit.
async fn fetched(scratch: &Path, repository: &Repository, pinned: Option<&str>) -> Result<String, CliError> {
    git(scratch, repository, &["init", "--quiet"]).await?;
    let wanted = pinned.or(repository.reference.as_deref()).unwrap_or("HEAD");
    let shallow = ["fetch", "--quiet", "--depth=1", "--", &repository.url, wanted];
    let commit = match git(scratch, repository, &shallow).await {
        Ok(_) => "FETCH_HEAD^{commit}".to_owned(),
        // Some hosts hand out no single commit.
        Err(_) if pinned.is_some() || is_hexadecimal(wanted) => {
            let all = ["fetch", "--quiet", "--", &repository.url, "+refs/*:refs/got/*"];
            git(scratch, repository, &all).await?;
            format!("{wanted}^{{commit}}")
        }
        Err(error) => return Err(error),
    };
    let found = git(scratch, repository, &["rev-parse", "--verify", "--quiet", &commit]).await?;
    let commit = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    git(scratch, repository, &["checkout", "--quiet", "--detach", &commit]).await?;
    Ok(commit)
}

fn is_hexadecimal(text: &str) -> bool {
    text.len() >= 7 && text.chars().all(|c| c.is_ascii_hexdigit())
}

/// Runs git to its end, without questions and without ways to a repository that run programs.
async fn git(scratch: &Path, repository: &Repository, arguments: &[&str]) -> Result<Output, CliError> {
    let refused = |why: &str| {
        let source = &repository.source;
        CliError::refused(
            "Module cannot be got",
            format!("git {} failed for {source:?}: {why}", arguments[0]),
        )
    };
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(scratch)
        .args(arguments)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ALLOW_PROTOCOL", "https:ssh:http:file")
        .env("GIT_DIR", scratch.join(".git"))
        .env("GIT_WORK_TREE", scratch)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = match tokio::time::timeout(LIMIT, command.output()).await {
        Err(_) => return Err(refused(&format!("it took longer than {} s.", LIMIT.as_secs()))),
        Ok(Err(error)) => return Err(refused(&format!("{error}. Is git installed?"))),
        Ok(Ok(output)) => output,
    };
    if output.status.success() {
        return Ok(output);
    }
    Err(refused(String::from_utf8_lossy(&output.stderr).trim()))
}

/// Writes the lock file, where it differs.
pub(crate) fn write_lock(directory: &Path, lock: &Lock) -> Result<(), CliError> {
    let path: PathBuf = directory.join(LOCK_FILE);
    let text = lock.write();
    if std::fs::read_to_string(&path).is_ok_and(|known| known == text) {
        return Ok(());
    }
    file::replace(&path, &text)
}

#[cfg(test)]
mod tests {
    use std::process::Command as Program;

    use tokio::runtime::Runtime;

    use super::*;

    /// Makes a commit with one file, and returns its name.
    fn commit(repository: &Path, text: &str) -> String {
        std::fs::create_dir_all(repository.join("modules/team")).unwrap();
        std::fs::write(repository.join("modules/team/main.simdb.hcl"), text).unwrap();
        run(repository, &["add", "."]);
        let author = ["-c", "user.name=a", "-c", "user.email=a@localhost"];
        run(
            repository,
            &[&author[..], &["commit", "--quiet", "--message=x"]].concat(),
        );
        run(repository, &["rev-parse", "HEAD"])
    }

    fn run(directory: &Path, arguments: &[&str]) -> String {
        let output = Program::new("git")
            .arg("-C")
            .arg(directory)
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A bare repository with two commits, the first of them tagged.
    struct Remote {
        directory: tempfile::TempDir,
        first: String,
        second: String,
    }

    impl Remote {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let work = directory.path().join("work");
            std::fs::create_dir(&work).unwrap();
            run(&work, &["init", "--quiet"]);
            let first = commit(&work, "# first\n");
            run(&work, &["tag", "v1"]);
            let second = commit(&work, "# second\n");
            run(directory.path(), &["clone", "--quiet", "--bare", "work", "team.git"]);
            Self {
                directory,
                first,
                second,
            }
        }

        fn source(&self, query: &str) -> String {
            format!("git::file://{}/team.git{query}", self.directory.path().display())
        }
    }

    fn get_now(directory: &Path, source: &str, pinned: Option<&str>) -> Result<String, CliError> {
        Runtime::new().unwrap().block_on(get(directory, source, pinned))
    }

    fn text(directory: &Path, source: &str, commit: &str) -> String {
        let path = directory.join(kept(source, commit)).join("modules/team/main.simdb.hcl");
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_source_leads_to_a_commit_and_is_kept() {
        let (remote, directory) = (Remote::new(), tempfile::tempdir().unwrap());
        let here = directory.path();
        let tagged = remote.source("?ref=v1");
        assert_eq!(get_now(here, &tagged, None).unwrap(), remote.first);
        assert_eq!(text(here, &tagged, &remote.first), "# first\n");
        let newest = remote.source("");
        assert_eq!(get_now(here, &newest, None).unwrap(), remote.second);
        assert_eq!(text(here, &newest, &remote.second), "# second\n");
        let kept: Vec<_> = std::fs::read_dir(here.join(KEPT)).unwrap().collect();
        assert_eq!(kept.len(), 2, "what git needed meanwhile is gone: {kept:?}");
    }

    #[test]
    fn a_pinned_commit_is_got_whatever_the_source_leads_to_by_now() {
        let (remote, directory) = (Remote::new(), tempfile::tempdir().unwrap());
        let source = remote.source("");
        let commit = get_now(directory.path(), &source, Some(&remote.first)).unwrap();
        assert_eq!(commit, remote.first);
        assert_eq!(text(directory.path(), &source, &commit), "# first\n");
    }

    #[test]
    fn what_is_kept_needs_no_repository_any_more() {
        let (remote, directory) = (Remote::new(), tempfile::tempdir().unwrap());
        let (here, source) = (directory.path(), remote.source("?ref=v1"));
        let refusal = checkout(here, &source).unwrap_err();
        assert!(refusal.contains("simdb init"), "{refusal}");
        let commit = get_now(here, &source, None).unwrap();
        let commits = [(source.clone(), commit.clone())].into();
        write_lock(here, &Lock { commits }).unwrap();
        std::fs::remove_dir_all(remote.directory.path().join("team.git")).unwrap();
        assert_eq!(get_now(here, &source, Some(&commit)).unwrap(), commit);
        assert_eq!(checkout(here, &source), Ok(kept(&source, &commit)));
    }

    #[test]
    fn what_a_killed_process_had_begun_to_get_goes() {
        let (remote, directory) = (Remote::new(), tempfile::tempdir().unwrap());
        let all = directory.path().join(KEPT);
        // No process has a number that large.
        std::fs::create_dir_all(all.join(format!("{SCRATCH}4999999999/half"))).unwrap();
        get_now(directory.path(), &remote.source("?ref=v1"), None).unwrap();
        let left: Vec<_> = all
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn a_repository_that_is_not_there_is_refused_with_the_words_of_git() {
        let directory = tempfile::tempdir().unwrap();
        let error = get_now(directory.path(), "git::file:///nowhere/team.git", None).unwrap_err();
        let detail = error.into_documents()[0].detail.clone();
        assert!(
            detail.contains("git fetch failed") && detail.contains("nowhere"),
            "{detail}"
        );
        assert!(!directory.path().join(KEPT).read_dir().unwrap().any(|_| true));
    }
}
