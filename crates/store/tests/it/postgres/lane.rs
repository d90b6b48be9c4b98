//! One commit for many on a server: shared, judged alone, and what a lost connection means.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use symbolon_envelope::{Records, Upload};
use symbolon_keys::{Epoch, UnixTime};
use symbolon_ledger::{AccountId, Batch, LedgerStore, Op, Outcome, Side};
use symbolon_store::{CommitPoint, Postgres, PostgresOptions, StoreError};

use crate::cluster::{admin, cluster, reopen};
use crate::commit::{ask, remember, remember_at};
use crate::postgres::processes::{record, rows};

/// Holds up every store of a database, as a server does that does not answer: nothing gets its locks.
pub struct Stuck(tokio_postgres::Client);

impl Stuck {
    pub async fn at(url: &str) -> Self {
        let client = admin(url).await;
        client.batch_execute("SELECT pg_advisory_lock(-1)").await.unwrap();
        Self(client)
    }

    pub async fn free(self) {
        self.0.batch_execute("SELECT pg_advisory_unlock(-1)").await.unwrap();
    }
}

/// What waits behind a job is one group: this returns when a first one waits for its locks.
pub async fn held_up(url: &str) {
    let admin = admin(url).await;
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'";
    while admin.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn open_account(n: u8) -> Batch {
    let id = AccountId::from([n; 16]);
    Batch::new(UnixTime::from_secs(1)).with(Op::OpenAccount { id, side: Side::Credit })
}

#[tokio::test]
async fn what_waits_is_committed_together_and_judged_alone() {
    let Some(cluster) = cluster() else { return };
    let url = cluster.database().await;
    let groups = Arc::new(AtomicUsize::new(0));
    let seen = groups.clone();
    let options = PostgresOptions::default().readers(1).on_commit(move |at| {
        seen.fetch_add(usize::from(at == CommitPoint::Begin), Ordering::SeqCst);
        Ok(())
    });
    let store = options.provision(&url).await.unwrap();
    let stuck = Stuck::at(&url).await;
    let first = ask(&store, async |store| remember(&store, 0).await);
    held_up(&url).await;
    let others: Vec<_> =
        (1..=200).map(|n| ask(&store, async move |store| remember(&store, n).await)).collect();
    let accounts: Vec<_> =
        (1..=100).map(|n| ask(&store, async move |store| store.commit(open_account(n)).await)).collect();
    // The database cannot hold this number: the job fails.
    let bad = ask(&store, async |store| remember_at(&store, 300, Epoch::new(u64::MAX)).await);
    let late = ask(&store, async |store| remember(&store, 301).await);
    let again = ask(&store, async |store| remember(&store, 1).await);
    stuck.free().await;
    assert_eq!(first.await, Ok(true));
    for other in others {
        assert_eq!(other.await, Ok(true));
    }
    for account in accounts {
        assert_eq!(account.await.unwrap(), [Outcome::Created]);
    }
    assert_eq!(bad.await, Err(StoreError::TooLarge.into()));
    assert_eq!(late.await, Ok(true));
    assert_eq!(again.await, Ok(false), "it sees what came before it in the same commit");
    assert_eq!(groups.load(Ordering::SeqCst), 2);
    let store = reopen(&url, store).await;
    assert_eq!(remember(&store, 300).await, Ok(true), "of what failed nothing stayed");
    assert_eq!(store.head().await.unwrap().entries, 100);
    store.close().await;
}

#[tokio::test]
async fn a_payload_whose_record_was_not_stored_leaves_nothing_behind() {
    let Some(cluster) = cluster() else { return };
    let url = cluster.database().await;
    let options = PostgresOptions::default().timeout(Duration::from_millis(400));
    let store = options.provision(&url).await.unwrap();
    let row = record(300_000);
    let mut upload = store.upload(row.payload.id).await.unwrap();
    upload.write(&[7; 300_000]).await.unwrap();
    assert_eq!(rows(&url, "payloads").await, 1);
    let stuck = Stuck::at(&url).await;
    assert_eq!(Records::put(&store, row, upload, None).await, Err(StoreError::Busy));
    stuck.free().await;
    while rows(&url, "payloads").await > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    store.close().await;
}

/// Ends every connection of the store to its database, from within.
pub async fn disconnect(url: &str) {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE application_name = 'symbolon' AND datname = current_database()";
    admin(url).await.batch_execute(sql).await.unwrap();
}

#[tokio::test]
async fn a_lost_connection_is_unknown_only_at_the_commit() {
    let Some(cluster) = cluster() else { return };
    let points = [(CommitPoint::Begin, Ok(true), false), (CommitPoint::Committed, Err(()), true)];
    for (point, answer, applied) in points {
        let url = cluster.database().await;
        let (reached, arrived) = std::sync::mpsc::channel();
        let (go, gone) = std::sync::mpsc::channel();
        let once = Mutex::new(Some((reached, gone)));
        let fails = point == CommitPoint::Committed;
        let options = PostgresOptions::default().readers(1).on_commit(move |at| {
            let gate = if at == point { once.lock().unwrap().take() } else { None };
            if let Some((reached, gone)) = gate {
                reached.send(()).unwrap();
                gone.recv().unwrap();
                if fails {
                    return Err(StoreError::Io("as if the answer had not come".into()));
                }
            }
            Ok(())
        });
        let store = options.provision(&url).await.unwrap();
        let asked = ask(&store, async |store| remember(&store, 1).await);
        arrived.recv().unwrap();
        disconnect(&url).await;
        go.send(()).unwrap();
        match answer {
            Ok(answer) => assert_eq!(asked.await, Ok(answer), "nothing was lost but a connection"),
            Err(()) => assert_eq!(asked.await, Err(StoreError::Unknown.into())),
        }
        assert_eq!(remember(&store, 2).await, Ok(true));
        assert_eq!(remember(&store, 1).await, Ok(false), "asked again by id after {point:?}");
        let _ = applied;
        store.close().await;
    }
}

#[tokio::test]
async fn a_commit_that_may_not_have_reached_the_server_is_unknown() {
    let Some(cluster) = cluster() else { return };
    for (point, applied) in [(CommitPoint::Applied, false), (CommitPoint::Guarded, true)] {
        let url = cluster.database().await;
        let fail = Arc::new(AtomicUsize::new(1));
        let options = PostgresOptions::default().readers(1).on_commit(move |at| {
            match at == point && fail.swap(0, Ordering::SeqCst) == 1 {
                true => Err(StoreError::Io("asked for".into())),
                false => Ok(()),
            }
        });
        let store = options.provision(&url).await.unwrap();
        assert_eq!(remember(&store, 1).await, Err(StoreError::Unknown.into()));
        assert_eq!(remember(&store, 1).await, Ok(!applied), "asked again by id after {point:?}");
        store.close().await;
    }
}

#[tokio::test]
async fn a_slow_server_leads_to_busy_and_back() {
    let Some(cluster) = cluster() else { return };
    let url = cluster.database().await;
    let options = PostgresOptions::default().readers(1).queue(4).timeout(Duration::from_millis(400));
    let store: Postgres = options.provision(&url).await.unwrap();
    let stuck = Stuck::at(&url).await;
    let slow = ask(&store, async |store| remember(&store, 0).await);
    held_up(&url).await;
    let waiting: Vec<_> =
        (1..=4).map(|n| ask(&store, async move |store| remember(&store, n).await)).collect();
    assert_eq!(remember(&store, 5).await, Err(StoreError::Busy.into()), "the queue is full");
    assert_eq!(slow.await, Err(StoreError::Busy.into()), "the server took too long");
    stuck.free().await;
    for request in waiting {
        let answer = request.await;
        assert!(answer == Ok(true) || answer == Err(StoreError::Busy.into()), "{answer:?}");
    }
    assert_eq!(remember(&store, 0).await, Ok(true), "what was refused was not stored");
    store.close().await;
}
