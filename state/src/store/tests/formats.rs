//! Records of older formats.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::backend::Backend;
use crate::backend::sqlite::{SqliteBackend, SqliteFile};

/// What version 0.1.0 wrote in format 1.
const FORMAT_1: &str = include_str!("../../../testdata/format-1.json");

/// Makes a file as version 0.1.0 left it.
async fn of_format_1(place: &Place) -> Store {
    with_rows(place, Vec::new()).await
}

/// Makes such a file with some rows more.
async fn with_rows(place: &Place, more: Vec<(Key, Vec<u8>)>) -> Store {
    let rows: BTreeMap<String, Value> = serde_json::from_str(FORMAT_1).unwrap();
    let rows = rows.iter().filter(|(key, _)| *key != "lease");
    let rows = rows.map(|(key, value)| (Key::new(key), encode(value)));
    let plan = (Key::new("run/00000001/plan"), encode(&json!({})));
    let rows = rows.chain([plan]).chain(more).collect();
    assert!(SqliteBackend::create(&place.path(), rows).await.unwrap());
    place.open().await
}

async fn format(path: &Path) -> Value {
    let backend = SqliteBackend::open(path).await.unwrap().unwrap();
    let head = backend.get(&Head::key()).await.unwrap().unwrap();
    serde_json::from_slice::<Value>(&head.bytes).unwrap()["format"].clone()
}

#[tokio::test]
async fn reading_leaves_an_older_record_as_it_is() {
    let place = Place::new();
    let store = of_format_1(&place).await;
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!((snapshot.state.nodes.len(), snapshot.serial), (3, 9));
    assert_eq!(format(&place.path()).await, json!(1));
    let directory = place.path().parent().unwrap().to_owned();
    let copies = fs::read_dir(directory).unwrap().flatten();
    let copies = copies.filter(|entry| entry.file_name().to_string_lossy().contains("format"));
    assert_eq!(copies.count(), 0);
}

#[tokio::test]
async fn the_next_writer_brings_an_older_record_up_and_keeps_a_copy_of_it() {
    let place = Place::new();
    let store = of_format_1(&place).await;
    let before = store.snapshot().await.unwrap();
    let writer = lock(&store).await;
    let copy = PathBuf::from(format!("{}.format-1", place.path().display()));
    let upgrade = Upgrade {
        from: 1,
        copy: Some(copy.clone()),
    };
    assert_eq!(writer.upgrade(), Some(&upgrade));
    assert_eq!(writer.state(), &before.state);
    writer.unlock().await.unwrap();

    assert_eq!(format(&place.path()).await, json!(FORMAT));
    let after = place.open().await.snapshot().await.unwrap();
    assert_eq!((&after.state, after.serial), (&before.state, before.serial + 1));
    assert_eq!(format(&copy).await, json!(1));
    let kept = Store::open(&copy, &place.keys()).await.unwrap().unwrap();
    assert_eq!(kept.snapshot().await.unwrap().state, before.state);

    let writer = lock(&store).await;
    assert_eq!(writer.upgrade(), None);
    writer.unlock().await.unwrap();
}

#[tokio::test]
async fn a_copy_that_a_killed_upgrade_left_is_replaced() {
    let place = Place::new();
    let store = of_format_1(&place).await;
    let copy = PathBuf::from(format!("{}.format-1", place.path().display()));
    fs::write(&copy, "half a copy").unwrap();
    lock(&store).await.unlock().await.unwrap();
    assert_eq!(format(&copy).await, json!(1));
}

#[tokio::test]
async fn a_new_record_has_nothing_to_be_brought_up() {
    let place = Place::new();
    let store = place.create().await;
    let writer = lock(&store).await;
    assert_eq!(writer.upgrade(), None);
    writer.unlock().await.unwrap();
    assert_eq!(format(&place.path()).await, json!(FORMAT));
}

#[tokio::test]
async fn an_older_record_that_is_passed_on_is_made_anew_in_this_format() {
    let (there, here) = (Place::new(), Place::new());
    drop(there.create().await);
    let backend = SqliteBackend::open(&there.path()).await.unwrap().unwrap();
    let key = backend.get(&crate::secret::key_row()).await.unwrap().unwrap();
    drop(backend);
    fs::remove_dir_all(there.path().parent().unwrap()).unwrap();
    fs::create_dir_all(there.path().parent().unwrap()).unwrap();
    let store = with_rows(&there, vec![(key.key, key.bytes.into())]).await;
    let pulled = store.pull().await.unwrap();
    Store::create_from(&SqliteFile::new(here.path()), &pulled)
        .await
        .unwrap();
    assert_eq!(format(&here.path()).await, json!(FORMAT));
    let made = Store::open(&here.path(), &there.keys()).await.unwrap().unwrap();
    let (made, older) = (made.snapshot().await.unwrap(), store.snapshot().await.unwrap());
    assert_eq!(made.state, older.state);
}
