//! What keeps a machine from running anything, told with a way out.

use simdb_planner::observed::ProviderArgument;

use super::*;

fn about(argument: ProviderArgument, detail: &str) -> BTreeSet<PlatformProblem> {
    BTreeSet::from([PlatformProblem {
        argument: Some(argument),
        detail: detail.to_owned(),
    }])
}

#[tokio::test]
async fn a_missing_engine_says_where_it_was_looked_for() {
    let project = Project::new();
    let mut task = doing(&["true"]);
    task.commands[0].version = 98;
    let error = project
        .platform
        .run_task(&node(), &task, &Secrets::new())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("find the programs of postgresql 98: looked in /"),
        "{error}"
    );
    let facts = project.platform.facts().await;
    let binaries = project.directory.path().join("bin").display().to_string();
    assert_eq!(facts.engines[&EngineKind::Postgresql][&VERSION], binaries);
    assert_eq!(facts.problems, BTreeSet::new());
}

#[tokio::test]
async fn binaries_that_are_none_are_a_problem() {
    let directory = tempfile::tempdir().unwrap();
    let facts = LocalPlatform::new(config(&directory, vec!["/nowhere".into()]))
        .facts()
        .await;
    let problem = "/nowhere has no program \"postgres\" (No such file or directory (os error 2)). Name another directory \
                   in binaries, or remove it to search the usual places.";
    assert_eq!(facts.problems, about(ProviderArgument::Binaries, problem));
}

#[tokio::test]
async fn a_data_root_below_a_file_is_a_problem() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("data"), "").unwrap();
    let facts = LocalPlatform::new(config(&directory, Vec::new())).facts().await;
    let root = directory.path().join("data").display().to_string();
    let problem =
        format!("{root} is not a directory, and data should be kept in {root}. Set data_root to another place.");
    assert_eq!(facts.problems, about(ProviderArgument::DataRoot, &problem));
}

#[tokio::test]
async fn a_data_root_that_configuration_files_cannot_hold_is_a_problem() {
    let directory = tempfile::tempdir().unwrap();
    for (name, wrong) in [
        ("it's", true),
        ("a\nb", true),
        ("a\\b", true),
        ("with space, ümlaut", false),
    ] {
        let mut config = config(&directory, Vec::new());
        config.root = directory.path().join(name);
        let problems = LocalPlatform::new(config).facts().await.problems;
        assert_eq!(
            problems.iter().any(|problem| problem.detail.contains("has a quote")),
            wrong,
            "{name}: {problems:?}"
        );
    }
}

#[tokio::test]
async fn a_user_who_cannot_run_servers_is_a_problem() {
    let directory = tempfile::tempdir().unwrap();
    let problems = async |user: &str| {
        let run_as = Some(user.to_owned());
        let platform = LocalPlatform::new(LocalConfig {
            run_as,
            ..config(&directory, Vec::new())
        });
        assert!(matches!(
            platform.stop(&node(), StopMode::Fast).await,
            Err(PlatformError::Unusable(_))
        ));
        platform.facts().await.problems
    };
    assert_eq!(
        problems("nobody-at-all").await,
        about(
            ProviderArgument::RunAs,
            "There is no user \"nobody-at-all\" to run servers as. Make one, or set run_as to another user."
        )
    );
    let problem = "Servers refuse to run as \"root\", which is the superuser. Set run_as to another user.";
    assert_eq!(problems("root").await, about(ProviderArgument::RunAs, problem));
}

#[tokio::test]
async fn a_data_root_that_the_user_cannot_enter_or_write_to_is_a_problem() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display();
    let closed = fs::Permissions::from_mode(0o600);
    fs::set_permissions(directory.path(), closed).unwrap();
    let facts = LocalPlatform::new(config(&directory, Vec::new())).facts().await;
    let problem = facts
        .problems
        .iter()
        .find(|problem| problem.detail.contains(&format!("cannot enter {path}")));
    assert!(
        problem.is_some_and(|problem| problem.detail.contains(&format!("`chmod o+x {path}`"))),
        "{:?}",
        facts.problems
    );
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
}
