//! The in-memory store keeps the promises of every storage trait.

use symbolon_table::{MemoryStore, conformance};

async fn fresh() -> MemoryStore {
    MemoryStore::new()
}

/// What is durable of a memory store is what its clones hold.
async fn reopen(store: MemoryStore) -> MemoryStore {
    store.clone()
}

#[tokio::test]
async fn directory() {
    conformance::directory(fresh, reopen).await;
}

#[tokio::test]
async fn mailbox() {
    conformance::mailbox(fresh, reopen).await;
}

#[tokio::test]
async fn inbox() {
    conformance::inbox(fresh, reopen).await;
}

#[tokio::test]
async fn approvals() {
    conformance::approvals(fresh, reopen).await;
}
