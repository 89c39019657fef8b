//! A [fake](super::fake) API server with given objects, for tests of what simdb makes of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use simdb_state::address::InstanceAddress;
use tokio::sync::Mutex as Lock;

use super::Hold;
use super::client::Server;
use super::fake::{self, Asked, Fake};
use super::names::{LINEAGE, Names};
use super::site::Site;
use crate::conformance::grant;

/// What is there, by path.
pub(super) type Objects = BTreeMap<String, Value>;

/// Returns the site of a node whose API server has these objects and no others, and what is changed there. Changes are answered, and made
/// nowhere.
pub(super) async fn site(objects: Objects) -> (Site, Asked) {
    let fake = Fake::start(move |_, path| {
        let path = path.split('?').next().unwrap_or_default();
        objects.get(path).map_or_else(fake::missing, |found| {
            let status = found["code"].as_u64().unwrap_or(200);
            (u16::try_from(status).unwrap(), found.clone())
        })
    })
    .await;
    let settings = fake.settings(&[]);
    let node: InstanceAddress = "cluster.orders.node.a".parse().unwrap();
    let site = Site {
        server: Server::connect(&settings).await.unwrap(),
        names: Names::new(WHOSE, "/srv"),
        own: Names::instance(&node),
    };
    (site, fake.changes())
}

/// Returns the right to change a node whose API server has these objects, and what is changed there.
pub(super) async fn hold(objects: Objects) -> (Hold, Asked) {
    let (site, changes) = site(objects).await;
    let hold = Hold {
        site,
        grant: grant(),
        _lock: Arc::new(Lock::new(())).lock_owned().await,
    };
    (hold, changes)
}

/// The lineage of the objects.
const WHOSE: &str = "0a1b";

/// Returns an object of the node.
pub(super) fn object(api: &str, kind: &str, name: &str, more: &Value) -> (String, Value) {
    let mut object = json!({ "metadata": { "name": name, "uid": "u1", "labels": { LINEAGE: WHOSE } } });
    merge(&mut object, more);
    (format!("{api}/namespaces/db/{kind}/{name}"), object)
}

/// Returns a machine with what it reports of itself.
pub(super) fn machine(name: &str, ready: &str) -> (String, Value) {
    let conditions = json!([{ "type": "Ready", "status": ready }]);
    let node = json!({ "metadata": { "name": name }, "status": { "conditions": conditions } });
    (format!("/api/v1/nodes/{name}"), node)
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
