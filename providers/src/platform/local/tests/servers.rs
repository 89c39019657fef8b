//! Servers: found, halted, started again, ended.

use super::*;

#[tokio::test]
async fn a_server_that_ends_at_once_is_down_and_its_log_says_why() {
    let project = Project::new();
    let platform = &project.platform;
    platform
        .run_task(&node(), &making("data-1", &[]), &Secrets::new())
        .await
        .unwrap();
    let spec = InstanceSpec {
        command: command("postgres", vec![Argument::text("wrong")]),
        ..instance()
    };
    platform.ensure(&node(), &spec, &Secrets::new()).await.unwrap();
    eventually("the server is down", || async { project.leader().await.is_none() }).await;
    assert_eq!(platform.log(&node(), 20).await.unwrap(), ["unknown setting"]);
}

#[tokio::test]
async fn a_killed_server_is_down_and_starts_again() {
    let project = Project::new();
    let first = project.start().await;
    kill(process::pid(first), Signal::SIGKILL).unwrap();
    eventually("what is left of the server is seen", || async {
        project.leader().await != Some(first)
    })
    .await;
    // Its child is still there, and uses nothing: it is no server.
    project.ensure().await.unwrap();
    assert_ne!(project.started().await, first);
    eventually("the dead server is reaped", || async {
        !Path::new(&format!("/proc/{first}")).exists()
    })
    .await;
    project.platform.drop(&node()).await.unwrap();
}

#[tokio::test]
async fn a_zombie_is_dead_and_its_lock_file_stale() {
    let project = Project::new();
    project
        .platform
        .run_task(&node(), &making("data-1", &[]), &Secrets::new())
        .await
        .unwrap();
    let mut zombie = StdCommand::new("true").spawn().unwrap();
    eventually("the child is a zombie", || async {
        Process::read(zombie.id()).is_none()
    })
    .await;
    let lock = project.instance_directory().join("data-1/postmaster.pid");
    // A number that was used again is no better than a dead one.
    for pid in [zombie.id(), std::process::id()] {
        fs::write(&lock, format!("{pid}\n/somewhere\n")).unwrap();
        project.ensure().await.unwrap();
        assert!(!lock.exists());
        project.started().await;
        project.platform.stop(&node(), StopMode::Fast).await.unwrap();
    }
    zombie.wait().unwrap();
}

#[tokio::test]
async fn a_server_started_by_hand_is_seen_left_alone_and_stopped() {
    let project = Project::new();
    let first = project.start().await;
    project.platform.stop(&node(), StopMode::Fast).await.unwrap();
    let instance_directory = project.instance_directory();
    for mode in [StopMode::Fast, StopMode::Immediate] {
        let mut server = StdCommand::new(project.directory.path().join("bin/postgres"))
            .arg(instance_directory.join("data-1"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the server is seen", || async {
            project.leader().await == Some(server.id())
        })
        .await;
        eventually("the server has a child", || async {
            process::all().iter().any(|p| p.parent == server.id())
        })
        .await;
        project.ensure().await.unwrap();
        assert_eq!(project.leader().await, Some(server.id()));
        assert_ne!(server.id(), first);
        project.platform.stop(&node(), mode).await.unwrap();
        assert_eq!(project.leader().await, None);
        server.wait().unwrap();
    }
}

#[tokio::test]
async fn a_shell_in_the_data_directory_is_no_server() {
    let project = Project::new();
    project.start().await;
    let mut shell = StdCommand::new("sleep")
        .arg("1000")
        .current_dir(project.instance_directory().join("data-1"))
        .spawn()
        .unwrap();
    project.platform.stop(&node(), StopMode::Immediate).await.unwrap();
    assert_eq!(project.leader().await, None);
    assert_eq!(shell.try_wait().unwrap(), None);
    project.platform.drop(&node()).await.unwrap();
    assert_eq!(shell.try_wait().unwrap(), None);
    shell.kill().unwrap();
    shell.wait().unwrap();
}

#[tokio::test]
async fn a_frozen_server_stops() {
    let project = Project::new();
    for mode in [StopMode::Fast, StopMode::Immediate] {
        let pid = project.start().await;
        kill(process::pid(pid), Signal::SIGSTOP).unwrap();
        eventually("it is frozen", || async {
            Process::read(pid).is_some_and(|p| p.stopped)
        })
        .await;
        assert_eq!(project.leader().await, Some(pid));
        project.platform.stop(&node(), mode).await.unwrap();
        assert_eq!(project.leader().await, None);
    }
}

#[tokio::test]
async fn a_server_whose_instance_directory_was_removed_is_seen_until_it_is_stopped() {
    let project = Project::new();
    let pid = project.start().await;
    fs::remove_dir_all(project.instance_directory()).unwrap();
    assert_eq!(project.leader().await, Some(pid));
    project.platform.stop(&node(), StopMode::Fast).await.unwrap();
    assert_eq!(project.platform.inspect(&node()).await.unwrap(), Observation::Absent);
}

#[tokio::test]
async fn a_server_of_which_any_process_is_halted_is_frozen_until_it_is_started() {
    let project = Project::new();
    let pid = project.start().await;
    let child = process::all().into_iter().find(|p| p.parent == pid).unwrap();
    child.signal(Signal::SIGSTOP);
    let process = || async {
        project
            .platform
            .inspect(&node())
            .await
            .unwrap()
            .seen()
            .unwrap()
            .process
            .clone()
    };
    eventually("it is seen", || async {
        process().await == ProcessFacts::Frozen { pid, by: Halt::Signal }
    })
    .await;
    project.ensure().await.unwrap();
    eventually("it goes on", || async {
        process().await == ProcessFacts::Running { pid }
    })
    .await;
}

#[tokio::test]
async fn a_start_that_was_cut_off_before_it_was_noted_is_found_and_not_repeated() {
    let project = Project::new();
    let pid = project.start().await;
    project.platform.stop(&node(), StopMode::Fast).await.unwrap();
    let path = project.instance_directory().join("server.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["process"] = serde_json::Value::Null;
    fs::write(&path, record.to_string()).unwrap();
    let arguments = record["arguments"].as_array().unwrap().iter();
    let owner = fs::metadata(project.instance_directory()).unwrap();
    let mut starts = tokio::process::Command::new("/bin/sh")
        .args(["-c", "sleep 1000; true", "setsid"])
        .args(arguments.map(|argument| argument.as_str().unwrap()))
        .current_dir("/")
        .uid(owner.uid())
        .gid(owner.gid())
        .process_group(0)
        .spawn()
        .unwrap();
    let starting = starts.id().unwrap();
    assert_ne!(starting, pid);
    eventually("it is seen", || async { project.leader().await == Some(starting) }).await;
    project.ensure().await.unwrap();
    assert_eq!(project.leader().await, Some(starting));
    let group = nix::unistd::Pid::from_raw(i32::try_from(starting).unwrap());
    nix::sys::signal::killpg(group, Signal::SIGKILL).unwrap();
    starts.wait().await.unwrap();
    assert_eq!(project.leader().await, None);
}

#[tokio::test]
async fn a_server_whose_instance_directory_was_removed_is_ended_by_drop() {
    let project = Project::new();
    let pid = project.start().await;
    fs::remove_dir_all(project.instance_directory()).unwrap();
    project.platform.drop(&node()).await.unwrap();
    assert_eq!(Process::read(pid), None);
}
