#![expect(clippy::exhaustive_structs, reason = "a store builds rows from its columns")]

use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest, Sha256};
use symbolon_keys::wire::{Malformed, Reader};
use symbolon_keys::{UnixTime, label};

use crate::{
    AccountId, Amount, Generation, Instance, PadId, PadStatus, Side, Transfer, TransferId, TransferKind,
};

/// What happened to value, or to a pad that holds value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An account was opened.
    Account {
        /// Its name.
        id: AccountId,
        /// Its side.
        side: Side,
    },
    /// A transfer was applied.
    Transfer(Transfer),
    /// A pad was provisioned.
    Provisioned {
        /// Its name.
        pad: PadId,
        /// The half that it was provisioned for.
        instance: Instance,
        /// The account that holds its value, and the one that gets what is left.
        accounts: Option<(AccountId, AccountId)>,
    },
    /// A pad came to an end, or was halted.
    Status {
        /// Its name.
        pad: PadId,
        /// What it became.
        status: PadStatus,
    },
    /// A lane of a pad entered a new life.
    Recovered {
        /// The pad's name.
        pad: PadId,
        /// The lane.
        lane: u8,
        /// Its new life.
        generation: Generation,
    },
}

impl Event {
    /// The accounts that it concerns.
    pub fn accounts(&self) -> impl Iterator<Item = AccountId> {
        match self {
            Self::Account { id, .. } => [Some(*id), None],
            Self::Transfer(transfer) => [Some(transfer.from), Some(transfer.to)],
            Self::Provisioned { accounts, .. } => {
                [accounts.map(|(account, _)| account), accounts.map(|(_, refund)| refund)]
            }
            Self::Status { .. } | Self::Recovered { .. } => [None, None],
        }
        .into_iter()
        .flatten()
    }

    /// As stored and hashed (`docs/accounts.md`).
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        match self {
            Self::Account { id, side } => {
                out.push(1);
                out.extend_from_slice(id.as_bytes());
                out.push(side.code());
            }
            Self::Transfer(transfer) => {
                out.push(2);
                put_transfer(&mut out, transfer);
            }
            Self::Provisioned { pad, instance, accounts } => {
                out.push(3);
                out.extend_from_slice(pad.as_bytes());
                out.extend_from_slice(instance.as_bytes());
                out.push(u8::from(accounts.is_some()));
                if let Some((account, refund)) = accounts {
                    out.extend_from_slice(account.as_bytes());
                    out.extend_from_slice(refund.as_bytes());
                }
            }
            Self::Status { pad, status } => {
                out.push(4);
                out.extend_from_slice(pad.as_bytes());
                out.push(status.code());
            }
            Self::Recovered { pad, lane, generation } => {
                out.push(5);
                out.extend_from_slice(pad.as_bytes());
                out.push(*lane);
                out.extend_from_slice(generation.as_bytes());
            }
        }
        out
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let event = match r.u8()? {
            1 => Self::Account { id: r.array()?.into(), side: Side::from_code(r.u8()?).ok_or(Malformed)? },
            2 => Self::Transfer(read_transfer(&mut r)?),
            3 => Self::Provisioned {
                pad: r.array()?.into(),
                instance: r.array()?.into(),
                accounts: optional(&mut r, |r| Ok((r.array()?.into(), r.array()?.into())))?,
            },
            4 => Self::Status {
                pad: r.array()?.into(),
                status: PadStatus::from_code(r.u8()?).ok_or(Malformed)?,
            },
            5 => Self::Recovered { pad: r.array()?.into(), lane: r.u8()?, generation: r.array()?.into() },
            _ => return Err(Malformed),
        };
        r.finish()?;
        Ok(event)
    }
}

fn put_transfer(out: &mut Vec<u8>, transfer: &Transfer) {
    let Transfer { id, kind, from, to, amount, hold, matures, expires, reference } = transfer;
    out.extend_from_slice(id.as_bytes());
    out.push(kind.code());
    out.extend_from_slice(from.as_bytes());
    out.extend_from_slice(to.as_bytes());
    out.extend_from_slice(&amount.to_bytes());
    out.push(u8::from(hold.is_some()));
    out.extend(hold.iter().flat_map(TransferId::as_bytes));
    for time in [matures, expires] {
        out.push(u8::from(time.is_some()));
        out.extend(time.iter().flat_map(|time| time.as_secs().to_be_bytes()));
    }
    out.extend_from_slice(reference);
}

fn read_transfer(r: &mut Reader<'_>) -> Result<Transfer, Malformed> {
    Ok(Transfer {
        id: r.array()?.into(),
        kind: TransferKind::from_code(r.u8()?).ok_or(Malformed)?,
        from: r.array()?.into(),
        to: r.array()?.into(),
        amount: Amount::from_bytes(r.array()?),
        hold: optional(r, |r| Ok(r.array()?.into()))?,
        matures: optional(r, |r| Ok(UnixTime::from_secs(r.u64()?)))?,
        expires: optional(r, |r| Ok(UnixTime::from_secs(r.u64()?)))?,
        reference: r.array()?,
    })
}

fn optional<'a, T>(
    r: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Option<T>, Malformed> {
    match r.u8()? {
        0 => Ok(None),
        1 => read(r).map(Some),
        _ => Err(Malformed),
    }
}

/// How far a journal goes, and the hash of all of it: enough to notice later that it was cut or changed.
///
/// A party that keeps a head of somebody else's journal holds a checkpoint of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Head {
    /// The number of entries.
    pub entries: u64,
    /// The hash of the last; zero before the first.
    pub hash: [u8; 32],
}

impl Head {
    /// The entry that follows, and with it the next head; none after 2^64 - 1 entries.
    #[must_use]
    pub fn next(&self, at: UnixTime, event: Event) -> Option<Entry> {
        let hash = link(self, at, &event);
        Some(Entry { number: self.entries.checked_add(1)?, at, event, hash })
    }
}

/// One entry of the journal: immutable, numbered from 1, chained to all before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub number: u64,
    /// When it was applied.
    pub at: UnixTime,
    /// What happened.
    pub event: Event,
    /// `SHA-256(LP(label) || previous hash || u64 number || u64 at || event)`.
    pub hash: [u8; 32],
}

impl Entry {
    /// The head of a journal that ends here.
    #[must_use]
    pub const fn head(&self) -> Head {
        Head { entries: self.number, hash: self.hash }
    }
}

fn link(before: &Head, at: UnixTime, event: &Event) -> [u8; 32] {
    let label = label::JOURNAL.as_bytes();
    Sha256::new()
        .chain_update(u16::try_from(label.len()).unwrap_or_default().to_be_bytes())
        .chain_update(label)
        .chain_update(before.hash)
        .chain_update(before.entries.wrapping_add(1).to_be_bytes())
        .chain_update(at.as_secs().to_be_bytes())
        .chain_update(event.to_bytes())
        .finalize()
        .into()
}

/// Walks a journal from one head to another and finds what was changed, cut or put between.
///
/// ```
/// # use symbolon_ledger::{Head, JournalFault, Verifier};
/// let verifier = Verifier::from(Head::default()); // or from a head that was kept
/// assert_eq!(verifier.finish(&Head { entries: 3, hash: [7; 32] }), Err(JournalFault::Cut { entries: 0 }));
/// ```
#[derive(Clone, Debug)]
pub struct Verifier(Head);

impl From<Head> for Verifier {
    fn from(head: Head) -> Self {
        Self(head)
    }
}

impl Verifier {
    /// Takes the next entry.
    ///
    /// # Errors
    /// [`JournalFault`] if it is not what follows.
    pub fn take(&mut self, entry: &Entry) -> Result<(), JournalFault> {
        let fault = JournalFault::Changed { number: entry.number };
        let next = self.0.next(entry.at, entry.event.clone()).ok_or_else(|| fault.clone())?;
        if next != *entry {
            return Err(fault);
        }
        self.0 = next.head();
        Ok(())
    }

    /// The head so far: keep it, or give it to another party.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.0
    }

    /// Ends the walk at a head that was kept earlier, or is claimed now.
    ///
    /// # Errors
    /// [`JournalFault`] if the walk does not end there.
    pub fn finish(self, expected: &Head) -> Result<(), JournalFault> {
        if self.0.entries < expected.entries {
            return Err(JournalFault::Cut { entries: self.0.entries });
        }
        if self.0 == *expected { Ok(()) } else { Err(JournalFault::Changed { number: expected.entries }) }
    }
}

/// What is wrong with a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalFault {
    /// This entry is not what followed when it was written.
    Changed {
        /// Its number.
        number: u64,
    },
    /// The journal ends before a head that was kept.
    Cut {
        /// How many entries are left.
        entries: u64,
    },
}

impl fmt::Display for JournalFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { number } => {
                write!(
                    f,
                    "entry {number} of the journal was changed: restore the ledger, trust no balance in it"
                )
            }
            Self::Cut { entries } => {
                write!(f, "the journal was cut: it has only {entries} entries; the ledger is an old copy")
            }
        }
    }
}

impl core::error::Error for JournalFault {}
