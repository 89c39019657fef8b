//! A real engine on the platform.

use super::*;

/// A project with an installed engine, and what to run with it.
async fn real() -> (Project, Fixture) {
    let mut project = Project::new();
    project.platform = LocalPlatform::new(config(&project.directory, Vec::new())).under(grant());
    let facts = project.platform.facts().await;
    let found = facts
        .engines
        .get(&EngineKind::Postgresql)
        .and_then(BTreeMap::last_key_value);
    let (version, _) = found.unwrap_or_else(|| panic!("install PostgreSQL: looked in {:?}", facts.searched));
    let fixture = real_fixture(*version);
    (project, fixture)
}

#[tokio::test]
async fn a_real_engine_keeps_the_contract() {
    let (project, fixture) = real().await;
    check_platform(&project.platform, &fixture).await;
}

#[tokio::test]
async fn a_real_engine_whose_first_process_was_killed_starts_again_at_once() {
    let (project, fixture) = real().await;
    let Fixture {
        node,
        task,
        instance,
        secrets,
        ..
    } = fixture;
    let platform = &project.platform;
    platform.run_task(&node, &task, &secrets).await.unwrap();
    for starts in 1..4 {
        platform.ensure(&node, &instance, &secrets).await.unwrap();
        let ready = async || {
            let log = platform.log(&node, usize::MAX).await.unwrap();
            log.iter()
                .filter(|line| line.ends_with("database system is ready to accept connections"))
                .count()
                == starts
        };
        eventually("the server is ready", ready).await;
        let instance_directory = platform.inspect(&node).await.unwrap();
        let ProcessFacts::Running { pid } = instance_directory.seen().unwrap().process else {
            panic!("{instance_directory:?}")
        };
        // Until a child has its title it looks like a server, also when the server is dead.
        let titled = || process::all().iter().all(|p| p.parent != pid || !p.has_its_own_name());
        eventually("its children have titles", async || titled()).await;
        kill(process::pid(pid), Signal::SIGKILL).unwrap();
        eventually("it is dead", async || Process::read(pid).is_none()).await;
        // Its children may not know it yet, and are no server.
        let instance_directory = platform.inspect(&node).await.unwrap();
        assert_eq!(instance_directory.seen().unwrap().process, ProcessFacts::Down);
    }
    platform.stop(&node, StopMode::Immediate).await.unwrap();
    let inside = |p: &Process| {
        p.directory()
            .is_some_and(|path| path.starts_with(project.directory.path()))
    };
    assert!(!process::all().iter().any(inside));
    // A killed server leaves shared memory, which its next start removes.
    platform.ensure(&node, &instance, &secrets).await.unwrap();
    platform.drop(&node).await.unwrap();
}

/// Returns an address of this test alone: this network is the machine's own, and tests that run at once differ in their
/// process, or else in how many came before them.
fn own_address() -> Bind {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Bind {
        host: IpAddr::from([127, high + 1, middle, low]),
        port: 5432 + COUNT.fetch_add(1, Ordering::Relaxed),
    }
}

fn real_fixture(version: u16) -> Fixture {
    let listen = own_address();
    let password = SecretName::password(&"cluster.orders.user.postgres".parse().unwrap());
    let real = |program: &str, mut arguments: Vec<Argument>, directory: &str| {
        arguments.insert(0, Argument::below_directory("--pgdata=", directory));
        Command {
            version,
            ..command(program, arguments)
        }
    };
    let initdb = vec![
        Argument::text("--auth=scram-sha-256"),
        Argument::text("--username=postgres"),
        Argument::text("--no-sync"),
        Argument::below_directory("--pwfile=", "pwfile"),
    ];
    let task = TaskSpec {
        name: "initdb".to_owned(),
        commands: vec![real("initdb", initdb.clone(), "data-1.partial")],
        files: [(
            "pwfile".to_owned(),
            FileText(vec![FilePart::ScramVerifier(password.clone())]),
        )]
        .into_iter()
        .collect(),
        temporary: vec!["pwfile".to_owned()],
        product: Some("data-1".to_owned()),
        ..TaskSpec::default()
    };
    let mut failing = TaskSpec {
        commands: vec![real("initdb", initdb, "data-2.partial")],
        product: Some("data-2".to_owned()),
        ..task.clone()
    };
    failing.commands.push(real("pg_controldata", Vec::new(), "nowhere"));
    let question = TaskSpec {
        name: "controldata".to_owned(),
        commands: vec![real("pg_controldata", Vec::new(), "data-1")],
        ..TaskSpec::default()
    };
    let settings = format!(
        "listen_addresses = '{}'\nport = {}\nunix_socket_directories = ''\nautovacuum = off\n",
        listen.host, listen.port
    );
    let arguments = [
        Argument::text("-D"),
        Argument::below_directory("", "data-1"),
        Argument::text("-c"),
        Argument::below_directory("config_file=", "postgresql.conf"),
    ];
    let server = Command {
        version,
        ..command("postgres", arguments.to_vec())
    };
    Fixture {
        node: node(),
        task,
        failing,
        question,
        instance: InstanceSpec {
            command: server,
            files: [("postgresql.conf".to_owned(), FileText::text(settings))]
                .into_iter()
                .collect(),
            data: "data-1".to_owned(),
            listen,
            published: None,
            image: None,
            resources: simdb_state::object::Resources::default(),
            probe: None,
            ..super::instance()
        },
        secrets: Secrets::from([(password, Sensitive::new("swordfish".to_owned()))]),
        witness: Witness::ProcessesGone,
    }
}
