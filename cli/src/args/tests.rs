use simdb_planner::plan::Impact;

use super::*;

fn rewritten(line: &str) -> String {
    let argv = line.split(' ').map(OsString::from).collect();
    let all = rewrite::long_options(&Arguments::command(), argv);
    all.iter()
        .map(|argument| argument.to_str().unwrap())
        .collect::<Vec<_>>()
        .join(" ")
}

fn parsed(line: &str) -> Result<Arguments, clap::Error> {
    parse(line.split(' ').map(OsString::from))
}

#[test]
fn the_arguments_are_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn long_options_take_one_dash_or_two() {
    for (typed, meant) in [
        ("simdb apply -auto-approve", "simdb apply --auto-approve"),
        ("simdb apply --auto-approve", "simdb apply --auto-approve"),
        ("simdb -chdir=x plan", "simdb --chdir=x plan"),
        ("simdb -chdir -x plan", "simdb --chdir -x plan"),
        ("simdb plan -out=f", "simdb plan --out=f"),
        ("simdb plan -var a=b", "simdb plan --var a=b"),
        ("simdb plan -var -auto-approve", "simdb plan --var -auto-approve"),
        ("simdb plan --var -json", "simdb plan --var -json"),
        ("simdb plan -var=a=-b", "simdb plan --var=a=-b"),
        ("simdb plan -refresh -json", "simdb plan --refresh --json"),
        ("simdb apply -auto-aprove", "simdb apply --auto-aprove"),
        ("simdb -help", "simdb --help"),
        ("simdb -version", "simdb --version"),
        // Short options and what belongs to them.
        ("simdb -h", "simdb -h"),
        ("simdb logs a -n 5", "simdb logs a -n 5"),
        ("simdb logs a -n5", "simdb logs a -n5"),
        ("simdb logs a -fn 5", "simdb logs a -fn 5"),
        ("simdb logs a -n -json", "simdb logs a -n -json"),
        ("simdb logs a -follow", "simdb logs a --follow"),
        // Not options at all.
        ("simdb fmt -", "simdb fmt -"),
        (
            "simdb psql orders -- -auto-approve -c x",
            "simdb psql orders -- -auto-approve -c x",
        ),
    ] {
        assert_eq!(rewritten(typed), meant, "{typed}");
    }
}

#[test]
fn variables_keep_the_order_in_which_they_were_typed() {
    let arguments = parsed("simdb plan -var a=1 -var-file f -var=a=2=3").unwrap();
    let Command::Plan(plan) = arguments.command else {
        panic!("not a plan")
    };
    let value = |name: &str, text: &str| VariableArgument::Value {
        name: name.into(),
        text: text.into(),
    };
    assert_eq!(
        plan.planning.facts.variables.0,
        [value("a", "1"), VariableArgument::File("f".into()), value("a", "2=3")]
    );
}

#[test]
fn refresh_takes_no_value_or_one_after_an_equals_sign() {
    for (line, refresh) in [
        ("simdb plan", true),
        ("simdb plan -refresh", true),
        (
            "simdb plan -refresh=true -input=false -lock-timeout=30s -parallelism=4",
            true,
        ),
        ("simdb plan -refresh=false", false),
    ] {
        let Command::Plan(plan) = parsed(line).unwrap().command else {
            panic!("not a plan")
        };
        assert_eq!(plan.planning.facts.refresh, refresh, "{line}");
    }
}

#[test]
fn wrong_options_are_answered_with_the_nearest_right_one() {
    for (line, nearest) in [
        ("simdb apply -auto-aprove", "'--auto-approve'"),
        ("simdb aply", "'apply'"),
        ("simdb apply -allow=restar", "'restart'"),
    ] {
        let error = parsed(line).unwrap_err().to_string();
        assert!(error.contains(nearest), "{error}");
    }
    for line in [
        "simdb apply -step-timeout=basebakup=2h",
        "simdb apply -step-timeout=0s",
        "simdb apply -parallelism=0",
        "simdb apply -lock-timeout=soon",
        "simdb plan -var a",
        "simdb output -raw",
        "simdb state show cluster",
    ] {
        assert!(parsed(line).is_err(), "{line}");
    }
}

#[test]
fn limits_are_parsed() {
    let Command::Apply(apply) = parsed("simdb apply -allow=data-loss -lock-timeout=5m").unwrap().command else {
        panic!("not an apply")
    };
    assert_eq!(
        (apply.apply.allow, apply.apply.running.lock_timeout),
        (Some(Impact::DataLoss), Duration::from_mins(5))
    );
}

#[test]
fn older_spellings_are_aliases() {
    let command = |line: &str| parsed(line).unwrap().command;
    for line in [
        "simdb cluster create --config f.simdb.hcl -auto-approve",
        "simdb create -config=f.simdb.hcl --auto-approve",
    ] {
        let (Command::Create(Create { config, apply })
        | Command::Cluster(ClusterCommand::Create(Create { config, apply }))) = command(line)
        else {
            panic!("not a creation")
        };
        assert_eq!(
            (config, apply.auto_approve),
            (Some("f.simdb.hcl".into()), true),
            "{line}"
        );
    }
    assert!(matches!(
        command("simdb cluster start orders"),
        Command::Cluster(ClusterCommand::Start(Power { target, .. })) if target == "orders"
    ));
    assert!(matches!(
        command("simdb cluster stop orders"),
        Command::Cluster(ClusterCommand::Stop(_))
    ));
    assert!(matches!(
        command("simdb cluster failover orders --promote r[0]"),
        Command::Cluster(ClusterCommand::Failover(Failover { promote: Some(node), .. })) if node == "r[0]"
    ));
    let Command::Replication(ReplicationCommand::Promote(promote)) =
        command("simdb replication promote orders r[0] -plan")
    else {
        panic!("not a promotion")
    };
    let switchover = Switchover::from(promote);
    assert_eq!(
        (switchover.cluster.as_str(), switchover.to.as_deref(), switchover.plan),
        ("orders", Some("r[0]"), true)
    );
    assert!(matches!(
        command("simdb replication failover orders -allow=data-loss"),
        Command::Replication(ReplicationCommand::Failover(Failover { apply, .. })) if apply.allow == Some(Impact::DataLoss)
    ));
    assert!(matches!(
        command("simdb replication resync orders r[0]"),
        Command::Replication(ReplicationCommand::Resync(Resync { node, .. })) if node == "r[0]"
    ));
    assert!(matches!(
        command("simdb cluster destroy"),
        Command::Cluster(ClusterCommand::Destroy(_))
    ));
    for line in [
        "simdb cluster status orders -json",
        "simdb replication status orders -json",
    ] {
        let (Command::Cluster(ClusterCommand::Status(status))
        | Command::Replication(ReplicationCommand::Status(status))) = command(line)
        else {
            panic!("not a status")
        };
        assert!(status.json && status.cluster.as_deref() == Some("orders"), "{line}");
    }
}

#[test]
fn steps_run_on_the_terms_that_were_typed() {
    let Ok(Arguments {
        command: Command::Apply(ApplyPlan { apply, .. }),
        ..
    }) = parsed("simdb apply -step-timeout=10m -step-timeout seed=2h -retries=0 -parallelism=2")
    else {
        panic!("it does not parse");
    };
    let minutes = |minutes| Duration::from_mins(minutes);
    let terms = apply.step_terms();
    assert_eq!((terms.parallelism, terms.retries), (2, 0));
    assert_eq!(terms.limits.all, Some(minutes(10)));
    let named: Vec<(&str, Duration)> = terms
        .limits
        .by_name
        .iter()
        .map(|(name, limit)| (&**name, *limit))
        .collect();
    assert_eq!(named, [("seed", minutes(120))]);
    let misspelled = parsed("simdb apply -step-timeout=basebakup=2h")
        .unwrap_err()
        .to_string();
    assert!(
        misspelled.contains("no step is called \"basebakup\" Did you mean \"basebackup\"?"),
        "{misspelled}"
    );
}
