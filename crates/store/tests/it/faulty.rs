//! The store that fails on purpose: what each fault does, and that without one it is the store it wraps.

use std::sync::Arc;

use symbolon_envelope::{MemoryRecords, PayloadId, Records, Upload};
use symbolon_keys::UnixTime;
use symbolon_ledger::{
    AccountId, Amount, Batch, CommitError, LedgerStore, MemoryStore, Op, Side, Transfer, TransferId,
};
use symbolon_store::Sqlite;
use symbolon_store::faulty::{Call, Fault, Faulty, FaultyError};

use crate::place::Place;

fn account(n: u8) -> AccountId {
    AccountId::from([n; 16])
}

fn batch(ops: impl IntoIterator<Item = Op>) -> Batch {
    ops.into_iter().fold(Batch::new(UnixTime::from_secs(1)), Batch::with)
}

fn opening() -> Batch {
    batch([
        Op::OpenAccount { id: account(1), side: Side::Debit },
        Op::OpenAccount { id: account(2), side: Side::Credit },
    ])
}

/// Pays five times, and asks again under the same id whenever it does not know; what it gave up.
async fn pay(store: &impl LedgerStore) -> u8 {
    let mut given_up = 0;
    for n in 1..=5 {
        let transfer = Transfer::post(TransferId::from([n; 16]), account(1), account(2), Amount::new(1));
        let mut tries = 0;
        loop {
            tries += 1;
            match store.commit(batch([Op::Transfer(transfer.clone())])).await {
                Ok(_) => break,
                Err(CommitError::Unknown(_)) if tries < 3 => {}
                Err(CommitError::NotApplied(_)) => {
                    given_up += 1;
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    given_up
}

async fn every_fault_at_every_commit<S: LedgerStore>(fresh: impl AsyncFn() -> S) {
    let calm = Faulty::calm(fresh().await);
    calm.commit(opening()).await.unwrap();
    assert_eq!(pay(&calm).await, 0);
    let writes = calm.writes();
    assert_eq!(writes, 6);
    for write in 2..=writes {
        for fault in Fault::ALL {
            let store = Faulty::at(fresh().await, write, fault);
            store.commit(opening()).await.unwrap();
            let given_up = pay(&store).await;
            assert_eq!(given_up, u8::from(fault == Fault::Refused));
            let paid = store.account(account(2)).await.unwrap().unwrap().balance;
            assert_eq!(paid, Amount::new(u128::from(5 - given_up)), "{fault:?} of write {write}");
        }
    }
}

#[tokio::test]
async fn memory_with_every_fault_at_every_commit() {
    every_fault_at_every_commit(async || MemoryStore::new()).await;
}

#[tokio::test]
async fn sqlite_with_every_fault_at_every_commit() {
    let place = Place::new();
    every_fault_at_every_commit(async || place.fresh().await).await;
}

#[tokio::test]
async fn without_a_fault_it_conforms() {
    async fn same<S>(store: S) -> S {
        store
    }
    symbolon_ledger::conformance::suite(async || Arc::new(Faulty::calm(MemoryStore::new())), same).await;
    symbolon_envelope::conformance::records(async || Faulty::calm(MemoryRecords::default())).await;
    let users = async || Faulty::calm(symbolon_envelope::MemoryUserKeys::default());
    symbolon_envelope::conformance::user_keys(users).await;
    let table = async || Faulty::calm(symbolon_table::MemoryStore::new());
    symbolon_table::conformance::directory(table, same).await;
    symbolon_table::conformance::mailbox(table, same).await;
    symbolon_table::conformance::inbox(table, same).await;
    symbolon_table::conformance::approvals(table, same).await;
    let profiles = async || Faulty::calm(symbolon_agreement::MemoryProfiles::default());
    symbolon_agreement::conformance::profile_store(profiles).await;
}

#[tokio::test]
async fn rolled_back_to_an_older_copy() {
    let place = Place::new();
    let store = place.fresh().await;
    store.commit(opening()).await.unwrap();
    let copy = place.path("older.db");
    store.backup(&copy).await.unwrap();
    let store = Faulty::calm(store);
    assert_eq!(pay(&store).await, 0);
    drop(store.put(Sqlite::attach_after_restore(&copy).await.unwrap()));
    assert_eq!(store.account(account(2)).await.unwrap().unwrap().balance, Amount::ZERO);
    assert_eq!(pay(&store).await, 0, "what is asked again under its id is done again");
    assert_eq!(store.account(account(2)).await.unwrap().unwrap().balance, Amount::new(5));
}

#[tokio::test]
async fn a_torn_upload_leaves_nothing() {
    let store = Faulty::at(MemoryRecords::default(), 1, Fault::Refused);
    let id = PayloadId::from([1; 16]);
    let mut upload = store.upload(id).await.unwrap();
    assert!(matches!(upload.write(&[1; 10]).await, Err(FaultyError::Injected(_))));
    drop(upload);
    assert_eq!(store.read(id, 0, 10).await.unwrap(), None);
}

#[tokio::test]
async fn reads_can_fail_too() {
    let store = Faulty::new(MemoryStore::new(), |call: &Call| call.write.is_none().then_some(Fault::Refused));
    store.commit(opening()).await.unwrap();
    let failed = store.account(account(1)).await.unwrap_err();
    assert!(failed.to_string().contains("asked for"), "{failed}");
}
