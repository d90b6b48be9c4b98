//! The suites of the domain crates, on PostgreSQL behind `AnyStore`.

use crate::cluster::Databases;

#[tokio::test]
async fn profiles() {
    let Some(databases) = Databases::new() else { return };
    symbolon_agreement::conformance::profile_store(|| databases.fresh()).await;
}

#[tokio::test]
async fn directory() {
    let Some(databases) = Databases::new() else { return };
    symbolon_table::conformance::directory(
        async || databases.fresh().await,
        async |s| databases.reopen(s).await,
    )
    .await;
}

#[tokio::test]
async fn mailbox() {
    let Some(databases) = Databases::new() else { return };
    symbolon_table::conformance::mailbox(
        async || databases.fresh().await,
        async |s| databases.reopen(s).await,
    )
    .await;
}

#[tokio::test]
async fn inbox() {
    let Some(databases) = Databases::new() else { return };
    symbolon_table::conformance::inbox(async || databases.fresh().await, async |s| databases.reopen(s).await)
        .await;
}

#[tokio::test]
async fn approvals() {
    let Some(databases) = Databases::new() else { return };
    symbolon_table::conformance::approvals(
        async || databases.fresh().await,
        async |s| databases.reopen(s).await,
    )
    .await;
}

#[tokio::test]
async fn ledger() {
    let Some(databases) = Databases::new() else { return };
    symbolon_ledger::conformance::suite(
        async || databases.fresh().await,
        async |s| databases.reopen(s).await,
    )
    .await;
}

#[tokio::test]
async fn records() {
    let Some(databases) = Databases::new() else { return };
    symbolon_envelope::conformance::records(async || databases.fresh().await).await;
}

#[tokio::test]
async fn user_keys() {
    let Some(databases) = Databases::new() else { return };
    symbolon_envelope::conformance::user_keys(async || databases.fresh().await).await;
}
