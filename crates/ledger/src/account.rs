#![expect(clippy::exhaustive_structs, reason = "a store builds rows from its columns")]

use crate::{AccountId, Amount, PadId};

/// On which side of the books an account's balance stands. It never goes below zero on that side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Side {
    /// What came in from outside, such as cash received: debits raise it, credits lower it.
    Debit,
    /// What is owed to a holder, or was earned: credits raise it, debits lower it.
    Credit,
}

impl Side {
    /// As stored and hashed.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Debit => 1,
            Self::Credit => 2,
        }
    }

    /// From its code; none for any other number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Debit),
            2 => Some(Self::Credit),
            _ => None,
        }
    }
}

/// An account as a store keeps it.
///
/// At all times `held <= balance`, and over all accounts the balances on the debit side equal those on the credit side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// Its name.
    pub id: AccountId,
    /// The side its balance stands on.
    pub side: Side,
    /// What it holds, on its side.
    pub balance: Amount,
    /// The part of the balance that unresolved holds have set aside.
    pub held: Amount,
    /// The pad whose value it is: when this balance ends, that pad closes in the same commit.
    pub pad: Option<PadId>,
    /// A closed account takes part in no new transfer; holds on it are still resolved.
    pub closed: bool,
}

impl AccountRow {
    /// An empty account.
    #[must_use]
    pub const fn new(id: AccountId, side: Side) -> Self {
        Self { id, side, balance: Amount::ZERO, held: Amount::ZERO, pad: None, closed: false }
    }

    /// What can be spent: the balance without what is held.
    #[must_use]
    pub const fn available(&self) -> Amount {
        self.balance.saturating_sub(self.held)
    }
}
