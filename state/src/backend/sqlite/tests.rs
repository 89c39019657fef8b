//! The contract of backends, and what only files can suffer.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::conformance::{check_backend, check_locks, granted};

fn first_row() -> Vec<(Key, Vec<u8>)> {
    vec![(Key::new("meta/first"), b"1".to_vec())]
}

async fn new_file() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made/state.db");
    assert!(SqliteBackend::create(&path, first_row()).await.unwrap());
    (directory, path)
}

async fn open(path: &Path) -> SqliteBackend {
    SqliteBackend::open(path).await.unwrap().unwrap()
}

/// Changes some bytes of a file.
fn patch(path: &Path, at: usize, bytes: &[u8]) {
    let mut content = fs::read(path).unwrap();
    content[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(path, content).unwrap();
}

/// Copies file and log, which is what a killed process leaves: nothing was closed.
fn copy_as_killed(path: &Path, directory: &TempDir) -> PathBuf {
    let copy = directory.path().join("copy.db");
    fs::copy(path, &copy).unwrap();
    fs::copy(path.with_extension("db-wal"), copy.with_extension("db-wal")).unwrap();
    copy
}

/// Checks that the file is refused, with a way out, and that neither it nor its neighbours change by that.
async fn refused(path: &Path) -> String {
    let directory = path.parent().unwrap();
    let files = || {
        let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = names.map(|name| (fs::read(&name).unwrap(), name)).collect();
        files.sort();
        files
    };
    let before = files();
    let error = SqliteBackend::open(path).await.unwrap_err();
    assert!(files() == before, "the file was touched");
    format!("{error} | {}", error.hint().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract_of_backends() {
    let directory = tempfile::tempdir().unwrap();
    let made = std::sync::atomic::AtomicU32::new(0);
    check_backend(async || {
        let number = made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = directory.path().join(format!("{number}.db"));
        SqliteBackend::create(&path, Vec::new()).await.unwrap();
        Arc::new(open(&path).await) as Arc<dyn Backend>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract_of_locks_across_connections() {
    let (_directory, path) = new_file().await;
    check_locks(Arc::new(open(&path).await), Arc::new(open(&path).await)).await;
}

#[tokio::test]
async fn a_file_that_is_not_there_is_not_made_by_opening_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deeper/state.db");
    assert!(SqliteBackend::open(&path).await.unwrap().is_none());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_new_file_is_for_its_owner_alone_and_has_no_neighbours() {
    let (_directory, path) = new_file().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    let backend = open(&path).await;
    granted(&backend, &[]).await;
    for neighbour in fs::read_dir(path.parent().unwrap()).unwrap() {
        assert_eq!(mode(&neighbour.unwrap().path()), 0o600);
    }
}

#[tokio::test]
async fn of_two_that_make_the_file_the_second_changes_nothing() {
    let (_directory, path) = new_file().await;
    let before = fs::read(&path).unwrap();
    assert!(!SqliteBackend::create(&path, Vec::new()).await.unwrap());
    assert!(fs::read(&path).unwrap() == before);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_file_that_is_no_sqlite_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    fs::write(&path, "cluster \"orders\" {}\n".repeat(50)).unwrap();
    assert_eq!(
        refused(&path).await,
        "it is no SQLite file, and is no state of simdb | The file was left as it is. Give `path` in the `state` block another name, or move the file away."
    );
}

#[tokio::test]
async fn the_database_of_another_program_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let foreign = Connection::open(&path).unwrap();
    foreign.execute_batch("CREATE TABLE customers (name TEXT)").unwrap();
    drop(foreign);
    let message = refused(&path).await;
    assert!(
        message.starts_with("it belongs to another program, and is no state"),
        "{message}"
    );
}

#[tokio::test]
async fn a_file_of_a_newer_format_is_refused() {
    let (_directory, path) = new_file().await;
    patch(&path, 60, &7u32.to_be_bytes());
    assert_eq!(
        refused(&path).await,
        "it has format 7, and this simdb knows formats up to 2 | It was left as it is. Use the newer simdb that wrote it."
    );
}

#[tokio::test]
async fn a_file_that_is_cut_off_is_refused() {
    let (_directory, path) = new_file().await;
    let whole = fs::read(&path).unwrap();
    for length in [0, 10, 99, 100, 4096, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let message = refused(&path).await;
        assert!(message.starts_with("it is cut off"), "{length}: {message}");
        assert!(message.contains("Put a backup in its place"));
    }
}

#[tokio::test]
async fn damage_inside_the_file_is_found_before_the_lock_is_taken() {
    let (_directory, path) = new_file().await;
    // The second page is the root of the rows; nonsense there is no page of a table.
    patch(&path, 4096, &[0xff; 64]);
    let before = fs::read(&path).unwrap();
    let backend = open(&path).await;
    let error = backend.lock(&crate::conformance::owner("test"), &[]).await.unwrap_err();
    assert!(matches!(error, BackendError::Corrupt(_)), "{error:?}");
    assert!(error.hint().is_some());
    drop(backend);
    assert!(fs::read(&path).unwrap() == before, "the file was touched");
}

#[tokio::test]
async fn a_read_only_file_is_read_and_not_written() {
    let (_directory, path) = new_file().await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    let before = fs::read(&path).unwrap();
    let backend = open(&path).await;
    assert_eq!(backend.list(&["meta/"]).await.unwrap().len(), 1);
    let error = backend.lock(&crate::conformance::owner("test"), &[]).await.unwrap_err();
    assert!(matches!(error, BackendError::ReadOnly), "{error:?}");
    assert!(error.hint().unwrap().contains("write permission"));
    drop(backend);
    assert!(fs::read(&path).unwrap() == before, "the file was touched");
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_read_only_file_is_read_with_what_its_log_holds() {
    let (directory, path) = new_file().await;
    let backend = open(&path).await;
    let token = granted(&backend, &[]).await;
    let write = Write::put(Key::new("a"), b"x".to_vec());
    backend.commit(token, vec![write]).await.unwrap();
    let copy = copy_as_killed(&path, &directory);
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o400)).unwrap();
    let row = open(&copy).await.get(&Key::new("a")).await.unwrap();
    assert_eq!(row.unwrap().bytes, b"x"[..]);
}

#[tokio::test]
async fn a_newer_format_is_seen_even_if_it_is_still_in_the_log() {
    let (_directory, path) = new_file().await;
    let newer = Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 7).unwrap();
    let header = fs::read(&path).unwrap();
    assert_eq!(header[60..64], 2u32.to_be_bytes(), "the file itself is as it was");
    let error = SqliteBackend::open(&path).await.unwrap_err();
    assert!(matches!(error, BackendError::Newer { found: 7, .. }), "{error:?}");
}

#[tokio::test]
async fn a_process_that_stands_still_in_a_commit_is_told_from_damage() {
    let (_directory, path) = new_file().await;
    let stopped = Connection::open(&path).unwrap();
    stopped.execute_batch("BEGIN IMMEDIATE").unwrap();
    let backend = open(&path).await;
    backend.connection.lock().unwrap().busy_timeout(Duration::ZERO).unwrap();
    let error = backend.lock(&crate::conformance::owner("test"), &[]).await.unwrap_err();
    assert!(matches!(error, BackendError::Busy), "{error:?}");
    assert_eq!(backend.list(&["meta/"]).await.unwrap().len(), 1, "reading goes on");
}

#[tokio::test]
async fn a_full_disk_leaves_the_rows_as_they_were() {
    let (_directory, path) = new_file().await;
    let backend = open(&path).await;
    let token = granted(&backend, &[]).await;
    let version = backend
        .commit(token, vec![Write::put(Key::new("a"), b"old".to_vec())])
        .await
        .unwrap();
    let limit = |pages: u32| {
        let connection = backend.connection.lock().unwrap();
        connection
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .unwrap();
    };
    limit(8);
    let much = vec![
        Write::put(Key::new("a"), b"new".to_vec()),
        Write::put(Key::new("b"), vec![7; 1_000_000]),
    ];
    let error = backend.commit(token, much.clone()).await.unwrap_err();
    assert!(matches!(error, BackendError::Full), "{error:?}");
    let rows = backend.list(&["a", "b"]).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].version, &rows[0].bytes[..]), (version, b"old".as_slice()));
    limit(1000);
    backend.commit(token, much).await.expect("there is space again");
}

#[tokio::test]
async fn what_was_committed_is_there_after_the_process_died() {
    let (directory, path) = new_file().await;
    let backend = open(&path).await;
    let token = granted(&backend, &[]).await;
    backend
        .commit(token, vec![Write::put(Key::new("a"), b"x".to_vec())])
        .await
        .unwrap();
    let copy = copy_as_killed(&path, &directory);
    let row = open(&copy).await.get(&Key::new("a")).await.unwrap();
    assert_eq!(row.unwrap().bytes, b"x"[..]);
}

/// Makes of a file one of the first layout, whose lock a process holds.
fn in_first_layout(path: &Path, owner: &Owner) {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE lease (one INTEGER PRIMARY KEY CHECK (one = 1), token INTEGER NOT NULL, beat INTEGER NOT NULL,
                 commits INTEGER NOT NULL, owner TEXT) STRICT;
             INSERT INTO lease VALUES (1, 5, 3, 12, NULL);
             DROP TABLE lock;
             PRAGMA user_version = 1;",
        )
        .unwrap();
    let owner = serde_json::to_string(owner).unwrap();
    connection.execute("UPDATE lease SET owner = ?1", [owner]).unwrap();
}

#[tokio::test]
async fn a_file_of_the_first_layout_is_read_as_it_is_and_brought_up_once_its_lock_is_taken() {
    let (_directory, path) = new_file().await;
    let owner = crate::conformance::owner("apply");
    in_first_layout(&path, &owner);
    let backend = open(&path).await;
    let held = backend.holders().await.unwrap();
    assert_eq!((held.len(), held[0].token, held[0].beat), (1, Token(5), 3));
    assert_eq!(held[0].owner, owner, "it holds everything");
    let contender = crate::conformance::owner("plan");
    let refused = backend.lock(&contender, &[]).await.unwrap();
    assert_eq!(refused, LockOutcome::Held(Box::new(held[0].clone())));
    let layout = || {
        Connection::open(&path)
            .unwrap()
            .pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))
    };
    assert_eq!(layout().unwrap(), 1, "who holds it is not disturbed");
    let token = granted(&backend, &held).await;
    assert_eq!((token, layout().unwrap()), (Token(6), 2));
    let write = Write::put(Key::new("a"), b"x".to_vec());
    assert_eq!(
        backend.commit(token, vec![write]).await.unwrap(),
        Version(13),
        "versions go on"
    );
}
