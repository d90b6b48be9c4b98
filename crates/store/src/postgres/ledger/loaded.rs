//! The rows that a group of batches needs, in memory, while they are judged.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::mem;

use symbolon_ledger::apply::Tables;
use symbolon_ledger::{
    AccountId, AccountRow, Batch, Entry, Head, Op, OutboxEntry, OutboxId, PadId, PadRow, RequestId,
    RequestRow, TransferId, TransferRow,
};

/// A row was asked for that has not been loaded. It is noted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Missing;

/// One table: what the database has, what it should be asked for, and what was written on top.
#[derive(Debug)]
pub(super) struct Table<K, R> {
    stored: BTreeMap<K, Option<R>>,
    wanted: BTreeSet<K>,
    /// None: removed.
    written: BTreeMap<K, Option<R>>,
}

impl<K, R> Default for Table<K, R> {
    fn default() -> Self {
        Self { stored: BTreeMap::new(), wanted: BTreeSet::new(), written: BTreeMap::new() }
    }
}

impl<K: Ord + Copy, R: Clone> Table<K, R> {
    pub(super) fn want(&mut self, key: K) {
        if !self.stored.contains_key(&key) {
            self.wanted.insert(key);
        }
    }

    fn get(&mut self, key: K) -> Result<Option<R>, Missing> {
        if let Some(row) = self.written.get(&key) {
            return Ok(row.clone());
        }
        if let Some(stored) = self.stored.get(&key) {
            return Ok(stored.clone());
        }
        self.wanted.insert(key);
        Err(Missing)
    }

    fn put(&mut self, key: K, row: &R) {
        self.written.insert(key, Some(row.clone()));
    }

    fn remove(&mut self, key: K) {
        self.written.insert(key, None);
    }

    /// What the database is to be asked for, in order.
    pub(super) fn wanted(&self) -> Vec<K> {
        self.wanted.iter().copied().collect()
    }

    /// The answer: what it did not have is known, too.
    pub(super) fn found(&mut self, rows: impl IntoIterator<Item = (K, R)>) {
        self.stored.extend(mem::take(&mut self.wanted).into_iter().map(|key| (key, None)));
        self.stored.extend(rows.into_iter().map(|(key, row)| (key, Some(row))));
    }

    pub(super) fn found_one(&mut self, key: K, row: R) {
        self.wanted.remove(&key);
        self.stored.insert(key, Some(row));
    }

    /// The rows that were written, those that the database does not have apart from those that it has.
    pub(super) fn changes(&self) -> (Vec<&R>, Vec<&R>) {
        let (mut new, mut old) = (Vec::new(), Vec::new());
        for (key, row) in &self.written {
            let known = self.stored.get(key).is_some_and(Option::is_some);
            if known { &mut old } else { &mut new }.extend(row);
        }
        (new, old)
    }

    /// The keys of what was removed.
    pub(super) fn removed(&self) -> impl Iterator<Item = &K> {
        self.written.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| key)
    }
}

/// The oldest requests of a pad, as far as one question goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Below {
    pub(super) pad: PadId,
    pub(super) end: u64,
    pub(super) limit: usize,
}

/// The ledger, as far as a group of batches needs it.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) pads: Table<PadId, PadRow>,
    pub(super) accounts: Table<AccountId, AccountRow>,
    pub(super) transfers: Table<TransferId, TransferRow>,
    pub(super) requests: Table<(PadId, RequestId), RequestRow>,
    pub(super) below: Table<Below, Vec<(u64, RequestId)>>,
    pub(super) outbox: Table<OutboxId, OutboxEntry>,
    stored_head: Head,
    head: Head,
    pub(super) entries: Vec<Entry>,
    pub(super) enqueued: Vec<OutboxEntry>,
    pub(super) dequeued: BTreeSet<OutboxId>,
}

impl Loaded {
    /// Notes the rows that the steps of a batch name.
    pub(super) fn want(&mut self, batch: &Batch) {
        for op in batch.ops() {
            match op {
                Op::OpenAccount { id, .. } => self.accounts.want(*id),
                Op::Transfer(transfer) => {
                    self.transfers.want(transfer.id);
                    transfer.hold.into_iter().for_each(|hold| self.transfers.want(hold));
                    self.accounts.want(transfer.from);
                    self.accounts.want(transfer.to);
                }
                Op::Provision(row) => {
                    self.pads.want(row.id);
                    row.account.into_iter().chain(row.refund).for_each(|id| self.accounts.want(id));
                }
                Op::Attach { pad, .. } => self.pads.want(*pad),
                Op::Claim { fence, request, .. }
                | Op::Answer { fence, request, .. }
                | Op::Dismiss { fence, request } => {
                    self.pads.want(fence.pad);
                    self.requests.want((fence.pad, *request));
                }
                Op::Reserve { fence, .. }
                | Op::Ceiling { fence, .. }
                | Op::Renew { fence, .. }
                | Op::Detach { fence }
                | Op::Check { fence }
                | Op::Close { fence, .. } => self.pads.want(fence.pad),
                Op::Enqueue(entry) => self.outbox.want(entry.id),
                // Rare: what they need is found out while they are judged.
                _ => {}
            }
        }
    }

    pub(super) fn wants(&self) -> bool {
        !(self.pads.wanted.is_empty()
            && self.accounts.wanted.is_empty()
            && self.transfers.wanted.is_empty()
            && self.requests.wanted.is_empty()
            && self.below.wanted.is_empty()
            && self.outbox.wanted.is_empty())
    }

    pub(super) const fn set_head(&mut self, head: Head) {
        self.stored_head = head;
    }

    /// Forgets what was written, for everything is judged again.
    pub(super) fn start_again(&mut self) {
        self.pads.written.clear();
        self.accounts.written.clear();
        self.transfers.written.clear();
        self.requests.written.clear();
        self.head = self.stored_head;
        self.entries.clear();
        self.enqueued.clear();
        self.dequeued.clear();
    }
}

impl Tables for Loaded {
    type Error = Missing;

    fn pad(&mut self, id: PadId) -> Result<Option<PadRow>, Missing> {
        self.pads.get(id)
    }

    fn put_pad(&mut self, row: &PadRow) -> Result<(), Missing> {
        self.pads.put(row.id, row);
        Ok(())
    }

    fn account(&mut self, id: AccountId) -> Result<Option<AccountRow>, Missing> {
        self.accounts.get(id)
    }

    fn put_account(&mut self, row: &AccountRow) -> Result<(), Missing> {
        self.accounts.put(row.id, row);
        Ok(())
    }

    fn transfer(&mut self, id: TransferId) -> Result<Option<TransferRow>, Missing> {
        self.transfers.get(id)
    }

    fn put_transfer(&mut self, row: &TransferRow) -> Result<(), Missing> {
        self.transfers.put(row.transfer.id, row);
        Ok(())
    }

    fn request(&mut self, pad: PadId, id: RequestId) -> Result<Option<RequestRow>, Missing> {
        self.requests.get((pad, id))
    }

    fn put_request(&mut self, row: &RequestRow) -> Result<(), Missing> {
        self.requests.put((row.pad, row.id), row);
        Ok(())
    }

    fn requests_below(&mut self, pad: PadId, end: u64, limit: usize) -> Result<Vec<RequestId>, Missing> {
        // As many more from the database as were removed or moved in memory: so that enough are left.
        let written = self.requests.written.iter().filter(|((of, _), _)| *of == pad);
        let limit_there = limit.saturating_add(written.clone().count());
        let new: Vec<_> = written.filter_map(|(_, row)| row.as_ref()).map(|row| (row.end, row.id)).collect();
        let stored = self.below.get(Below { pad, end, limit: limit_there })?.unwrap_or_default();
        let untouched = stored.into_iter().filter(|(_, id)| !self.requests.written.contains_key(&(pad, *id)));
        let mut all: Vec<_> = untouched.chain(new.into_iter().filter(|(of, _)| *of < end)).collect();
        all.sort_unstable();
        Ok(all.into_iter().take(limit).map(|(_, id)| id).collect())
    }

    fn remove_request(&mut self, pad: PadId, id: RequestId) -> Result<(), Missing> {
        self.requests.remove((pad, id));
        Ok(())
    }

    fn head(&mut self) -> Result<Head, Missing> {
        Ok(self.head)
    }

    fn append(&mut self, entry: &Entry) -> Result<(), Missing> {
        self.head = entry.head();
        self.entries.push(entry.clone());
        Ok(())
    }

    fn outbox(&mut self, id: OutboxId) -> Result<Option<OutboxEntry>, Missing> {
        match self.enqueued.iter().find(|entry| entry.id == id) {
            Some(entry) => Ok(Some(entry.clone())),
            None if self.dequeued.contains(&id) => Ok(None),
            None => self.outbox.get(id),
        }
    }

    fn enqueue(&mut self, entry: &OutboxEntry) -> Result<(), Missing> {
        self.enqueued.push(entry.clone());
        Ok(())
    }

    fn dequeue(&mut self, id: OutboxId) -> Result<(), Missing> {
        self.enqueued.retain(|entry| entry.id != id);
        self.dequeued.insert(id);
        Ok(())
    }
}
