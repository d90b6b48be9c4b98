//! The server breaks off, crashes, comes back.

use symbolon_keys::{Epoch, Id};
use symbolon_store::{Durability, Postgres};
use symbolon_table::{InboxStore, MessageId};

use crate::cluster::{Cluster, reopen};

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

/// One small write: true if it was new.
async fn remember(store: &Postgres, n: u8) -> Result<bool, symbolon_table::StoreError> {
    store.remember(&id("bob"), &id("alice"), &MessageId::from([n; 16]), Epoch::FIRST).await
}

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
