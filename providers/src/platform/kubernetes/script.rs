//! The scripts that look at the volume of a node and work on it, in its container: for `sh`, with `flock`, `setsid`, `readlink`,
//! `sha256sum`, `mv`, `rm`, `mkdir`, `cat` and `sleep`.
//!
//! ```text
//!   .simdb/lock      held by what changes the volume, a task included, also when simdb is gone
//!   .simdb/token     under which lock of the record the node was last changed
//!   .simdb/intent    run, or stopped: the first process starts the server, or does not
//!   .simdb/files     the files that were last written for the server: digests of text and bytes, and the name
//!   .simdb/server.sh, probe.sh, signal, listen      how the server is started, asked and stopped, and where it listens
//!   .simdb/task.*    a task that runs, and what it wrote
//! ```
//!
//! How a script ended is the last line of its standard error. Its text is written to no file and is on no command line, so that files
//! with secrets can be a part of it.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use simdb_state::backend::Token;
use simdb_state::digest::sha256;
use simdb_state::instance::{Command, InstanceSpec, StopSignal, TaskSpec, TrialSpec};

use super::names::DIRECTORY;
use crate::platform::StopMode;

/// What the last line begins with.
const ENDED: &str = "simdb-ended";

/// How long a task that an earlier simdb left behind may take to its end, before it is ended.
const ORPHAN_LIMIT: Duration = Duration::from_secs(10);

/// How long a killed server may take to be gone.
pub(super) const KILL_LIMIT: Duration = Duration::from_secs(20);

/// Where a trial is made.
const TRIAL: &str = "/tmp/simdb/trial";

/// What every script knows.
pub(super) const BEGIN: &str = r#"umask 077
export LC_ALL=C
d=/var/lib/simdb n=/var/lib/simdb/.simdb r=/tmp/simdb
end() { printf '\nsimdb-ended %s %s\n' "$1" "$2" >&2; exit 0; }
alive() { p=$(cat "$r/pid" 2>/dev/null) && kill -0 "$p" 2>/dev/null; }
state() { s=$(cat "/proc/$1/stat" 2>/dev/null) || return; s=${s##*) }; echo "${s%% *}"; }
users() {
  for u in /proc/[0-9]*; do
    case $(readlink "$u/cwd" 2>/dev/null) in "$d"/*) echo "${u#/proc/}" ;; esac
  done
}
"#;

/// What every script has that changes something.
const MAKE: &str = r#"put() { printf '%s' "$2" >"$n/new" && mv -f "$n/new" "$1" || end x $?; }
will() { put "$n/intent" "$1" && { sync "$n/intent" 2>/dev/null || sync; }; }
mkdir -p "$n" || end x $?
cd "$d" || end x $?
"#;

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All was done.
    Done,
    /// The command of that number ended with that status; without a number, what the script itself does.
    Failed(Option<usize>, i32),
    /// The commands succeeded, and the product is not there.
    NoProduct,
    /// The commands succeeded, and did not print what they should.
    NotPrinted,
    /// There is no data to start a server with.
    NoData,
    /// That process uses the data.
    Used(u32),
    /// That process still runs.
    Runs(u32),
    /// Something else has the lock, and keeps it.
    Busy,
    /// A later holder of the record's lock was there.
    Newer(Token),
    /// The script itself was ended.
    CutOff,
}

/// Takes the last line, which says how the script ended, from what it wrote to its standard error.
pub(super) fn ended(errors: &mut String) -> Ended {
    let Some((before, last)) = errors.rsplit_once(&format!("\n{ENDED} ")) else {
        return Ended::CutOff;
    };
    let mut words = last.split_whitespace();
    let (what, with) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let number = || with.parse().unwrap_or_default();
    let ended = match (what, what.parse(), with.parse()) {
        ("done", ..) => Ended::Done,
        ("missing", ..) => Ended::NoProduct,
        ("unprinted", ..) => Ended::NotPrinted,
        ("nodata", ..) => Ended::NoData,
        ("busy", ..) => Ended::Busy,
        ("used", ..) => Ended::Used(number()),
        ("runs", ..) => Ended::Runs(number()),
        ("newer", ..) => Ended::Newer(Token(with.parse().unwrap_or_default())),
        ("x", _, Ok(status)) => Ended::Failed(None, status),
        (_, Ok(number), Ok(status)) => Ended::Failed(Some(number), status),
        _ => Ended::CutOff,
    };
    *errors = before.to_owned();
    ended
}

/// Quotes a word for the shell.
pub(super) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn words<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let quoted = names.into_iter().map(|name| format!(" {}", quote(name)));
    quoted.collect()
}

fn call(command: &Command, directory: &str) -> String {
    let arguments = command.arguments.iter().map(|argument| argument.render(directory));
    let words: Vec<String> = std::iter::once(command.program.clone())
        .chain(arguments)
        .map(|word| quote(&word))
        .collect();
    words.join(" ")
}

/// Adds what removes files or directories, where there are any.
fn remove<'a>(script: &mut String, names: impl IntoIterator<Item = &'a String>, end: &str) {
    let names = words(names);
    if !names.is_empty() {
        let _ = writeln!(script, "rm -rf --{names} || {end} x $?");
    }
}

/// Adds what makes the directory of a file.
fn above(script: &mut String, name: &str) {
    if let Some(above) = Path::new(name).parent().filter(|above| !above.as_os_str().is_empty()) {
        let _ = writeln!(script, "mkdir -p -- {} || end x $?", quote(&above.to_string_lossy()));
    }
}

/// Begins a script that changes a volume: it waits for a task that was left behind, or ends it, and refuses where a later holder
/// of the record's lock was at work.
fn locked(token: Token) -> String {
    let wait = ORPHAN_LIMIT.as_secs();
    format!(
        r#"{BEGIN}{MAKE}exec 9>"$n/lock" || end x $?
flock -w {wait} 9 || {{
  t=$(cat "$n/task.pid" 2>/dev/null) && kill -KILL -- "-$t" 2>/dev/null
  flock -w 5 9 || end busy 0
}}
held=$(cat "$n/token" 2>/dev/null || echo 0)
[ "$held" -le {token} ] || end newer "$held"
[ "$held" = {token} ] || put "$n/token" {token}
"#,
        token = token.0
    )
}

/// Returns the script that waits until nothing is at work on a volume.
pub(super) fn settle(token: Token) -> String {
    locked(token) + "end done 0\n"
}

/// Returns the script that tells whether a server runs on the volume.
pub(super) fn occupied() -> String {
    format!("{BEGIN}alive && end used \"$p\"\nfor u in $(users); do end used \"$u\"; done\nend done 0\n")
}

/// A file on its way to a volume.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) name: String,
    /// The digest of its text, secrets by name.
    pub(super) text: String,
    pub(super) content: String,
}

/// Returns the script that writes the files of a server, and starts it where it is down.
pub(super) fn ensure(token: Token, spec: &InstanceSpec, files: &[File]) -> String {
    let mut script = locked(token);
    if !spec.data.is_empty() {
        let _ = writeln!(script, "[ -d {} ] || end nodata 0", quote(&spec.data));
    }
    script.push_str("if alive; then runs=1; [ \"$(state \"$p\")\" != T ] || kill -CONT \"$p\" $(users) 2>/dev/null; else runs=; fi\n");
    // What a server that ended left behind is about to be ended by the first process of the container.
    script.push_str(
        "if [ -z \"$runs\" ]; then\n  i=0; while left=$(users); [ -n \"$left\" ] && [ $i -lt 40 ]; do sleep 0.05; i=$((i + 1)); done\n  \
         for u in $left; do end used \"$u\"; done\n  rm -rf -- ./*.partial || end x $?\nfi\n",
    );
    for file in files {
        write_changed(&mut script, file);
    }
    note(&mut script, files);
    remove(&mut script, &spec.absent, "end");
    for (name, content) in around(spec) {
        let _ = writeln!(
            script,
            "[ \"$(cat \"$n/{name}\" 2>/dev/null)\" = {content} ] || put \"$n/{name}\" {content}",
            content = quote(content.trim_end())
        );
    }
    if spec.probe.is_none() {
        script.push_str("rm -f -- \"$n/probe.sh\"\n");
    }
    script.push_str(
        "[ \"$(cat \"$n/intent\" 2>/dev/null)\" = run ] || will run\nexec 9>&-\n[ -z \"$runs\" ] || end done 0\nkill -USR1 1 2>/dev/null\n\
         i=0; while ! alive && [ $i -lt 60 ]; do sleep 0.05; i=$((i + 1)); done\nend done 0\n",
    );
    script
}

/// Writes a file, at once, where it does not hold what it should.
fn write_changed(script: &mut String, file: &File) {
    let name = quote(&file.name);
    let _ = writeln!(
        script,
        "sum=$(sha256sum <{name} 2>/dev/null)\nif [ \"${{sum%% *}}\" != {} ]; then",
        sha256(&file.content)
    );
    above(script, &file.name);
    let _ = writeln!(script, "put {name} {}\nfi", quote(&file.content));
}

/// Removes files that were written earlier and are no longer listed, and notes those that are.
fn note(script: &mut String, files: &[File]) {
    let mut patterns: Vec<String> = files.iter().map(|file| quote(&file.name)).collect();
    // Notes can be written by the servers' user, and must not lead out of the volume.
    patterns.extend(["/*", "*..*"].map(str::to_owned));
    let noted: String = files.iter().fold(String::new(), |mut noted, file| {
        let _ = writeln!(noted, "{} {} {}", file.text, sha256(&file.content), file.name);
        noted
    });
    let _ = writeln!(
        script,
        "[ ! -e \"$n/files\" ] || while read -r text bytes name; do\n  case $name in {}) ;; *) rm -f -- \"$name\" ;; esac\ndone \
         <\"$n/files\"\n[ \"$(cat \"$n/files\" 2>/dev/null)\" = {noted} ] || put \"$n/files\" {whole}",
        patterns.join("|"),
        noted = quote(noted.trim_end()),
        whole = quote(&noted)
    );
}

/// Returns what the first process must know of a server, by name.
fn around(spec: &InstanceSpec) -> Vec<(&'static str, String)> {
    let mut start = String::new();
    if !spec.data.is_empty() {
        // A volume whose group was changed may have opened it to that group, and then servers refuse it.
        let _ = writeln!(start, "chmod 0700 {}", quote(&spec.data));
    }
    for (name, value) in &spec.environment {
        let _ = writeln!(start, "export {name}={}", quote(&value.render(DIRECTORY)));
    }
    let _ = writeln!(start, "exec {}", call(&spec.command, DIRECTORY));
    let mut all = vec![
        ("server.sh", start),
        ("signal", signal(spec.stop.signal).to_owned()),
        ("listen", spec.listen.to_string()),
    ];
    all.extend(
        spec.probe
            .as_deref()
            .map(|probe| ("probe.sh", format!("exec {}", call(probe, DIRECTORY)))),
    );
    all
}

fn signal(signal: StopSignal) -> &'static str {
    match signal {
        StopSignal::Interrupt => "INT",
        StopSignal::Terminate => "TERM",
    }
}

/// Returns the script that tells a server to read its files again, where one runs.
pub(super) fn reload() -> String {
    format!("{BEGIN}alive && {{ kill -HUP \"$p\" || end x $?; }}\nend done 0\n")
}

/// Returns the script that stops whatever uses the data, within a limit, and says when nothing does any more.
pub(super) fn stop(token: Token, mode: StopMode, limit: Duration) -> String {
    let mut script = locked(token);
    script.push_str("will stopped\n");
    match mode {
        // The first process hears nothing before it has said what it does then: it is asked again while it starts.
        StopMode::Fast => {
            script.push_str(
                "sig=$(cat \"$n/signal\" 2>/dev/null || echo TERM)\n\
                 ask() { if alive; then kill -\"$sig\" \"$p\"; else for u in $(users); do kill -KILL \"$u\"; done; fi 2>/dev/null; }\n\
                 if alive && [ \"$(state \"$p\")\" = T ]; then ask; kill -CONT \"$p\" $(users) 2>/dev/null; fi\nask\n",
            );
        }
        StopMode::Immediate => script.push_str(
            "ask() { alive && kill -KILL \"$p\"; for u in $(users); do kill -KILL \"$u\"; done; } 2>/dev/null\n\
             alive && kill -STOP \"$p\" 2>/dev/null\nask\n",
        ),
    }
    let rounds = limit.as_millis() / 50;
    let again = match mode {
        StopMode::Fast => "case $i in 20|40|60|80) ask ;; esac",
        StopMode::Immediate => "ask",
    };
    let _ = writeln!(
        script,
        "i=0\nwhile alive || {{ left=$(users); [ -n \"$left\" ]; }}; do\n  [ $i -lt {rounds} ] || end runs \"${{p:-0}}\"\n  i=$((i + 1))\n  \
         {again}\n  sleep 0.05\ndone\nend done 0"
    );
    script
}

/// Returns the script of a question. It changes nothing.
pub(super) fn question(task: &TaskSpec) -> String {
    let mut script = format!("{BEGIN}cd \"$d\" || end x $?\n");
    for (number, command) in task.commands.iter().enumerate() {
        let _ = writeln!(script, "{} || end {number} $?", call(command, DIRECTORY));
    }
    script + "end done 0\n"
}

/// Returns the script of a task: it puts files in their places, and has the commands run by a process of their own, which goes on to
/// their end and keeps the lock for as long.
pub(super) fn task(token: Token, task: &TaskSpec, files: &[File]) -> String {
    let mut script = locked(token);
    if let Some(product) = &task.product {
        let _ = writeln!(script, "if [ -e {} ]; then", quote(product));
        remove(&mut script, &task.replaces, "end");
        script.push_str("end done 0\nfi\n");
    }
    script.push_str("alive && end used \"$p\"\nfor u in $(users); do end used \"$u\"; done\n");
    if let Some(product) = &task.product {
        let partial = TaskSpec::partial(product);
        remove(&mut script, [&partial], "end");
        if let Some(origin) = &task.origin {
            let _ = writeln!(script, "mv -- {} {} || end x $?", quote(origin), quote(&partial));
        }
    }
    remove(&mut script, &task.removes, "end");
    for file in files {
        above(&mut script, &file.name);
        let _ = writeln!(script, "put {} {}", quote(&file.name), quote(&file.content));
    }
    let _ = writeln!(
        script,
        "put \"$n/task.sh\" {}\nrm -f -- \"$n/task.out\" \"$n/task.err\" \"$n/task.end\"\n\
         setsid sh \"$n/task.sh\" </dev/null >\"$n/task.out\" 2>\"$n/task.err\" &\nwait $!\n\
         cat \"$n/task.out\" 2>/dev/null; cat \"$n/task.err\" >&2 2>/dev/null\n\
         set -- $(cat \"$n/task.end\" 2>/dev/null)\nrm -f -- \"$n\"/task.*\nend \"${{1:-x}}\" \"${{2:-137}}\"",
        quote(&commands(task))
    );
    script
}

/// Returns what runs the commands of a task. There are no secrets in it.
fn commands(task: &TaskSpec) -> String {
    let mut script = String::from(
        "umask 077\nexport LC_ALL=C\nn=/var/lib/simdb/.simdb\ncd /var/lib/simdb || exit 1\necho $$ >\"$n/task.pid\"\n",
    );
    let temporary = words(&task.temporary);
    let tidy = if temporary.is_empty() {
        ":".to_owned()
    } else {
        format!("rm -rf --{temporary}")
    };
    let _ = writeln!(
        script,
        "tidy() {{ {tidy}; rm -f -- \"$n/task.pid\"; }}\ntrap 'tidy; exit 143' TERM INT\n\
         finish() {{ tidy; printf '%s %s' \"$1\" \"$2\" >\"$n/task.end\"; exit 0; }}"
    );
    for (number, command) in task.commands.iter().enumerate() {
        let _ = writeln!(script, "{} || finish {number} $?", call(command, DIRECTORY));
    }
    if let Some(text) = &task.prints {
        let _ = writeln!(
            script,
            "case $(cat \"$n/task.out\") in *{}*) ;; *) finish unprinted 0 ;; esac",
            quote(text)
        );
    }
    if let Some(product) = &task.product {
        let partial = quote(&TaskSpec::partial(product));
        let _ = writeln!(
            script,
            "[ -d {partial} ] || finish missing 0\nsync {partial} 2>/dev/null || sync\nmv -- {partial} {} || finish x $?",
            quote(product)
        );
    }
    remove(&mut script, &task.replaces, "finish");
    script + "finish done 0\n"
}

/// Returns the script of a trial. Its files hold no secrets.
pub(super) fn trial(trial: &TrialSpec) -> String {
    let mut script = format!("{BEGIN}rm -rf -- {TRIAL}\nmkdir -p {TRIAL} && cd {TRIAL} || end x $?\n");
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

#[cfg(test)]
mod tests;
