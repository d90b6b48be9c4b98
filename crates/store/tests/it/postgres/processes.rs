//! Several processes on one database: no double charge, one owner, news of each other's deposits.
// proves X2

use std::time::Duration;

use symbolon_envelope::{Change, Payload, PayloadId, Record, RecordId, Records, Upload};
use symbolon_keys::{Backend, Epoch, Id, OsRng, Secret, UnixTime};
use symbolon_ledger::{
    AccountId, Amount, Batch, CommitError, LedgerStore, Op, Outcome, OwnerId, Refusal, Side, Transfer,
    TransferId,
};
use symbolon_store::{Deposited, Postgres};
use symbolon_table::{Deposit, Header, Letter, MailboxStore, PairRoot, Quota, seal};

use crate::cluster::{admin, cluster};

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

fn now() -> UnixTime {
    UnixTime::from_secs(1_800_000_000)
}

fn account(n: u8) -> AccountId {
    AccountId::from([n; 16])
}

async fn pay(store: &Postgres, transfer: Transfer) -> Result<Vec<Outcome>, CommitError> {
    store.commit(Batch::new(now()).with(Op::Transfer(transfer))).await
}

#[tokio::test]
async fn two_processes_never_charge_twice_nor_too_much() {
    let Some(cluster) = cluster() else { return };
    let (url, one) = cluster.fresh().await;
    let other = Postgres::attach(&url).await.unwrap();
    let mut setup = Batch::new(now());
    for (n, side) in [(1, Side::Debit), (2, Side::Credit), (3, Side::Credit)] {
        setup.push(Op::OpenAccount { id: account(n), side });
    }
    let funds = Transfer::post(TransferId::from([9; 16]), account(1), account(2), Amount::new(50));
    one.commit(setup.with(Op::Transfer(funds))).await.unwrap();
    // A hundred payments of one, each asked of both at once: fifty can be paid.
    let payments = (0_u8..100).map(|n| {
        let transfer =
            Transfer::post(TransferId::from([n + 100; 16]), account(2), account(3), Amount::new(1));
        let (one, other, same) = (one.clone(), other.clone(), transfer.clone());
        tokio::spawn(async move { tokio::join!(pay(&one, transfer), pay(&other, same)) })
    });
    let mut created = 0;
    for payment in payments.collect::<Vec<_>>() {
        match payment.await.unwrap() {
            (Ok(a), Ok(b)) => {
                let mut both = [a, b].concat();
                both.sort_by_key(|outcome| *outcome == Outcome::AlreadyExists);
                assert_eq!(both, [Outcome::Created, Outcome::AlreadyExists]);
                created += 1;
            }
            (Err(CommitError::Refused(a)), Err(CommitError::Refused(b))) => {
                assert!(
                    matches!(a.why, Refusal::Insufficient { .. })
                        && matches!(b.why, Refusal::Insufficient { .. })
                );
            }
            mixed => panic!("{mixed:?}"),
        }
    }
    assert_eq!(created, 50);
    assert!(one.account(account(2)).await.unwrap().unwrap().balance.is_zero());
    assert_eq!(other.account(account(3)).await.unwrap().unwrap().balance, Amount::new(50));
    one.close().await;
    other.close().await;
}

fn letter() -> Letter {
    let header = Header::fresh((id("alice"), Epoch::FIRST), (id("bob"), Epoch::FIRST), &mut OsRng);
    let root = PairRoot::from(Secret::generate(&mut OsRng));
    Letter::new(seal(&root, &header, Backend::best(), b"hello").unwrap(), now()).unwrap()
}

#[tokio::test]
async fn a_deposit_is_news_everywhere() {
    let Some(cluster) = cluster() else { return };
    let (url, one) = cluster.fresh().await;
    let other = Postgres::attach(&url).await.unwrap();
    let mut news = other.deposits();
    while news.next().await != Some(Deposited::Missed) {}
    // It listens by now: one who comes late is told all the same.
    news = other.deposits();
    let first = tokio::time::timeout(Duration::from_secs(20), news.next()).await;
    assert_eq!(first, Ok(Some(Deposited::Missed)));
    let sent = |store: Postgres| async move { store.deposit(&letter(), &Quota::default()).await.unwrap() };
    // It may have begun to listen before we did, or not.
    assert_eq!(sent(one.clone()).await, Deposit::Stored(1));
    while news.next().await != Some(Deposited::For(id("bob"))) {
        assert!(matches!(sent(one.clone()).await, Deposit::Stored(_)));
    }
    // The connections are lost, and with them perhaps some news: it says so, and goes on.
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE application_name = 'symbolon' AND datname = current_database()";
    admin(&url).await.batch_execute(sql).await.unwrap();
    while news.next().await != Some(Deposited::Missed) {}
    assert!(matches!(sent(one.clone()).await, Deposit::Stored(_)));
    while news.next().await != Some(Deposited::For(id("bob"))) {}
    other.close().await;
    while news.next().await.is_some() {}
    one.close().await;
}

#[tokio::test]
async fn what_lies_there_already_is_committed_before_it_is_said() {
    let Some(cluster) = cluster() else { return };
    let (url, store) = cluster.fresh().await;
    let letter = letter();
    let admin = admin(&url).await;
    for (said, commits) in [(Deposit::Stored(1), 1_i64), (Deposit::Already(1), 2)] {
        assert_eq!(store.deposit(&letter, &Quota::default()).await, Ok(said));
        // A commit waits for the standby, which may lack what an earlier one left in doubt.
        let row = admin.query_one("SELECT commits FROM symbolon.attachments", &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), commits);
    }
    store.close().await;
}

#[tokio::test]
async fn processes_find_each_other() {
    let Some(cluster) = cluster() else { return };
    let (url, one) = cluster.fresh().await;
    let other = Postgres::attach(&url).await.unwrap();
    let owners = [OwnerId::from([1; 16]), OwnerId::from([2; 16])];
    one.announce(owners[0], "10.0.0.1:7000").await.unwrap();
    other.announce(owners[1], "10.0.0.2:7000").await.unwrap();
    other.announce(owners[1], "10.0.0.3:7000").await.unwrap();
    let peers = one.peers(Duration::from_secs(60)).await.unwrap();
    let found: Vec<_> = peers.iter().map(|peer| (peer.owner, peer.address.as_str())).collect();
    assert_eq!(found, [(owners[0], "10.0.0.1:7000"), (owners[1], "10.0.0.3:7000")]);
    assert!(peers.iter().all(|peer| peer.seen < Duration::from_secs(30)));
    let sql = "UPDATE symbolon.processes SET seen = seen - interval '1 hour' WHERE address LIKE '10.0.0.1%'";
    admin(&url).await.batch_execute(sql).await.unwrap();
    assert_eq!(one.peers(Duration::from_secs(60)).await.unwrap().len(), 1, "one has fallen silent");
    assert_eq!(one.peers(Duration::MAX).await.unwrap().len(), 2);
    one.forget_process(owners[1]).await.unwrap();
    assert_eq!(one.peers(Duration::from_secs(60)).await.unwrap(), []);
    one.close().await;
    other.close().await;
}

pub fn record(len: usize) -> Record {
    let payload = Payload { id: PayloadId::generate(&mut OsRng), len: len as u64, digest: [0; 32] };
    let id = RecordId::generate(&mut OsRng);
    Record {
        id,
        owner: self::id("alice"),
        sequence: 1,
        server_key: 1,
        header: vec![1],
        payload,
        stored: now(),
    }
}

pub async fn rows(url: &str, table: &str) -> i64 {
    let count = format!("SELECT count(*) FROM symbolon.{table}");
    admin(url).await.query_one(&count, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_large_payload_is_read_through_another_process_and_leaves_nothing_behind() {
    let Some(cluster) = cluster() else { return };
    let (url, one) = cluster.fresh().await;
    let other = Postgres::attach(&url).await.unwrap();
    let body: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let row = record(body.len());
    let mut upload = one.upload(row.payload.id).await.unwrap();
    for part in body.chunks(70_001) {
        upload.write(part).await.unwrap();
    }
    assert_eq!(Records::read(&other, row.payload.id, 0, 10).await.unwrap(), None, "not before it is whole");
    assert_eq!(Records::put(&one, row.clone(), upload, None).await.unwrap(), Change::Done);
    for (from, len) in
        [(0, 300_001), (65_535, 2), (131_072, 65_536), (299_999, 9), (300_000, 9), (u64::MAX, 9)]
    {
        let start = usize::try_from(from).unwrap_or(usize::MAX).min(body.len());
        let expected = &body[start..(start + len).min(body.len())];
        let found = Records::read(&other, row.payload.id, from, len).await.unwrap();
        assert_eq!(found.as_deref(), Some(expected), "{len} bytes from {from}");
    }
    // One that is dropped, one that is refused, and the one that is deleted.
    let mut dropped = one.upload(PayloadId::generate(&mut OsRng)).await.unwrap();
    dropped.write(&body).await.unwrap();
    drop(dropped);
    let mut refused = one.upload(PayloadId::generate(&mut OsRng)).await.unwrap();
    refused.write(&body).await.unwrap();
    let conflict = Records::put(&one, row.clone(), refused, None).await.unwrap();
    assert_eq!(conflict, Change::Conflict(Some(1)));
    assert!(other.delete(row.id, id("alice")).await.unwrap());
    assert_eq!(Records::read(&one, row.payload.id, 0, 10).await.unwrap(), None);
    // One of a process that ends before it is put.
    let mut left = one.upload(PayloadId::generate(&mut OsRng)).await.unwrap();
    left.write(&body).await.unwrap();
    one.close().await;
    other.close().await;
    assert_eq!((rows(&url, "payloads").await, rows(&url, "payload_pieces").await), (0, 0));
}
