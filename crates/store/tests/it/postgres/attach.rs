//! What is attached, and what is refused.

use core::time::Duration;

use symbolon_keys::{Id, UnixTime};
use symbolon_ledger::{
    Batch, BatchId, Generation, Instance, Lease, LedgerStore, Op, PadId, PadMode, PadRow, PadStatus,
    ReceiveRow, SendRow,
};
use symbolon_store::{AttachError, InvalidUrl, Postgres, PostgresUrl, Restored, StoreError};
use symbolon_table::MailboxStore;

use crate::cluster::{Cluster, admin, cluster};
use crate::commit::remember;

pub fn pad() -> PadRow {
    let (generation, batch) = (Generation::from([1; 16]), BatchId::from([0; 16]));
    PadRow {
        id: PadId::from([7; 16]),
        instance: Instance::from([8; 16]),
        mode: PadMode::PadOnly,
        witnessed: false,
        account: None,
        refund: None,
        status: PadStatus::Open,
        lease: Lease { epoch: 0, owner: None, until: UnixTime::default() },
        send: SendRow { lane: 0, generation, len: 1024, from: 0, reserved: 0, batch },
        receive: ReceiveRow {
            lane: 1,
            generation,
            len: 1024,
            position: 0,
            seq: 0,
            ceiling_from: 0,
            ceiling: 0,
            batch,
        },
    }
}

#[tokio::test]
async fn provisioned_once_and_attached_often() {
    let Some(cluster) = cluster() else { return };
    let url = cluster.database().await;
    assert_eq!(Postgres::attach(&url).await.unwrap_err(), AttachError::NotProvisioned);
    assert_eq!(Postgres::attach_after_restore(&url).await.unwrap_err(), AttachError::NotProvisioned);
    let store = Postgres::provision(&url).await.unwrap();
    assert_eq!(remember(&store, 1).await, Ok(true));
    assert_eq!(Postgres::provision(&url).await.unwrap_err(), AttachError::Provisioned);
    let other = Postgres::attach(&url).await.unwrap();
    assert_eq!(remember(&other, 1).await, Ok(false));
    Postgres::upgrade(&url).await.unwrap();
    admin(&url).await.batch_execute("UPDATE symbolon.store SET version = 9").await.unwrap();
    let newer = AttachError::Newer { found: 9, known: 1 };
    assert_eq!(Postgres::attach(&url).await.unwrap_err(), newer);
    assert_eq!(Postgres::upgrade(&url).await.unwrap_err(), newer);
    store.close().await;
    assert_eq!(remember(&other, 2).await, Ok(true), "one that is closed leaves the other alone");
    let handle = other.clone();
    other.close().await;
    assert_eq!(remember(&handle, 3).await, Err(StoreError::Closed.into()));
}

#[tokio::test]
async fn a_copy_is_refused_and_halts_its_pads() {
    let Some(cluster) = cluster() else { return };
    let (url, store) = cluster.fresh().await;
    store.commit(Batch::new(UnixTime::from_secs(1)).with(Op::Provision(pad()))).await.unwrap();
    store.close().await;
    let (_, name) = url.rsplit_once('/').unwrap();
    cluster.run(&format!("CREATE DATABASE {name}_copy TEMPLATE {name}")).await;
    let copy = format!("{url}_copy");
    let restore = AttachError::RestoreRequired(Restored::OtherPlace);
    assert_eq!(Postgres::attach(&copy).await.unwrap_err(), restore);
    assert_eq!(Postgres::attach_after_failover(&copy).await.unwrap_err(), restore);
    let restored = Postgres::attach_after_restore(&copy).await.unwrap();
    let status = restored.pad(pad().id).await.unwrap().unwrap().status;
    assert_eq!(status, PadStatus::RollbackSuspected);
    restored.close().await;
    Postgres::attach(&copy).await.unwrap().close().await;
    let original = Postgres::attach(&url).await.unwrap();
    assert_eq!(original.pad(pad().id).await.unwrap().unwrap().status, PadStatus::Open);
    original.close().await;
}

#[tokio::test]
async fn another_timeline_is_a_failover_or_a_restore() {
    let Some(cluster) = cluster() else { return };
    let (url, store) = cluster.fresh().await;
    store.close().await;
    let admin = admin(&url).await;
    admin.batch_execute("UPDATE symbolon.store SET timeline = timeline + 1").await.unwrap();
    let refused = Postgres::attach(&url).await.unwrap_err();
    assert!(matches!(refused, AttachError::RestoreRequired(Restored::Timeline { .. })), "{refused:?}");
    Postgres::attach_after_failover(&url).await.unwrap().close().await;
    Postgres::attach(&url).await.unwrap().close().await;
}

#[tokio::test]
async fn a_store_that_lost_commits_or_was_restored_serves_nothing() {
    let Some(cluster) = cluster() else { return };
    for loss in ["UPDATE symbolon.attachments SET commits = 1", "DELETE FROM symbolon.attachments"] {
        let (url, store) = cluster.fresh().await;
        store.commit(Batch::new(UnixTime::from_secs(1)).with(Op::Provision(pad()))).await.unwrap();
        assert_eq!(remember(&store, 1).await, Ok(true));
        assert_eq!(remember(&store, 2).await, Ok(true));
        let admin = admin(&url).await;
        admin.batch_execute(loss).await.unwrap();
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE application_name = 'symbolon' AND datname = current_database()";
        admin.batch_execute(sql).await.unwrap();
        let refused = remember(&store, 3).await.unwrap_err();
        assert!(!refused.is_retryable(), "{refused}");
        assert!(store.pad(pad().id).await.is_err(), "nor is anything read");
        store.close().await;
        // Attached anew, nothing is missing. What was lost may have been a reservation.
        let anew = Postgres::attach(&url).await.unwrap();
        assert_eq!(anew.pad(pad().id).await.unwrap().unwrap().status, PadStatus::RollbackSuspected);
        anew.close().await;
    }
}

#[tokio::test]
async fn nothing_is_read_from_a_restored_database() {
    let Some(cluster) = cluster() else { return };
    let (url, store) = cluster.fresh().await;
    let admin = admin(&url).await;
    admin
        .batch_execute("UPDATE symbolon.store SET instance = decode(repeat('07', 16), 'hex')")
        .await
        .unwrap();
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE application_name = 'symbolon' AND datname = current_database()";
    admin.batch_execute(sql).await.unwrap();
    while let Err(error) = store.poll(&bob(), 0, 1).await {
        if !error.is_retryable() {
            return store.close().await;
        }
    }
    panic!("it was read");
}

#[tokio::test]
async fn nothing_is_read_on_another_timeline_before_it_is_vouched_for() {
    let Some(cluster) = Cluster::private(&[]) else { return };
    let (url, store) = cluster.fresh().await;
    assert_eq!(remember(&store, 1).await, Ok(true));
    assert_eq!(store.poll(&bob(), 0, 1).await, Ok(Vec::new()));
    cluster.fail_over();
    // It had no standby: so this may be any older copy, and nobody asks to write.
    loop {
        match store.poll(&bob(), 0, 1).await {
            Ok(_) => panic!("it was read"),
            Err(error) if !error.is_retryable() => break,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    store.close().await;
    let refused = Postgres::attach(&url).await.unwrap_err();
    assert!(matches!(refused, AttachError::RestoreRequired(Restored::Timeline { .. })), "{refused:?}");
    let store = Postgres::attach_after_failover(&url).await.unwrap();
    assert_eq!(remember(&store, 1).await, Ok(false));
    store.close().await;
}

fn bob() -> Id {
    "bob".parse().unwrap()
}

#[tokio::test]
async fn a_server_that_loses_what_it_acknowledged_is_refused() {
    let Some(cluster) = cluster() else { return };
    let (url, store) = cluster.fresh().await;
    store.close().await;
    let (_, name) = url.rsplit_once('/').unwrap();
    cluster.run(&format!("ALTER DATABASE {name} SET synchronous_commit = local")).await;
    let refused = AttachError::Unsafe { setting: "synchronous_commit", value: "local".into() };
    assert_eq!(Postgres::attach(&url).await.unwrap_err(), refused);
    cluster.run(&format!("ALTER DATABASE {name} SET synchronous_commit = remote_apply")).await;
    Postgres::attach(&url).await.unwrap().close().await;
}

#[test]
fn a_url_says_how_the_server_is_reached() {
    let parse = |url: &str| url.parse::<PostgresUrl>().map(|url| format!("{url:?}"));
    assert_eq!(parse("postgres://u:secret@db.example/x").unwrap_err(), InvalidUrl::NoRoots);
    assert_eq!(parse("postgres://u@db.example/x?sslmode=require").unwrap_err(), InvalidUrl::NoRoots);
    assert_eq!(parse("postgres://u@db.example/x?sslmode=prefer").unwrap_err(), InvalidUrl::NotPostgres);
    assert_eq!(parse("postgres://u@db.example").unwrap_err(), InvalidUrl::NotPostgres);
    assert_eq!(
        parse("postgres://u@db.example/x?shoe=9&sslmode=disable").unwrap_err(),
        InvalidUrl::NotPostgres
    );
    for good in [
        "postgres://u:secret@db.example/x?sslrootcert=/etc/ca.pem",
        "postgres://u:secret@a.example,b.example/x?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql://u:secret@127.0.0.1:5432/x",
        "postgres://u:secret@%2Frun%2Fpostgresql/x",
        "postgres://u:secret@db.example/x?sslmode=disable",
    ] {
        let shown = parse(good).unwrap();
        assert!(!shown.contains("secret"), "{shown}");
    }
}
