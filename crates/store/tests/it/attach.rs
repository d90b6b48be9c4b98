//! Creating, attaching and restoring: what is refused, and what it says.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use symbolon_agreement::{ProfileDigest, ProfileStore};
use symbolon_keys::Id;
use symbolon_store::{AnyStore, AttachError, InvalidUrl, Restored, Sqlite, StoreError};

use crate::place::{Place, beside, reopen};

fn alice() -> Id {
    "alice".parse().unwrap()
}

async fn write(store: &Sqlite, byte: u8) {
    store.put(&alice(), &ProfileDigest::from([byte; 32])).await.unwrap();
}

async fn read(store: &Sqlite) -> Option<u8> {
    ProfileStore::get(store, &alice()).await.unwrap().map(|digest| digest.as_bytes()[0])
}

#[tokio::test]
async fn a_start_never_creates() {
    let place = Place::new();
    let path = place.path("exchange.db");
    let missing = AttachError::Missing { path: path.clone() };
    assert_eq!(Sqlite::attach(&path).await.err(), Some(missing.clone()));
    assert!(missing.to_string().contains("never start from nothing"), "{missing}");
    assert_eq!(Sqlite::attach_after_restore(&path).await.err(), Some(missing.clone()));
    assert_eq!(Sqlite::upgrade(&path).await.err(), Some(missing));
    assert_eq!(fs::read_dir(place.path("")).unwrap().count(), 0, "nothing was left behind");
}

#[tokio::test]
async fn provisioning_overwrites_nothing() {
    let place = Place::new();
    for suffix in ["", "-wal", "-shm", "-journal", "-guard"] {
        let path = place.path(&format!("exchange{suffix}.db"));
        let in_the_way = beside(&path, suffix);
        fs::write(&in_the_way, b"precious").unwrap();
        assert_eq!(
            Sqlite::provision(&path).await.err(),
            Some(AttachError::Exists { path: in_the_way.clone() })
        );
        assert_eq!(fs::read(in_the_way).unwrap(), b"precious");
    }
    let path = place.path("new.db");
    Sqlite::provision(&path).await.unwrap().close().await;
    assert_eq!(Sqlite::provision(&path).await.err(), Some(AttachError::Exists { path: path.clone() }));
    let mut left: Vec<_> =
        fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.retain(|name| name.to_str().unwrap().starts_with("new"));
    left.sort();
    assert_eq!(left, ["new.db", "new.db-guard"], "no temporary file, and no log after a clean end");
    for name in left {
        assert_eq!(
            fs::metadata(place.path(name.to_str().unwrap())).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}

#[tokio::test]
async fn of_two_that_provision_one_does() {
    let place = Place::new();
    let path = place.path("exchange.db");
    let (one, other) = tokio::join!(Sqlite::provision(&path), Sqlite::provision(&path));
    let won = [&one, &other].iter().filter(|result| result.is_ok()).count();
    assert_eq!(won, 1, "{one:?} {other:?}");
}

#[tokio::test]
async fn one_handle_at_a_time() {
    let place = Place::new();
    let store = place.fresh().await;
    let path = store.path().to_path_buf();
    let in_use = AttachError::InUse { path: beside(&path, "-guard") };
    assert_eq!(Sqlite::attach(&path).await.err(), Some(in_use.clone()));
    assert_eq!(Sqlite::attach_after_restore(&path).await.err(), Some(in_use.clone()));
    assert_eq!(Sqlite::upgrade(&path).await.err(), Some(in_use));
    let other = store.clone();
    store.close().await;
    let closed = ProfileStore::get(&other, &alice()).await;
    assert_eq!(closed.err(), Some(StoreError::Closed), "every handle is closed");
    let store = Sqlite::attach(&path).await.unwrap();
    drop(store);
    Sqlite::attach(&path).await.unwrap();
}

#[tokio::test]
async fn another_name_for_the_same_file_is_the_same_database() {
    let place = Place::new();
    let store = place.fresh().await;
    let link = place.path("link.db");
    std::os::unix::fs::symlink(store.path(), &link).unwrap();
    assert!(matches!(Sqlite::attach(&link).await, Err(AttachError::InUse { .. })));
    store.close().await;
    Sqlite::attach(&link).await.unwrap();
}

#[tokio::test]
async fn moved_it_is_the_same() {
    let place = Place::new();
    let store = place.fresh().await;
    write(&store, 1).await;
    let (old, new) = (store.path().to_path_buf(), place.path("moved.db"));
    store.close().await;
    fs::rename(&old, &new).unwrap();
    fs::rename(beside(&old, "-guard"), beside(&new, "-guard")).unwrap();
    assert_eq!(read(&Sqlite::attach(&new).await.unwrap()).await, Some(1));
}

#[tokio::test]
async fn a_copy_is_not_attached() {
    let place = Place::new();
    let store = place.fresh().await;
    write(&store, 1).await;
    let (path, copy) = (store.path().to_path_buf(), place.path("copy.db"));
    store.close().await;
    fs::copy(&path, &copy).unwrap();
    let no_guard = AttachError::RestoreRequired(Restored::NoGuard);
    assert_eq!(Sqlite::attach(&copy).await.err(), Some(no_guard.clone()), "without its guard");
    fs::copy(beside(&path, "-guard"), beside(&copy, "-guard")).unwrap();
    let copied = Some(AttachError::RestoreRequired(Restored::Copied));
    assert_eq!(Sqlite::attach(&copy).await.err(), copied, "with its guard");
    fs::write(beside(&copy, "-guard"), b"?").unwrap();
    assert_eq!(Sqlite::attach(&copy).await.err(), Some(no_guard), "with rubbish");
    fs::copy(beside(place.fresh().await.path(), "-guard"), beside(&copy, "-guard")).unwrap();
    let other = Some(AttachError::RestoreRequired(Restored::OtherInstance));
    assert_eq!(Sqlite::attach(&copy).await.err(), other, "with another's guard");

    let restored = Sqlite::attach_after_restore(&copy).await.unwrap();
    assert_eq!(read(&restored).await, Some(1));
    write(&restored, 2).await;
    let restored = reopen(restored).await;
    assert_eq!(read(&restored).await, Some(2), "a restored database is a database");
    assert_eq!(read(&Sqlite::attach(&path).await.unwrap()).await, Some(1), "the original is untouched");
}

#[tokio::test]
async fn an_older_copy_in_place_is_not_attached() {
    let place = Place::new();
    let store = place.fresh().await;
    write(&store, 1).await;
    let path = store.path().to_path_buf();
    store.close().await;
    let old = fs::read(&path).unwrap();
    let store = Sqlite::attach(&path).await.unwrap();
    write(&store, 2).await;
    write(&store, 3).await;
    store.close().await;
    // Written over the same file: only the number of commits tells.
    fs::write(&path, &old).unwrap();
    let behind = AttachError::RestoreRequired(Restored::Behind { commits: 1, seen: 3 });
    assert_eq!(Sqlite::attach(&path).await.err(), Some(behind));
    let restored = Sqlite::attach_after_restore(&path).await.unwrap();
    assert_eq!(read(&restored).await, Some(1));
    assert_eq!(read(&reopen(restored).await).await, Some(1));
}

#[tokio::test]
async fn an_older_copy_than_a_start_has_seen_is_not_attached() {
    let place = Place::new();
    let store = place.fresh().await;
    let path = store.path().to_path_buf();
    store.compact().await.unwrap();
    let (old, behind) = (fs::read(&path).unwrap(), fs::read(beside(&path, "-guard")).unwrap());
    write(&store, 1).await;
    store.close().await;
    // Power was lost: what was noted in the guard was not synced.
    fs::write(beside(&path, "-guard"), &behind).unwrap();
    Sqlite::attach(&path).await.unwrap().close().await;
    fs::write(&path, &old).unwrap();
    let refused = Sqlite::attach(&path).await.err();
    assert!(matches!(refused, Some(AttachError::RestoreRequired(Restored::Behind { .. }))), "{refused:?}");
}

#[tokio::test]
async fn a_log_is_not_played_into_an_older_file_than_it_began_on() {
    let place = Place::new();
    let store = place.fresh().await;
    let path = store.path().to_path_buf();
    let log = beside(&path, "-wal");
    write(&store, 1).await;
    store.compact().await.unwrap();
    let old = fs::read(&path).unwrap();
    write(&store, 2).await;
    store.compact().await.unwrap();
    let own = fs::read(&path).unwrap();
    // Something else, which stays in the log, and with it the newest number of commits.
    let bob = "bob".parse().unwrap();
    store.put(&bob, &ProfileDigest::from([9; 32])).await.unwrap();
    let newer = fs::read(&log).unwrap();
    store.close().await;
    fs::write(&path, &old).unwrap();
    fs::write(&log, &newer).unwrap();
    for _ in 0..2 {
        let refused = Sqlite::attach(&path).await.err();
        assert!(
            matches!(refused, Some(AttachError::RestoreRequired(Restored::Behind { .. }))),
            "{refused:?}"
        );
        let exists = Some(AttachError::Exists { path: log.clone() });
        assert_eq!(Sqlite::attach_after_restore(&path).await.err(), exists);
        assert_eq!(Sqlite::upgrade(&path).await.err(), exists);
        assert!(fs::read(&path).unwrap() == old && fs::read(&log).unwrap() == newer, "untouched");
    }
    fs::write(&path, &own).unwrap();
    let store = Sqlite::attach(&path).await.unwrap();
    assert_eq!(read(&store).await, Some(2), "its own file takes the log");
    assert!(ProfileStore::get(&store, &bob).await.unwrap().is_some());
}

#[tokio::test]
async fn a_file_with_two_names_is_not_attached() {
    let place = Place::new();
    let store = place.fresh().await;
    let (path, second) = (store.path().to_path_buf(), place.path("second.db"));
    fs::hard_link(&path, &second).unwrap();
    let linked = AttachError::Linked { path: fs::canonicalize(&second).unwrap() };
    assert_eq!(Sqlite::attach_after_restore(&second).await.err(), Some(linked.clone()), "while in use");
    store.close().await;
    assert_eq!(Sqlite::upgrade(&second).await.err(), Some(linked));
    assert!(matches!(Sqlite::attach(&path).await, Err(AttachError::Linked { .. })));
    fs::remove_file(second).unwrap();
    Sqlite::attach(&path).await.unwrap();
}

#[tokio::test]
async fn a_guard_without_its_database_is_not_a_free_place() {
    let place = Place::new();
    let store = place.fresh().await;
    let path = store.path().to_path_buf();
    store.close().await;
    fs::remove_file(&path).unwrap();
    assert_eq!(Sqlite::attach(&path).await.err(), Some(AttachError::Missing { path: path.clone() }));
    let exists = AttachError::Exists { path: beside(&path, "-guard") };
    assert_eq!(Sqlite::provision(&path).await.err(), Some(exists));
}

#[tokio::test]
async fn what_is_not_ours_is_refused() {
    let place = Place::new();
    let path = place.path("other.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE store (one)").unwrap();
    drop(db);
    let not_ours = Some(AttachError::NotOurs { path: fs::canonicalize(&path).unwrap() });
    assert_eq!(Sqlite::attach_after_restore(&path).await.err(), not_ours);
    fs::write(&path, [0x5a; 5000]).unwrap();
    assert_eq!(Sqlite::attach_after_restore(&path).await.err(), not_ours);
    fs::write(&path, b"").unwrap();
    let cut = Sqlite::attach_after_restore(&path).await.err();
    assert!(matches!(cut, Some(AttachError::Store(StoreError::Corrupt(_)))), "{cut:?}");
}

#[tokio::test]
async fn schema_versions_are_checked() {
    let place = Place::new();
    let store = place.fresh().await;
    let path = store.path().to_path_buf();
    store.close().await;
    let set = |version: u32| {
        rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", version).unwrap();
    };
    set(2);
    assert_eq!(Sqlite::attach(&path).await.err(), Some(AttachError::Newer { found: 2, known: 1 }));
    assert_eq!(Sqlite::upgrade(&path).await.err(), Some(AttachError::Newer { found: 2, known: 1 }));
    set(0);
    assert_eq!(Sqlite::attach(&path).await.err(), Some(AttachError::Older { found: 0, known: 1 }));
    assert_eq!(Sqlite::upgrade(&path).await.err(), Some(AttachError::Older { found: 0, known: 1 }));
    set(1);
    Sqlite::upgrade(&path).await.unwrap();
    Sqlite::attach(&path).await.unwrap();
}

#[tokio::test]
async fn urls() {
    let place = Place::new();
    let url = format!("sqlite:{}", place.path("exchange.db").display());
    assert!(matches!(AnyStore::attach(&url).await, Err(AttachError::Missing { .. })));
    AnyStore::provision(&url).await.unwrap().close().await;
    AnyStore::attach(&url).await.unwrap().close().await;
    for (text, why) in [
        ("", InvalidUrl::NoEngine),
        ("./exchange.db", InvalidUrl::NoEngine),
        ("sqlite:", InvalidUrl::NoPath),
        ("sqlite://exchange.db", InvalidUrl::NotAPath),
        ("sqlite:exchange.db?mode=memory", InvalidUrl::NotAPath),
        ("sqlite:exchange.db#1", InvalidUrl::NotAPath),
        ("mysql://localhost", InvalidUrl::UnknownEngine),
        ("SQLITE:exchange.db", InvalidUrl::UnknownEngine),
    ] {
        assert_eq!(AnyStore::attach(text).await.err(), Some(AttachError::Url(why)), "{text}");
        assert_eq!(AnyStore::provision(text).await.err(), Some(AttachError::Url(why)), "{text}");
    }
}
