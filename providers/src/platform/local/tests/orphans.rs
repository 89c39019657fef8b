//! Tasks: what they leave when they fail, or when whoever started them is gone.

use super::*;

#[tokio::test]
async fn a_failed_task_says_what_its_command_wrote() {
    let project = Project::new();
    let task = doing(&["sh", "-c", "echo disk full >&2; exit 7"]);
    let error = project
        .platform
        .run_task(&node(), &task, &Secrets::new())
        .await
        .unwrap_err();
    assert_eq!(
        error_text(&error),
        "run task \"do\" of cluster.orders.node.a: pg_controldata ended with exit status: 7:\ndisk full"
    );
    let log = fs::read_to_string(project.instance_directory().join("task.log")).unwrap();
    assert_eq!(log, "do: pg_controldata ended with exit status: 7\ndisk full\n");
}

/// Leaves a task behind as a killed simdb would: its commands run and hold the lock, and whoever started them is gone.
async fn leave_orphan(project: &Project, script: &str, product: Option<&str>) -> std::process::Child {
    let platform = &project.platform;
    platform
        .run_task(&node(), &doing(&["true"]), &Secrets::new())
        .await
        .unwrap();
    let mut gone = StdCommand::new("true").spawn().unwrap();
    let product = product.map_or("null".to_owned(), |product| format!("\"{product}\""));
    let owner = format!(r#"{{"pid":{},"start_time":1,"boot_id":"x"}}"#, gone.id());
    gone.wait().unwrap();
    let record = format!(r#"{{"format":1,"task":"make","product":{product},"owner":{owner}}}"#);
    fs::write(project.instance_directory().join("task.json"), record).unwrap();
    let lock = fs::File::open(project.instance_directory().join("task.lock")).unwrap();
    lock.lock().unwrap();
    StdCommand::new("setsid")
        .args(["sh", "-c", script])
        .current_dir(project.instance_directory())
        .stdin(lock)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn an_orphan_whose_product_is_lost_is_ended_with_its_children() {
    let project = Project::new();
    let script = "trap '' TERM; mkdir data-1.partial; sleep 1000 </dev/null & wait; wait";
    let mut orphan = leave_orphan(&project, script, Some("data-1")).await;
    let partial = project.instance_directory().join("data-1.partial");
    eventually("the orphan works", || async { partial.exists() }).await;
    project
        .platform
        .run_task(&node(), &making("data-1", &[]), &Secrets::new())
        .await
        .unwrap();
    assert!(!orphan.wait().unwrap().success());
    assert!(project.instance_directory().join("data-1").exists());
    let inside = |p: &Process| {
        p.directory()
            .is_some_and(|directory| directory.starts_with(project.instance_directory()))
    };
    assert!(!process::all().iter().any(inside));
}

#[tokio::test]
async fn an_orphan_that_changes_data_in_place_is_waited_for() {
    let project = Project::new();
    // It ends when somebody reads what it has to say, which is when the next task waits for it.
    let fifo = project.instance_directory().join("fifo");
    let make = doing(&["mkfifo", fifo.to_str().unwrap()]);
    project
        .platform
        .run_task(&node(), &make, &Secrets::new())
        .await
        .unwrap();
    let mut orphan = leave_orphan(&project, "echo done > fifo", None).await;
    let platform = &project.platform;
    let (task, secrets) = (doing(&["true"]), Secrets::new());
    let node = node();
    let next = platform.run_task(&node, &task, &secrets);
    let read = blocking(move || fs::read_to_string(fifo).unwrap());
    let (printed, next) = tokio::join!(read, next);
    assert_eq!(printed, "done\n");
    next.unwrap();
    assert!(orphan.wait().unwrap().success());
}

#[tokio::test]
async fn drop_waits_for_no_orphan() {
    let project = Project::new();
    let mut orphan = leave_orphan(&project, "exec sleep 1000", None).await;
    project.platform.drop(&node()).await.unwrap();
    assert!(!orphan.wait().unwrap().success());
    assert!(!project.instance_directory().exists());
}

#[tokio::test]
async fn a_task_that_nobody_waits_for_any_more_is_ended() {
    let project = Project::new();
    let started = project.instance_directory().join("started");
    let script = format!("touch {}; sleep 1000 & wait", started.display());
    let task = doing(&["sh", "-c", &script]);
    let (node, secrets) = (node(), Secrets::new());
    tokio::select! {
        result = project.platform.run_task(&node, &task, &secrets) => panic!("it ended: {result:?}"),
        () = eventually("the task works", || async { started.exists() }) => {}
    }
    project
        .platform
        .run_task(&node, &doing(&["true"]), &secrets)
        .await
        .unwrap();
    let inside = |p: &Process| {
        p.directory()
            .is_some_and(|directory| directory.starts_with(project.instance_directory()))
    };
    eventually("nobody is left", || async { !process::all().iter().any(inside) }).await;
}
