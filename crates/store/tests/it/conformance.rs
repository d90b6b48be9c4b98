//! The suites of the domain crates, on SQLite behind `AnyStore`: so that the delegation is tested with it.

use symbolon_store::AnyStore;

use crate::place::{Place, reopen_any};

async fn fresh(place: &Place) -> AnyStore {
    place.fresh().await.into()
}

#[tokio::test]
async fn profiles() {
    let place = Place::new();
    symbolon_agreement::conformance::profile_store(|| fresh(&place)).await;
}

#[tokio::test]
async fn directory() {
    let place = Place::new();
    symbolon_table::conformance::directory(async || fresh(&place).await, reopen_any).await;
}

#[tokio::test]
async fn mailbox() {
    let place = Place::new();
    symbolon_table::conformance::mailbox(async || fresh(&place).await, reopen_any).await;
}

#[tokio::test]
async fn inbox() {
    let place = Place::new();
    symbolon_table::conformance::inbox(async || fresh(&place).await, reopen_any).await;
}

#[tokio::test]
async fn approvals() {
    let place = Place::new();
    symbolon_table::conformance::approvals(async || fresh(&place).await, reopen_any).await;
}

#[tokio::test]
async fn ledger() {
    let place = Place::new();
    symbolon_ledger::conformance::suite(async || fresh(&place).await, reopen_any).await;
}

#[tokio::test]
async fn records() {
    let place = Place::new();
    symbolon_envelope::conformance::records(async || fresh(&place).await).await;
}

#[tokio::test]
async fn user_keys() {
    let place = Place::new();
    symbolon_envelope::conformance::user_keys(async || fresh(&place).await).await;
}
