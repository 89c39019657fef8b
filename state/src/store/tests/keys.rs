//! The key of a record: lost, given as a passphrase, changed.

use super::*;

#[tokio::test]
async fn without_its_key_a_record_is_read_but_no_secret_is() {
    let place = Place::new();
    let mut writer = lock(&place.create().await).await;
    writer.begin("apply", &json!({}), 2).await.unwrap();
    writer.commit(&[with_secret(0, password(), "x")]).await.unwrap();
    writer.commit(&[done(0, cluster())]).await.unwrap();
    fs::remove_dir_all(place.keys().directory).unwrap();

    let store = place.open().await;
    assert_eq!(store.snapshot().await.unwrap().state, *writer.state());
    let error = store.secret(&password()).await.unwrap_err();
    assert!(message(&error).contains("is missing"), "{}", message(&error));
    assert!(error.hint().unwrap().contains("Copy it from that machine"));

    drop(writer);
    store.force_unlock(&store.holders().await.unwrap()[0].id).await.unwrap();
    let mut writer = lock(&store).await;
    writer.begin("apply", &json!({}), 1).await.unwrap();
    let refused = writer.commit(&[with_secret(0, password(), "y")]).await;
    assert!(matches!(refused, Err(StoreError::Secret { .. })));
    writer
        .commit(&[started(0)])
        .await
        .expect("what needs no secret goes on");
}

#[tokio::test]
async fn a_passphrase_takes_the_place_of_the_key_file() {
    let place = Place::new();
    let keys = |text: Option<&str>| KeySource {
        passphrase: text.map(|text| Sensitive::new(text.to_owned())),
        ..place.keys()
    };
    let store = Store::create(&place.path(), &keys(Some("correct horse")))
        .await
        .unwrap();
    let mut writer = lock(&store).await;
    writer.begin("apply", &json!({}), 1).await.unwrap();
    writer.commit(&[with_secret(0, password(), "x")]).await.unwrap();
    assert!(!place.keys().directory.exists());
    for (given, expected) in [(None, "none was given"), (Some("wrong"), "is not the one")] {
        let store = Store::open(&place.path(), &keys(given)).await.unwrap().unwrap();
        let error = store.secrets().await.unwrap_err();
        assert!(message(&error).contains(expected), "{}", message(&error));
    }
}

/// Returns the file of the record's key, and what it holds.
fn key_file(place: &Place, store: &Store, extension: &str) -> (PathBuf, Option<String>) {
    let path = place.keys().file(store.lineage()).with_extension(extension);
    let text = fs::read_to_string(&path).ok();
    (path, text)
}

#[tokio::test]
async fn another_key_opens_what_the_former_one_sealed_and_the_former_one_opens_backups() {
    let place = Place::new();
    let store = place.create().await;
    let mut writer = lock(&store).await;
    let given = Sensitive::new("hunter2".to_owned());
    let address: UserAddress = "cluster.orders.user.app".parse().unwrap();
    let user = |digest: String| User {
        password_digest: Some(digest),
        ..User::default()
    };
    let before = user(store.digest(&given).await.unwrap());
    writer.begin("apply", &json!({}), 1).await.unwrap();
    let password = with_secret(0, before.password(&address), "hunter2");
    let output = Entry::Outputs([("url".to_owned(), (Output::Sensitive, Some(given.clone())))].into());
    let mut edits = cluster();
    edits.retain(|edit| !matches!(edit, Edit::User(..)));
    edits.push(Edit::User(address.clone(), before.clone()));
    writer.commit(&[password]).await.unwrap();
    writer.commit(&[done(0, edits), output]).await.unwrap();
    writer.finish(RunEnd::Done).await.unwrap();
    writer.unlock().await.unwrap();
    let (_, first) = key_file(&place, &store, "");
    let secrets = store.secrets().await.unwrap();
    let backup = fs::read(place.path()).unwrap();
    let log = fs::read(place.path().with_extension("db-wal")).unwrap();

    lock(&store).await.rekey(&place.keys()).await.unwrap();
    assert_ne!(key_file(&place, &store, "").1, first);
    assert_eq!(key_file(&place, &store, "old").1, first);
    assert_eq!(key_file(&place, &store, "new").1, None);
    let opened = place.open().await;
    let after = user(opened.digest(&given).await.unwrap());
    assert_ne!(before, after);
    assert_eq!(opened.snapshot().await.unwrap().state.users[&address], after);
    let mut renamed = secrets.clone();
    let password = renamed.remove(&before.password(&address)).unwrap();
    renamed.insert(after.password(&address), password);
    assert_eq!(opened.secrets().await.unwrap(), renamed);

    // Whoever has the former key in memory neither writes with it nor takes the record for damaged.
    for error in [
        store.secrets().await.unwrap_err(),
        match store.lock("apply", Duration::ZERO).await.unwrap_err() {
            LockError::Store(error) => error,
            other => panic!("{other}"),
        },
    ] {
        assert!(message(&error).contains("was changed meanwhile"), "{}", message(&error));
    }
    // Elsewhere, as a connection that is being closed still writes here.
    let restored = place.0.path().join("restored/state.db");
    fs::create_dir(restored.parent().unwrap()).unwrap();
    fs::write(&restored, backup).unwrap();
    fs::write(restored.with_extension("db-wal"), log).unwrap();
    let restored = Store::open(&restored, &place.keys()).await.unwrap().unwrap();
    assert_eq!(restored.secrets().await.unwrap(), secrets);
}

#[tokio::test]
async fn a_key_file_and_a_passphrase_take_each_others_place() {
    let place = Place::new();
    let keys = |text: Option<&str>| KeySource {
        passphrase: text.map(|text| Sensitive::new(text.to_owned())),
        ..place.keys()
    };
    with_password(&place).await;
    let mut current = None;
    for next in [Some("correct horse"), Some("battery staple"), None, None] {
        let store = Store::open(&place.path(), &keys(current)).await.unwrap().unwrap();
        lock(&store).await.rekey(&keys(next)).await.unwrap();
        assert_eq!(key_file(&place, &store, "").1.is_some(), next.is_none());
        let store = Store::open(&place.path(), &keys(next)).await.unwrap().unwrap();
        assert_eq!(store.secret(&password()).await.unwrap().unwrap().expose(), "x");
        if current != next {
            let store = Store::open(&place.path(), &keys(current)).await.unwrap().unwrap();
            // A key file is found whether a passphrase is given or not.
            assert_eq!(store.secret(&password()).await.is_ok(), next.is_none());
        }
        current = next;
    }
}

#[tokio::test]
async fn a_change_of_the_key_that_is_cut_off_leaves_one_that_opens() {
    let place = Place::new();
    let store = with_password(&place).await;
    let opens = async || place.open().await.secret(&password()).await.unwrap().unwrap().expose() == "x";
    // Before the commit: there is a new key that nothing is sealed by.
    let (path, first) = key_file(&place, &store, "");
    let (next, _) = key_file(&place, &store, "new");
    fs::write(&next, "00".repeat(32)).unwrap();
    assert!(opens().await);
    // After the commit, and before or within putting it in place.
    lock(&store).await.rekey(&place.keys()).await.unwrap();
    fs::rename(&path, &next).unwrap();
    assert!(opens().await);
    fs::rename(path.with_extension("old"), &path).unwrap();
    assert_eq!(key_file(&place, &store, "").1, first);
    assert!(opens().await);
    lock(&place.open().await).await.rekey(&place.keys()).await.unwrap();
    assert!(opens().await);
    assert_eq!(key_file(&place, &store, "new").1, None);
}

#[tokio::test]
async fn without_its_key_a_record_gets_no_other_one() {
    let place = Place::new();
    with_password(&place).await;
    fs::remove_dir_all(place.keys().directory).unwrap();
    let store = place.open().await;
    let error = lock(&store).await.rekey(&place.keys()).await.unwrap_err();
    assert!(message(&error).contains("is missing"), "{}", message(&error));
    assert!(!place.keys().directory.exists());
    assert!(store.holders().await.unwrap().is_empty());
}
