//! Imports: servers that were made without simdb become nodes.

use std::collections::BTreeMap;

use expect_test::expect;

use super::{
    address, assert_second_plan_is_empty, cluster, created, diagnostics, orders, plan_for, replicating, span, steps,
};
use crate::config::{self, generated};
use crate::desired::{Desired, ImportSpec};
use crate::engine::settings;
use crate::observed::{DatabaseFacts, ImportFacts, Observation, Observed, UnmanagedServer, UserFacts};
use crate::plan::{Change, ChangeAction};
use crate::planner::{Inputs, Planned, plan};
use crate::simulate::{Cut, World};
use simdb_state::object::{Origin, ReplicationMode};
use simdb_state::place::Bind;

const A: &str = "cluster.orders.node.a";
const R: &str = "cluster.orders.node.r[0]";

/// Servers as they would be if somebody had made by hand what simdb makes.
fn by_hand() -> BTreeMap<String, ImportFacts> {
    let world = created(&["a", "r[0]"]);
    let seen = world.observe();
    let mut all = BTreeMap::new();
    for name in [A, R] {
        let facts = seen.nodes[&address(name)].seen().unwrap();
        let mut server = facts.server.as_ref().and_then(Observation::seen).unwrap().clone();
        if let Some(receiver) = &mut server.receiver {
            receiver.slot = Some("by_hand".to_owned());
            receiver.port = seen.nodes[&address(A)].seen().unwrap().listen.unwrap().port;
        }
        let server = UnmanagedServer {
            pid: 812,
            listen: facts.listen.unwrap(),
            socket: "/run".to_owned(),
            role: "postgres".to_owned(),
            facts: server,
            settings: BTreeMap::from([
                ("work_mem".to_owned(), "8192".to_owned()),
                ("port".to_owned(), "5432".to_owned()),
            ]),
        };
        let directory = format!("/srv/{}", address(name).node.host());
        let facts = ImportFacts {
            directory: directory.clone(),
            version: 15,
            server: Some(server),
        };
        all.insert(name.to_owned(), facts);
    }
    all
}

fn importing(desired: &mut Desired, nodes: &[&str]) {
    for name in nodes {
        let spec = ImportSpec {
            id: format!("/srv/{}", address(name).node.host()),
            span: span(),
        };
        desired.imports.insert(address(name), spec);
    }
}

fn seeing(world: &World, made: &BTreeMap<String, ImportFacts>) -> Observed {
    let facts = |(name, facts): (&String, &ImportFacts)| (address(name), Observation::Seen(facts.clone()));
    Observed {
        imports: made.iter().map(facts).collect(),
        ..world.observe()
    }
}

fn planned(world: &World, desired: &Desired, observed: &Observed) -> Planned {
    plan(Inputs {
        desired,
        recorded: &world.state,
        observed,
        proposal: None,
    })
}

fn of<'a>(planned: &'a Planned, address: &str) -> &'a Change {
    let mut changes = planned.plan.changes.iter();
    changes.find(|change| change.address.to_string() == address).unwrap()
}

#[test]
fn servers_made_by_hand_become_nodes_the_primary_first_and_the_blocks_may_stay() {
    let mut desired = replicating(&["a", "r[0]"], ReplicationMode::Sync, 1);
    importing(&mut desired, &[A, R]);
    let mut world = World::default();
    let observed = seeing(&world, &by_hand());
    let planned = planned(&world, &desired, &observed);
    assert_eq!(diagnostics(&planned), "");
    expect![[r#"
        0 network network.lan after [] none
        1 import cluster.orders.node.a after [0] downtime
        2 slot cluster.orders.node.r[0] after [1] none
        3 replication-user cluster.orders.user.replicator after [1] none
        4 import cluster.orders.node.r[0] after [2 3] restart
        5 drop-slot cluster.orders.node.r[0] after [4] none
        6 endpoint cluster.orders.endpoint.ro after [4] none
        7 endpoint cluster.orders.endpoint.rw after [4] none
        8 sync-names cluster.orders after [4] none
        9 verify-sync cluster.orders after [6 7 8] none
    "#]]
    .assert_eq(&steps(&planned.plan));
    let node = of(&planned, R);
    assert_eq!(
        (node.action, node.importing.as_deref()),
        (ChangeAction::Update, Some("/srv/r-0"))
    );
    let differs = node
        .attributes
        .iter()
        .filter(|attribute| attribute.before != attribute.after);
    let names: Vec<&str> = differs.map(|attribute| attribute.name.as_ref()).collect();
    assert_eq!(names, ["slot", "parameters.work_mem"]);

    world.run(&planned.plan, Cut::Never).unwrap();
    let data = world.state.nodes[&address(R)].data.clone().unwrap();
    assert_eq!(
        (data.origin, data.outside.as_deref()),
        (Origin::Imported, Some("/srv/r-0"))
    );
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn what_does_not_make_one_cluster_is_refused() {
    let check = |change: &dyn Fn(&mut Desired, &mut BTreeMap<String, ImportFacts>), expected: &str| {
        let mut desired = orders(&["a", "r[0]"]);
        importing(&mut desired, &[A, R]);
        let mut made = by_hand();
        change(&mut desired, &mut made);
        let world = World::default();
        let planned = planned(&world, &desired, &seeing(&world, &made));
        let said = diagnostics(&planned);
        assert!(said.contains(expected), "no {expected:?} in {said}");
        assert_eq!(planned.plan.steps, []);
    };
    let server = |made: &mut BTreeMap<String, ImportFacts>, name: &str, change: &dyn Fn(&mut UnmanagedServer)| {
        change(made.get_mut(name).unwrap().server.as_mut().unwrap());
    };
    check(
        &|desired, _| drop(desired.imports.remove(&address(A))),
        "None of the servers",
    );
    check(
        &|_, made| server(made, R, &|server| server.facts.in_recovery = false),
        "both write, so they are two clusters",
    );
    check(
        &|_, made| server(made, R, &|server| server.facts.system_identifier = 99.into()),
        "holds the data of another cluster",
    );
    check(
        &|_, made| server(made, R, &|server| server.facts.receiver.as_mut().unwrap().port = 1),
        "streams from 127.0.0.1:1, and cluster.orders.node.a listens at",
    );
    check(
        &|_, made| server(made, R, &|server| server.facts.receiver = None),
        "streams from no server",
    );
    check(
        &|desired, _| cluster(desired).version = Some(17),
        "Cluster orders runs version 15",
    );
    check(
        &|desired, _| cluster(desired).primary = Some("r[0]".parse().unwrap()),
        "declares primary = \"r[0]\"",
    );
    check(&|_, made| made.get_mut(R).unwrap().server = None, "its server is down");
    check(&|_, made| drop(made.remove(R)), "nothing was looked at");
    check(
        &|_, made| made.get_mut(R).unwrap().directory = "/srv/a".to_owned(),
        "is the data of cluster.orders.node.a already",
    );
}

#[test]
fn an_import_that_was_cut_off_goes_on() {
    let mut desired = orders(&["a", "r[0]"]);
    importing(&mut desired, &[A, R]);
    let made = by_hand();
    let mut world = World::default();
    let first = planned(&world, &desired, &seeing(&world, &made));
    let import = first
        .plan
        .steps
        .iter()
        .position(|step| step.address.to_string() == A)
        .unwrap();
    world.run(&first.plan, Cut::After(import)).unwrap();
    let again = planned(&world, &desired, &seeing(&world, &made));
    assert_eq!(diagnostics(&again), "");
    world.run(&again.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn an_import_that_was_cut_off_with_its_server_down_goes_on_where_that_listened() {
    let mut down = created(&["a"]);
    down.kill(&address(A));
    let Some(Observation::Seen(mut facts)) = down.observe().nodes.remove(&address(A)) else {
        panic!("it was seen")
    };
    let listened = Bind {
        port: 20_500,
        ..facts.listen.unwrap()
    };
    (facts.listen, facts.outside) = (Some(listened), Some("/srv/a".to_owned()));
    let mut desired = orders(&["a"]);
    importing(&mut desired, &[A]);
    let world = World::default();
    let made = ImportFacts {
        server: None,
        ..by_hand()[A].clone()
    };
    let mut observed = seeing(&world, &[(A.to_owned(), made)].into());
    observed.nodes.insert(address(A), Observation::Seen(facts));
    let planned = planned(&world, &desired, &observed);
    assert_eq!(diagnostics(&planned), "");
    let place = planned.after.nodes[&address(A)].place.as_ref().unwrap();
    assert_eq!(place.bind, listened);
}

#[test]
fn imported_data_stays_where_it_is_when_its_cluster_goes() {
    let mut desired = orders(&["a"]);
    importing(&mut desired, &[A]);
    let mut world = World::default();
    let observed = seeing(&world, &by_hand());
    world
        .run(&planned(&world, &desired, &observed).plan, Cut::Never)
        .unwrap();
    let planned = plan_for(&world, &Desired::default());
    assert_eq!(planned.plan.impact(), crate::plan::Impact::Downtime);
    let notes = planned.plan.notes.concat();
    assert!(notes.contains("its data stays in /srv/a"), "{notes}");
}

#[test]
fn settings_of_the_server_are_shown_as_people_write_them_and_none_that_simdb_sets() {
    let mut desired = orders(&["a"]);
    importing(&mut desired, &[A]);
    let world = World::default();
    let planned = planned(&world, &desired, &seeing(&world, &by_hand()));
    let shown = of(&planned, A).attributes.iter();
    let parameters: Vec<_> = shown
        .filter(|attribute| attribute.name.starts_with("parameters"))
        .collect();
    assert_eq!(parameters.len(), 1);
    let before = serde_json::to_value(&parameters[0].before).unwrap();
    assert_eq!(before["value"], settings::shown(15, "work_mem", "8192"));
}

#[test]
fn a_cluster_is_declared_as_its_servers_were_seen() {
    let mut made = by_hand();
    for (name, facts) in &mut made {
        let server = facts.server.as_mut().unwrap();
        server.settings.insert("max_connections".to_owned(), "50".to_owned());
        if name == R {
            server
                .settings
                .insert("hot_standby_feedback".to_owned(), "on".to_owned());
        }
        let user = |superuser, login| UserFacts {
            superuser,
            login,
            inherit: true,
            connection_limit: if login { 20 } else { -1 },
            member_of: login.then(|| "readers".to_owned()).into_iter().collect(),
            ..UserFacts::default()
        };
        let database = |owner: &str| DatabaseFacts {
            owner: owner.to_owned(),
            ..DatabaseFacts::default()
        };
        let names = [
            ("postgres", true, true),
            ("app", false, true),
            ("readers", false, false),
        ];
        let users = names.map(|(name, superuser, login)| (name.to_owned(), user(superuser, login)));
        server.facts.users = users.into();
        server.facts.databases = [("shop", "app"), ("postgres", "postgres")]
            .map(|(name, owner)| (name.to_owned(), database(owner)))
            .into();
    }
    let nodes = made
        .into_iter()
        .map(|(name, facts)| (address(&name).node, facts))
        .collect();
    let text = generated::declaration(&"orders".parse().unwrap(), &nodes);
    let text = config::format("generated.simdb.hcl", &text).unwrap();
    expect![[r#"
        cluster "orders" {
          engine "postgresql" {
            version = "15"
            parameters = {
              max_connections = "50"
              work_mem        = "8MB"
            }
          }

          replication {
            mode = "async"
          }

          node "a" {}

          node "r" {
            count = 1
            parameters = {
              hot_standby_feedback = "on"
            }
          }

          # Nobody can read its password: simdb makes up another one, unless one is given here.
          user "app" {
            connection_limit = 20
            member_of        = ["readers"]
          }

          user "readers" {
            login = false
          }

          database "shop" {
            owner = "app"
          }
        }
    "#]]
    .assert_eq(&text);
    let mut source = config::Source::default();
    source.add("generated.simdb.hcl", &text);
    let (config, diagnostics) = config::load(&source, &[]);
    assert!(config.is_some(), "{diagnostics:?}");
}
