use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use symbolon_keys::UnixTime;

use crate::apply::{Tables, apply};
use crate::{
    AccountId, AccountRow, Batch, CommitError, Entry, Head, LedgerStore, OutboxEntry, OutboxId, Outcome,
    PadId, PadRow, RequestId, RequestRow, StorageError, TransferId, TransferKind, TransferRow,
};

/// A ledger in memory: for tests, and for whoever can lose it.
///
/// It runs the same [`apply`] as every other store. It can fail on purpose, and give copies of itself, so that a test
/// can see what an old copy or a lost commit leads to.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Inner>>);

#[derive(Clone, Debug, Default)]
struct Inner {
    tables: MemoryTables,
    faults: VecDeque<Option<Fault>>,
}

/// How a commit of a [`MemoryStore`] fails, on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It is not applied, and says so.
    NotApplied,
    /// It is not applied, but nobody can know.
    Lost,
    /// It is applied, but nobody can know.
    Unheard,
}

impl MemoryStore {
    /// An empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A second ledger with the same content, as a backup has it. (A clone is another handle to the same ledger.)
    #[must_use]
    pub fn backup(&self) -> Self {
        let Inner { tables, faults: _ } = &*self.inner();
        Self(Arc::new(Mutex::new(Inner { tables: tables.clone(), faults: VecDeque::new() })))
    }

    /// Lets commits fail: the next one as the first of `faults` says, and so on; `None` lets one succeed.
    pub fn fail(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.inner().faults.extend(faults);
    }

    /// Looks at the tables, or changes them as no batch could.
    pub fn with_tables<R>(&self, look: impl FnOnce(&mut MemoryTables) -> R) -> R {
        look(&mut self.inner().tables)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere cannot leave the tables torn: `apply` writes only after it has judged.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit_now(&self, batch: &Batch) -> Result<Vec<Outcome>, CommitError> {
        let mut inner = self.inner();
        let fault = inner.faults.pop_front().flatten();
        let error = || StorageError::new("a fault that was asked for");
        match fault {
            Some(Fault::NotApplied) => return Err(CommitError::NotApplied(error())),
            Some(Fault::Lost) => return Err(CommitError::Unknown(error())),
            Some(Fault::Unheard) | None => {}
        }
        let judged = match apply(&mut inner.tables, batch) {
            Ok(judged) => judged,
            Err(never) => match never {},
        };
        match fault {
            Some(_) => Err(CommitError::Unknown(error())),
            None => Ok(judged?),
        }
    }
}

impl LedgerStore for MemoryStore {
    async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, CommitError> {
        self.commit_now(&batch)
    }

    async fn pad(&self, id: PadId) -> Result<Option<PadRow>, StorageError> {
        Ok(self.inner().tables.pads.get(&id).cloned())
    }

    async fn pads(&self, after: Option<PadId>, limit: usize) -> Result<Vec<PadRow>, StorageError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(self
            .inner()
            .tables
            .pads
            .range((from, Bound::Unbounded))
            .take(limit)
            .map(|(_, row)| row.clone())
            .collect())
    }

    async fn account(&self, id: AccountId) -> Result<Option<AccountRow>, StorageError> {
        Ok(self.inner().tables.accounts.get(&id).cloned())
    }

    async fn transfer(&self, id: TransferId) -> Result<Option<TransferRow>, StorageError> {
        Ok(self.inner().tables.transfers.get(&id).cloned())
    }

    async fn due(&self, now: UnixTime, limit: usize) -> Result<Vec<TransferRow>, StorageError> {
        let due = |row: &&TransferRow| {
            let time = row.transfer.expires.or(row.transfer.matures);
            row.transfer.kind == TransferKind::Hold
                && row.resolved_by.is_none()
                && time.is_some_and(|at| at <= now)
        };
        Ok(self.inner().tables.transfers.values().filter(due).take(limit).cloned().collect())
    }

    async fn request(&self, pad: PadId, id: RequestId) -> Result<Option<RequestRow>, StorageError> {
        Ok(self.inner().tables.requests.get(&(pad, id)).cloned())
    }

    async fn unanswered(
        &self,
        pad: PadId,
        after: Option<(u64, RequestId)>,
        limit: usize,
    ) -> Result<Vec<RequestRow>, StorageError> {
        let inner = self.inner();
        let mut rows: Vec<_> = inner.tables.requests_of(pad).filter(|row| row.reply.is_none()).collect();
        rows.sort_unstable_by_key(|row| (row.end, row.id));
        let later = rows.into_iter().filter(|row| after.is_none_or(|after| (row.end, row.id) > after));
        Ok(later.take(limit).cloned().collect())
    }

    async fn head(&self) -> Result<Head, StorageError> {
        Ok(self.inner().tables.journal.last().map(Entry::head).unwrap_or_default())
    }

    async fn journal(
        &self,
        account: Option<AccountId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, StorageError> {
        let concerns =
            |entry: &&Entry| account.is_none_or(|id| entry.event.accounts().any(|other| other == id));
        let inner = self.inner();
        let later = inner.tables.journal.iter().skip(usize::try_from(after).unwrap_or(usize::MAX));
        Ok(later.filter(concerns).take(limit).cloned().collect())
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<OutboxEntry>, StorageError> {
        Ok(self.inner().tables.outbox.iter().take(limit).cloned().collect())
    }
}

/// The tables of a [`MemoryStore`]: maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryTables {
    /// Pads by id.
    pub pads: BTreeMap<PadId, PadRow>,
    /// Accounts by id.
    pub accounts: BTreeMap<AccountId, AccountRow>,
    /// Transfers by id.
    pub transfers: BTreeMap<TransferId, TransferRow>,
    /// Requests by pad and id.
    pub requests: BTreeMap<(PadId, RequestId), RequestRow>,
    /// The journal, in order.
    pub journal: Vec<Entry>,
    /// The outbox, oldest first.
    pub outbox: Vec<OutboxEntry>,
}

impl MemoryTables {
    fn requests_of(&self, pad: PadId) -> impl Iterator<Item = &RequestRow> {
        let all = (pad, RequestId::from([0; 16]))..=(pad, RequestId::from([0xff; 16]));
        self.requests.range(all).map(|(_, row)| row)
    }
}

impl Tables for MemoryTables {
    type Error = Infallible;

    fn pad(&mut self, id: PadId) -> Result<Option<PadRow>, Infallible> {
        Ok(self.pads.get(&id).cloned())
    }

    fn put_pad(&mut self, row: &PadRow) -> Result<(), Infallible> {
        self.pads.insert(row.id, row.clone());
        Ok(())
    }

    fn account(&mut self, id: AccountId) -> Result<Option<AccountRow>, Infallible> {
        Ok(self.accounts.get(&id).cloned())
    }

    fn put_account(&mut self, row: &AccountRow) -> Result<(), Infallible> {
        self.accounts.insert(row.id, row.clone());
        Ok(())
    }

    fn transfer(&mut self, id: TransferId) -> Result<Option<TransferRow>, Infallible> {
        Ok(self.transfers.get(&id).cloned())
    }

    fn put_transfer(&mut self, row: &TransferRow) -> Result<(), Infallible> {
        self.transfers.insert(row.transfer.id, row.clone());
        Ok(())
    }

    fn request(&mut self, pad: PadId, id: RequestId) -> Result<Option<RequestRow>, Infallible> {
        Ok(self.requests.get(&(pad, id)).cloned())
    }

    fn put_request(&mut self, row: &RequestRow) -> Result<(), Infallible> {
        self.requests.insert((row.pad, row.id), row.clone());
        Ok(())
    }

    fn requests_below(&mut self, pad: PadId, end: u64, limit: usize) -> Result<Vec<RequestId>, Infallible> {
        let below = self.requests_of(pad).filter(|row| row.end < end);
        let mut below: Vec<_> = below.map(|row| (row.end, row.id)).collect();
        below.sort_unstable();
        Ok(below.into_iter().take(limit).map(|(_, id)| id).collect())
    }

    fn remove_request(&mut self, pad: PadId, id: RequestId) -> Result<(), Infallible> {
        self.requests.remove(&(pad, id));
        Ok(())
    }

    fn head(&mut self) -> Result<Head, Infallible> {
        Ok(self.journal.last().map(Entry::head).unwrap_or_default())
    }

    fn append(&mut self, entry: &Entry) -> Result<(), Infallible> {
        self.journal.push(entry.clone());
        Ok(())
    }

    fn outbox(&mut self, id: OutboxId) -> Result<Option<OutboxEntry>, Infallible> {
        Ok(self.outbox.iter().find(|entry| entry.id == id).cloned())
    }

    fn enqueue(&mut self, entry: &OutboxEntry) -> Result<(), Infallible> {
        self.outbox.push(entry.clone());
        Ok(())
    }

    fn dequeue(&mut self, id: OutboxId) -> Result<(), Infallible> {
        self.outbox.retain(|entry| entry.id != id);
        Ok(())
    }
}
