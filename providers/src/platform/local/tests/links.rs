//! Symbolic links in the place of what simdb made: none leads it out of an instance directory.

use std::os::unix::fs::{lchown, symlink};

use super::*;

/// What is somewhere else, by path: its permissions, its owner, and what it holds.
type Tree = BTreeMap<PathBuf, (u32, u32, Vec<u8>)>;

/// Makes a directory that is laid out like an instance directory and is none, and returns it.
fn outside(project: &Project) -> PathBuf {
    let outside = project.directory.path().join("outside");
    for directory in ["a/data-1", "a/data-1.partial", "a/conf"] {
        fs::create_dir_all(outside.join(directory)).unwrap();
    }
    let marker = r#"{"format":1,"lineage":"lineage-1","address":"cluster.orders.node.a"}"#;
    for (name, text) in [
        ("a/home.json", marker),
        ("a/server.json", "{}"),
        ("a/files.json", r#"{"format":1,"files":{"log":{"text":"","bytes":""}}}"#),
        ("a/token.json", r#"{"format":1,"token":1}"#),
        (
            "a/task.json",
            r#"{"format":1,"task":"make","product":"data-1","owner":null}"#,
        ),
        ("a/task.lock", ""),
        ("a/log", "precious\n"),
        ("a/task.log", "precious\n"),
        ("a/conf/server.conf", "precious\n"),
        ("a/data-1/signal", "precious\n"),
        ("a/data-1/postmaster.pid", "4194304\n"),
        ("a/data-1.partial/precious", "precious\n"),
    ] {
        fs::write(outside.join(name), text).unwrap();
    }
    outside
}

fn tree(directory: &Path) -> Tree {
    let mut found = Tree::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let text = if meta.is_file() {
            fs::read(&path).unwrap()
        } else {
            Vec::new()
        };
        found.insert(path.clone(), (meta.mode(), meta.uid(), text));
        if meta.is_dir() {
            found.extend(tree(&path));
        }
    }
    found
}

/// Does everything that changes an instance directory, whatever comes of it, and returns what was refused.
async fn try_everything(platform: &LocalPlatform) -> Vec<String> {
    let (node, secrets) = (node(), Secrets::new());
    let changes = [
        platform.ensure(&node, &instance(), &secrets).await,
        platform.reload(&node).await,
        platform.stop(&node, StopMode::Immediate).await.map(drop),
        platform
            .run_task(&node, &making("data-1", &[]), &secrets)
            .await
            .map(drop),
        platform.run_task(&node, &doing(&["true"]), &secrets).await.map(drop),
        platform.run_task(&node, &doing(&["false"]), &secrets).await.map(drop),
        Platform::drop(platform, &node).await,
    ];
    changes
        .into_iter()
        .filter_map(Result::err)
        .filter(|error| !matches!(error, PlatformError::TaskFailed { .. }))
        .map(|error| error_text(&error))
        .collect()
}

#[tokio::test]
async fn directories_above_the_data_are_not_entered_through_links() {
    let project = Project::new();
    let outside = outside(&project);
    project.start().await;
    project.platform.stop(&node(), StopMode::Immediate).await.unwrap();
    let before = tree(&outside);
    let data = project.directory.path().join("data");
    for (place, target) in [
        (data.join("orders/a"), outside.join("a")),
        (data.join("orders"), outside.clone()),
    ] {
        let away = project.directory.path().join("away");
        fs::rename(&place, &away).unwrap();
        symlink(&target, &place).unwrap();
        let refused = try_everything(&project.platform).await;
        assert_eq!(refused.len(), 7, "{refused:?}");
        let said = format!("{place:?} is a symbolic link to {target:?}");
        assert!(refused.iter().all(|text| text.contains(&said)), "{refused:?}");
        let looked = project.platform.inspect(&node()).await.unwrap_err();
        assert!(error_text(&looked).contains(&said), "{looked:?}");
        assert_eq!(project.platform.list().await.unwrap(), BTreeSet::new());
        assert_eq!(tree(&outside), before);
        fs::remove_file(&place).unwrap();
        fs::rename(&away, &place).unwrap();
    }
    project.platform.drop(&node()).await.unwrap();
}

#[tokio::test]
async fn a_link_to_the_data_root_counts_unless_the_servers_user_made_it() {
    let project = Project::new();
    let [data, elsewhere] = ["data", "elsewhere"].map(|name| project.directory.path().join(name));
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &data).unwrap();
    project.start().await;
    let owner = fs::metadata(project.instance_directory()).unwrap();
    assert!(elsewhere.join("orders/a").exists());
    project.platform.stop(&node(), StopMode::Immediate).await.unwrap();
    if owner.uid() != fs::metadata(&elsewhere).unwrap().uid() {
        lchown(&data, Some(owner.uid()), Some(owner.gid())).unwrap();
        let before = tree(&elsewhere);
        let refused = try_everything(&project.platform).await;
        assert_eq!(refused.len(), 7, "{refused:?}");
        assert_eq!(tree(&elsewhere), before);
    }
}

#[tokio::test]
async fn no_link_in_the_place_of_a_file_is_followed() {
    for name in [
        "home.json",
        "server.json",
        "files.json",
        "token.json",
        "task.json",
        "task.lock",
        "log",
        "task.log",
        "conf",
        "conf/server.conf",
        "data-1",
        "data-1/signal",
        "data-1/postmaster.pid",
        "data-1/pg_tblspc",
        "data-1.partial",
        ".server.json.tmp",
        ".token.json.tmp",
    ] {
        let project = Project::new();
        let outside = outside(&project);
        project.start().await;
        project.platform.stop(&node(), StopMode::Immediate).await.unwrap();
        let before = tree(&outside);
        let (place, target) = (project.instance_directory().join(name), outside.join("a").join(name));
        let _ = fs::remove_file(&place);
        let _ = fs::remove_dir_all(&place);
        let target = if target.exists() {
            target
        } else {
            outside.join("a/data-1")
        };
        symlink(&target, &place).unwrap();
        let refused = try_everything(&project.platform).await;
        for text in &refused {
            assert!(text.contains("is a symbolic link to"), "{name}: {text}");
        }
        assert_eq!(tree(&outside), before, "{name}");
        let _ = project.platform.inspect(&node()).await;
        let _ = project.platform.log(&node(), 10).await;
        if project.instance_directory().exists() {
            // What is refused says so, and can be removed by hand.
            assert!(!refused.is_empty(), "{name}");
            fs::remove_file(&place).unwrap();
            if name == "home.json" {
                fs::write(
                    &place,
                    r#"{"format":1,"lineage":"lineage-1","address":"cluster.orders.node.a"}"#,
                )
                .unwrap();
            }
            project.platform.drop(&node()).await.unwrap();
        }
        assert!(!project.instance_directory().exists(), "{name}: {refused:?}");
        assert_eq!(tree(&outside), before, "{name}");
    }
}

#[tokio::test]
async fn a_file_that_has_another_name_elsewhere_is_not_written() {
    for name in ["task.lock", "log", "task.log"] {
        let project = Project::new();
        let outside = outside(&project);
        project.start().await;
        project.platform.stop(&node(), StopMode::Immediate).await.unwrap();
        let (place, target) = (project.instance_directory().join(name), outside.join("a").join(name));
        let owner = fs::metadata(project.instance_directory()).unwrap().uid();
        if owner == fs::metadata(&target).unwrap().uid() {
            return;
        }
        let _ = fs::remove_file(&place);
        fs::hard_link(&target, &place).unwrap();
        let before = tree(&outside);
        let refused = try_everything(&project.platform).await;
        assert!(
            refused
                .iter()
                .all(|text| text.contains("is no plain file of the servers' user")),
            "{name}: {refused:?}"
        );
        assert!(!refused.is_empty(), "{name}");
        assert_eq!(tree(&outside), before, "{name}");
    }
}

#[tokio::test]
async fn a_note_that_names_a_process_of_root_ends_none() {
    let project = Project::new();
    project.start().await;
    project.platform.stop(&node(), StopMode::Immediate).await.unwrap();
    let mut other = StdCommand::new("sleep").arg("1000").spawn().unwrap();
    let same_user = fs::metadata(project.instance_directory()).unwrap().uid() == nix::unistd::geteuid().as_raw();
    let path = project.instance_directory().join("server.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["process"] = serde_json::to_value(process::Identity::of(other.id())).unwrap();
    fs::write(&path, record.to_string()).unwrap();
    if !same_user {
        assert_eq!(project.leader().await, None);
        project.platform.stop(&node(), StopMode::Immediate).await.unwrap();
        project.platform.drop(&node()).await.unwrap();
        assert_eq!(other.try_wait().unwrap(), None);
    }
    other.kill().unwrap();
    other.wait().unwrap();
}
