//! A full disk, a database that was cut or changed, files that are missing: a typed error each, and nothing lost.

use std::fs;
use std::path::Path;

use symbolon_envelope::{Change, Payload, PayloadId, Record, RecordId, Records, Upload};
use symbolon_keys::{Id, UnixTime};
use symbolon_store::{AttachError, Options, Sqlite, StoreError};

use crate::place::{Place, beside, reopen};

fn alice() -> Id {
    "alice".parse().unwrap()
}

fn bytes(n: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| n.wrapping_add((i % 251) as u8)).collect()
}

fn record(n: u8, len: usize) -> Record {
    Record {
        id: RecordId::from([n; 16]),
        owner: alice(),
        sequence: 1,
        server_key: 1,
        header: vec![n; 300],
        payload: Payload { id: PayloadId::from([n; 16]), len: len as u64, digest: [n; 32] },
        stored: UnixTime::from_secs(1),
    }
}

async fn put(store: &Sqlite, n: u8, len: usize) -> Result<Change, StoreError> {
    let mut upload = store.upload(PayloadId::from([n; 16])).await?;
    for piece in bytes(n, len).chunks(50_000) {
        upload.write(piece).await?;
    }
    Records::put(store, record(n, len), upload, None).await
}

async fn read(store: &Sqlite, n: u8, len: usize) -> Result<Option<Vec<u8>>, StoreError> {
    Records::read(store, PayloadId::from([n; 16]), 0, len + 1).await
}

/// The names of the files of large payloads.
fn files(database: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(beside(database, "-files")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_not_the_end() {
    let place = Place::new();
    let path = place.path("exchange.db");
    let store = Options::default().max_size(600_000).provision(&path).await.unwrap();
    let mut stored = Vec::new();
    let refused = loop {
        let n = stored.len() as u8;
        match put(&store, n, 60_000).await {
            Ok(change) => {
                assert_eq!(change, Change::Done);
                stored.push(n);
            }
            Err(error) => break error,
        }
    };
    assert_eq!(refused, StoreError::Full);
    assert!(!stored.is_empty(), "something fits");
    for _ in 0..2 {
        assert_eq!(put(&store, 200, 60_000).await, Err(StoreError::Full), "still full, still answering");
        for &n in &stored {
            assert_eq!(read(&store, n, 60_000).await.unwrap(), Some(bytes(n, 60_000)), "nothing was lost");
        }
    }
    assert_eq!(put(&store, 201, 10).await.unwrap(), Change::Done, "what fits is taken");
    store.close().await;
    let store = Options::default().attach(&path).await.unwrap();
    store.check().await.unwrap();
    assert_eq!(put(&store, 200, 60_000).await.unwrap(), Change::Done, "with more room it goes on");
}

/// A database with something in each kind of page, closed.
async fn database(place: &Place) -> std::path::PathBuf {
    let store = place.fresh().await;
    for n in 0..30 {
        assert_eq!(put(&store, n, 3000 * usize::from(n)).await.unwrap(), Change::Done);
    }
    store.check().await.unwrap();
    let path = store.path().to_path_buf();
    store.close().await;
    path
}

#[tokio::test]
async fn a_cut_database_is_not_attached() {
    let place = Place::new();
    let path = database(&place).await;
    let whole = fs::read(&path).unwrap();
    for part in [0, 1, 99, 100, 4095, 4096, 8192, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
        fs::write(&path, &whole[..part]).unwrap();
        let cut = Sqlite::attach(&path).await.err();
        assert!(matches!(cut, Some(AttachError::Store(StoreError::Corrupt(_)))), "cut at {part}: {cut:?}");
        let cut = Sqlite::attach_after_restore(&path).await.err();
        assert!(matches!(cut, Some(AttachError::Store(StoreError::Corrupt(_)))), "cut at {part}: {cut:?}");
    }
    fs::write(&path, &whole).unwrap();
    Sqlite::attach(&path).await.unwrap().check().await.unwrap();
}

#[tokio::test]
async fn a_changed_page_is_found_by_a_check_or_by_its_use() {
    let place = Place::new();
    let path = database(&place).await;
    let whole = fs::read(&path).unwrap();
    // The head of every page, where its structure is. Free space and payloads are the business of those who sealed them.
    for page in 0..whole.len() / 4096 {
        let mut changed = whole.clone();
        changed[page * 4096 + if page == 0 { 100 } else { 0 }] ^= 0x55;
        fs::write(&path, &changed).unwrap();
        let store = match Sqlite::attach(&path).await {
            Ok(store) => store,
            Err(AttachError::Store(StoreError::Corrupt(_))) => continue,
            Err(error) => panic!("page {page}: {error:?}"),
        };
        // Reads answer, or fail with a typed error; they do not hang or panic.
        for n in 0..30 {
            match Records::get(&store, RecordId::from([n; 16])).await {
                Ok(_) | Err(StoreError::Corrupt(_) | StoreError::Io(_)) => {}
                Err(error) => panic!("page {page}: {error:?}"),
            }
        }
        store.close().await;
    }
    fs::write(&path, &whole).unwrap();
    Sqlite::attach(&path).await.unwrap().check().await.unwrap();
}

#[tokio::test]
async fn a_damaged_index_is_found_by_a_check() {
    let place = Place::new();
    let path = database(&place).await;
    // Point the index of owners at the table of grants: every page is sound, the whole is not.
    let db = rusqlite::Connection::open(&path).unwrap();
    db.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true).unwrap();
    let swap = "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'grants_by_user')
                WHERE name = 'records_by_owner'";
    assert_eq!(db.execute(swap, []).unwrap(), 1);
    drop(db);
    let store = Sqlite::attach(&path).await.unwrap();
    assert!(matches!(store.check().await, Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn files_are_there_exactly_while_they_are_named() {
    let place = Place::new();
    let store = place.fresh().await;
    let path = store.path().to_path_buf();
    assert_eq!(put(&store, 1, 64 * 1024).await.unwrap(), Change::Done);
    assert_eq!(files(&path).len(), 0, "small payloads have no file");
    assert_eq!(put(&store, 2, 64 * 1024 + 1).await.unwrap(), Change::Done);
    assert_eq!(put(&store, 3, 300_000).await.unwrap(), Change::Done);
    assert_eq!(files(&path).len(), 2);
    assert_eq!(put(&store, 3, 300_000).await.unwrap(), Change::Conflict(Some(1)));
    assert!(store.delete(RecordId::from([2; 16]), alice()).await.unwrap());

    let mut dropped = store.upload(PayloadId::from([9; 16])).await.unwrap();
    dropped.write(&bytes(9, 200_000)).await.unwrap();
    drop(dropped);
    let store = reopen(store).await;
    assert_eq!(files(&path).len(), 1, "of a conflict, a deletion and a dropped upload nothing is left");
    assert_eq!(read(&store, 3, 300_000).await.unwrap(), Some(bytes(3, 300_000)));

    // What a crash leaves: the file of an upload, which is noted until the next start.
    let mut cut = store.upload(PayloadId::from([8; 16])).await.unwrap();
    let before = files(&path);
    cut.write(&bytes(8, 200_000)).await.unwrap();
    let left = files(&path).into_iter().find(|name| !before.contains(name)).unwrap();
    drop(cut);
    store.close().await;
    fs::write(beside(&path, "-files").join(left), b"half of it").unwrap();
    let store = Sqlite::attach(&path).await.unwrap();
    assert_eq!(files(&path).len(), 1, "the next start removes it");
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_lost_file_is_an_error_and_not_an_absence() {
    let place = Place::new();
    let store = place.fresh().await;
    assert_eq!(put(&store, 1, 100_000).await.unwrap(), Change::Done);
    let folder = beside(store.path(), "-files");
    let name = files(store.path()).pop().unwrap();
    let whole = fs::read(folder.join(&name)).unwrap();
    fs::write(folder.join(&name), &whole[1..]).unwrap();
    assert!(matches!(store.check().await, Err(StoreError::Corrupt(_))), "a cut file");
    fs::remove_file(folder.join(&name)).unwrap();
    assert!(matches!(store.check().await, Err(StoreError::Corrupt(_))), "no file");
    assert!(matches!(read(&store, 1, 1).await, Err(StoreError::Corrupt(_))));
    assert_eq!(Records::read(&store, PayloadId::from([2; 16]), 0, 1).await.unwrap(), None);
}
