//! A record as a document, and back.

use super::*;
use crate::address::Address;
use crate::backend::sqlite::SqliteFile;
use crate::transfer::Transfer;

/// Returns a document as another program would pass it on.
fn passed_on(transfer: &Transfer) -> Transfer {
    serde_json::from_str(&serde_json::to_string_pretty(transfer).unwrap()).unwrap()
}

async fn with_one_cluster(place: &Place) -> Store {
    let store = place.create().await;
    let mut writer = lock(&store).await;
    writer.begin("apply", &json!({}), 1).await.unwrap();
    writer.commit(&[with_secret(0, password(), "x")]).await.unwrap();
    writer.commit(&[done(0, cluster())]).await.unwrap();
    writer.finish(RunEnd::Done).await.unwrap();
    writer.unlock().await.unwrap();
    store
}

#[tokio::test]
async fn a_pulled_record_is_pushed_back_secrets_included_and_no_secret_is_in_clear() {
    let place = Place::new();
    let store = with_one_cluster(&place).await;
    let before = store.snapshot().await.unwrap();
    let pulled = store.pull().await.unwrap();
    let text = serde_json::to_string(&pulled).unwrap();
    assert!(!text.contains("\"x\""), "{text}");

    drop(store);
    fs::remove_dir_all(place.path().parent().unwrap()).unwrap();
    fs::create_dir_all(place.path().parent().unwrap()).unwrap();
    Store::create_from(&SqliteFile::new(place.path()), &passed_on(&pulled))
        .await
        .unwrap();
    let store = place.open().await;
    assert_eq!(store.snapshot().await.unwrap().state, before.state);
    assert_eq!(store.lineage(), &pulled.lineage);
    let secret = store.secret(&password()).await.unwrap().unwrap();
    assert_eq!(secret.expose(), "x");
    assert_eq!(store.runs().await.unwrap(), []);
}

#[tokio::test]
async fn an_older_document_and_another_records_are_pushed_by_force_alone() {
    let place = Place::new();
    let store = with_one_cluster(&place).await;
    let pulled = passed_on(&store.pull().await.unwrap());
    let before = store.snapshot().await.unwrap();
    let mut writer = lock(&store).await;
    writer
        .commit(&[Entry::Found(Delta(vec![Edit::Drop(Address::Cluster(
            "orders".parse().unwrap(),
        ))]))])
        .await
        .unwrap();
    writer.unlock().await.unwrap();

    let error = lock(&store).await.push(&pulled, false).await.unwrap_err();
    assert!(message(&error).contains("it was written since"), "{}", message(&error));
    lock(&store).await.push(&pulled, true).await.unwrap();
    let after = store.snapshot().await.unwrap();
    assert_eq!(after.state, before.state);
    assert!(after.serial > before.serial + 1, "no serial is given twice");

    let other = Place::new();
    let theirs = passed_on(&with_one_cluster(&other).await.pull().await.unwrap());
    let error = lock(&store).await.push(&theirs, false).await.unwrap_err();
    assert!(message(&error).contains("has lineage"), "{}", message(&error));
    assert_eq!(store.snapshot().await.unwrap().serial, after.serial);
}

#[tokio::test]
async fn a_document_that_is_none_changes_nothing() {
    let place = Place::new();
    let store = with_one_cluster(&place).await;
    let text = serde_json::to_value(store.pull().await.unwrap()).unwrap();
    let broken = |change: fn(&mut serde_json::Value)| {
        let mut value = text.clone();
        change(&mut value);
        serde_json::from_value::<Transfer>(value).unwrap()
    };
    for (document, expected) in [
        (broken(|value| value["format_version"] = json!("9")), "has version 9"),
        (
            broken(|value| value["rows"]["meta/record"]["format"] = json!(99)),
            "format 99",
        ),
        (
            broken(|value| drop(value["rows"].as_object_mut().unwrap().remove("meta/key"))),
            "is missing",
        ),
        (
            broken(|value| value["rows"]["object/cluster.orders"] = json!(1)),
            "does not hold what it must",
        ),
        (broken(|value| value["rows"]["lock"] = json!(1)), "no part of a record"),
    ] {
        let error = lock(&store).await.push(&document, true).await.unwrap_err();
        assert!(message(&error).contains(expected), "{}", message(&error));
    }
    assert_eq!(store.snapshot().await.unwrap().serial, text["serial"]);
}
