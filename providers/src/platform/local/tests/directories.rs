//! Whose instance directories are whose, and what is written there.

use super::*;

#[tokio::test]
async fn an_instance_directory_of_somebody_else_is_never_touched() {
    let project = Project::new();
    let directory = project.instance_directory();
    fs::create_dir_all(&directory).unwrap();
    let marker = |lineage: &str, node: &str| format!(r#"{{"format":1,"lineage":"{lineage}","address":"{node}"}}"#);
    for (name, text) in [
        ("precious", String::new()),
        ("home.json", "not json".to_owned()),
        ("home.json", marker("lineage-2", "cluster.orders.node.a")),
        ("home.json", marker("lineage-1", "cluster.orders.node.b")),
        (
            "home.json",
            marker("lineage-1", "cluster.orders.node.a").replace(":1", ":2"),
        ),
    ] {
        fs::write(directory.join(name), &text).unwrap();
        let node = node();
        for error in [
            project.ensure().await.unwrap_err(),
            project
                .platform
                .run_task(&node, &doing(&["true"]), &Secrets::new())
                .await
                .unwrap_err(),
            project.platform.inspect(&node).await.unwrap_err(),
            project.platform.stop(&node, StopMode::Immediate).await.unwrap_err(),
            project.platform.drop(&node).await.unwrap_err(),
        ] {
            assert!(
                matches!(error, PlatformError::ForeignInstanceDirectory { .. }),
                "{name} {text}: {error:?}"
            );
        }
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(directory.join(name)).unwrap(), text);
        fs::remove_file(directory.join(name)).unwrap();
    }
}

#[tokio::test]
async fn an_instance_directory_that_was_not_marked_in_time_is_ours() {
    let project = Project::new();
    fs::create_dir_all(project.instance_directory()).unwrap();
    fs::write(project.instance_directory().join(".home.json.tmp"), "{").unwrap();
    assert_eq!(project.platform.inspect(&node()).await.unwrap(), Observation::Absent);
    project.start().await;
    project.platform.drop(&node()).await.unwrap();
}

#[tokio::test]
async fn files_are_private_and_written_only_when_they_differ() {
    let project = Project::new();
    project.start().await;
    let path = project.instance_directory().join("conf/server.conf");
    let first = fs::metadata(&path).unwrap();
    let owner = fs::metadata(project.instance_directory()).unwrap().uid();
    assert_eq!((first.mode() & 0o777, first.uid()), (0o600, owner));
    project.ensure().await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), first.ino());
    fs::write(&path, "port = 1\n").unwrap();
    project.ensure().await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "port = 5432\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    project.ensure().await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    project.platform.drop(&node()).await.unwrap();
}

#[tokio::test]
async fn files_that_an_instance_no_longer_lists_are_removed_and_no_others() {
    let project = Project::new();
    project.start().await;
    let signal = project.instance_directory().join("data-1/signal");
    let (other, outside) = (
        project.instance_directory().join("other"),
        project.directory.path().join("outside"),
    );
    assert!(signal.exists());
    for path in [&other, &outside] {
        fs::write(path, "").unwrap();
    }
    // Whoever can write the note can let it name anything.
    let note = project.instance_directory().join("files.json");
    let text = fs::read_to_string(&note).unwrap();
    fs::write(&note, text.replace("conf/server.conf", "../../../outside")).unwrap();
    let mut shorter = instance();
    shorter.present.clear();
    project
        .platform
        .ensure(&node(), &shorter, &Secrets::new())
        .await
        .unwrap();
    assert!(!signal.exists());
    assert!(other.exists() && outside.exists());
}

#[tokio::test]
async fn temporary_files_of_a_task_are_gone_when_it_succeeds_and_when_it_fails() {
    let project = Project::new();
    let name = SecretName::password(&"cluster.orders.user.app".parse().unwrap());
    let secrets = Secrets::from([(name.clone(), Sensitive::new("swordfish".to_owned()))]);
    let path = project.instance_directory().join("pass");
    for (end, printed) in [("true", true), ("false", false)] {
        let script = format!("cat {}; {end}", path.display());
        let mut task = doing(&["sh", "-c", &script]);
        task.files
            .insert("pass".to_owned(), FileText(vec![FilePart::Secret(name.clone())]));
        task.temporary.push("pass".to_owned());
        let result = project.platform.run_task(&node(), &task, &secrets).await;
        assert_eq!(result.is_ok_and(|text| text == "swordfish"), printed);
        assert!(!path.exists());
    }
    let mut task = doing(&["true"]);
    task.files
        .insert("pass".to_owned(), FileText(vec![FilePart::Secret(name)]));
    let error = project
        .platform
        .run_task(&node(), &task, &Secrets::new())
        .await
        .unwrap_err();
    assert!(matches!(error, PlatformError::SecretMissing { .. }), "{error:?}");
}

#[tokio::test]
async fn only_instance_directories_of_this_project_are_listed() {
    let project = Project::new();
    project
        .platform
        .run_task(&node(), &doing(&["true"]), &Secrets::new())
        .await
        .unwrap();
    let other = project.directory.path().join("data/orders/b");
    fs::create_dir(&other).unwrap();
    fs::write(
        other.join("home.json"),
        r#"{"format":1,"lineage":"x","address":"cluster.orders.node.b"}"#,
    )
    .unwrap();
    fs::create_dir(project.directory.path().join("data/orders/c")).unwrap();
    assert_eq!(project.platform.list().await.unwrap(), BTreeSet::from([node()]));
}

#[tokio::test]
async fn a_task_that_succeeds_and_does_not_print_what_it_must_makes_nothing() {
    let project = Project::new();
    let told = |word: &str| {
        let mut task = making("data-1", &[]);
        task.commands.extend(asking(&["echo", word]).commands);
        TaskSpec {
            prints: Some("rewound".to_owned()),
            ..task
        }
    };
    let run = async |word: &str| {
        let platform = &project.platform;
        platform.run_task(&node(), &told(word), &Secrets::new()).await
    };
    let error = run("as it was").await.unwrap_err();
    assert!(matches!(error, PlatformError::NotPrinted { .. }), "{error:?}");
    assert!(!project.instance_directory().join("data-1").exists());
    run("rewound").await.unwrap();
    assert!(project.instance_directory().join("data-1").is_dir());
}
