//! What is done now and then: saying that this process lives, looking at the standbys, removing what nobody finishes.

use alloc::sync::Arc;

use tokio::time::sleep;

use super::durability;
use super::engine::Shared;
use super::session::Session;
use crate::StoreError;

/// Seconds of silence after which unfinished uploads of a process are removed. It may come back: then they are refused.
const SILENT: i64 = 60;
/// Unfinished uploads removed at once.
const SWEEP: i64 = 8;

/// Runs until the runtime ends.
pub(super) async fn serve(shared: Arc<Shared>) {
    loop {
        sleep(shared.options.upkeep).await;
        let id = *shared.attachment.as_bytes();
        match shared.aside(|db| look(db, id)).await {
            Ok(seen) => shared.see(seen),
            Err(error) => tracing::warn!(%error, "upkeep failed; the next one tries again"),
        }
    }
}

async fn look(db: Arc<Session>, id: [u8; 16]) -> Result<durability::Seen, StoreError> {
    // A commit that waits for its standby has the row locked, and says the same when it is through.
    let sql = "UPDATE attachments SET seen = now() WHERE id IN
               (SELECT id FROM attachments WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED)";
    db.execute(sql, &[&id.as_slice()]).await?;
    sweep(&db).await?;
    durability::look(&db).await
}

/// Removes unfinished uploads of processes that are gone.
pub(super) async fn sweep(db: &Session) -> Result<(), StoreError> {
    let sql = "DELETE FROM payloads WHERE body IN
               (SELECT p.body FROM payloads p JOIN attachments a ON a.id = p.unfinished_of
                WHERE a.seen < now() - $1::bigint * interval '1 second' LIMIT $2 FOR UPDATE OF p SKIP LOCKED)";
    db.execute(sql, &[&SILENT, &SWEEP]).await.map(drop)
}
