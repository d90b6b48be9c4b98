use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::{Future, ready};
use std::sync::{Mutex, MutexGuard, PoisonError};

use symbolon_keys::{Epoch, Id, UnixTime};

use crate::document::ApprovalId;
use crate::letter::{Delivery, Deposit, Full, Letter, Quota};
use crate::message::MessageId;
use crate::record::Record;
use crate::store::{ApprovalStore, DirectoryStore, InboxStore, MailboxStore, StoreError};

/// All four stores in memory, for tests and for programs that start afresh. Clones share the same memory.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    records: BTreeMap<(Id, Epoch), Record>,
    mailboxes: BTreeMap<Id, Mailbox>,
    accepted: BTreeMap<(Id, Id, MessageId), Epoch>,
    spent: BTreeMap<ApprovalId, UnixTime>,
}

#[derive(Default)]
struct Mailbox {
    /// The number of the newest letter ever deposited; it survives the letters.
    last: u64,
    letters: BTreeMap<u64, Letter>,
    bytes: u64,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change below is complete before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn newest(&self, id: &Id) -> Option<&Record> {
        let all = (*id, Epoch::FIRST)..=(*id, Epoch::new(u64::MAX));
        self.records.range(all).next_back().map(|(_, record)| record)
    }
}

impl DirectoryStore for MemoryStore {
    fn append(&self, record: &Record) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let mut state = self.state();
        let next = state.newest(record.id()).map_or(Some(Epoch::FIRST), |newest| newest.epoch().next());
        let appended = next == Some(record.epoch());
        if appended {
            state.records.insert((*record.id(), record.epoch()), record.clone());
        }
        ready(Ok(appended))
    }

    fn newest(&self, ids: &[Id]) -> impl Future<Output = Result<Vec<Option<Record>>, StoreError>> + Send {
        let state = self.state();
        ready(Ok(ids.iter().map(|id| state.newest(id).cloned()).collect()))
    }

    fn history(
        &self,
        id: &Id,
        from: Epoch,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Record>, StoreError>> + Send {
        let state = self.state();
        let range = (*id, from)..=(*id, Epoch::new(u64::MAX));
        ready(Ok(state.records.range(range).map(|(_, record)| record.clone()).take(limit).collect()))
    }
}

impl Mailbox {
    fn deposit(&mut self, letter: &Letter, quota: &Quota) -> Deposit {
        let (sender, id) = (letter.header().sender(), letter.header().message_id());
        let from_sender = || self.letters.iter().filter(|(_, other)| other.header().sender() == sender);
        if let Some((&sequence, other)) = from_sender().find(|(_, other)| other.header().message_id() == id) {
            let same = other.message() == letter.message();
            return if same { Deposit::Already(sequence) } else { Deposit::Conflict };
        }
        let bytes = self.bytes.saturating_add(len(letter));
        if count(self.letters.len()) >= quota.letters {
            return Deposit::Full(Full::Letters);
        }
        if count(from_sender().count()) >= quota.letters_per_sender {
            return Deposit::Full(Full::Sender);
        }
        if bytes > quota.bytes {
            return Deposit::Full(Full::Bytes);
        }
        self.last = self.last.saturating_add(1);
        self.bytes = bytes;
        self.letters.insert(self.last, letter.clone());
        Deposit::Stored(self.last)
    }

    /// Keeps the letters of which `keep` holds, and counts the others.
    fn retain(&mut self, keep: impl Fn(u64, &Letter) -> bool) -> u64 {
        let before = self.letters.len();
        self.letters.retain(|sequence, letter| keep(*sequence, letter));
        self.bytes = self.letters.values().map(len).fold(0, u64::saturating_add);
        count(before.saturating_sub(self.letters.len()))
    }
}

fn len(letter: &Letter) -> u64 {
    count(letter.message().len())
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

impl MailboxStore for MemoryStore {
    fn deposit(
        &self,
        letter: &Letter,
        quota: &Quota,
    ) -> impl Future<Output = Result<Deposit, StoreError>> + Send {
        let mut state = self.state();
        let mailbox = state.mailboxes.entry(*letter.header().recipient()).or_default();
        ready(Ok(mailbox.deposit(letter, quota)))
    }

    fn poll(
        &self,
        recipient: &Id,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Delivery>, StoreError>> + Send {
        let state = self.state();
        let letters = state.mailboxes.get(recipient).into_iter().flat_map(|mailbox| &mailbox.letters);
        let later = letters.filter(|(sequence, _)| **sequence > after).take(limit);
        ready(Ok(later.map(|(&sequence, letter)| Delivery { sequence, letter: letter.clone() }).collect()))
    }

    fn acknowledge(
        &self,
        recipient: &Id,
        sequences: &[u64],
    ) -> impl Future<Output = Result<u64, StoreError>> + Send {
        let mut state = self.state();
        let mailbox = state.mailboxes.get_mut(recipient);
        ready(Ok(mailbox.map_or(0, |mailbox| mailbox.retain(|sequence, _| !sequences.contains(&sequence)))))
    }

    fn expire(&self, before: UnixTime) -> impl Future<Output = Result<u64, StoreError>> + Send {
        let mut state = self.state();
        let mailboxes = state.mailboxes.values_mut();
        let expired = mailboxes.map(|mailbox| mailbox.retain(|_, letter| letter.deposited() >= before));
        ready(Ok(expired.fold(0, u64::saturating_add)))
    }
}

impl InboxStore for MemoryStore {
    fn remember(
        &self,
        recipient: &Id,
        sender: &Id,
        id: &MessageId,
        epoch: Epoch,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let mut state = self.state();
        let key = (*recipient, *sender, *id);
        let new = !state.accepted.contains_key(&key);
        if new {
            state.accepted.insert(key, epoch);
        }
        ready(Ok(new))
    }

    fn forget(&self, recipient: &Id, epoch: Epoch) -> impl Future<Output = Result<u64, StoreError>> + Send {
        let mut state = self.state();
        let before = state.accepted.len();
        state.accepted.retain(|(of, _, _), accepted| of != recipient || *accepted >= epoch);
        ready(Ok(count(before.saturating_sub(state.accepted.len()))))
    }
}

impl ApprovalStore for MemoryStore {
    fn spend(
        &self,
        id: &ApprovalId,
        expires: UnixTime,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let mut state = self.state();
        let new = !state.spent.contains_key(id);
        if new {
            state.spent.insert(*id, expires);
        }
        ready(Ok(new))
    }

    fn forget_expired(&self, before: UnixTime) -> impl Future<Output = Result<u64, StoreError>> + Send {
        let mut state = self.state();
        let held = state.spent.len();
        state.spent.retain(|_, expires| *expires >= before);
        ready(Ok(count(held.saturating_sub(state.spent.len()))))
    }
}

/// Counts only: what lies in the store is other people's.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { records, mailboxes, accepted, spent } = &*self.state();
        f.debug_struct("MemoryStore")
            .field("records", &records.len())
            .field("mailboxes", &mailboxes.len())
            .field("accepted", &accepted.len())
            .field("spent", &spent.len())
            .finish()
    }
}
