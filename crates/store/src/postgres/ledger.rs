//! Pads, accounts, transfers and their journal (`schema/postgres/ledger.sql`).

use alloc::vec::Vec;

use symbolon_keys::UnixTime;
use symbolon_ledger::apply::apply;
use symbolon_ledger::{
    AccountId, AccountRow, Batch, CommitError, Entry, Head, LedgerStore, Op, OutboxEntry, Outcome, PadId,
    PadRow, Refused, RequestId, RequestRow, StorageError, TransferId, TransferRow,
};
use tokio::sync::oneshot;

mod flush;
mod load;
mod loaded;
mod numeric;
mod rows;

use super::Postgres;
use super::lane::{Job, Reply};
use super::session::Session;
use crate::StoreError;
use loaded::Loaded;

/// What the ledger says to a batch.
type Judged = Result<Vec<Outcome>, Refused>;

/// A batch in the queue, judged with all others of its group.
pub(super) struct Batched {
    batch: Batch,
    reply: Reply<Judged>,
}

impl Batched {
    fn new(batch: Batch) -> (Self, oneshot::Receiver<Result<Judged, StoreError>>) {
        let (reply, answer) = Reply::new();
        (Self { batch, reply }, answer)
    }

    /// Whether it may be judged: if no pad may be used, and it would use one, it has failed.
    pub(super) fn admit(&mut self, pads: bool) -> bool {
        let admitted = pads || !self.batch.ops().iter().any(uses_pad);
        if !admitted {
            self.fail(StoreError::NotReplicated);
        }
        admitted
    }

    /// It failed by itself, and nobody else of its group did.
    pub(super) fn fail(&mut self, error: StoreError) {
        self.reply.result = Some(Err(error));
    }

    pub(super) fn release(self, fate: &Result<(), StoreError>) {
        self.reply.release(fate);
    }
}

/// Judges batches one after the other, and writes what those that are not refused change.
///
/// The function that judges asks for rows while it runs, and cannot wait. So it runs on a copy of the rows that are
/// known to be needed; where it asks for another one, that is noted; and when all of them have run, what was noted is
/// loaded at once, and everything is judged again. What a batch names itself is loaded before the first time, so that
/// there is hardly ever a second.
pub(super) async fn judge(db: &Session, batches: &mut [&mut Batched]) -> Result<(), StoreError> {
    if batches.is_empty() {
        return Ok(());
    }
    let mut loaded = Loaded::default();
    for batched in batches.iter() {
        loaded.want(&batched.batch);
    }
    loop {
        load::wanted(db, &mut loaded).await?;
        loaded.start_again();
        for batched in batches.iter_mut() {
            // One that misses a row has written nothing. Those after it show what else is needed.
            batched.reply.result = apply(&mut loaded, &batched.batch).ok().map(Ok);
        }
        if !loaded.wants() {
            return flush::changes(db, &loaded).await;
        }
    }
}

impl LedgerStore for Postgres {
    async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, CommitError> {
        if !self.durability().admits_pads() && batch.ops().iter().any(uses_pad) {
            return Err(StoreError::NotReplicated.into());
        }
        let (batched, answer) = Batched::new(batch);
        self.engine.enqueue(Job::Ledger(batched))?;
        Ok(answer.await.unwrap_or(Err(StoreError::Unknown))??)
    }

    async fn pad(&self, id: PadId) -> Result<Option<PadRow>, StorageError> {
        Ok(self.read(move |db| async move { rows::pad(&db, id).await }).await?)
    }

    async fn pads(&self, after: Option<PadId>, limit: usize) -> Result<Vec<PadRow>, StorageError> {
        Ok(self.read(move |db| async move { rows::pads(&db, after, limit).await }).await?)
    }

    async fn account(&self, id: AccountId) -> Result<Option<AccountRow>, StorageError> {
        Ok(self.read(move |db| async move { rows::account(&db, id).await }).await?)
    }

    async fn transfer(&self, id: TransferId) -> Result<Option<TransferRow>, StorageError> {
        Ok(self.read(move |db| async move { rows::transfer(&db, id).await }).await?)
    }

    async fn due(&self, now: UnixTime, limit: usize) -> Result<Vec<TransferRow>, StorageError> {
        Ok(self.read(move |db| async move { rows::due(&db, now, limit).await }).await?)
    }

    async fn request(&self, pad: PadId, id: RequestId) -> Result<Option<RequestRow>, StorageError> {
        Ok(self.read(move |db| async move { rows::request(&db, pad, id).await }).await?)
    }

    async fn unanswered(
        &self,
        pad: PadId,
        after: Option<(u64, RequestId)>,
        limit: usize,
    ) -> Result<Vec<RequestRow>, StorageError> {
        Ok(self.read(move |db| async move { rows::unanswered(&db, pad, after, limit).await }).await?)
    }

    async fn head(&self) -> Result<Head, StorageError> {
        Ok(self.read(|db| async move { rows::head(&db).await }).await?)
    }

    async fn journal(
        &self,
        account: Option<AccountId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, StorageError> {
        Ok(self.read(move |db| async move { rows::journal(&db, account, after, limit).await }).await?)
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<OutboxEntry>, StorageError> {
        Ok(self.read(move |db| async move { rows::outbox(&db, limit).await }).await?)
    }
}

/// Whether a step would use up a part of a pad, or open the way to it. What gives a pad back or ends it may be lost:
/// it is done again.
const fn uses_pad(op: &Op) -> bool {
    !matches!(
        op,
        Op::OpenAccount { .. }
            | Op::Transfer(_)
            | Op::Renew { .. }
            | Op::Detach { .. }
            | Op::Close { .. }
            | Op::Forget { .. }
            | Op::Dismiss { .. }
            | Op::Enqueue(_)
            | Op::Dequeue(_)
    )
}
