//! The server breaks off, crashes, comes back.

use core::time::Duration;

use symbolon_envelope::{PayloadId, Records, Upload};
use symbolon_keys::{OsRng, UnixTime};
use symbolon_ledger::{Batch, CommitError, LedgerStore, Op};
use symbolon_store::{Durability, PostgresOptions, StoreError};
use symbolon_table::MailboxStore;
use tempfile::TempDir;

use super::attach::pad;
use super::lane::{Stuck, disconnect, held_up};
use crate::cluster::{Cluster, reopen};
use crate::commit::{ask, remember};

#[tokio::test]
async fn a_server_that_crashed_and_came_back_is_used_again() {
    let Some(cluster) = Cluster::private(&[]) else { return };
    let (url, store) = cluster.fresh().await;
    assert_eq!(store.durability(), Durability::Alone);
    assert_eq!(remember(&store, 1).await, Ok(true));
    cluster.crash();
    assert_eq!(remember(&store, 1).await, Ok(false), "what was acknowledged is there");
    assert_eq!(remember(&store, 2).await, Ok(true));
    let store = reopen(&url, store).await;
    assert_eq!(remember(&store, 2).await, Ok(false));
    store.close().await;
}

/// Sets the name of the only synchronous standby, and waits until it holds.
async fn wait_for_standby(cluster: &Cluster, name: &str) {
    let sql = format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'");
    cluster.run(&sql).await;
    cluster.run("SELECT pg_reload_conf(), pg_sleep(0.2)").await;
}

#[tokio::test]
async fn a_standby_that_is_missing_holds_up_commits_and_no_more() {
    let Some(cluster) = Cluster::private(&[]) else { return };
    let url = cluster.database().await;
    let limit = Duration::from_millis(300);
    let store =
        PostgresOptions::default().readers(1).timeout(limit).upkeep(limit).provision(&url).await.unwrap();
    assert_eq!(remember(&store, 1).await, Ok(true));
    let bob = "bob".parse().unwrap();
    wait_for_standby(&cluster, "nobody").await;
    // A new connection waits with its first commit, but not for ever; readers and uploads do not wait.
    disconnect(&url).await;
    assert_eq!(remember(&store, 2).await, Err(StoreError::Busy.into()));
    assert_eq!(store.poll(&bob, 0, 1).await, Ok(Vec::new()));
    let mut upload = store.upload(PayloadId::generate(&mut OsRng)).await.unwrap();
    upload.write(&[7; 200_000]).await.unwrap();
    wait_for_standby(&cluster, "").await;
    assert_eq!(remember(&store, 2).await, Ok(true));
    wait_for_standby(&cluster, "nobody").await;
    // After a commit in doubt nothing is read before it is settled.
    assert_eq!(remember(&store, 3).await, Err(StoreError::Unknown.into()));
    assert_eq!(store.poll(&bob, 0, 1).await, Err(StoreError::Busy.into()));
    wait_for_standby(&cluster, "").await;
    assert_eq!(store.poll(&bob, 0, 1).await, Ok(Vec::new()));
    assert_eq!(remember(&store, 3).await, Ok(false));
    drop(upload);
    store.close().await;
}

#[tokio::test]
async fn a_pad_that_waited_is_refused_if_the_standby_is_asynchronous_by_then() {
    let Some(cluster) = Cluster::private(&[]) else { return };
    let url = cluster.database().await;
    let options = PostgresOptions::default().upkeep(Duration::from_millis(100));
    let store = options.provision(&url).await.unwrap();
    let stuck = Stuck::at(&url).await;
    let first = ask(&store, async |store| remember(&store, 1).await);
    held_up(&url).await;
    let provision = Batch::new(UnixTime::from_secs(1)).with(Op::Provision(pad()));
    let waiting = ask(&store, async move |store| store.commit(provision).await);
    let beside = ask(&store, async |store| remember(&store, 2).await);
    let folder = TempDir::new().unwrap();
    let mut standby = cluster.spawn("pg_receivewal", &["-D", folder.path().to_str().unwrap()]);
    while store.durability() != Durability::Asynchronous {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stuck.free().await;
    assert_eq!(first.await, Ok(true));
    let refused = waiting.await.unwrap_err();
    assert_eq!(refused.to_string(), CommitError::from(StoreError::NotReplicated).to_string());
    assert_eq!(beside.await, Ok(true));
    assert_eq!(store.pad(pad().id).await.unwrap(), None);
    standby.kill().unwrap();
    standby.wait().unwrap();
    store.close().await;
}
