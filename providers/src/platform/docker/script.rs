//! The scripts that do a task in a container: for `/bin/sh`, with `mv`, `rm`, `mkdir`, `cat` and `sync`.
//!
//! What a command printed and how it ended comes back as text: the last line that the script writes to its standard error says
//! which command was the last, and how it ended. Secrets are in no script.

use std::fmt::Write;
use std::path::Path;

use simdb_state::instance::{Command, TaskSpec, TrialSpec};

use super::names::DIRECTORY;

/// What the last line begins with.
const ENDED: &str = "simdb-ended";

/// What the commands of a task printed, until all of it is known.
const PRINTED: &str = ".simdb/printed";

/// Where a trial is made, in a container that goes with it.
const TRIAL: &str = "/tmp/simdb-trial";

/// How a script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All was done.
    Done,
    /// The command of that number ended with that status; without a number, what the script itself does.
    Failed(Option<usize>, i32),
    /// The commands succeeded, and the product is not there.
    NoProduct,
    /// The commands succeeded, and did not print what they should.
    NotPrinted,
    /// The script itself was ended.
    CutOff,
}

/// Quotes a word for the shell.
pub(super) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn call(command: &Command, directory: &str) -> String {
    let arguments = command
        .arguments
        .iter()
        .map(|argument| quote(&argument.render(directory)));
    let words: Vec<String> = std::iter::once(quote(&command.program)).chain(arguments).collect();
    words.join(" ")
}

fn words<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names
        .into_iter()
        .fold(String::new(), |words, name| words + " " + &quote(name))
}

/// Adds what removes files or directories, where there are any.
fn remove<'a>(script: &mut String, names: impl IntoIterator<Item = &'a String>) {
    let names = words(names);
    if !names.is_empty() {
        let _ = writeln!(script, "rm -rf --{names} || end x $?");
    }
}

fn begin(directory: &str) -> String {
    format!(
        "umask 077\nended() {{ printf '\\n{ENDED} %s %s\\n' \"$1\" \"$2\" >&2; exit 0; }}\nend() {{ ended \"$@\"; }}\n\
         cd {directory} || end x $?\n"
    )
}

/// Returns the script of a question. It changes nothing.
pub(super) fn question(task: &TaskSpec) -> String {
    let mut script = begin(DIRECTORY);
    for (number, command) in task.commands.iter().enumerate() {
        let _ = writeln!(script, "{} || end {number} $?", call(command, DIRECTORY));
    }
    script + "end done 0\n"
}

/// Returns the script of a task. Its files stand in a directory of the volume, by number.
pub(super) fn task(task: &TaskSpec, staged: &str) -> String {
    let mut script = begin(DIRECTORY);
    let temporary = words(&task.temporary);
    let _ = writeln!(
        script,
        "tidy() {{ rm -rf -- {}{temporary}; }}\nend() {{ cat {PRINTED} 2>/dev/null; rm -f {PRINTED}; tidy; ended \"$@\"; }}\n\
         trap 'tidy; exit 143' TERM INT\nrm -f {PRINTED}",
        quote(staged)
    );
    if let Some(product) = &task.product {
        let partial = TaskSpec::partial(product);
        let _ = writeln!(script, "if [ -e {} ]; then", quote(product));
        remove(&mut script, &task.replaces);
        script.push_str("end done 0\nfi\n");
        remove(&mut script, [&partial]);
        if let Some(origin) = &task.origin {
            let _ = writeln!(script, "mv -- {} {} || end x $?", quote(origin), quote(&partial));
        }
    }
    remove(&mut script, &task.removes);
    for (number, name) in task.files.keys().enumerate() {
        place(&mut script, staged, number, name);
    }
    for (number, command) in task.commands.iter().enumerate() {
        let _ = writeln!(script, "{} >>{PRINTED} || end {number} $?", call(command, DIRECTORY));
    }
    if let Some(text) = &task.prints {
        let _ = writeln!(
            script,
            "case $(cat {PRINTED}) in *{}*) ;; *) end unprinted 0 ;; esac",
            quote(text)
        );
    }
    if let Some(product) = &task.product {
        let partial = quote(&TaskSpec::partial(product));
        let _ = writeln!(
            script,
            "[ -d {partial} ] || end missing 0\nsync {partial} || end x $?\nmv -- {partial} {} || end x $?",
            quote(product)
        );
    }
    remove(&mut script, &task.replaces);
    script + "end done 0\n"
}

/// Adds what moves a file to its place, at once.
fn place(script: &mut String, staged: &str, number: usize, name: &str) {
    if let Some(above) = Path::new(name).parent().filter(|above| !above.as_os_str().is_empty()) {
        let _ = writeln!(script, "mkdir -p -- {} || end x $?", quote(&above.to_string_lossy()));
    }
    let _ = writeln!(
        script,
        "mv -f -- {} {} || end x $?",
        quote(&format!("{staged}/{number}")),
        quote(name)
    );
}

/// Returns the script that removes what must not be there, and moves files to their places.
pub(super) fn arrange(removed: &[String], staged: &str, files: &[&str]) -> String {
    let mut script = begin(DIRECTORY);
    remove(&mut script, removed);
    for (number, name) in files.iter().enumerate() {
        place(&mut script, staged, number, name);
    }
    remove(&mut script, [&staged.to_owned()]);
    script + "end done 0\n"
}

/// Returns the script of a trial. Its files hold no secrets.
pub(super) fn trial(trial: &TrialSpec) -> String {
    let mut script = format!("umask 077\nmkdir -p {TRIAL}\n{}", begin(TRIAL));
    for name in &trial.directories {
        let _ = writeln!(script, "mkdir -p -- {} || end x $?", quote(name));
    }
    for (name, text) in &trial.files {
        let _ = writeln!(script, "printf %s {} >{} || end x $?", quote(text), quote(name));
    }
    for (number, command) in trial.commands.iter().enumerate() {
        let _ = writeln!(script, "{} >/dev/null || end {number} $?", call(command, TRIAL));
    }
    script + "end done 0\n"
}

/// Takes the last line, which says how the script ended, from what it wrote to its standard error.
pub(super) fn ended(errors: &mut String) -> Ended {
    let Some((before, last)) = errors.rsplit_once(&format!("\n{ENDED} ")) else {
        return Ended::CutOff;
    };
    let mut words = last.split_whitespace();
    let (what, status) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let ended = match (what, what.parse(), status.parse()) {
        ("done", ..) => Ended::Done,
        ("missing", ..) => Ended::NoProduct,
        ("unprinted", ..) => Ended::NotPrinted,
        ("x", _, Ok(status)) => Ended::Failed(None, status),
        (_, Ok(number), Ok(status)) => Ended::Failed(Some(number), status),
        _ => Ended::CutOff,
    };
    *errors = before.to_owned();
    ended
}

#[cfg(test)]
mod tests {
    use std::process::Command as Process;

    use simdb_state::instance::Argument;
    use simdb_state::object::EngineKind;

    use super::*;

    fn command(program: &str, arguments: &[&str]) -> Command {
        Command {
            engine: EngineKind::Pgbouncer,
            version: 1,
            program: program.to_owned(),
            arguments: arguments
                .iter()
                .map(|text| Argument::text((*text).to_owned()))
                .collect(),
        }
    }

    /// Runs a script in a directory, as if that were the volume.
    fn run(script: &str, directory: &Path) -> (String, Ended) {
        let script = script.replace(&format!("cd {DIRECTORY} "), &format!("cd {} ", directory.display()));
        let output = Process::new("/bin/sh").arg("-c").arg(script).output().unwrap();
        let mut errors = String::from_utf8(output.stderr).unwrap();
        let ended = ended(&mut errors);
        (String::from_utf8(output.stdout).unwrap() + &errors, ended)
    }

    fn making(commands: Vec<Command>) -> TaskSpec {
        TaskSpec {
            commands,
            product: Some("data-1".to_owned()),
            replaces: vec!["old".to_owned()],
            prints: Some("it's".to_owned()),
            ..TaskSpec::default()
        }
    }

    #[test]
    fn a_task_makes_its_product_or_says_why_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        for name in [".simdb", "old", "data-1.partial"] {
            std::fs::create_dir(path.join(name)).unwrap();
        }
        let run = |commands: &[Command]| run(&task(&making(commands.to_vec()), ".simdb/new"), path);
        let (make, say) = (
            command("mkdir", &["data-1.partial"]),
            command("echo", &["it's", "$HOME"]),
        );
        let (printed, ended) = run(&[make.clone(), command("false", &[])]);
        assert_eq!((printed.as_str(), ended), ("", Ended::Failed(Some(1), 1)));
        assert_eq!(run(std::slice::from_ref(&make)).1, Ended::NotPrinted);
        assert_eq!(run(std::slice::from_ref(&say)).1, Ended::NoProduct);
        assert!(path.join("old").exists() && !path.join("data-1").exists());
        assert_eq!(
            run(&[make.clone(), say.clone()]),
            ("it's $HOME\n".to_owned(), Ended::Done)
        );
        assert!(!path.join("old").exists() && path.join("data-1").exists());
        assert_eq!(run(&[make, say]), (String::new(), Ended::Done));
    }

    #[test]
    fn a_script_that_was_ended_says_nothing() {
        assert_eq!(ended(&mut "killed".to_owned()), Ended::CutOff);
        let mut errors = "one\ntwo\n\nsimdb-ended 3 127\n".to_owned();
        assert_eq!(ended(&mut errors), Ended::Failed(Some(3), 127));
        assert_eq!(errors, "one\ntwo\n");
    }
}
