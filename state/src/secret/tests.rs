//! Keys found, missing and wrong; values that do not open elsewhere.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::backend::Version;

fn lineage() -> Lineage {
    Lineage("0123456789abcdef0123456789abcdef".to_owned())
}

fn files(directory: &tempfile::TempDir) -> KeySource {
    KeySource {
        directory: directory.path().join("config/keys"),
        passphrase: None,
    }
}

fn passphrase(text: &str) -> KeySource {
    KeySource {
        directory: PathBuf::from("/nowhere"),
        passphrase: Some(Sensitive::new(text.to_owned())),
    }
}

fn row(write: backend::Write) -> Row {
    Row {
        key: write.key,
        version: Version(1),
        bytes: write.bytes.unwrap().into(),
    }
}

#[test]
fn a_key_file_is_for_its_owner_alone_and_opens_what_it_sealed() {
    let directory = tempfile::tempdir().unwrap();
    let source = files(&directory);
    let (key, row_of_key) = make(&lineage(), &source).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&source.file(&lineage())), 0o600);
    assert_eq!(mode(&source.directory), 0o700);

    let name = SecretName::output("url");
    let sealed = row(key.seal_row(&name, &Sensitive::new("hunter2".to_owned())));
    assert!(!String::from_utf8_lossy(&sealed.bytes).contains("hunter2"));
    let found = load(&lineage(), &source, &row_of_key).unwrap();
    assert_eq!(found.open_row(&sealed).unwrap().expose(), "hunter2");
}

#[test]
fn the_same_secret_is_never_sealed_to_the_same_bytes() {
    let key = Key::random();
    let seal = || {
        key.seal_row(&SecretName::output("url"), &Sensitive::new("x".to_owned()))
            .bytes
    };
    assert_ne!(seal(), seal());
}

#[test]
fn a_sealed_value_opens_only_in_its_own_row_and_unaltered() {
    let key = Key::random();
    let sealed = row(key.seal_row(&SecretName::output("url"), &Sensitive::new("x".to_owned())));
    let moved = Row {
        key: secret_key(&SecretName::output("other")),
        ..sealed.clone()
    };
    let mut altered = sealed.clone();
    let mut bytes = altered.bytes.to_vec();
    let middle = bytes.len() - 10;
    bytes[middle] ^= 1;
    altered.bytes = bytes.into();
    for row in [moved, altered] {
        let error = key.open_row(&row).unwrap_err();
        assert!(matches!(error, SecretError::Altered(_)), "{error}");
    }
    assert!(matches!(Key::random().open_row(&sealed), Err(SecretError::Altered(name)) if name == "output.url"));
}

#[test]
fn a_missing_a_wrong_and_a_spoilt_key_file_are_told_apart_from_damage() {
    let directory = tempfile::tempdir().unwrap();
    let source = files(&directory);
    let (_, row) = make(&lineage(), &source).unwrap();
    let path = source.file(&lineage());
    for content in [to_hex(&[1; 32]), to_hex(&[1; 31]), "no key".to_owned(), String::new()] {
        fs::write(&path, content).unwrap();
        let error = load(&lineage(), &source, &row).unwrap_err();
        assert!(
            matches!(&error, SecretError::WrongKey(found) if *found == path),
            "{error}"
        );
        assert!(error.hint().contains(path.to_str().unwrap()));
    }
    fs::remove_file(&path).unwrap();
    let error = load(&lineage(), &source, &row).unwrap_err();
    assert!(
        matches!(&error, SecretError::KeyMissing(found) if *found == path),
        "{error}"
    );
    assert!(error.hint().contains("Copy it from that machine"));
}

#[test]
fn a_passphrase_opens_what_it_locked_and_no_other_does() {
    let (_, row) = make(&lineage(), &passphrase("correct horse")).unwrap();
    assert!(load(&lineage(), &passphrase("correct horse"), &row).is_ok());
    let wrong = load(&lineage(), &passphrase("battery staple"), &row).unwrap_err();
    assert!(matches!(wrong, SecretError::WrongPassphrase));
    let none = KeySource {
        passphrase: None,
        ..passphrase("")
    };
    let missing = load(&lineage(), &none, &row).unwrap_err();
    assert!(matches!(missing, SecretError::PassphraseMissing));
    assert!(missing.hint().contains(PASSPHRASE_VARIABLE));
}

#[test]
fn keys_and_passphrases_hide_from_debug() {
    let shown = format!("{:?} {:?}", Key(Zeroizing::new([7; 32])), passphrase("hunter2"));
    assert!(!shown.contains("hunter2") && !shown.contains('7'), "{shown}");
}

#[test]
fn keys_are_kept_where_the_environment_says() {
    let source = |variables: &[(&str, &str)]| {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        KeySource::from_variables(|name| find(name).map(|(_, value)| OsString::from(value))).unwrap()
    };
    let directory = |variables: &[(&str, &str)]| source(variables).directory.to_str().unwrap().to_owned();
    let home = ("HOME", "/home/ana");
    assert_eq!(directory(&[home]), "/home/ana/.config/simdb/keys");
    assert_eq!(
        directory(&[home, ("XDG_CONFIG_HOME", "/etc/ana")]),
        "/etc/ana/simdb/keys"
    );
    assert_eq!(
        directory(&[home, ("XDG_CONFIG_HOME", "etc")]),
        "/home/ana/.config/simdb/keys"
    );
    assert!(
        directory(&[]).ends_with("/.config/simdb/keys"),
        "the user database knows a home"
    );
    assert!(source(&[home, (PASSPHRASE_VARIABLE, "")]).passphrase.is_none());
    let given = source(&[home, (PASSPHRASE_VARIABLE, "x")]).passphrase;
    assert_eq!(given.unwrap().expose(), "x");
}
