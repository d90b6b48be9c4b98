//! The suite that every implementation of [`Records`] and [`UserKeyStore`] must pass.
//!
//! Call [`records`] and [`user_keys`] from a test, with a factory that gives an empty store each time. What a suite
//! cannot show from here (durability across restarts, a full disk) is for the store's own tests.

#![expect(
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    reason = "a suite of tests: it panics when one fails"
)]

use alloc::vec;
use alloc::vec::Vec;

use symbolon_keys::{Epoch, Id, UnixTime};

use crate::records::{Change, Payload, Record, RecordId, Records, Upload};
use crate::user_keys::{Derivation, UserKeyRow, UserKeyStore, UserState};

/// Runs every case for [`Records`], each on a store of its own.
pub async fn records<S: Records>(mut store: impl AsyncFnMut() -> S) {
    stored_once(&store().await).await;
    payloads_in_pieces(&store().await).await;
    dropped_uploads(&store().await).await;
    replaced(&store().await).await;
    headers(&store().await).await;
    outdated(&store().await).await;
    deleted(&store().await).await;
    made_again(&store().await).await;
    lists(&store().await).await;
    grants(&store().await).await;
}

/// Runs every case for [`UserKeyStore`], each on a store of its own.
pub async fn user_keys<S: UserKeyStore>(mut store: impl AsyncFnMut() -> S) {
    rows(&store().await).await;
    rows_below(&store().await).await;
    outdated_rows(&store().await).await;
}

fn id(n: u8) -> RecordId {
    RecordId::from([n; 16])
}

fn user(name: &str) -> Id {
    name.parse().expect("a valid id")
}

fn record(n: u8, owner: &str, sequence: u64, payload: &[u8]) -> Record {
    let mut payload_id = [n; 16];
    payload_id[..8].copy_from_slice(&sequence.to_be_bytes());
    Record {
        id: id(n),
        owner: user(owner),
        sequence,
        server_key: u32::from(n),
        header: vec![b'h', n],
        payload: Payload { id: payload_id.into(), len: payload.len() as u64, digest: [n; 32] },
        stored: UnixTime::from_secs(1_800_000_000),
    }
}

async fn put<S: Records>(store: &S, record: Record, bytes: &[u8], replaces: Option<u64>) -> Change {
    let mut upload = store.upload(record.payload.id).await.expect("upload");
    for piece in bytes.chunks(1000) {
        upload.write(piece).await.expect("write");
    }
    store.put(record, upload, replaces).await.expect("put")
}

async fn stored_once<S: Records>(store: &S) {
    assert_eq!(store.get(id(1)).await.expect("get"), None, "an empty store has no record");
    let first = record(1, "alice", 1, b"one");
    assert_eq!(put(store, first.clone(), b"one", None).await, Change::Done);
    assert_eq!(store.get(id(1)).await.expect("get"), Some(first.clone()), "what was put comes back");
    assert_eq!(
        put(store, record(1, "bob", 9, b"two"), b"two", None).await,
        Change::Conflict(None),
        "whose it is"
    );
    let second = record(1, "alice", 9, b"two");
    assert_eq!(put(store, second, b"two", None).await, Change::Conflict(Some(1)));
    assert_eq!(store.get(id(1)).await.expect("get"), Some(first.clone()), "a conflict changes nothing");
    assert_eq!(store.read(first.payload.id, 0, 10).await.expect("read").as_deref(), Some(&b"one"[..]));
    let refused = record(1, "bob", 9, b"two").payload.id;
    assert_eq!(store.read(refused, 0, 10).await.expect("read"), None, "the refused payload was kept");
}

async fn payloads_in_pieces<S: Records>(store: &S) {
    let sizes = [0_usize, 1, 4096, 65_536, 1_500_000];
    for (n, size) in (1..).zip(sizes) {
        let bytes: Vec<u8> = (0..=250_u8).cycle().take(size).collect();
        let row = record(n, "alice", 1, &bytes);
        assert_eq!(put(store, row.clone(), &bytes, None).await, Change::Done);
        let mut back = Vec::new();
        while let Some(piece) = store.read(row.payload.id, back.len() as u64, 40_000).await.expect("read") {
            assert!(piece.len() <= 40_000, "no more than was asked for");
            assert!(piece.len() == 40_000 || back.len() + piece.len() == size, "short only at the end");
            if piece.is_empty() {
                break;
            }
            back.extend_from_slice(&piece);
        }
        assert!(back == bytes, "a payload of {size} bytes comes back");
        let end = size as u64;
        for offset in [end, end + 1, u64::MAX] {
            let beyond = store.read(row.payload.id, offset, 10).await.expect("read");
            assert_eq!(beyond, Some(Vec::new()), "nothing beyond the end");
        }
    }
}

async fn dropped_uploads<S: Records>(store: &S) {
    let row = record(1, "alice", 1, b"");
    let mut upload = store.upload(row.payload.id).await.expect("upload");
    upload.write(&[7; 3_000_000]).await.expect("write");
    assert_eq!(store.read(row.payload.id, 0, 1).await.expect("read"), None, "visible before it was put");
    drop(upload);
    assert_eq!(store.read(row.payload.id, 0, 1).await.expect("read"), None, "visible though dropped");
    assert_eq!(put(store, row, b"", None).await, Change::Done);
}

async fn replaced<S: Records>(store: &S) {
    let (old, new) = (record(1, "alice", 1, b"old"), record(1, "alice", 2, b"new"));
    assert_eq!(put(store, new.clone(), b"new", Some(1)).await, Change::Conflict(None));
    assert_eq!(put(store, old.clone(), b"old", None).await, Change::Done);
    assert!(store.grant(id(1), user("alice"), user("bob")).await.expect("grant"));
    assert_eq!(put(store, new.clone(), b"new", Some(2)).await, Change::Conflict(Some(1)));
    assert_eq!(put(store, new.clone(), b"new", Some(1)).await, Change::Done);
    assert_eq!(store.get(id(1)).await.expect("get"), Some(new.clone()));
    assert_eq!(store.read(new.payload.id, 0, 9).await.expect("read").as_deref(), Some(&b"new"[..]));
    assert_eq!(store.read(old.payload.id, 0, 9).await.expect("read"), None, "the old payload is gone");
    assert!(store.granted(id(1), user("bob")).await.expect("granted"), "grants stay");
}

async fn headers<S: Records>(store: &S) {
    let row = record(1, "alice", 5, b"body");
    let body = row.payload.id;
    assert_eq!(
        store.replace_header(id(1), body, 5, vec![1], 2).await.expect("replace"),
        Change::Conflict(None)
    );
    assert_eq!(put(store, row.clone(), b"body", None).await, Change::Done);
    for wrong in [0, 4, 6, u64::MAX] {
        let change = store.replace_header(id(1), body, wrong, vec![1], 2).await.expect("replace");
        assert_eq!(change, Change::Conflict(Some(5)));
    }
    assert_eq!(
        store.replace_header(id(1), body, 5, vec![9; 65_536], 7).await.expect("replace"),
        Change::Done
    );
    let change = store.replace_header(id(1), body, 5, vec![1], 2).await.expect("replace");
    assert_eq!(change, Change::Conflict(Some(6)), "of two that expect the same sequence, one is done");
    let expected = Record { sequence: 6, header: vec![9; 65_536], server_key: 7, ..row.clone() };
    assert_eq!(store.get(id(1)).await.expect("get"), Some(expected));
    assert_eq!(store.read(row.payload.id, 0, 9).await.expect("read").as_deref(), Some(&b"body"[..]));
}

/// What was on its way when the server key was replaced comes too late, and changes nothing.
async fn outdated<S: Records>(store: &S) {
    let old = record(2, "alice", 1, b"old");
    assert_eq!(put(store, old.clone(), b"old", None).await, Change::Done);
    for version in [3, 1] {
        store.require(version).await.expect("require");
        let late = Record { server_key: 2, ..record(2, "alice", 2, b"late") };
        assert_eq!(
            put(store, late.clone(), b"late", Some(1)).await,
            Change::Outdated(3),
            "an older one counts"
        );
        assert_eq!(put(store, late.clone(), b"late", None).await, Change::Outdated(3), "before a conflict");
        assert_eq!(
            store.read(late.payload.id, 0, 9).await.expect("read"),
            None,
            "the refused payload was kept"
        );
        let change = store.replace_header(id(2), old.payload.id, 1, vec![1], 2).await.expect("replace");
        assert_eq!(change, Change::Outdated(3));
        assert_eq!(store.get(id(2)).await.expect("get"), Some(old.clone()), "what is there stays");
        assert_eq!(store.read(old.payload.id, 0, 9).await.expect("read").as_deref(), Some(&b"old"[..]));
    }
    assert_eq!(
        store.replace_header(id(2), old.payload.id, 1, vec![1], 3).await.expect("replace"),
        Change::Done
    );
    assert_eq!(put(store, record(4, "alice", 1, b"new"), b"new", None).await, Change::Done);
}

async fn deleted<S: Records>(store: &S) {
    let row = record(1, "alice", 1, b"body");
    assert!(!store.delete(id(1), user("alice")).await.expect("delete"));
    assert_eq!(put(store, row.clone(), b"body", None).await, Change::Done);
    assert!(store.grant(id(1), user("alice"), user("bob")).await.expect("grant"));
    assert!(store.delete(id(1), user("alice")).await.expect("delete"));
    assert!(!store.delete(id(1), user("alice")).await.expect("delete"));
    assert_eq!(store.get(id(1)).await.expect("get"), None);
    assert_eq!(store.read(row.payload.id, 0, 9).await.expect("read"), None);
    assert!(!store.granted(id(1), user("bob")).await.expect("granted"), "grants go with the record");
    let again = record(1, "alice", 2, b"again");
    assert_eq!(put(store, again, b"again", None).await, Change::Done);
    assert!(!store.granted(id(1), user("bob")).await.expect("granted"), "and do not come back");
}

/// Deleted, and made again under the same name and sequence: by somebody else, and by the same owner.
async fn made_again<S: Records>(store: &S) {
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(user);
    let old = record(1, "alice", 1, b"old");
    assert_eq!(put(store, old.clone(), b"old", None).await, Change::Done);
    assert!(store.delete(id(1), alice).await.expect("delete"));
    let mut new = record(1, "bob", 1, b"new");
    new.payload.id = [9; 16].into();
    assert_eq!(put(store, new.clone(), b"new", None).await, Change::Done);
    assert!(store.grant(id(1), bob, carol).await.expect("grant"));

    let late = record(1, "alice", 2, b"late");
    assert_eq!(
        put(store, late.clone(), b"late", Some(1)).await,
        Change::Conflict(None),
        "replaces another's"
    );
    assert_eq!(store.read(late.payload.id, 0, 9).await.expect("read"), None, "the refused payload was kept");
    let change = store.replace_header(id(1), old.payload.id, 1, vec![1], 2).await.expect("replace");
    assert_eq!(change, Change::Conflict(Some(1)), "a header before a payload that it is not for");
    assert!(!store.grant(id(1), alice, alice).await.expect("grant"), "grants another's");
    assert!(!store.revoke(id(1), alice, carol).await.expect("revoke"), "revokes another's");
    assert!(!store.delete(id(1), alice).await.expect("delete"), "deletes another's");
    assert_eq!(store.get(id(1)).await.expect("get"), Some(new.clone()));
    assert_eq!(store.read(new.payload.id, 0, 9).await.expect("read").as_deref(), Some(&b"new"[..]));
    assert_eq!(store.grantees(id(1)).await.expect("grantees"), [carol]);

    let replaced = record(1, "bob", 2, b"next");
    assert_eq!(put(store, replaced.clone(), b"next", Some(1)).await, Change::Done);
    assert_eq!(store.get(id(1)).await.expect("get"), Some(replaced));
}

async fn lists<S: Records>(store: &S) {
    for n in [5, 3, 1, 4, 2] {
        let owner = if n == 4 { "bob" } else { "alice" };
        assert_eq!(put(store, record(n, owner, 1, b""), b"", None).await, Change::Done);
    }
    let ids = |list: Vec<Record>| list.into_iter().map(|record| record.id).collect::<Vec<_>>();
    let all = store.owned_by(user("alice"), None, 10).await.expect("list");
    assert_eq!(all.first(), Some(&record(1, "alice", 1, b"")), "whole rows");
    assert_eq!(ids(all), [id(1), id(2), id(3), id(5)]);
    assert_eq!(ids(store.owned_by(user("alice"), Some(id(2)), 1).await.expect("list")), [id(3)]);
    assert_eq!(ids(store.owned_by(user("carol"), None, 10).await.expect("list")), []);
    assert_eq!(ids(store.below(3, None, 10).await.expect("list")), [id(1), id(2)]);
    assert_eq!(ids(store.below(9, Some(id(2)), 2).await.expect("list")), [id(3), id(4)]);
    assert_eq!(ids(store.below(9, Some(id(5)), 2).await.expect("list")), []);
}

async fn grants<S: Records>(store: &S) {
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(user);
    assert!(!store.grant(id(1), alice, bob).await.expect("grant"), "there is no such record");
    for n in [1, 2, 3] {
        assert_eq!(put(store, record(n, "alice", 1, b""), b"", None).await, Change::Done);
        assert!(store.grant(id(n), alice, bob).await.expect("grant"));
        assert!(store.grant(id(n), alice, bob).await.expect("grant"), "twice is once");
    }
    assert!(store.grant(id(2), alice, carol).await.expect("grant"));
    assert!(store.granted(id(2), carol).await.expect("granted"));
    assert!(!store.granted(id(1), carol).await.expect("granted"));
    assert!(!store.granted(id(1), alice).await.expect("granted"), "an owner needs no grant");
    assert_eq!(store.grantees(id(2)).await.expect("grantees"), [bob, carol]);
    assert_eq!(store.granted_to(bob, Some(id(1)), 1).await.expect("granted_to"), [id(2)]);
    assert!(store.revoke(id(2), alice, bob).await.expect("revoke"));
    assert!(!store.revoke(id(2), alice, bob).await.expect("revoke"));
    assert!(!store.granted(id(2), bob).await.expect("granted"));
    assert_eq!(store.granted_to(bob, None, 9).await.expect("granted_to"), [id(1), id(3)]);
    assert_eq!(store.granted_to(carol, None, 9).await.expect("granted_to"), [id(2)]);
}

fn row(name: &str, revision: u64, server_key: u32) -> UserKeyRow {
    UserKeyRow {
        user: user(name),
        revision,
        epoch: Epoch::new(revision),
        state: UserState::Active,
        derivation: Some(Derivation { salt: [3; 16], memory_kib: 65_536, passes: 3, lanes: 4 }),
        server_key,
        key_id: id(4),
        wrapped: vec![5; 700],
    }
}

async fn rows<S: UserKeyStore>(store: &S) {
    let (first, alice) = (row("alice", 1, 1), user("alice"));
    assert_eq!(store.get(alice).await.expect("get"), None);
    assert_eq!(store.put(first.clone(), Some(0)).await.expect("put"), Change::Conflict(None));
    assert_eq!(store.put(first.clone(), None).await.expect("put"), Change::Done);
    assert_eq!(store.put(row("alice", 2, 2), None).await.expect("put"), Change::Conflict(Some(1)));
    assert_eq!(store.get(alice).await.expect("get"), Some(first));
    let second = UserKeyRow { state: UserState::Disabled, derivation: None, ..row("alice", 2, 2) };
    assert_eq!(store.put(second.clone(), Some(1)).await.expect("put"), Change::Done);
    assert_eq!(store.put(row("alice", 3, 3), Some(1)).await.expect("put"), Change::Conflict(Some(2)));
    assert_eq!(store.get(alice).await.expect("get"), Some(second.clone()));
    let late = UserKeyRow { key_id: id(5), ..row("alice", 3, 3) };
    assert_eq!(store.put(late, Some(2)).await.expect("put"), Change::Conflict(Some(2)), "of an erased key");
    assert_eq!(store.get(alice).await.expect("get"), Some(second.clone()));
    assert!(store.delete(alice).await.expect("delete"));
    assert!(!store.delete(alice).await.expect("delete"));
    assert_eq!(store.get(alice).await.expect("get"), None);
}

async fn rows_below<S: UserKeyStore>(store: &S) {
    for (name, version) in [("carol", 1), ("alice", 2), ("bob", 3), ("dave", 1)] {
        assert_eq!(store.put(row(name, 1, version), None).await.expect("put"), Change::Done);
    }
    let users = |list: Vec<UserKeyRow>| list.into_iter().map(|row| row.user).collect::<Vec<_>>();
    assert_eq!(users(store.below(3, None, 10).await.expect("list")), ["alice", "carol", "dave"].map(user));
    assert_eq!(users(store.below(3, Some(user("alice")), 1).await.expect("list")), [user("carol")]);
    assert_eq!(users(store.below(1, None, 10).await.expect("list")), []);
}

async fn outdated_rows<S: UserKeyStore>(store: &S) {
    assert_eq!(store.put(row("alice", 1, 2), None).await.expect("put"), Change::Done);
    for version in [3, 1] {
        store.require(version).await.expect("require");
        for replaces in [None, Some(1)] {
            let late = store.put(row("alice", 2, 2), replaces).await.expect("put");
            assert_eq!(late, Change::Outdated(3), "an older version of the server key is taken");
        }
        assert_eq!(store.put(row("bob", 1, 1), None).await.expect("put"), Change::Outdated(3));
    }
    assert_eq!(store.get(user("alice")).await.expect("get"), Some(row("alice", 1, 2)), "what is there stays");
    assert_eq!(store.get(user("bob")).await.expect("get"), None);
    assert_eq!(store.put(row("alice", 2, 3), Some(1)).await.expect("put"), Change::Done);
}
