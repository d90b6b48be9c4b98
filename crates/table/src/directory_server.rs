use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use rand_core::Rng;
use symbolon_keys::{Backend, Epoch, Id, OsRng, Rejected, RootKey, UnixTime};

use crate::directory::{Directory, MAX_RECORDS};
use crate::possession::{Challenge, Challenger, Registration};
use crate::record::{InvalidRecord, Record};
use crate::registrations::{RegistrationLimits, Registrations};
use crate::store::{DirectoryStore, StoreError};

/// How long a challenge can be answered.
const CHALLENGE_FOR: Duration = Duration::from_secs(120);

/// How far a registrant's clock may run ahead of ours.
const MAX_SKEW: Duration = Duration::from_secs(300);

/// A directory: it registers records against proof of possession, and hands them out.
///
/// The calling order is [`Self::begin`], then [`Self::register`] with the answer. A change is registered like the
/// first record; its record carries the signature of the key before.
#[derive(Debug)]
pub struct DirectoryServer<S> {
    store: S,
    challenger: Challenger,
    registrations: Registrations,
}

impl<S: DirectoryStore> DirectoryServer<S> {
    /// A directory over `store`, with a fresh secret for its challenges.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self::with_secret(store, RootKey::generate(&mut OsRng), Backend::best())
    }

    /// A directory whose challenges come from `secret`, so that any process that has it takes their answers.
    #[must_use]
    pub fn with_secret(store: S, secret: RootKey, backend: Backend) -> Self {
        let registrations = Registrations::new(RegistrationLimits::default());
        Self { store, challenger: Challenger::new(secret, backend), registrations }
    }

    /// How many records it takes; [`RegistrationLimits::default`] if nothing is said.
    #[must_use]
    pub fn limits(self, limits: RegistrationLimits) -> Self {
        Self { registrations: Registrations::new(limits), ..self }
    }

    /// The store behind it.
    #[must_use]
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Begins the registration of the next record of `id`.
    ///
    /// # Errors
    /// [`RegisterError::Store`]; [`RegisterError::Taken`] if `id` has had its last epoch.
    pub async fn begin(&self, id: &Id, now: UnixTime) -> Result<Challenge, RegisterError> {
        let newest = self.store.newest(&[*id]).await?.pop().flatten();
        let epoch = newest.map_or(Some(Epoch::FIRST), |record| record.epoch().next());
        let mut nonce = [0; 16];
        OsRng.fill_bytes(&mut nonce);
        let expires = now.saturating_add(CHALLENGE_FOR);
        epoch
            .and_then(|epoch| self.challenger.challenge(id, epoch, nonce, expires))
            .ok_or(RegisterError::Taken)
    }

    /// Registers a record, whoever brings it: [`Self::register_from`] where a source is known.
    ///
    /// # Errors
    /// As [`Self::register_from`].
    pub async fn register(&self, registration: &Registration, now: UnixTime) -> Result<(), RegisterError> {
        self.take(registration, None, now).await
    }

    /// Registers a record that came from `source`, of which one registers only so many ids
    /// ([`RegistrationLimits::ids_per_source`]): whatever tells strangers apart, such as the prefix of an address.
    ///
    /// The same registration again gives the same answer, so a lost answer can be asked for again.
    ///
    /// # Errors
    /// [`RegisterError`] says what to do; nothing was registered, except perhaps after [`RegisterError::Store`].
    pub async fn register_from(
        &self,
        source: &[u8],
        registration: &Registration,
        now: UnixTime,
    ) -> Result<(), RegisterError> {
        self.take(registration, Some(source), now).await
    }

    async fn take(
        &self,
        registration: &Registration,
        source: Option<&[u8]>,
        now: UnixTime,
    ) -> Result<(), RegisterError> {
        self.challenger.check(registration, now)?;
        let record = registration.record();
        let statement = record.statement();
        if statement.valid_from > now.saturating_add(MAX_SKEW) || statement.valid_until <= now {
            return Err(RegisterError::Validity);
        }
        match record.epoch().number().checked_sub(1) {
            None => record.verify()?,
            Some(before) => {
                let previous = self.store.history(record.id(), Epoch::new(before), 1).await?;
                record.verify_after(previous.first().ok_or(InvalidRecord::History)?)?;
            }
        }
        let admitted = self.registrations.admit(record, source, now);
        if admitted && self.store.append(record).await? {
            return Ok(());
        }
        let stored = self.store.history(record.id(), record.epoch(), 1).await?;
        match stored.first() {
            Some(stored) if stored == record => Ok(()),
            Some(_) => Err(RegisterError::Taken),
            None if admitted => Err(RegisterError::Taken),
            None => Err(RegisterError::TooMany),
        }
    }
}

impl<S: DirectoryStore> Directory for DirectoryServer<S> {
    async fn lookup(&self, ids: &[Id]) -> Result<Vec<Option<Record>>, StoreError> {
        self.store.newest(ids.get(..MAX_RECORDS.min(ids.len())).unwrap_or_default()).await
    }

    async fn history(&self, id: &Id, from: Epoch) -> Result<Vec<Record>, StoreError> {
        self.store.history(id, from, MAX_RECORDS).await
    }
}

/// Why a record was not registered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterError {
    /// The challenge is expired or was made for something else, or a proof is wrong. Begin again.
    Rejected,
    /// Another record took the epoch: another device was faster, or somebody else has the id. Look it up.
    Taken,
    /// Too many were registered lately: from there, in all, or of this id. Register later.
    TooMany,
    /// The record is not valid now: its time is past, or this clock and the registrant's differ.
    Validity,
    /// The record does not hold.
    Record(InvalidRecord),
    /// The store failed. The record may or may not be registered; the same call again tells.
    Store(StoreError),
}

impl From<Rejected> for RegisterError {
    fn from(_: Rejected) -> Self {
        Self::Rejected
    }
}

impl From<InvalidRecord> for RegisterError {
    fn from(error: InvalidRecord) -> Self {
        Self::Record(error)
    }
}

impl From<StoreError> for RegisterError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected => {
                f.write_str("registration rejected: expired, or the keys are not held; begin again")
            }
            Self::Taken => f.write_str("another record took this epoch of the id; look it up"),
            Self::TooMany => f.write_str("too many registrations from there or of this id; try again later"),
            Self::Validity => {
                f.write_str("record is not valid now; check both clocks and register a later one")
            }
            Self::Record(error) => write!(f, "registration refused: {error}"),
            Self::Store(error) => write!(f, "registration in doubt: {error}; send the same again"),
        }
    }
}

impl core::error::Error for RegisterError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Record(error) => Some(error),
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}
