//! What is recorded at other addresses.

use super::*;
use crate::relocation::Move;

fn moved(from: &str, to: &str) -> Move {
    Move {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
    }
}

/// Makes a record of a cluster with a node, a login and its password.
async fn record(store: &Store) {
    let mut writer = lock(store).await;
    let secrets = Secrets::from([(password(), Sensitive::new("hunter2".to_owned()))]);
    writer.keep(&secrets).await.unwrap();
    let cluster = Cluster::new(first_platform(), "lan".parse().unwrap(), EngineKind::Postgresql, 15);
    let found = Delta(vec![
        Edit::Cluster("orders".parse().unwrap(), Box::new(cluster)),
        Edit::StoppedByRequest(node("cluster.orders.node.a"), true),
        Edit::User("cluster.orders.user.app".parse().unwrap(), User::default()),
    ]);
    writer.commit(&[Entry::Found(found)]).await.unwrap();
    writer.unlock().await.unwrap();
}

#[tokio::test]
async fn a_cluster_that_moved_is_read_back_with_its_passwords() {
    let place = Place::new();
    let store = place.create().await;
    record(&store).await;
    let mut writer = lock(&store).await;
    let moves = [
        moved("cluster.orders", "cluster.shop"),
        moved("cluster.shop.node.a", "cluster.shop.node.first"),
    ];
    writer.relocate(&moves).await.unwrap();
    let in_memory = writer.state().clone();
    writer.unlock().await.unwrap();

    let store = place.open().await;
    let read = store.snapshot().await.unwrap().state;
    assert_eq!(read, in_memory);
    let addresses: Vec<String> = read.addresses().iter().map(ToString::to_string).collect();
    assert_eq!(
        addresses,
        ["cluster.shop", "cluster.shop.node.first", "cluster.shop.user.app"]
    );
    let made_as: Vec<String> = read.made_as.values().map(ToString::to_string).collect();
    assert_eq!(made_as, ["cluster.orders.node.a"]);
    let secrets = store.secrets().await.unwrap();
    let names: Vec<&str> = secrets.keys().map(SecretName::as_str).collect();
    assert_eq!(names, ["cluster.shop.user.app"]);
    assert_eq!(secrets[names[0]].expose(), "hunter2");
    // A document carries it along.
    let pulled = serde_json::to_string(&store.pull().await.unwrap()).unwrap();
    assert!(pulled.contains("made-as/cluster.shop.node.first"), "{pulled}");
}

#[tokio::test]
async fn what_is_back_or_gone_leaves_no_note_of_where_it_was_made() {
    let place = Place::new();
    let store = place.create().await;
    record(&store).await;
    let there = moved("cluster.orders.node.a", "cluster.orders.node.b");
    let back = moved("cluster.orders.node.b", "cluster.orders.node.a");
    let mut writer = lock(&store).await;
    writer.relocate(std::slice::from_ref(&there)).await.unwrap();
    writer.relocate(&[back]).await.unwrap();
    assert!(store.snapshot().await.unwrap().state.made_as.is_empty());
    writer.relocate(&[there]).await.unwrap();
    let gone = Edit::Drop(node("cluster.orders.node.b").into());
    writer.commit(&[Entry::Found(Delta(vec![gone]))]).await.unwrap();
    assert!(store.snapshot().await.unwrap().state.made_as.is_empty());
    writer.unlock().await.unwrap();
}
