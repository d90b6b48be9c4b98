//! The stores in memory pass the suite for stores.

use symbolon_envelope::{MemoryRecords, MemoryUserKeys, conformance};

#[tokio::test]
async fn memory_records_conform() {
    conformance::records(async || MemoryRecords::default()).await;
}

#[tokio::test]
async fn memory_user_keys_conform() {
    conformance::user_keys(async || MemoryUserKeys::default()).await;
}
