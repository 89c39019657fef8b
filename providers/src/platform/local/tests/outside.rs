//! Data that was made without simdb: it is linked, used and let go of where it is.

use std::os::unix::fs::{chown, symlink};

use simdb_state::instance::Outside;

use super::*;

/// Makes data as somebody else would who runs servers as the same user, and returns where it is.
fn made(project: &Project, name: &str) -> PathBuf {
    let path = project.directory.path().join(name);
    fs::create_dir(&path).unwrap();
    fs::write(path.join("rows"), "precious\n").unwrap();
    let user = project.platform.user.clone().unwrap();
    chown(&path, Some(user.uid()), None).unwrap();
    path
}

fn linking(path: &Path) -> TaskSpec {
    TaskSpec {
        name: "link".to_owned(),
        product: Some("data-1".to_owned()),
        outside: Some(Outside {
            directory: path.display().to_string(),
            listen: None,
        }),
        ..TaskSpec::default()
    }
}

async fn link(project: &Project, path: &Path) -> Result<String, PlatformError> {
    let task = linking(path);
    project.platform.run_task(&node(), &task, &Secrets::new()).await
}

#[tokio::test]
async fn data_is_used_and_let_go_of_where_it_is() {
    let project = Project::new();
    let path = made(&project, "made");
    link(&project, &path).await.unwrap();
    // It is not linked twice.
    link(&project, &path).await.unwrap();
    project.ensure().await.unwrap();
    project.started().await;
    assert!(path.join("signal").exists());
    let seen = project.platform.inspect(&node()).await.unwrap();
    let facts = seen.seen().unwrap();
    assert_eq!(facts.outside, BTreeMap::from([("data-1".to_owned(), path.clone())]));
    assert!(facts.directories.contains("data-1"));
    assert!(facts.files.values().all(|file| !file.edited), "{:?}", facts.files);

    project.platform.drop(&node()).await.unwrap();
    assert_eq!(project.leader().await, None);
    assert!(!project.instance_directory().exists());
    assert_eq!(fs::read_to_string(path.join("rows")).unwrap(), "precious\n");
}

#[tokio::test]
async fn a_server_on_linked_data_is_stopped_whoever_started_it() {
    let project = Project::new();
    let path = made(&project, "made");
    let program = project.directory.path().join("bin/postgres");
    let mut server = StdCommand::new(program)
        .arg(&path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let id = path.display().to_string();
    eventually("the server is found", || async {
        let found = project.platform.unmanaged(&node(), &id, &["rows"]).await.unwrap();
        let found = found.seen().unwrap().clone();
        assert_eq!(found.files["rows"], "precious\n");
        found.process == Some(server.id())
    })
    .await;
    link(&project, &path).await.unwrap();
    let seen = project.platform.inspect(&node()).await.unwrap();
    let foreign = ProcessFacts::Foreign { pid: server.id() };
    assert_eq!(seen.seen().unwrap().process, foreign);
    project.platform.stop(&node(), StopMode::Immediate).await.unwrap();
    assert!(!server.wait().unwrap().success());
}

#[tokio::test]
async fn what_the_servers_user_does_not_own_is_not_linked_and_a_link_by_hand_is_not_followed() {
    let project = Project::new();
    let path = made(&project, "made");
    let user = project.platform.user.clone().unwrap();
    let own = fs::metadata(project.directory.path()).unwrap().uid();
    if user.uid() != own {
        chown(&path, Some(own), None).unwrap();
        let refused = link(&project, &path).await.unwrap_err();
        assert!(error_text(&refused).contains("permission denied"), "{refused:?}");
        let seen = project
            .platform
            .unmanaged(&node(), &path.display().to_string(), &[])
            .await
            .unwrap();
        assert!(
            matches!(&seen, Observation::Unknown(reason) if reason.contains("belongs to user")),
            "{seen:?}"
        );
        chown(&path, Some(user.uid()), None).unwrap();
    }
    link(&project, &path).await.unwrap();
    let other = made(&project, "other");
    fs::remove_file(project.instance_directory().join("data-1")).unwrap();
    symlink(&other, project.instance_directory().join("data-1")).unwrap();
    let refused = project.ensure().await.unwrap_err();
    assert!(error_text(&refused).contains("is a symbolic link"), "{refused:?}");
    assert!(!other.join("signal").exists());
}
