//! What time does: holds lapse, letters age, and what was committed to happen elsewhere happens.

use core::time::Duration;

use symbolon_keys::{OsRng, UnixTime};
use symbolon_ledger::{Batch, CommitError, LedgerStore, Op, Transfer, TransferId};

use tokio::time::timeout;

use super::exchange::Exchange;

/// How often it looks.
pub(super) const EVERY: Duration = Duration::from_secs(5);

/// How often the documents are counted, for the limit on all of them.
pub(super) const RECOUNT: Duration = Duration::from_secs(60 * 60);

/// How long a courier may take for one thing.
const DELIVERY: Duration = Duration::from_secs(60);

/// How much it does at a time: so much holds the store up for milliseconds.
const AT_ONCE: usize = 256;

impl Exchange {
    /// Says that this process is there, and does what is due, unless the last time is not over: a courier can be slow.
    pub(super) async fn tick(&self) {
        self.gate.tidy();
        self.announce().await;
        if let Ok(_alone) = self.housekeeping.try_lock() {
            self.do_what_is_due().await;
        }
    }

    /// Does what is due, after whoever is at it.
    pub(super) async fn housekeep(&self) {
        let _alone = self.housekeeping.lock().await;
        self.do_what_is_due().await;
    }

    /// What fails is tried again the next time.
    async fn do_what_is_due(&self) {
        if let Err(error) = self.expire_holds().await {
            tracing::warn!(%error, "holds not expired");
        }
        if let Err(error) = self.mailbox.expire(UnixTime::now()).await {
            tracing::warn!(%error, "letters not expired");
        }
        if let Err(error) = self.empty_outbox().await {
            tracing::warn!(%error, "outbox not emptied");
        }
    }

    pub(super) async fn recount(&self) {
        if let Err(error) = self.gate.count(&self.store).await {
            tracing::warn!(%error, "documents not counted");
        }
    }

    /// Gives back what quotes set aside that were never used.
    async fn expire_holds(&self) -> Result<(), CommitError> {
        let now = UnixTime::now();
        let due = self.store.due(now, AT_ONCE).await.map_err(CommitError::NotApplied)?;
        for row in due.iter().filter(|row| row.transfer.expires.is_some_and(|end| end <= now)) {
            let expiry = Transfer::expire(TransferId::generate(&mut OsRng), &row.transfer);
            match self.store.commit(Batch::new(now).with(Op::Transfer(expiry))).await {
                // Somebody was faster: it is resolved.
                Ok(_) | Err(CommitError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Hands what was enqueued to the courier, oldest first, and strikes it off when that is done.
    async fn empty_outbox(&self) -> Result<(), CommitError> {
        let Some(courier) = &self.courier else { return Ok(()) };
        let entries = self.store.outbox(AT_ONCE).await.map_err(CommitError::NotApplied)?;
        for entry in entries {
            match timeout(DELIVERY, courier.deliver(entry.id, &entry.payload)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(entry = %entry.id, %error, "not delivered: it is tried again");
                    return Ok(());
                }
                Err(_) => {
                    tracing::warn!(entry = %entry.id, "not delivered in time: it is tried again");
                    return Ok(());
                }
            }
            match self.store.commit(Batch::new(UnixTime::now()).with(Op::Dequeue(entry.id))).await {
                // Another process delivered it too: it knows it by its id.
                Ok(_) | Err(CommitError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
