use expect_test::expect;
use simdb_planner::engine::postgresql::instance::SUPERUSER;
use simdb_state::address::NodeAddress;
use simdb_state::instance::LOOPBACK;
use simdb_state::object::{Node, Term};
use simdb_state::place::{Bind, Place};
use simdb_state::sensitive::Sensitive;

use super::*;
use crate::views::human;

fn state() -> State {
    let mut state = State::default();
    let standby = || Role::Standby {
        follows: "b".parse().unwrap(),
    };
    let roles = [
        ("a", 5433, standby()),
        ("b", 5434, Role::Primary { term: Term(2) }),
        ("c", 5435, standby()),
    ];
    for (name, port, role) in roles {
        let address: NodeAddress = format!("cluster.orders.node.{name}").parse().unwrap();
        let bind = Bind { host: LOOPBACK, port };
        let node = Node {
            place: Some(Place::shared(bind)),
            role: Some(role),
            ..Node::default()
        };
        state.nodes.insert(address, node.into());
    }
    for (name, target) in [("ro", EndpointTarget::Standby), ("rw", EndpointTarget::Primary)] {
        let endpoint = Endpoint {
            target,
            nodes: Vec::new(),
            hosts: Vec::new(),
            pooler: None,
        };
        let address = format!("cluster.orders.endpoint.{name}").parse().unwrap();
        state.endpoints.insert(address, endpoint);
    }
    state
}

fn shown(name: &str, database: &str, password: &str) -> String {
    let (state, cluster) = (state(), "orders".parse().unwrap());
    let password = Sensitive::new(password.to_owned());
    let login = Login {
        user: SUPERUSER,
        password: Some(&password),
        database,
    };
    let service_file = Path::new("/p/it's here.conf");
    let endpoint = state
        .endpoints
        .iter()
        .find(|(address, _)| address.endpoint.as_str() == name);
    human::env::render(&EnvDoc::new(&state, &cluster, endpoint, &login, service_file))
}

#[test]
fn variables_lead_to_the_primary_wherever_it_is() {
    expect![[r"
        export DATABASE_REPLICA_URL='postgresql://postgres:s3cret@127.0.0.1:5433,127.0.0.1:5435,127.0.0.1:5434/postgres?target_session_attrs=prefer-standby'
        export DATABASE_URL='postgresql://postgres:s3cret@127.0.0.1:5434,127.0.0.1:5433,127.0.0.1:5435/postgres?target_session_attrs=read-write'
        export PGDATABASE='postgres'
        export PGHOST='127.0.0.1,127.0.0.1,127.0.0.1'
        export PGPASSWORD='s3cret'
        export PGPORT='5434,5433,5435'
        export PGSERVICE='orders-rw'
        export PGSERVICEFILE='/p/it'\''s here.conf'
        export PGTARGETSESSIONATTRS='read-write'
        export PGUSER='postgres'
    "]]
    .assert_eq(&shown("rw", "postgres", "s3cret"));
}

#[test]
fn an_endpoint_of_standbys_leads_to_them_first() {
    let shown = shown("ro", "postgres", "s3cret");
    for line in [
        "export PGPORT='5433,5435,5434'\n",
        "export PGSERVICE='orders-ro'\n",
        "export PGTARGETSESSIONATTRS='prefer-standby'\n",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
}

#[test]
fn nothing_in_a_value_means_anything_to_a_shell_or_in_a_url() {
    let shown = shown("rw", "a'b; $(rm) \"c\"", "p'w@/:?");
    for line in [
        "export PGDATABASE='a'\\''b; $(rm) \"c\"'\n",
        "export PGPASSWORD='p'\\''w@/:?'\n",
        "postgres:p%27w%40%2F%3A%3F@127.0.0.1:5434",
        "/a%27b%3B%20%24%28rm%29%20%22c%22?target",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    // The service would lead to its own database.
    assert!(!shown.contains("PGSERVICE="), "{shown}");
}
