//! The memory store passes the suite.

use symbolon_ledger::{MemoryStore, conformance};

// proves L3 L5 L15 L16 L20 L30
#[tokio::test]
async fn memory() {
    conformance::suite(async || MemoryStore::new(), async |store: MemoryStore| store.backup()).await;
}
