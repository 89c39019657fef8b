//! What is declared in a history with role changes: everything that a cluster can be told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use proptest::prelude::*;
use proptest::sample::subsequence;
use simdb_state::object::{Database, OnStandbyLoss, PoolMode, ReplicationMode, User};
use simdb_state::sensitive::Sensitive;

use super::{Event, NODES, Story};
use crate::desired::access::{AccessSpec, DatabaseSpec, SeedSpec, UserSpec};
use crate::desired::{Desired, Ignored, PoolerSpec};
use crate::diagnostic::Span;
use crate::planner::tests::{orders, subnet};
use crate::simulate::{Fault, PASSWORD, Schedule};

/// The lowest of the ports that are declared; those that are chosen are below.
const DECLARED: u16 = 20_000;

/// What is declared.
#[derive(Clone)]
pub(in crate::planner::properties) struct Declared {
    pub(super) nodes: Vec<&'static str>,
    mode: ReplicationMode,
    number: u32,
    degrade: bool,
    /// Which of the nodes is pinned, if any.
    pub(super) pin: Option<u8>,
    /// Two settings that replay depends on: `max_connections` and `max_worker_processes`.
    connections: u16,
    workers: u16,
    shape: Shape,
    access: Access,
}

/// Who follows whom, when and where.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Each node follows the one this far before it, where there is one; 0 is the primary.
    cascade: usize,
    /// Which of the nodes is delayed, if any.
    delayed: Option<u8>,
    /// The port of `a`, and those of the others from it on; absent, they are chosen.
    port: Option<u16>,
    /// Which of two subnets the nodes have addresses of, if they have their own.
    subnet: Option<u8>,
    /// How clients of `rw` go through a pooler, if they do.
    pooler: Option<PoolMode>,
}

/// Logins, databases and seeds.
#[derive(Clone, Copy, Debug)]
struct Access {
    /// Nothing, logins, a database as well, and seeds as well.
    level: u8,
    /// The version of the login's password, and the one that the configuration gives, if it does.
    version: u32,
    given: Option<u8>,
    /// The version of the password that standbys stream with.
    replication: u32,
}

impl fmt::Debug for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            nodes,
            mode,
            number,
            degrade,
            pin: _,
            connections,
            workers,
            shape,
            access,
        } = self;
        let loss = if *degrade { "degrade" } else { "block" };
        write!(f, "{} {mode} {number} {loss} {connections}/{workers}", nodes.join(" "))?;
        if let Some(pin) = self.pinned() {
            write!(f, " primary={pin}")?;
        }
        let Shape {
            cascade,
            delayed,
            port,
            subnet,
            pooler,
        } = shape;
        let Access {
            level,
            version,
            given,
            replication,
        } = access;
        write!(
            f,
            " cascade={cascade} delayed={delayed:?} port={port:?} subnet={subnet:?} pooler={pooler:?} access={level}/{version}/{given:?}/{replication}"
        )
    }
}

fn span() -> Span {
    Span {
        file: "main.simdb.hcl".to_owned(),
        start: 0,
        end: 0,
    }
}

impl Declared {
    pub(super) fn pinned(&self) -> Option<&'static str> {
        self.pin.map(|pin| self.nodes[usize::from(pin) % self.nodes.len()])
    }

    /// The node that a node is declared to follow.
    fn follows(&self, at: usize) -> Option<usize> {
        at.checked_sub(self.shape.cascade).filter(|before| *before < at)
    }

    /// How many standbys commits can wait for, whoever leads.
    fn able(&self) -> u32 {
        let nodes = 0..self.nodes.len();
        let direct = |primary: usize| {
            let others = nodes.clone().filter(|at| *at != primary);
            others
                .filter(|at| self.follows(*at).is_none_or(|upstream| upstream == primary))
                .count()
        };
        u32::try_from(nodes.clone().map(direct).min().unwrap_or_default()).unwrap()
    }

    pub(super) fn desired(&self) -> Desired {
        let mut desired = orders(&self.nodes);
        if let Some(number) = self.shape.subnet {
            subnet(&mut desired, number);
        }
        let cluster = desired.clusters.values_mut().next().unwrap();
        let able = self.able();
        cluster.replication.mode = if able == 0 { ReplicationMode::Async } else { self.mode };
        cluster.replication.synchronous_standbys = match cluster.replication.mode {
            ReplicationMode::Async => 0,
            _ => self.number.clamp(1, able),
        };
        if self.degrade {
            cluster.replication.on_standby_loss = OnStandbyLoss::Degrade;
        }
        cluster.primary = self.pinned().map(|pin| pin.parse().unwrap());
        for (at, name) in self.nodes.iter().enumerate() {
            let node = cluster.nodes.get_mut(&name.parse().unwrap()).unwrap();
            let connections = ("max_connections".to_owned(), self.connections.to_string());
            let workers = ("max_worker_processes".to_owned(), self.workers.to_string());
            node.parameters.extend([connections, workers]);
            node.follows = self.follows(at).map(|upstream| self.nodes[upstream].parse().unwrap());
            let delayed = self.shape.delayed.map(|number| usize::from(number) % self.nodes.len());
            node.apply_delay = (delayed == Some(at)).then(|| "5s".to_owned());
            let offset = NODES.iter().position(|other| other == name).unwrap();
            node.port = self.shape.port.map(|port| port + u16::try_from(offset).unwrap());
        }
        let rw = cluster.endpoints.get_mut(&"rw".parse().unwrap()).unwrap();
        rw.pooler = self.shape.pooler.map(|pool_mode| PoolerSpec {
            pool_mode,
            ..PoolerSpec::default()
        });
        cluster.access = self.access.spec();
        let digests = desired.passwords().map(|(user, password)| {
            let given = password.expose().trim_start_matches(PASSWORD);
            (user, format!("digest{given}"))
        });
        let digests: BTreeMap<_, _> = digests.collect();
        desired.digest_passwords(&digests);
        desired
    }
}

impl Access {
    fn spec(self) -> AccessSpec {
        let mut access = AccessSpec {
            replication_password_version: Some(self.replication),
            ..AccessSpec::default()
        };
        if self.level > 0 {
            let readers = User {
                login: false,
                ..User::default()
            };
            let app = User {
                password_version: self.version,
                member_of: BTreeSet::from(["readers".to_owned()]),
                ..User::default()
            };
            let given = self
                .given
                .map(|given| Sensitive::new(format!("{PASSWORD}-given-{given}")));
            access.users.insert("readers".parse().unwrap(), user(readers, None));
            access.users.insert("app".parse().unwrap(), user(app, given));
        }
        if self.level > 1 {
            access.databases.insert("shop".parse().unwrap(), database());
        }
        if self.level > 2 {
            access.seeds = vec![seed("schema"), seed("data")];
        }
        access
    }
}

fn user(attributes: User, password: Option<Sensitive<String>>) -> UserSpec {
    UserSpec {
        attributes,
        password,
        span: span(),
        ignored: Ignored::default(),
    }
}

fn database() -> DatabaseSpec {
    let attributes = Database {
        owner: "app".to_owned(),
        ..Database::default()
    };
    DatabaseSpec {
        attributes,
        span: span(),
        ignored: Ignored::default(),
    }
}

fn seed(name: &str) -> SeedSpec {
    SeedSpec {
        name: name.parse().unwrap(),
        database: "shop".parse().unwrap(),
        file: format!("{name}.sql"),
        digest: format!("digest-of-{name}"),
        span: span(),
        file_span: span(),
        ignored: Ignored::default(),
    }
}

pub(super) fn declared() -> impl Strategy<Value = Declared> {
    use ReplicationMode::{Async, Quorum, Sync};
    let mode = prop_oneof![1 => Just(Async), 3 => Just(Quorum), 3 => Just(Sync)];
    let pin = prop::option::weighted(0.4, 0..5_u8);
    let nodes = subsequence(NODES.to_vec(), 2..=NODES.len());
    let connections = prop_oneof![3 => Just(50_u16), 1 => Just(100_u16)];
    let workers = prop_oneof![3 => Just(8_u16), 1 => Just(16_u16)];
    let replication = (mode, 1..3_u32, any::<bool>());
    (nodes, replication, pin, (connections, workers), shape(), access()).prop_map(
        |(nodes, (mode, number, degrade), pin, (connections, workers), shape, access)| Declared {
            nodes,
            mode,
            number,
            degrade,
            pin,
            connections,
            workers,
            shape,
            access,
        },
    )
}

fn shape() -> impl Strategy<Value = Shape> {
    let cascade = prop_oneof![3 => Just(0_usize), 1 => Just(1), 1 => Just(2)];
    let delayed = prop::option::weighted(0.15, 0..5_u8);
    // Ports of two topologies overlap in no node, so that nobody is to have what another one leaves.
    let port = prop_oneof![6 => Just(None), 1 => Just(Some(DECLARED)), 1 => Just(Some(DECLARED + 100))];
    let pooler = prop_oneof![
        3 => Just(None),
        2 => Just(Some(PoolMode::Transaction)),
        1 => Just(Some(PoolMode::Session))
    ];
    let subnet = prop_oneof![4 => Just(None), 1 => Just(Some(1)), 1 => Just(Some(2))];
    (cascade, delayed, port, subnet, pooler).prop_map(|(cascade, delayed, port, subnet, pooler)| Shape {
        cascade,
        delayed,
        port,
        subnet,
        pooler,
    })
}

fn access() -> impl Strategy<Value = Access> {
    let level = prop_oneof![3 => Just(0_u8), 1 => 1..4_u8];
    let version = || prop_oneof![3 => Just(1_u32), 1 => Just(2)];
    let given = prop::option::weighted(0.3, 0..2_u8);
    (level, version(), given, version()).prop_map(|(level, version, given, replication)| Access {
        level,
        version,
        given,
        replication,
    })
}

/// A history that was found: a standby moves and gets less, while the log that asks for less has not reached it.
#[test]
fn a_standby_that_moves_and_gets_less_is_told_to_get_it_with_the_next_apply() {
    let declared = |nodes: &[&'static str], mode, (connections, cascade, subnet, replication)| Declared {
        nodes: nodes.to_vec(),
        mode,
        number: 1,
        degrade: false,
        pin: None,
        connections,
        workers: 8,
        shape: Shape {
            cascade,
            delayed: None,
            port: None,
            subnet,
            pooler: None,
        },
        access: Access {
            level: 0,
            version: 1,
            given: None,
            replication,
        },
    };
    let asynchronous = |nodes| declared(nodes, ReplicationMode::Async, (50, 1, None, 1));
    let moved = declared(&["a", "b", "c", "r[1]"], ReplicationMode::Quorum, (100, 0, Some(2), 2));
    let schedule = Schedule {
        order: vec![1, 2],
        faults: vec![(15, Fault::DropSlot(5)), (7, Fault::Write(0))],
        ..Schedule::default()
    };
    let story = Story {
        first: asynchronous(&["a", "b", "r[0]", "r[1]"]),
        events: vec![Event::Apply(moved, schedule), Event::Fault(Fault::Kill(5))],
        last: asynchronous(&["b", "c"]),
    };
    story.live(None);
}
