//! The one pure function that decides what a batch does, whatever store runs it.
//!
//! A store opens a transaction, runs [`apply`] for each batch on its [`Tables`], and commits. `apply` reads the rows
//! that the batch touches, judges all of its steps on a copy, and writes the changed rows only if none was refused: so
//! many batches can share one transaction, each judged alone.

mod pad;
mod request;
mod settle;
mod value;

use alloc::vec::Vec;

use symbolon_keys::UnixTime;

use crate::{
    AccountId, AccountRow, Batch, Entry, Event, Head, Op, OutboxEntry, OutboxId, Outcome, PadId, PadRow,
    Refusal, Refused, RequestId, RequestRow, TransferId, TransferRow,
};

/// The rows of a ledger inside one transaction of its store: reads see earlier writes of the same transaction.
///
/// No method decides anything. `put` replaces the row with the same key, or inserts it.
pub trait Tables {
    /// The store's own error. It ends the transaction; nothing of it may stay.
    type Error;

    /// The row of a pad.
    ///
    /// # Errors
    /// The store's own, here and below.
    fn pad(&mut self, id: PadId) -> Result<Option<PadRow>, Self::Error>;
    /// Writes a pad.
    ///
    /// # Errors
    /// The store's own.
    fn put_pad(&mut self, row: &PadRow) -> Result<(), Self::Error>;
    /// The row of an account.
    ///
    /// # Errors
    /// The store's own.
    fn account(&mut self, id: AccountId) -> Result<Option<AccountRow>, Self::Error>;
    /// Writes an account.
    ///
    /// # Errors
    /// The store's own.
    fn put_account(&mut self, row: &AccountRow) -> Result<(), Self::Error>;
    /// The row of a transfer.
    ///
    /// # Errors
    /// The store's own.
    fn transfer(&mut self, id: TransferId) -> Result<Option<TransferRow>, Self::Error>;
    /// Writes a transfer. Only `resolved_by` of a row ever changes.
    ///
    /// # Errors
    /// The store's own.
    fn put_transfer(&mut self, row: &TransferRow) -> Result<(), Self::Error>;
    /// The row of a request.
    ///
    /// # Errors
    /// The store's own.
    fn request(&mut self, pad: PadId, id: RequestId) -> Result<Option<RequestRow>, Self::Error>;
    /// Writes a request.
    ///
    /// # Errors
    /// The store's own.
    fn put_request(&mut self, row: &RequestRow) -> Result<(), Self::Error>;
    /// The requests of a pad whose frames ended below `end`, in the order of where they ended and then of their ids, at
    /// most `limit`.
    ///
    /// # Errors
    /// The store's own.
    fn requests_below(&mut self, pad: PadId, end: u64, limit: usize) -> Result<Vec<RequestId>, Self::Error>;
    /// Removes a request and its reply, if it is there.
    ///
    /// # Errors
    /// The store's own.
    fn remove_request(&mut self, pad: PadId, id: RequestId) -> Result<(), Self::Error>;
    /// How far the journal goes.
    ///
    /// # Errors
    /// The store's own.
    fn head(&mut self) -> Result<Head, Self::Error>;
    /// Adds the next entry to the journal.
    ///
    /// # Errors
    /// The store's own.
    fn append(&mut self, entry: &Entry) -> Result<(), Self::Error>;
    /// An entry of the outbox.
    ///
    /// # Errors
    /// The store's own.
    fn outbox(&mut self, id: OutboxId) -> Result<Option<OutboxEntry>, Self::Error>;
    /// Adds an entry to the outbox.
    ///
    /// # Errors
    /// The store's own.
    fn enqueue(&mut self, entry: &OutboxEntry) -> Result<(), Self::Error>;
    /// Removes an entry from the outbox, if it is there.
    ///
    /// # Errors
    /// The store's own.
    fn dequeue(&mut self, id: OutboxId) -> Result<(), Self::Error>;
}

/// Judges `batch` and, unless a step is refused, writes what it changed: `Ok(Err(_))` means that nothing was written.
///
/// # Errors
/// The store's own error: then the store must roll its transaction back.
pub fn apply<T: Tables>(tables: &mut T, batch: &Batch) -> Result<Result<Vec<Outcome>, Refused>, T::Error> {
    let mut copy = Copy::of(tables, batch.now());
    let mut outcomes = Vec::with_capacity(batch.ops().len());
    if batch.ops().len() > Batch::MAX_OPS {
        return Ok(Err(Refused { op: Batch::MAX_OPS, why: Refusal::TooLarge }));
    }
    for (op, step) in batch.ops().iter().enumerate() {
        match copy.step(step) {
            Ok(outcome) => outcomes.push(outcome),
            Err(Stop::Refused(why)) => return Ok(Err(Refused { op, why })),
            Err(Stop::Tables(error)) => return Err(error),
        }
    }
    match copy.settle(&mut outcomes) {
        Ok(()) => {}
        Err(Stop::Refused(why)) => return Ok(Err(Refused { op: batch.ops().len(), why })),
        Err(Stop::Tables(error)) => return Err(error),
    }
    copy.write()?;
    Ok(Ok(outcomes))
}

/// Why judging stopped.
enum Stop<E> {
    Refused(Refusal),
    Tables(E),
}

impl<E> From<Refusal> for Stop<E> {
    fn from(why: Refusal) -> Self {
        Self::Refused(why)
    }
}

type Judged<T, R> = Result<R, Stop<<T as Tables>::Error>>;

/// The rows that a batch touched, as they will be if none of its steps is refused.
struct Copy<'t, T> {
    tables: &'t mut T,
    now: UnixTime,
    pads: Rows<PadRow>,
    accounts: Rows<AccountRow>,
    transfers: Rows<TransferRow>,
    requests: Rows<RequestRow>,
    forgotten: Vec<(PadId, RequestId)>,
    head: Option<Head>,
    entries: Vec<Entry>,
    enqueued: Vec<OutboxEntry>,
    dequeued: Vec<OutboxId>,
}

impl<'t, T: Tables> Copy<'t, T> {
    const fn of(tables: &'t mut T, now: UnixTime) -> Self {
        Self {
            tables,
            now,
            pads: Rows::NONE,
            accounts: Rows::NONE,
            transfers: Rows::NONE,
            requests: Rows::NONE,
            forgotten: Vec::new(),
            head: None,
            entries: Vec::new(),
            enqueued: Vec::new(),
            dequeued: Vec::new(),
        }
    }

    fn step(&mut self, op: &Op) -> Judged<T, Outcome> {
        if self.now.max(latest(op)) > Batch::MAX_TIME {
            return Err(Refusal::TooLarge.into());
        }
        match op {
            Op::OpenAccount { id, side } => self.open_account(*id, *side),
            Op::Transfer(transfer) => self.transfer(transfer),
            Op::Provision(row) => self.provision(row),
            Op::Attach { pad, instance, owner, until, takeover } => {
                self.attach(*pad, *instance, *owner, *until, *takeover)
            }
            Op::Renew { fence, until } => self.renew(*fence, *until),
            Op::Detach { fence } => self.detach(*fence),
            Op::Check { fence } => self.open(*fence).map(|_| Outcome::Created),
            Op::Reserve { fence, generation, from, to, batch } => {
                self.reserve(*fence, *generation, *from..*to, *batch)
            }
            Op::Claim { fence, generation, from, to, seq, request } => {
                self.claim(*fence, *generation, *from..*to, *seq, *request)
            }
            Op::Answer { fence, request, frame } => self.answer(*fence, *request, frame),
            Op::Ceiling { fence, generation, from, to, batch } => {
                self.ceiling(*fence, *generation, *from..*to, *batch)
            }
            Op::Close { fence, status } => self.close(*fence, *status),
            Op::Recover { fence, generation, instance, ceiling, reserved, batch } => {
                self.recover(*fence, (*generation, *instance), *ceiling..*reserved, *batch)
            }
            Op::Adopt { fence, old, new, from } => self.adopt(*fence, *old, *new, *from),
            Op::Resync { fence, position } => self.resync(*fence, *position),
            Op::Reopen { fence } => self.reopen(*fence),
            Op::Forget { fence } => self.forget(*fence),
            Op::Dismiss { fence, request } => self.dismiss(*fence, *request),
            Op::Enqueue(entry) => self.enqueue(entry),
            Op::Dequeue(id) => {
                self.enqueued.retain(|entry| entry.id != *id);
                self.dequeued.push(*id);
                Ok(Outcome::Created)
            }
        }
    }

    fn enqueue(&mut self, entry: &OutboxEntry) -> Judged<T, Outcome> {
        if entry.payload.len() > OutboxEntry::MAX_PAYLOAD {
            return Err(Refusal::TooLarge.into());
        }
        let known = match self.enqueued.iter().find(|other| other.id == entry.id) {
            Some(other) => Some(other.clone()),
            // Struck off before, in this batch.
            None if self.dequeued.contains(&entry.id) => None,
            None => self.tables.outbox(entry.id).map_err(Stop::Tables)?,
        };
        match known {
            None => self.enqueued.push(entry.clone()),
            Some(other) if other == *entry => return Ok(Outcome::AlreadyExists),
            Some(_) => return Err(Refusal::Conflict(*entry.id.as_bytes()).into()),
        }
        Ok(Outcome::Created)
    }

    fn record(&mut self, event: Event) -> Judged<T, ()> {
        let head = match self.head {
            Some(head) => head,
            None => self.tables.head().map_err(Stop::Tables)?,
        };
        let entry = head.next(self.now, event).ok_or(Refusal::JournalFull)?;
        self.head = Some(entry.head());
        self.entries.push(entry);
        Ok(())
    }

    fn write(self) -> Result<(), T::Error> {
        let Self {
            tables,
            now: _,
            pads,
            accounts,
            transfers,
            requests,
            forgotten,
            head: _,
            entries,
            enqueued,
            dequeued,
        } = self;
        // A pad's row refers to its accounts, which may be new in the same batch.
        accounts.changed().try_for_each(|row| tables.put_account(row))?;
        pads.changed().try_for_each(|row| tables.put_pad(row))?;
        transfers.changed().try_for_each(|row| tables.put_transfer(row))?;
        forgotten.iter().try_for_each(|(pad, id)| tables.remove_request(*pad, *id))?;
        requests.changed().try_for_each(|row| tables.put_request(row))?;
        entries.iter().try_for_each(|entry| tables.append(entry))?;
        dequeued.iter().try_for_each(|id| tables.dequeue(*id))?;
        enqueued.iter().try_for_each(|entry| tables.enqueue(entry))
    }

    fn pad(&mut self, id: PadId) -> Judged<T, Option<PadRow>> {
        self.pads.get(id, || self.tables.pad(id)).map_err(Stop::Tables)
    }

    fn account(&mut self, id: AccountId) -> Judged<T, AccountRow> {
        let row = self.accounts.get(id, || self.tables.account(id)).map_err(Stop::Tables)?;
        row.ok_or_else(|| Refusal::NoSuchAccount(id).into())
    }

    fn transfer_row(&mut self, id: TransferId) -> Judged<T, Option<TransferRow>> {
        self.transfers.get(id, || self.tables.transfer(id)).map_err(Stop::Tables)
    }

    fn request_row(&mut self, pad: PadId, id: RequestId) -> Judged<T, Option<RequestRow>> {
        if self.forgotten.contains(&(pad, id)) {
            return Ok(self.requests.find(&(pad, id)).cloned());
        }
        self.requests.get((pad, id), || self.tables.request(pad, id)).map_err(Stop::Tables)
    }
}

/// The latest time that a step names.
fn latest(op: &Op) -> UnixTime {
    match op {
        Op::Attach { until, .. } | Op::Renew { until, .. } => *until,
        Op::Transfer(transfer) => transfer.matures.max(transfer.expires).unwrap_or_default(),
        _ => UnixTime::default(),
    }
}

/// A row with the key that it is found by.
trait Row: Clone {
    type Key: PartialEq;
    fn key(&self) -> Self::Key;
}

macro_rules! keyed {
    ($($row:ty: $key:ty = |$it:ident| $expr:expr;)+) => {$(
        impl Row for $row {
            type Key = $key;
            fn key(&self) -> $key {
                let $it = self;
                $expr
            }
        }
    )+};
}

keyed! {
    PadRow: PadId = |row| row.id;
    AccountRow: AccountId = |row| row.id;
    TransferRow: TransferId = |row| row.transfer.id;
    RequestRow: (PadId, RequestId) = |row| (row.pad, row.id);
}

/// The rows of one table that a batch touched: a handful, so that a list beats a map.
struct Rows<R>(Vec<(R, bool)>);

impl<R: Row> Rows<R> {
    const NONE: Self = Self(Vec::new());

    /// The row as it is now, loaded when it is first asked for.
    fn get<E>(&mut self, key: R::Key, load: impl FnOnce() -> Result<Option<R>, E>) -> Result<Option<R>, E> {
        if let Some(row) = self.find(&key) {
            return Ok(Some(row.clone()));
        }
        let loaded = load()?;
        self.0.extend(loaded.clone().map(|row| (row, false)));
        Ok(loaded)
    }

    fn find(&self, key: &R::Key) -> Option<&R> {
        self.0.iter().map(|(row, _)| row).find(|row| row.key() == *key)
    }

    fn remove(&mut self, key: &R::Key) {
        self.0.retain(|(row, _)| row.key() != *key);
    }

    fn put(&mut self, new: R) {
        match self.0.iter_mut().find(|(row, _)| row.key() == new.key()) {
            Some(slot) => *slot = (new, true),
            None => self.0.push((new, true)),
        }
    }

    fn changed(&self) -> impl Iterator<Item = &R> {
        self.0.iter().filter(|(_, changed)| *changed).map(|(row, _)| row)
    }
}
