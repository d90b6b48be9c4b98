//! What a table knows of one peer, and how that changes: pure, with the time coming in.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use symbolon_keys::wire::{Malformed, Reader};
use symbolon_keys::{Epoch, Id, Rejected, Secret, UnixTime};

use crate::error::TableError;
use crate::own::{OwnKey, OwnKeys};
use crate::pair::PairRoot;
use crate::policy::{OnChange, Policy};
use crate::record::{InvalidRecord, Record, RecordHash};

/// The most replaced secrets kept for one peer: two keys of theirs by two of ours.
const MAX_RETIRED: usize = 4;

/// The secret of one key of theirs and one of ours.
pub(crate) struct Pair {
    pub(crate) root: PairRoot,
    pub(crate) theirs: Epoch,
    pub(crate) ours: Epoch,
}

impl Pair {
    fn agree(ours: &OwnKey, record: &Record) -> Result<Self, Rejected> {
        let root = PairRoot::agree(&ours.secret, &ours.party, &record.party())?;
        Ok(Self { root, theirs: record.epoch(), ours: ours.epoch() })
    }

    fn copy(&self) -> Self {
        Self { root: self.root.copy(), theirs: self.theirs, ours: self.ours }
    }

    fn is(&self, theirs: Epoch, ours: Epoch) -> bool {
        self.theirs == theirs && self.ours == ours
    }
}

/// A peer that the table holds: fresh or stale by `checked`, and changed or with retired secrets by `past`.
pub(crate) struct Peer {
    pub(crate) current: Pair,
    /// The newest record that is trusted: every later one must follow it.
    pub(crate) head: RecordHash,
    pub(crate) valid_until: UnixTime,
    /// When the directory last confirmed the head.
    pub(crate) checked: UnixTime,
    /// What few peers have at any time, apart so that the others stay small.
    rare: Option<Box<Rare>>,
}

#[derive(Default)]
struct Rare {
    /// The newest first, each with the time when it stops opening.
    retired: Vec<(Pair, UnixTime)>,
    /// A change that nobody approved yet, and until when the key that it replaces opens.
    offered: Option<(Record, UnixTime)>,
}

/// How a message to the peer can be sealed.
pub(crate) enum Sealing {
    /// With the current secret.
    Ready,
    /// After asking the directory; if it cannot answer, with the current secret where `usable` says so.
    Stale { usable: bool },
    /// Not before a change is approved.
    Changed(TableError),
}

/// How a message from the peer can be opened.
pub(crate) enum Opening<'a> {
    /// With this secret.
    Ready(&'a PairRoot),
    /// Not: the key is past its date.
    Retired,
    /// Not before a change is approved.
    Changed(TableError),
    /// Only by asking the directory.
    Unknown,
}

impl Peer {
    /// A peer met for the first time: its newest record, which verified by itself.
    pub(crate) fn meet(record: &Record, ours: &OwnKey, now: UnixTime) -> Result<Self, Rejected> {
        Ok(Self {
            current: Pair::agree(ours, record)?,
            head: record.hash(),
            valid_until: record.statement().valid_until,
            checked: now,
            rare: None,
        })
    }

    pub(crate) fn sealing(&self, id: &Id, ours: Epoch, now: UnixTime, policy: &Policy) -> Sealing {
        if let Some(changed) = self.changed(id) {
            return Sealing::Changed(changed);
        }
        if now >= self.valid_until || now.saturating_since(self.checked) >= policy.stale_for {
            Sealing::Stale { usable: false }
        } else if self.is_old(now, policy) || self.current.ours != ours {
            Sealing::Stale { usable: true }
        } else {
            Sealing::Ready
        }
    }

    pub(crate) fn opening(&self, id: &Id, theirs: Epoch, ours: Epoch, now: UnixTime) -> Opening<'_> {
        if self.current.is(theirs, ours) {
            return Opening::Ready(&self.current.root);
        }
        let rare = self.rare.as_deref();
        if let Some((pair, until)) =
            rare.and_then(|rare| rare.retired.iter().find(|(pair, _)| pair.is(theirs, ours)))
        {
            return if now < *until { Opening::Ready(&pair.root) } else { Opening::Retired };
        }
        match self.changed(id) {
            Some(changed) if theirs > self.current.theirs => Opening::Changed(changed),
            _ => Opening::Unknown,
        }
    }

    /// The change that waits for approval.
    pub(crate) fn offered(&self) -> Option<&Record> {
        self.rare.as_ref()?.offered.as_ref().map(|(record, _)| record)
    }

    fn changed(&self, id: &Id) -> Option<TableError> {
        let offered = self.offered()?;
        Some(TableError::KeyChanged {
            peer: *id,
            known: self.current.theirs,
            offered: offered.epoch(),
            head: offered.hash(),
        })
    }

    /// Whether the directory was not asked for so long that it should be.
    pub(crate) fn is_old(&self, now: UnixTime, policy: &Policy) -> bool {
        !Policy::is_recent(self.checked, now, policy.refresh_after)
    }

    /// The peer after the directory answered with the `history` from the head on, which was verified against it.
    pub(crate) fn refreshed(
        &self,
        history: &[Record],
        ours: &OwnKeys,
        now: UnixTime,
        policy: &Policy,
    ) -> Result<Self, TableError> {
        let [head, rest @ ..] = history else { return Err(InvalidRecord::History.into()) };
        let mut peer = self.copy();
        peer.checked = now;
        match (rest.first(), rest.last()) {
            (Some(next), Some(newest)) if policy.on_change == OnChange::Accept => {
                peer.change(newest, retirement(next, policy), ours, now)?;
            }
            (Some(next), Some(newest)) => {
                peer.rare_mut().offered = Some((newest.clone(), retirement(next, policy)));
            }
            // A directory that takes back a change lied once at least.
            _ if peer.offered().is_some() => return Err(InvalidRecord::History.into()),
            _ => peer.follow_own(head, ours, now)?,
        }
        Ok(peer.tidy(now))
    }

    /// The peer after the change to `head` was approved; none if that is not what was offered.
    pub(crate) fn approved(
        &self,
        id: &Id,
        head: &RecordHash,
        ours: &OwnKeys,
        now: UnixTime,
        policy: &Policy,
    ) -> Result<Option<Self>, TableError> {
        if let Some(changed) = self.changed(id).filter(|_| policy.on_change == OnChange::Refuse) {
            return Err(changed);
        }
        let mut peer = self.copy();
        match peer.rare_mut().offered.take() {
            Some((record, until)) if record.hash() == *head => {
                peer.change(&record, until, ours, now)?;
                Ok(Some(peer.tidy(now)))
            }
            _ => Ok(None),
        }
    }

    /// The peer with the secret of one more pair of keys, which a message names: theirs as in the verified `history`
    /// that begins with it and includes the head, ours `own`, which opens until `until`.
    pub(crate) fn with_pair(
        &self,
        history: &[Record],
        (own, until): (&OwnKey, UnixTime),
        now: UnixTime,
        policy: &Policy,
    ) -> Result<Self, TableError> {
        let [record, rest @ ..] = history else { return Err(InvalidRecord::History.into()) };
        let until = rest.first().map_or(until, |next| retirement(next, policy).min(until));
        if until <= now {
            return Err(TableError::Retired);
        }
        let mut peer = self.copy().tidy(now);
        peer.retire(Pair::agree(own, record)?, until);
        Ok(peer)
    }

    /// Moves to `newest`, and keeps the current secret at most until `until`.
    fn change(
        &mut self,
        newest: &Record,
        until: UnixTime,
        ours: &OwnKeys,
        now: UnixTime,
    ) -> Result<(), Rejected> {
        let new = Pair::agree(ours.current(), newest)?;
        let old = core::mem::replace(&mut self.current, new);
        let own_until = ours.opening(old.ours, now).map_or(now, |(_, until)| until);
        self.retire(old, until.min(own_until));
        self.head = newest.hash();
        self.valid_until = newest.statement().valid_until;
        Ok(())
    }

    /// Moves to our own current key.
    fn follow_own(&mut self, head: &Record, ours: &OwnKeys, now: UnixTime) -> Result<(), Rejected> {
        if self.current.ours == ours.current().epoch() {
            return Ok(());
        }
        self.change(head, UnixTime::from_secs(u64::MAX), ours, now)
    }

    fn retire(&mut self, pair: Pair, until: UnixTime) {
        let retired = &mut self.rare_mut().retired;
        retired.insert(0, (pair, until));
        retired.truncate(MAX_RETIRED);
    }

    fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Wipes the secrets that are past their date.
    fn tidy(mut self, now: UnixTime) -> Self {
        if let Some(rare) = &mut self.rare {
            rare.retired.retain(|(_, until)| now < *until);
            if rare.retired.is_empty() && rare.offered.is_none() {
                self.rare = None;
            }
        }
        self
    }

    fn copy(&self) -> Self {
        let Self { current, head, valid_until, checked, rare } = self;
        let rare = rare.as_ref().map(|rare| {
            let retired = rare.retired.iter().map(|(pair, until)| (pair.copy(), *until)).collect();
            Box::new(Rare { retired, offered: rare.offered.clone() })
        });
        Self { current: current.copy(), head: *head, valid_until: *valid_until, checked: *checked, rare }
    }
}

/// A peer as it lies in a snapshot (`docs/snapshot.md`).
impl Peer {
    const PAIR_LEN: usize = 8 + 8 + 32;
    /// The most bytes of one with its id before it.
    pub(crate) const MAX_LEN: usize =
        2 + Id::MAX_LEN + Self::PAIR_LEN + 32 + 8 + 8 + 1 + MAX_RETIRED * (Self::PAIR_LEN + 8);

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let Self { current, head, valid_until, checked, rare } = self;
        // An offered change is not kept: the directory is asked, and offers it again.
        let checked = if self.offered().is_some() { UnixTime::default() } else { *checked };
        current.write(out);
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(&valid_until.as_secs().to_be_bytes());
        out.extend_from_slice(&checked.as_secs().to_be_bytes());
        let retired = rare.as_ref().map(|rare| rare.retired.as_slice()).unwrap_or_default();
        out.push(u8::try_from(retired.len()).unwrap_or_default());
        for (pair, until) in retired {
            pair.write(out);
            out.extend_from_slice(&until.as_secs().to_be_bytes());
        }
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut peer = Self {
            current: Pair::read(r)?,
            head: RecordHash::from(r.array::<32>()?),
            valid_until: UnixTime::from_secs(r.u64()?),
            checked: UnixTime::from_secs(r.u64()?),
            rare: None,
        };
        let count = usize::from(r.u8()?);
        if count > MAX_RETIRED {
            return Err(Malformed);
        }
        for _ in 0..count {
            let retired = (Pair::read(r)?, UnixTime::from_secs(r.u64()?));
            peer.rare_mut().retired.push(retired);
        }
        Ok(peer)
    }
}

impl Pair {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.theirs.to_bytes());
        out.extend_from_slice(&self.ours.to_bytes());
        out.extend_from_slice(self.root.expose());
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (theirs, ours) = (Epoch::new(r.u64()?), Epoch::new(r.u64()?));
        Ok(Self { root: Secret::from(r.array::<32>()?).into(), theirs, ours })
    }
}

/// Until when the key that `next` replaced opens messages.
fn retirement(next: &Record, policy: &Policy) -> UnixTime {
    next.statement().valid_from.saturating_add(policy.retire_after)
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { current: Pair { root: _, theirs, ours }, head, valid_until: _, checked: _, rare } = self;
        f.debug_struct("Peer")
            .field("theirs", theirs)
            .field("ours", ours)
            .field("head", head)
            .field("retired", &rare.as_ref().map_or(0, |rare| rare.retired.len()))
            .field("changed", &rare.as_ref().is_some_and(|rare| rare.offered.is_some()))
            .finish_non_exhaustive()
    }
}
