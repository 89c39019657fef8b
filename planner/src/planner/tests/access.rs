//! Logins, databases and seeds as plans.

use std::collections::BTreeSet;

use simdb_state::object::{Database, User};
use simdb_state::sensitive::{SecretName, Sensitive};

use super::*;
use crate::desired::access::{AccessSpec, DatabaseSpec, SeedSpec, UserSpec};
use crate::observed::{DatabaseFacts, UserFacts};
use crate::plan::{Action, ChangeAction, OwnerLogin};
use crate::simulate::InstanceDirectory;

/// A cluster with a login, its database, and two seeds that are not declared in the order of their names.
pub(super) fn shop(nodes: &[&str]) -> Desired {
    let mut desired = orders(nodes);
    let access = &mut cluster(&mut desired).access;
    access
        .users
        .insert("readers".parse().unwrap(), user(|user| user.login = false));
    access.users.insert(
        "app".parse().unwrap(),
        user(|user| user.member_of = BTreeSet::from(["readers".to_owned(), "pg_monitor".to_owned()])),
    );
    access.databases.insert("app".parse().unwrap(), database("app"));
    access.seeds = vec![seed("schema", "5eed"), seed("data", "da7a")];
    desired
}

fn user(change: impl FnOnce(&mut User)) -> UserSpec {
    let mut attributes = User::default();
    change(&mut attributes);
    UserSpec {
        attributes,
        password: None,
        span: span(),
        ignored: Ignored::default(),
    }
}

fn database(owner: &str) -> DatabaseSpec {
    let attributes = Database {
        owner: owner.to_owned(),
        ..Database::default()
    };
    DatabaseSpec {
        attributes,
        span: span(),
        ignored: Ignored::default(),
    }
}

fn seed(name: &str, digest: &str) -> SeedSpec {
    SeedSpec {
        name: name.parse().unwrap(),
        database: "app".parse().unwrap(),
        file: format!("{name}.sql"),
        digest: digest.to_owned(),
        span: span(),
        file_span: span(),
        ignored: Ignored::default(),
    }
}

pub(super) fn made(desired: &Desired) -> World {
    let mut world = World::default();
    world.run(&plan_for(&world, desired).plan, Cut::Never).unwrap();
    world
}

pub(super) fn primary(world: &mut World) -> &mut InstanceDirectory {
    world.directories.get_mut(&address("cluster.orders.node.a")).unwrap()
}

pub(super) fn access(desired: &mut Desired) -> &mut crate::desired::access::AccessSpec {
    &mut cluster(desired).access
}

pub(super) fn reasons(planned: &Planned) -> String {
    let line = |step: &crate::plan::Step| format!("{} {}: {}\n", step.action.name(), step.address.name(), step.reason);
    planned.plan.steps.iter().map(line).collect::<Vec<_>>().concat()
}

#[test]
fn roles_come_before_members_and_owners_and_seeds_run_as_declared() {
    check(
        &mut World::default(),
        &shop(&["a", "r[0]"]),
        &expect![[r#"
        0 network network.lan after [] none
        1 primary cluster.orders.node.a after [0] none
        2 slot cluster.orders.node.r[0] after [1] none
        3 user cluster.orders.user.readers after [1] none
        4 user cluster.orders.user.app after [3] none
        5 replication-user cluster.orders.user.replicator after [1] none
        6 basebackup cluster.orders.node.r[0] after [2 5] none
        7 standby cluster.orders.node.r[0] after [6] none
        8 database cluster.orders.database.app after [4] none
        9 seed cluster.orders.seed.schema after [8] none
        10 seed cluster.orders.seed.data after [9] none
        11 endpoint cluster.orders.endpoint.ro after [7] none
        12 endpoint cluster.orders.endpoint.rw after [7] none
        13 verify-sync cluster.orders after [10 11 12] none
    "#]],
    );
}

#[test]
fn whatever_is_altered_by_hand_is_put_back() {
    type Alter<'a> = &'a dyn Fn(&mut InstanceDirectory);
    let desired = shop(&["a"]);
    let cases: &[(Alter<'_>, &str)] = &[
        (
            &|directory| directory.users.get_mut("app").unwrap().superuser = true,
            "user app: drift: superuser is true in place of its default\n",
        ),
        (
            &|directory| directory.users.get_mut("app").unwrap().connection_limit = 3,
            "user app: drift: connection_limit is 3 in place of its default\n",
        ),
        (
            &|directory| directory.users.get_mut("app").unwrap().member_of.clear(),
            "user app: drift: member_of is not set to [\"pg_monitor\",\"readers\"]\n",
        ),
        (
            &|directory| {
                let app = directory.users.get_mut("app").unwrap();
                app.member_of.insert("readers_of_others".to_owned());
            },
            "",
        ),
        (
            &|directory| {
                let set = BTreeMap::from([("work_mem".to_owned(), "1GB".to_owned())]);
                let settings = [(String::new(), set.clone()), ("app".to_owned(), set)];
                directory.users.get_mut("app").unwrap().settings = settings.into();
            },
            "user app: drift: settings.work_mem is 1GB in place of its default, settings.work_mem in app is 1GB in place of its \
             default\n",
        ),
        (
            &|directory| {
                let set = BTreeMap::from([("jit".to_owned(), "off".to_owned())]);
                directory.users.get_mut("replicator").unwrap().settings = BTreeMap::from([(String::new(), set)]);
            },
            "replication-user replicator: drift: settings.jit is off in place of its default\n",
        ),
        (
            &|directory| {
                let app = directory.databases.get_mut("app").unwrap();
                app.settings.insert("search_path".to_owned(), "app".to_owned());
            },
            "database app: drift: settings.search_path is app in place of its default\n",
        ),
        (
            &|directory| drop(directory.users.remove("app")),
            "user app: drift: the role is gone\n",
        ),
        (
            &|directory| {
                let altered = Sensitive::new("by hand".to_owned());
                directory.passwords.insert("app".to_owned(), altered);
            },
            "user app: drift: the role has another password than the one on record\n",
        ),
        (
            &|directory| drop(directory.passwords.remove("replicator")),
            "replication-user replicator: drift: the role has another password than the one on record\n\
             verify-sync orders: the primary must take writes before it is called ready\n",
        ),
        (
            &|directory| directory.databases.get_mut("app").unwrap().owner = "Bob".to_owned(),
            "database app: drift: owner is Bob in place of app\n",
        ),
        (
            &|directory| drop(directory.databases.remove("app")),
            "database app: drift: it is gone, with its data; an empty one is made\nseed schema: it has yet to run\nseed data: it has yet to run\n",
        ),
        // What has run has run, also where its mark was reset.
        (
            &|directory| directory.databases.get_mut("app").unwrap().seeds.clear(),
            "",
        ),
        // What nobody declares is left alone.
        (
            &|directory| {
                directory.users.insert("somebody".to_owned(), UserFacts::default());
                let facts = DatabaseFacts {
                    owner: "somebody".to_owned(),
                    ..DatabaseFacts::default()
                };
                directory.databases.insert("other".to_owned(), facts);
            },
            "",
        ),
    ];
    for (alter, expected) in cases {
        let mut world = made(&desired);
        alter(primary(&mut world));
        let planned = plan_for(&world, &desired);
        assert_eq!(reasons(&planned), *expected);
        world.run(&planned.plan, Cut::Never).unwrap();
        assert_second_plan_is_empty(&world, &desired);
    }
}

#[test]
fn a_seed_logs_in_as_the_owner_who_is_let_in_for_it_where_that_takes_it() {
    let logins = |owner: &str| {
        let mut desired = shop(&["a"]);
        let databases = &mut access(&mut desired).databases;
        databases.insert("app".parse().unwrap(), database(owner));
        let planned = plan_for(&World::default(), &desired);
        let seeds = planned.plan.steps.into_iter().filter_map(|step| match step.action {
            Action::Seed { login, .. } => Some(login),
            _ => None,
        });
        seeds.collect::<Vec<_>>()
    };
    let password = SecretName::password(&"cluster.orders.user.app".parse().unwrap());
    assert_eq!(logins("app"), vec![OwnerLogin::Password(password); 2]);
    let shut_out = OwnerLogin::Opened {
        attributes: Box::new(user(|user| user.login = false).attributes),
        password: None,
    };
    assert_eq!(logins("readers"), vec![shut_out; 2]);
}

#[test]
fn a_role_that_another_cluster_declares_is_not_ours() {
    let mut desired = shop(&["a"]);
    let mut others = cluster(&mut desired).clone();
    others.access = AccessSpec::default();
    others.access.users.insert("theirs".parse().unwrap(), user(|_| ()));
    desired.clusters.insert("billing".parse().unwrap(), others);
    let mut world = made(&desired);
    let users = &mut primary(&mut world).users;
    users.insert("theirs".to_owned(), UserFacts::default());
    users.get_mut("app").unwrap().member_of.insert("theirs".to_owned());
    assert_eq!(reasons(&plan_for(&world, &desired)), "");
}

#[test]
fn a_seed_runs_once_wherever_the_run_is_cut_off() {
    let desired = shop(&["a"]);
    let steps = plan_for(&World::default(), &desired).plan.steps.len();
    for at in 0..steps {
        let mut world = World::default();
        world.run(&plan_for(&world, &desired).plan, Cut::After(at)).unwrap();
        world.run(&plan_for(&world, &desired).plan, Cut::Never).unwrap();
        assert_second_plan_is_empty(&world, &desired);
        let ran: Vec<String> = primary(&mut world)
            .ran
            .iter()
            .map(|seed| seed.seed.to_string())
            .collect();
        assert_eq!(ran, ["schema", "data"], "cut off after step {at}");
    }
}

#[test]
fn a_seed_whose_run_was_not_recorded_is_recorded_as_it_ran() {
    let (mut desired, mut world) = (shop(&["a"]), World::default());
    let plan = plan_for(&world, &desired).plan;
    let at = position(&plan, "seed");
    world.run(&plan, Cut::After(at)).unwrap();
    access(&mut desired).seeds[0].digest = "other".to_owned();
    let planned = plan_for(&world, &desired);
    assert!(
        reasons(&planned).contains("seed schema: its mark says that it has run"),
        "{}",
        reasons(&planned)
    );
    world.run(&planned.plan, Cut::Never).unwrap();
    assert_eq!(
        world.state.seeds[&"cluster.orders.seed.schema".parse().unwrap()].digest,
        "5eed"
    );
}

#[test]
fn a_seed_that_changed_after_it_ran_is_a_warning_and_one_that_moves_an_error() {
    let mut desired = shop(&["a"]);
    let world = made(&desired);
    access(&mut desired).seeds[1].digest = "other".to_owned();
    let planned = plan_for(&world, &desired);
    assert!(planned.plan.is_empty());
    assert!(planned.diagnostics.iter().all(|diagnostic| !diagnostic.is_error()));
    access(&mut desired)
        .databases
        .insert("web".parse().unwrap(), database("app"));
    access(&mut desired).seeds[0].database = "web".parse().unwrap();
    access(&mut desired)
        .databases
        .get_mut(&"app".parse().unwrap())
        .unwrap()
        .attributes
        .locale = Some("C".to_owned());
    let planned = plan_for(&world, &desired);
    expect![[r#"
        Database cannot be changed: cluster.orders.database.app was made with no locale, which cannot be changed while its data is there. Put it back as it was; or declare another database, and move the data there.
        Seed has run elsewhere: cluster.orders.seed.schema has run in database "app", and a seed runs once. To run the file in database "web", give the seed another name.
        Seed was changed after it ran: cluster.orders.seed.data has run, and "data.sql" is another file since. A seed runs once, so the change has no effect. To run the file again, give the seed another name.
    "#]].assert_eq(&diagnostics(&planned));
}

#[test]
fn what_is_no_longer_declared_goes_last_databases_before_their_owners() {
    let mut desired = shop(&["a"]);
    let mut world = made(&desired);
    *access(&mut desired) = AccessSpec::default();
    access(&mut desired).users.insert("new".parse().unwrap(), user(|_| ()));
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 user cluster.orders.user.new after [] none
        1 drop-database cluster.orders.database.app after [0] data-loss
        2 drop-user cluster.orders.user.app after [1] none
        3 drop-user cluster.orders.user.readers after [1] none
        4 drop-seed cluster.orders.seed.data after [] none
        5 drop-seed cluster.orders.seed.schema after [] none
    "#]],
    );
    assert_eq!(primary(&mut world).databases, BTreeMap::new());
}

/// Declares that an object is removed, and stays where it is.
fn forget(desired: &mut Desired, address: &str) {
    desired.forgotten.insert(address.parse().unwrap(), span());
}

#[test]
fn what_a_removed_block_names_is_forgotten_and_stays() {
    let mut desired = shop(&["a"]);
    let mut world = made(&desired);
    access(&mut desired).databases.clear();
    access(&mut desired).seeds.clear();
    forget(&mut desired, "cluster.orders.database.app");
    forget(&mut desired, "cluster.orders.seed.schema");
    let planned = plan_for(&world, &desired);
    expect![[r#"
        record app: configuration: a removed block leaves it where it is
        drop-seed data: the configuration no longer declares it; its changes stay
        record schema: configuration: a removed block leaves it where it is
    "#]]
    .assert_eq(&reasons(&planned));
    let action = |address: &str| {
        let change = planned
            .plan
            .changes
            .iter()
            .find(|change| change.address.to_string() == address);
        change.map(|change| change.action)
    };
    assert_eq!(action("cluster.orders.database.app"), Some(ChangeAction::Forget));
    assert_eq!(action("cluster.orders.seed.data"), Some(ChangeAction::Delete));
    world.run(&planned.plan, Cut::Never).unwrap();
    assert!(primary(&mut world).databases.contains_key("app"));
    assert!(world.state.databases.is_empty() && world.state.seeds.is_empty());
    assert_second_plan_is_empty(&world, &desired);
    // Its owner is still needed.
    access(&mut desired).users.remove(&"app".parse().unwrap());
    let refused = diagnostics(&plan_for(&world, &desired));
    assert!(refused.contains("it owns database \"app\""), "{refused}");
}

#[test]
fn an_owner_is_not_dropped_while_what_it_owns_is_forgotten_and_is_forgotten_with_it() {
    let mut desired = shop(&["a"]);
    cluster(&mut desired)
        .access
        .databases
        .get_mut(&"app".parse().unwrap())
        .unwrap()
        .attributes
        .prevent_destroy = true;
    let mut world = made(&desired);
    primary(&mut world).users.get_mut("app").unwrap().holds = BTreeMap::from([("app".to_owned(), 3)]);
    *access(&mut desired) = AccessSpec::default();
    forget(&mut desired, "cluster.orders.database.app");
    let refused = diagnostics(&plan_for(&world, &desired));
    assert!(
        refused.contains("it owns database \"app\", it owns 3 objects in database \"app\""),
        "{refused}"
    );
    forget(&mut desired, "cluster.orders.user.app");
    forget(&mut desired, "cluster.orders.user.readers");
    let planned = plan_for(&world, &desired);
    assert_eq!(diagnostics(&planned), "", "what is forgotten is not destroyed");
    world.run(&planned.plan, Cut::Never).unwrap();
    assert!(primary(&mut world).users.contains_key("app"));
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn a_user_who_owns_what_stays_is_not_dropped() {
    let mut desired = shop(&["a"]);
    let mut world = made(&desired);
    primary(&mut world).users.get_mut("app").unwrap().holds = BTreeMap::from([("app".to_owned(), 3)]);
    access(&mut desired).users.remove(&"app".parse().unwrap());
    access(&mut desired)
        .databases
        .insert("app".parse().unwrap(), database("readers"));
    expect![[r#"
        User still owns objects: cluster.orders.user.app is no longer declared, and the role cannot be dropped: it owns 3 objects in database "app", or has privileges on them. Give them to another role in each of these databases (REASSIGN OWNED BY app TO ...; DROP OWNED BY app), or declare the user again.
    "#]].assert_eq(&diagnostics(&plan_for(&world, &desired)));
    access(&mut desired).databases.clear();
    access(&mut desired).seeds.clear();
    assert_eq!(
        diagnostics(&plan_for(&world, &desired)),
        "",
        "its database goes with all that it owns"
    );
}

#[test]
fn a_role_and_a_database_that_are_there_are_adopted_and_that_is_said() {
    let mut world = created(&["a"]);
    let directory = primary(&mut world);
    let facts = UserFacts {
        superuser: true,
        member_of: BTreeSet::from(["pg_read_all_data".to_owned(), "theirs".to_owned()]),
        ..UserFacts::default()
    };
    directory.users.insert("app".to_owned(), facts);
    let facts = DatabaseFacts {
        owner: "postgres".to_owned(),
        ..DatabaseFacts::default()
    };
    directory.databases.insert("app".to_owned(), facts);
    let desired = shop(&["a"]);
    let planned = plan_for(&world, &desired);
    expect![[r#"
        cluster.orders.user.app is a role already. It is adopted: its attributes and its password become those declared.
        cluster.orders.database.app is a database already. It is adopted: its owner becomes the one declared.
        user readers: the configuration declares it
        user app: a role of that name exists already, and simdb adopts it
        database app: a database of that name exists already, and simdb adopts it
        seed schema: it has yet to run
        seed data: it has yet to run
    "#]]
    .assert_eq(&(planned.plan.notes.join("\n") + "\n" + &reasons(&planned)));
    let leaves = planned.plan.steps.iter().find_map(|step| match &step.action {
        crate::plan::Action::User { user, leaves, .. } if user.user.as_str() == "app" => Some(leaves.clone()),
        _ => None,
    });
    assert_eq!(leaves, Some(BTreeSet::from(["pg_read_all_data".to_owned()])));
    world.run(&planned.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn members_of_each_other_are_told_who_they_are() {
    let mut desired = shop(&["a"]);
    let member = |role: &str| user(|user| user.member_of = BTreeSet::from([role.to_owned()]));
    access(&mut desired).users.insert("one".parse().unwrap(), member("two"));
    access(&mut desired).users.insert("two".parse().unwrap(), member("one"));
    expect![[r#"
        Steps wait for each other: There is no order for these steps: user of cluster.orders.user.one waits for user of cluster.orders.user.two, and user of cluster.orders.user.two waits for user of cluster.orders.user.one.
    "#]].assert_eq(&diagnostics(&plan_for(&World::default(), &desired)));
}

#[test]
fn another_given_password_is_another_secret_and_a_change_that_shows_nothing() {
    let mut desired = shop(&["a"]);
    let given = |digest: &str| user(|user| user.password_digest = Some(digest.to_owned()));
    access(&mut desired).users.insert("web".parse().unwrap(), given("aa"));
    let world = made(&desired);
    access(&mut desired).users.insert("web".parse().unwrap(), given("bb"));
    let planned = plan_for(&world, &desired);
    assert_eq!(
        reasons(&planned),
        "user web: configuration: it is given another password\n"
    );
    let secrets: Vec<String> = planned.plan.steps[0]
        .generates
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(secrets, ["cluster.orders.user.web#1.bb"]);
    let change = &planned.plan.changes[0];
    assert!(change.attributes.is_empty() && change.reason.is_some(), "{change:?}");
}

#[test]
fn streams_get_another_password_in_one_step_that_runs_between_starts_and_restarts() {
    let mut desired = orders(&["a", "r[0]", "r[1]"]);
    let mut world = created(&["a", "r[0]", "r[1]"]);
    access(&mut desired).replication_password_version = Some(2);
    for node in cluster(&mut desired).nodes.values_mut() {
        node.parameters.insert("max_connections".to_owned(), "50".to_owned());
    }
    world.kill(&address("cluster.orders.node.r[1]"));
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 replication-user cluster.orders.user.replicator after [] none
        1 configure cluster.orders.node.a after [0] downtime
        2 configure cluster.orders.node.r[0] after [1] restart
        3 start cluster.orders.node.r[1] after [1] none
        4 verify-sync cluster.orders after [2 3] none
    "#]],
    );
}

#[test]
fn a_rotation_that_was_cut_off_is_done_again_and_nothing_but_that() {
    let mut desired = orders(&["a", "r[0]"]);
    access(&mut desired).replication_password_version = Some(2);
    let mut world = created(&["a", "r[0]"]);
    world.run(&plan_for(&world, &desired).plan, Cut::After(0)).unwrap();
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 replication-user cluster.orders.user.replicator after [] none
        1 verify-sync cluster.orders after [0] none
    "#]],
    );
    for directory in world.directories.values() {
        assert!(
            directory.files["passfile"].digest
                != created(&["a"]).directories[&address("cluster.orders.node.a")].files["passfile"].digest
        );
    }
}

#[test]
fn a_removal_cut_off_anywhere_leaves_nothing_of_it_in_the_record() {
    let start = made(&shop(&["a", "r[0]"]));
    let desired = orders(&["a", "r[0]"]);
    let whole = plan_for(&start, &desired).plan;
    let mut finished = start.clone();
    finished.run(&whole, Cut::Never).unwrap();
    assert!(finished.state.databases.is_empty() && finished.state.seeds.is_empty());
    for at in 0..whole.steps.len() {
        for cut in [Cut::Before(at), Cut::Within(at), Cut::After(at)] {
            let mut world = start.clone();
            world.run(&whole, cut).unwrap();
            finish_and_compare(&mut world, &desired, &finished, cut);
        }
    }
}

fn finish_and_compare(world: &mut World, desired: &Desired, finished: &World, cut: Cut) {
    let again = plan_for(world, desired);
    assert_eq!(diagnostics(&again), "", "{cut:?}");
    world.run(&again.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(world, desired);
    assert_eq!(kept(world), kept(finished), "{cut:?}");
}

#[test]
fn what_was_changed_by_hand_to_what_is_declared_by_now_is_recorded() {
    let mut world = made(&shop(&["a"]));
    let directory = primary(&mut world);
    directory.users.get_mut("app").unwrap().createdb = true;
    directory.databases.get_mut("app").unwrap().owner = "readers".to_owned();
    let mut desired = shop(&["a"]);
    let access = &mut cluster(&mut desired).access;
    let user = access.users.get_mut(&"app".parse().unwrap()).unwrap();
    user.attributes.createdb = true;
    let database = access.databases.get_mut(&"app".parse().unwrap()).unwrap();
    database.attributes.owner = "readers".to_owned();
    let planned = plan_for(&world, &desired);
    expect![[r#"
        user app: it is as declared, and the record does not say so yet
        database app: it is as declared, and the record does not say so yet
    "#]]
    .assert_eq(&reasons(&planned));
    world.run(&planned.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
}
