#![expect(clippy::exhaustive_structs, reason = "a store builds rows from its columns")]

use sha2::{Digest, Sha256};
use symbolon_keys::{Label, UnixTime};

use crate::{AccountId, Amount, TransferId};

impl TransferId {
    /// The id of a transfer that the ledger makes by itself: always the same one for the same cause.
    pub(crate) fn derived(label: Label, cause: &[&[u8]]) -> Self {
        let label = label.as_bytes();
        let length = u16::try_from(label.len()).unwrap_or_default().to_be_bytes();
        let hash = Sha256::new().chain_update(length).chain_update(label);
        let hash: [u8; 32] = cause.iter().fold(hash, |hash, part| hash.chain_update(part)).finalize().into();
        Self::from(hash.first_chunk().copied().unwrap_or_default())
    }
}

/// What a transfer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransferKind {
    /// Moves the amount at once.
    Post,
    /// Sets the amount aside until it is captured, released or expired: exactly one of these, once.
    Hold,
    /// Moves up to the amount of a hold; the rest becomes available again.
    Capture,
    /// Gives a hold up.
    Release,
    /// Gives a hold up because its time has passed; anybody may say so.
    Expire,
}

impl TransferKind {
    /// As stored and hashed.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Post => 1,
            Self::Hold => 2,
            Self::Capture => 3,
            Self::Release => 4,
            Self::Expire => 5,
        }
    }

    /// From its code; none for any other number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Post),
            2 => Some(Self::Hold),
            3 => Some(Self::Capture),
            4 => Some(Self::Release),
            5 => Some(Self::Expire),
            _ => None,
        }
    }
}

/// A movement of value from one account to another, immutable once applied.
///
/// `from` is debited and `to` is credited. Of an account of side [`Credit`](crate::Side::Credit) that lowers, or
/// raises, the balance; of one of side [`Debit`](crate::Side::Debit) the other way round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Made by the client, and kept by it before it asks.
    pub id: TransferId,
    /// What it does.
    pub kind: TransferKind,
    /// The account that is debited.
    pub from: AccountId,
    /// The account that is credited.
    pub to: AccountId,
    /// How much.
    pub amount: Amount,
    /// The hold that a capture, release or expiry resolves.
    pub hold: Option<TransferId>,
    /// A hold cannot be captured before this time, nor released at all if it is set: it is a deposit that matures.
    pub matures: Option<UnixTime>,
    /// From this time on a hold cannot be captured, and anybody may expire it.
    pub expires: Option<UnixTime>,
    /// Sixteen bytes of the client's own, such as the id of a request or an invoice; zero if there is none.
    pub reference: [u8; 16],
}

impl Transfer {
    /// Moves `amount` at once.
    #[must_use]
    pub const fn post(id: TransferId, from: AccountId, to: AccountId, amount: Amount) -> Self {
        let (kind, reference) = (TransferKind::Post, [0; 16]);
        Self { id, kind, from, to, amount, hold: None, matures: None, expires: None, reference }
    }

    /// Sets `amount` aside; [`expiring`](Self::expiring) and [`maturing`](Self::maturing) say for how long.
    #[must_use]
    pub const fn hold(id: TransferId, from: AccountId, to: AccountId, amount: Amount) -> Self {
        let mut hold = Self::post(id, from, to, amount);
        hold.kind = TransferKind::Hold;
        hold
    }

    /// Moves `amount`, at most what `hold` set aside; the rest becomes available again.
    #[must_use]
    pub const fn capture(id: TransferId, hold: &Self, amount: Amount) -> Self {
        Self::resolve(id, TransferKind::Capture, hold, amount)
    }

    /// Gives `hold` up: all of it becomes available again.
    #[must_use]
    pub const fn release(id: TransferId, hold: &Self) -> Self {
        Self::resolve(id, TransferKind::Release, hold, Amount::ZERO)
    }

    /// Gives `hold` up because its time has passed.
    #[must_use]
    pub const fn expire(id: TransferId, hold: &Self) -> Self {
        Self::resolve(id, TransferKind::Expire, hold, Amount::ZERO)
    }

    const fn resolve(id: TransferId, kind: TransferKind, hold: &Self, amount: Amount) -> Self {
        let mut transfer = Self::post(id, hold.from, hold.to, amount);
        transfer.kind = kind;
        transfer.hold = Some(hold.id);
        transfer.reference = hold.reference;
        transfer
    }

    /// A hold that ends at `time`.
    #[must_use]
    pub const fn expiring(mut self, time: UnixTime) -> Self {
        self.expires = Some(time);
        self
    }

    /// A deposit: nobody can release it, and it can be captured from `time` on.
    #[must_use]
    pub const fn maturing(mut self, time: UnixTime) -> Self {
        self.matures = Some(time);
        self
    }

    /// With a reference of the client's own.
    #[must_use]
    pub const fn referring_to(mut self, reference: [u8; 16]) -> Self {
        self.reference = reference;
        self
    }
}

/// A transfer as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferRow {
    /// As it was asked for.
    pub transfer: Transfer,
    /// When it was applied.
    pub at: UnixTime,
    /// Of a hold: the transfer that resolved it.
    pub resolved_by: Option<TransferId>,
}
