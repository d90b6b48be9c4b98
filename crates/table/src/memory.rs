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
    /// What lies there of each sender, in all mailboxes.
    senders: BTreeMap<Id, Load>,
    accepted: BTreeMap<(Id, Id, MessageId), Epoch>,
    spent: BTreeMap<ApprovalId, UnixTime>,
}

#[derive(Default)]
struct Mailbox {
    /// The number of the newest letter ever deposited; it survives the letters.
    last: u64,
    letters: BTreeMap<u64, Letter>,
    load: Load,
}

/// How many letters, and their bytes.
#[derive(Clone, Copy, Default)]
struct Load {
    letters: u64,
    bytes: u64,
}

impl Load {
    const fn with(self, bytes: u64) -> Self {
        Self { letters: self.letters.saturating_add(1), bytes: self.bytes.saturating_add(bytes) }
    }

    const fn without(self, bytes: u64) -> Self {
        Self { letters: self.letters.saturating_sub(1), bytes: self.bytes.saturating_sub(bytes) }
    }
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

impl State {
    fn deposit(&mut self, letter: &Letter, quota: &Quota) -> Deposit {
        let header = letter.header();
        let mailbox = self.mailboxes.entry(*header.recipient()).or_default();
        if let Some(found) = mailbox.find(letter) {
            return found;
        }
        let sent = self.senders.entry(*header.sender()).or_default();
        let (load, of_sender) = (mailbox.load.with(len(letter)), sent.with(len(letter)));
        if let Some(full) = quota.lacking(load, mailbox.count_of(header.sender()), of_sender) {
            return Deposit::Full(full);
        }
        mailbox.last = mailbox.last.saturating_add(1);
        mailbox.load = load;
        *sent = of_sender;
        mailbox.letters.insert(mailbox.last, letter.clone());
        Deposit::Stored(mailbox.last)
    }
}

impl Mailbox {
    /// A letter from this sender with this message id that lies there already.
    fn find(&self, letter: &Letter) -> Option<Deposit> {
        let (sender, id) = (letter.header().sender(), letter.header().message_id());
        let same = |other: &Letter| other.header().sender() == sender && other.header().message_id() == id;
        let (&sequence, other) = self.letters.iter().find(|(_, other)| same(other))?;
        let equal = other.message() == letter.message();
        Some(if equal { Deposit::Already(sequence) } else { Deposit::Conflict })
    }

    fn count_of(&self, sender: &Id) -> u64 {
        count(self.letters.values().filter(|letter| letter.header().sender() == sender).count())
    }

    /// Removes the letters that `gone` names, from the loads of their senders, too, and counts them.
    fn remove(&mut self, senders: &mut BTreeMap<Id, Load>, gone: impl Fn(u64, &Letter) -> bool) -> u64 {
        let before = self.load.letters;
        self.letters.retain(|&sequence, letter| {
            if !gone(sequence, letter) {
                return true;
            }
            self.load = self.load.without(len(letter));
            if let Some(sent) = senders.get_mut(letter.header().sender()) {
                *sent = sent.without(len(letter));
            }
            false
        });
        before.saturating_sub(self.load.letters)
    }
}

impl Quota {
    /// What a letter exceeds, with which mailbox and sender would have these loads, and without which the sender has
    /// so many letters there.
    const fn lacking(&self, mailbox: Load, of_sender: u64, sender: Load) -> Option<Full> {
        if mailbox.letters > self.letters {
            Some(Full::Letters)
        } else if of_sender >= self.letters_per_sender {
            Some(Full::Sender)
        } else if mailbox.bytes > self.bytes {
            Some(Full::Bytes)
        } else if sender.letters > self.sender_letters {
            Some(Full::SenderLetters)
        } else if sender.bytes > self.sender_bytes {
            Some(Full::SenderBytes)
        } else {
            None
        }
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
        ready(Ok(self.state().deposit(letter, quota)))
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
        let State { mailboxes, senders, .. } = &mut *self.state();
        let mailbox = mailboxes.get_mut(recipient);
        let named = |sequence, _: &Letter| sequences.contains(&sequence);
        ready(Ok(mailbox.map_or(0, |mailbox| mailbox.remove(senders, named))))
    }

    fn expire(&self, before: UnixTime) -> impl Future<Output = Result<u64, StoreError>> + Send {
        let State { mailboxes, senders, .. } = &mut *self.state();
        let old = |_, letter: &Letter| letter.deposited() < before;
        let expired = mailboxes.values_mut().map(|mailbox| mailbox.remove(senders, old));
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
        let State { records, mailboxes, senders: _, accepted, spent } = &*self.state();
        f.debug_struct("MemoryStore")
            .field("records", &records.len())
            .field("mailboxes", &mailboxes.len())
            .field("accepted", &accepted.len())
            .field("spent", &spent.len())
            .finish()
    }
}
