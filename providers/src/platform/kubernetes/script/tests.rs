use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command as Process, Stdio};
use std::thread::sleep;

use simdb_state::instance::{Argument, Stop};
use simdb_state::object::{EngineKind, Resources};
use tempfile::TempDir;

use super::super::look::{self, Looked};
use super::*;

const KEEPER: &str = include_str!("../keeper.sh");

/// A directory that stands for the volume and the container of a node.
struct Pod {
    directory: TempDir,
    keeper: Option<Child>,
}

impl Drop for Pod {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            let _ = Process::new("kill").args(["-TERM", &keeper.id().to_string()]).status();
            let _ = keeper.wait();
        }
    }
}

impl Pod {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("volume/.simdb")).unwrap();
        fs::create_dir_all(directory.path().join("tmp")).unwrap();
        Self {
            directory,
            keeper: None,
        }
    }

    fn here(&self, script: &str) -> String {
        let volume = self.directory.path().join("volume").display().to_string();
        let temporary = self.directory.path().join("tmp").display().to_string();
        let keeper = self.keeper.as_ref().map_or(0, Child::id);
        script
            .replace(DIRECTORY, &volume)
            .replace("/tmp/simdb", &temporary)
            .replace("kill -USR1 1 ", &format!("kill -USR1 {keeper} "))
    }

    fn keep(&mut self) {
        let mut command = Process::new("sh");
        command.arg("-c").arg(self.here(KEEPER)).env("HOLD", "");
        self.keeper = Some(command.stdout(Stdio::null()).spawn().unwrap());
    }

    fn run(&self, script: &str) -> (String, Ended) {
        let output = Process::new("sh").arg("-c").arg(self.here(script)).output().unwrap();
        let mut errors = String::from_utf8(output.stderr).unwrap();
        let ended = ended(&mut errors);
        (String::from_utf8(output.stdout).unwrap() + &errors, ended)
    }

    fn look(&self) -> Looked {
        let (printed, ended) = self.run(&look::script());
        assert_eq!(ended, Ended::Done, "{printed}");
        Looked::read(&printed)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join("volume").join(name)
    }
}

fn command(program: &str, arguments: &[&str]) -> Command {
    Command {
        engine: EngineKind::POOLER,
        version: 1,
        program: program.to_owned(),
        arguments: arguments
            .iter()
            .map(|text| Argument::text((*text).to_owned()))
            .collect(),
    }
}

fn making(commands: Vec<Command>) -> TaskSpec {
    TaskSpec {
        commands,
        product: Some("data-1".to_owned()),
        replaces: vec!["old".to_owned()],
        prints: Some("it's".to_owned()),
        temporary: vec!["pass word".to_owned()],
        ..TaskSpec::default()
    }
}

fn file(name: &str, content: &str) -> File {
    File {
        name: name.to_owned(),
        text: sha256(name),
        content: content.to_owned(),
    }
}

#[test]
fn a_task_makes_its_product_or_says_why_not() {
    let pod = Pod::new();
    for name in ["old", "data-1.partial"] {
        fs::create_dir(pod.path(name)).unwrap();
    }
    let files = [file("pass word", "it's secret")];
    let run = |commands: &[Command]| pod.run(&task(Token(1), &making(commands.to_vec()), &files));
    let make = command("mkdir", &["data-1.partial"]);
    let say = command("echo", &["it's", "$HOME"]);
    let (printed, ended) = run(&[make.clone(), command("false", &[])]);
    assert_eq!((printed.as_str(), ended), ("", Ended::Failed(Some(1), 1)));
    assert_eq!(run(std::slice::from_ref(&make)).1, Ended::NotPrinted);
    assert_eq!(run(std::slice::from_ref(&say)).1, Ended::NoProduct);
    assert!(pod.path("old").exists() && !pod.path("data-1").exists());
    let shown = command("cat", &["pass word"]);
    let (printed, ended) = run(&[make.clone(), say.clone(), shown]);
    assert_eq!((printed.as_str(), ended), ("it's $HOME\nit's secret", Ended::Done));
    assert!(!pod.path("old").exists() && pod.path("data-1").exists() && !pod.path("pass word").exists());
    assert_eq!(run(&[make, say]), (String::new(), Ended::Done));
    let left: Vec<_> = fs::read_dir(pod.path(".simdb"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        !left.iter().any(|name| name.to_string_lossy().starts_with("task")),
        "{left:?}"
    );
}

#[test]
fn secrets_are_on_no_command_line_of_a_task() {
    let files = [file("passfile", "swordfish")];
    let task = making(vec![command("true", &[])]);
    assert!(script_has(&super::task(Token(1), &task, &files), "swordfish"));
    assert!(!script_has(&commands(&task), "swordfish"));
}

fn script_has(script: &str, text: &str) -> bool {
    script.contains(text)
}

#[test]
fn an_older_holder_of_the_lock_changes_nothing() {
    let pod = Pod::new();
    assert_eq!(pod.run(&settle(Token(7))).1, Ended::Done);
    assert_eq!(pod.run(&settle(Token(7))).1, Ended::Done);
    assert_eq!(pod.run(&settle(Token(6))).1, Ended::Newer(Token(7)));
    assert_eq!(
        pod.run(&task(Token(6), &making(Vec::new()), &[])).1,
        Ended::Newer(Token(7))
    );
}

fn server(signal: StopSignal) -> InstanceSpec {
    InstanceSpec {
        command: command(
            "sh",
            &[
                "-c",
                "cd data-1; trap 'exit 0' INT TERM; echo up >>../log; while :; do sleep 0.05; done",
            ],
        ),
        files: [].into_iter().collect(),
        data: "data-1".to_owned(),
        listen: "0.0.0.0:5432".parse::<std::net::SocketAddr>().map(bind).unwrap(),
        published: None,
        image: None,
        resources: Resources::default(),
        probe: None,
        present: Vec::new(),
        absent: vec!["data-1/standby".to_owned()],
        environment: BTreeMap::new(),
        stop: Stop {
            signal,
            within: Duration::from_secs(20),
        },
    }
}

fn bind(address: std::net::SocketAddr) -> simdb_state::place::Bind {
    simdb_state::place::Bind {
        host: address.ip(),
        port: address.port(),
    }
}

fn wait(what: impl Fn() -> bool) {
    for _ in 0..400 {
        if what() {
            return;
        }
        sleep(Duration::from_millis(25));
    }
    panic!("it does not come");
}

#[test]
fn a_server_runs_until_it_is_stopped_and_comes_back_when_it_ends_by_itself() {
    let mut pod = Pod::new();
    pod.keep();
    // In the background of a shell SIGINT is ignored by what does not say otherwise.
    let spec = server(StopSignal::Terminate);
    let files = [file("below/a b", "text")];
    let ensure = |files: &[File]| pod.run(&ensure(Token(1), &spec, files));
    assert_eq!(ensure(&files).1, Ended::NoData);
    fs::create_dir(pod.path("data-1")).unwrap();
    fs::create_dir(pod.path("data-2.partial")).unwrap();
    fs::write(pod.path("data-1/standby"), "").unwrap();
    let (printed, ended) = ensure(&files);
    assert_eq!(ended, Ended::Done, "{printed}");
    assert!(!pod.path("data-2.partial").exists() && !pod.path("data-1/standby").exists());
    let looked = pod.look();
    let (first, _) = looked.process.expect("it runs");
    assert_eq!(looked.files, [("below/a b".to_owned(), sha256("below/a b"), false)]);
    assert_eq!(looked.listen.as_deref(), Some("0.0.0.0:5432"));
    assert_eq!(ensure(&files).1, Ended::Done);
    assert_eq!(
        pod.look().process.map(|(pid, _)| pid),
        Some(first),
        "what runs is not restarted"
    );
    fs::write(pod.path("below/a b"), "edited").unwrap();
    assert!(pod.look().files[0].2);
    assert_eq!(ensure(&[]).1, Ended::Done);
    assert!(!pod.path("below/a b").exists(), "what is no longer listed goes");
    assert_eq!(
        pod.run(&task(Token(1), &making(Vec::new()), &[])).1,
        Ended::Done,
        "it is made"
    );
    let mut other = making(vec![command("true", &[])]);
    other.product = Some("data-9".to_owned());
    assert!(matches!(pod.run(&task(Token(1), &other, &[])).1, Ended::Used(_)));
    let killed = Process::new("kill")
        .args(["-KILL", &first.to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    wait(|| pod.look().process.is_some_and(|(pid, _)| pid != first));
    let stop = |mode| pod.run(&stop(Token(1), mode, Duration::from_secs(20)));
    assert_eq!(stop(StopMode::Fast), (String::new(), Ended::Done));
    assert_eq!((pod.look().process, pod.look().is_to_run), (None, false));
    assert_eq!(stop(StopMode::Immediate).1, Ended::Done);
    assert_eq!(ensure(&[]).1, Ended::Done);
    assert!(pod.look().process.is_some());
    assert_eq!(stop(StopMode::Immediate).1, Ended::Done);
    assert_eq!(pod.look().process, None);
}

#[test]
fn a_script_that_was_ended_says_nothing() {
    assert_eq!(ended(&mut "killed".to_owned()), Ended::CutOff);
    let mut errors = "one\ntwo\n\nsimdb-ended 3 127\n".to_owned();
    assert_eq!(ended(&mut errors), Ended::Failed(Some(3), 127));
    assert_eq!(errors, "one\ntwo\n");
}
