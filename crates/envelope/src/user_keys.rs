//! The database of user shared keys (E1): each wrapped under the private server key.

use alloc::vec::Vec;
use core::error::Error;
use core::future::Future;

use rand_core::CryptoRng;
use symbolon_keys::{Epoch, Id};

use crate::records::{Change, RecordId};

/// What the server keeps of one user's shared key.
#[expect(clippy::exhaustive_structs, reason = "a row: stores build it field by field")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserKeyRow {
    /// Whose key it is.
    pub user: Id,
    /// Counts every change of the row. The same number is in the wrapped key's encrypted context.
    pub revision: u64,
    /// Counts the user's keys: a new passphrase is a new epoch.
    pub epoch: Epoch,
    /// Whether the key may be used.
    pub state: UserState,
    /// How the user makes the key from a passphrase; none if the key is random.
    pub derivation: Option<Derivation>,
    /// The version of the private server key under which the key is wrapped.
    pub server_key: u32,
    /// Names the wrapped key in its own context.
    pub key_id: RecordId,
    /// The key itself: a whole envelope, below 1 KiB.
    pub wrapped: Vec<u8>,
}

/// Whether a user's key may be used.
#[expect(clippy::exhaustive_enums, reason = "stores encode both; a third would be a new format")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserState {
    /// It may.
    Active,
    /// It may not, until it is enabled again.
    Disabled,
}

/// The public inputs of Argon2id for one user (C8).
#[expect(clippy::exhaustive_structs, reason = "a row: stores build it field by field")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Derivation {
    /// Random, of this user and epoch.
    pub salt: [u8; 16],
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Derivation {
    /// The default costs: 64 MiB, 3 passes, 4 lanes (the second choice of RFC 9106).
    #[must_use]
    pub const fn with_salt(salt: [u8; 16]) -> Self {
        Self { salt, memory_kib: 65_536, passes: 3, lanes: 4 }
    }
}

/// What a user needs, beside the passphrase, to make the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserParameters {
    /// Salt and costs.
    pub derivation: Derivation,
    /// Counts the user's keys.
    pub epoch: Epoch,
}

impl UserParameters {
    /// Of these parts.
    #[must_use]
    pub const fn new(derivation: Derivation, epoch: Epoch) -> Self {
        Self { derivation, epoch }
    }

    /// For a new key: a fresh salt, the default costs.
    pub fn generate<R: CryptoRng + ?Sized>(epoch: Epoch, rng: &mut R) -> Self {
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        Self::new(Derivation::with_salt(salt), epoch)
    }
}

/// Where the users' wrapped keys live. Durability and atomicity are as for [`Records`](crate::Records).
pub trait UserKeyStore: Send + Sync + 'static {
    /// What can go wrong in the store itself.
    type Error: Error + Send + Sync + 'static;

    /// Stores `row` if the user's row is at revision `replaces` and of the same `key_id`, or if there is none and
    /// `replaces` is none. A user who was erased and enrolled again has another `key_id`: no late change of the former
    /// row brings a destroyed key back.
    ///
    /// Before that: [`Change::Outdated`] if `row` is under an older version of the server key than is required.
    fn put(
        &self,
        row: UserKeyRow,
        replaces: Option<u64>,
    ) -> impl Future<Output = Result<Change, Self::Error>> + Send;

    /// Takes, from now on, only what is under the version `server_key` or a later one: as
    /// [`Records::require`](crate::Records::require).
    fn require(&self, server_key: u32) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The row of `user`.
    fn get(&self, user: Id) -> impl Future<Output = Result<Option<UserKeyRow>, Self::Error>> + Send;

    /// Destroys the row of `user`, and so whatever only its key opens. Whether it was there.
    ///
    /// A store overwrites or vacuums what it can, and says in its documentation what media keep.
    fn delete(&self, user: Id) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Rows wrapped under a version of the server key below `version`, in the order of the users' ids, those after
    /// `after`, at most `limit`.
    fn below(
        &self,
        version: u32,
        after: Option<Id>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<UserKeyRow>, Self::Error>> + Send;
}
