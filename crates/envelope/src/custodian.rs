//! The server's engine: receive, store, deliver (E1 to E5).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;
use std::sync::{PoisonError, RwLock};

use symbolon_keys::{Backend, Id, OsRng};

use crate::context::Context;
use crate::error::{OpenError, RewrapError, SealError};
use crate::expect::Expect;
use crate::header::Header;
use crate::records::{Change, Payload, Record, RecordId, Records};
use crate::rewrap::Rewrap;
use crate::server_keys::{RingError, ServerKeys};
use crate::user_keys::UserKeyStore;

mod audit;
mod process;
mod receive;
mod rotation;
mod users;

pub use audit::{Event, Refusal};
pub use process::{MAX_PROCESSED, Processing};
pub use receive::{Receipt, Receiving};
pub use rotation::RewrapJob;

/// Keeps users' envelopes under the private server key, and hands them out re-wrapped.
///
/// 1. [`Custodian::enrol`] puts a user's shared key into the database, wrapped under the server key.
/// 2. [`Custodian::receive`] takes an envelope under a user's key, verifies it to its final chunk, and stores it under
///    the server key. Before that, nothing of it counts.
/// 3. [`Custodian::deliver`] re-wraps the header of a record for its owner or somebody who was granted it; the payload
///    is read as it is, with [`Custodian::read`].
///
/// Who asks is the caller's business: every `user`, `owner` or `to` here was authenticated before.
pub struct Custodian<R, U> {
    realm: Id,
    records: R,
    user_keys: U,
    ring: RwLock<ServerKeys>,
    backend: Backend,
    audit: Box<dyn Fn(&Event) + Send + Sync>,
}

impl<R: Records, U: UserKeyStore> Custodian<R, U> {
    /// An engine for one realm, over its stores and its server keys.
    pub fn new(realm: Id, ring: ServerKeys, records: R, user_keys: U) -> Self {
        Self {
            realm,
            records,
            user_keys,
            ring: RwLock::new(ring),
            backend: Backend::best(),
            audit: Box::new(|_| {}),
        }
    }

    /// On this backend; the best one otherwise.
    #[must_use]
    pub const fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Calls `audit` once for every step that was done, after it is durable, and for every one that was refused.
    #[must_use]
    pub fn audit(mut self, audit: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.audit = Box::new(audit);
        self
    }

    /// The realm.
    #[must_use]
    pub const fn realm(&self) -> Id {
        self.realm
    }

    /// The database of records.
    #[must_use]
    pub const fn records(&self) -> &R {
        &self.records
    }

    /// The database of user keys.
    #[must_use]
    pub const fn user_keys(&self) -> &U {
        &self.user_keys
    }

    /// The header of a record, re-wrapped for `to`, who owns it or was granted it (E5). Costs the same for every size.
    ///
    /// # Errors
    /// [`CustodianError`]; a record that is not for `to` looks as if it did not exist.
    pub async fn deliver(&self, id: RecordId, to: Id) -> Result<Delivery, CustodianError> {
        let outcome = self.deliver_unrecorded(id, to).await;
        (self.audit)(&match &outcome {
            Ok(delivery) => Event::Delivered { record: id, to, sequence: delivery.context.sequence() },
            Err(error) => Event::Refused { record: Some(id), user: to, reason: error.to_refusal() },
        });
        outcome
    }

    async fn deliver_unrecorded(&self, id: RecordId, to: Id) -> Result<Delivery, CustodianError> {
        let record = self.record_for(id, to).await?;
        let key = self.user_key(to).await?;
        let header = Header::parse(&record.header).map_err(OpenError::from)?.0;
        let expect = self.expect(&record);
        self.with_ring(|ring| {
            let (header, context) = Rewrap::from(ring)
                .to(&key.down())
                .expect(expect)
                .backend(self.backend)
                .rewrap(&header, Context::clone, &mut OsRng)?;
            // `expect` demands a context.
            let context = context.ok_or(CustodianError::NoSuchRecord)?;
            Ok(Delivery { header, context, payload: record.payload })
        })
    }

    /// At most `max` bytes of a payload from `offset`; none at its end.
    ///
    /// # Errors
    /// [`CustodianError::Gone`] if the record was replaced or deleted since it was delivered.
    pub async fn read(&self, payload: &Payload, offset: u64, max: usize) -> Result<Vec<u8>, CustodianError> {
        let piece = self.records.read(payload.id, offset, max).await.map_err(CustodianError::store)?;
        let piece = piece.ok_or(CustodianError::Gone)?;
        if piece.is_empty() && offset < payload.len && max > 0 {
            return Err(CustodianError::Gone);
        }
        Ok(piece)
    }

    /// Lets `user` have a record of `owner`.
    ///
    /// # Errors
    /// [`CustodianError`].
    pub async fn grant(&self, id: RecordId, owner: Id, user: Id) -> Result<(), CustodianError> {
        let outcome = async {
            self.record_of(id, owner).await?;
            let key = self.key_of(user).await?.ok_or(CustodianError::UnknownUser)?;
            if !self.records.grant(id, owner, user).await.map_err(CustodianError::store)? {
                return Err(CustodianError::NoSuchRecord);
            }
            // Erased in the meantime: whoever has the name next must not find it.
            if self.key_of(user).await? != Some(key) {
                self.records.revoke(id, owner, user).await.map_err(CustodianError::store)?;
                return Err(CustodianError::UnknownUser);
            }
            (self.audit)(&Event::Granted { record: id, owner, user });
            Ok(())
        };
        self.audited(Some(id), owner, outcome.await)
    }

    /// Takes back what [`Self::grant`] gave: `user` gets no more deliveries. What was delivered stays with them; only
    /// sealing anew keeps later versions from them (`docs/revocation.md`). Whether there was a grant.
    ///
    /// # Errors
    /// [`CustodianError`].
    pub async fn revoke(&self, id: RecordId, owner: Id, user: Id) -> Result<bool, CustodianError> {
        let outcome = async {
            self.record_of(id, owner).await?;
            let revoked = self.records.revoke(id, owner, user).await.map_err(CustodianError::store)?;
            if revoked {
                (self.audit)(&Event::Revoked { record: id, owner, user });
            }
            Ok(revoked)
        };
        self.audited(Some(id), owner, outcome.await)
    }

    /// Deletes a record of `owner`.
    ///
    /// # Errors
    /// [`CustodianError`].
    pub async fn delete(&self, id: RecordId, owner: Id) -> Result<(), CustodianError> {
        let outcome = async {
            self.record_of(id, owner).await?;
            if !self.records.delete(id, owner).await.map_err(CustodianError::store)? {
                return Err(CustodianError::NoSuchRecord);
            }
            (self.audit)(&Event::Deleted { record: id, owner });
            Ok(())
        };
        self.audited(Some(id), owner, outcome.await)
    }

    /// Tells the audit log of a refusal.
    fn audited<T>(
        &self,
        record: Option<RecordId>,
        user: Id,
        outcome: Result<T, CustodianError>,
    ) -> Result<T, CustodianError> {
        if let Err(error) = &outcome {
            (self.audit)(&Event::Refused { record, user, reason: error.to_refusal() });
        }
        outcome
    }

    /// The record, if it is `user`'s.
    async fn record_of(&self, id: RecordId, user: Id) -> Result<Record, CustodianError> {
        let record = self.records.get(id).await.map_err(CustodianError::store)?;
        record.filter(|record| record.owner == user).ok_or(CustodianError::NoSuchRecord)
    }

    /// The record, if `user` may have it.
    async fn record_for(&self, id: RecordId, user: Id) -> Result<Record, CustodianError> {
        let record = self.records.get(id).await.map_err(CustodianError::store)?;
        let record = record.ok_or(CustodianError::NoSuchRecord)?;
        let may =
            record.owner == user || self.records.granted(id, user).await.map_err(CustodianError::store)?;
        if may { Ok(record) } else { Err(CustodianError::NoSuchRecord) }
    }

    /// What the header of `record` must say of itself: another record's, or an older one, is refused.
    fn expect(&self, record: &Record) -> Expect {
        Expect::context().realm(self.realm).record(record.id).owner(record.owner).sequence(record.sequence)
    }

    /// Never held across a wait.
    fn with_ring<T>(&self, use_it: impl FnOnce(&ServerKeys) -> T) -> T {
        use_it(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<R: fmt::Debug, U: fmt::Debug> fmt::Debug for Custodian<R, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { realm, records, user_keys, ring: _, backend, audit: _ } = self;
        write!(f, "Custodian({realm}, {records:?}, {user_keys:?}, {backend})")
    }
}

/// A record on its way to somebody: send the header, then the payload.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// The header, for the recipient's shared key, downwards.
    pub header: Vec<u8>,
    /// What the record is; the recipient finds the same inside the header.
    pub context: Context,
    /// Where the payload is: for [`Custodian::read`].
    pub payload: Payload,
}

/// Why the engine refuses a step. Nothing was changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum CustodianError {
    /// A store failed. Whether a change was made is to be seen by asking for it.
    Store(Box<dyn Error + Send + Sync>),
    /// The user has no key here.
    UnknownUser,
    /// The user is enrolled already.
    AlreadyEnrolled,
    /// The user's key is disabled.
    Disabled,
    /// There is no such record, or it is not for this user.
    NoSuchRecord,
    /// The record is not at the expected sequence; carries the one it is at.
    Conflict(Option<u64>),
    /// The server key was replaced in the meantime, and nothing more is stored under the version before.
    Outdated,
    /// The payload was replaced or deleted in the meantime: ask for the record again.
    Gone,
    /// The plaintext exceeds what may be processed in memory.
    TooLarge,
    /// An envelope does not open.
    Open(OpenError),
    /// An envelope cannot be made.
    Seal(SealError),
    /// The ring of server keys.
    Ring(RingError),
}

impl CustodianError {
    fn store(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Store(Box::new(error))
    }

    /// Whether a change was made.
    const fn unless_done(change: Change) -> Result<(), Self> {
        match change {
            Change::Done => Ok(()),
            Change::Conflict(at) => Err(Self::Conflict(at)),
            Change::Outdated(_) => Err(Self::Outdated),
        }
    }
}

impl fmt::Display for CustodianError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "the store failed: {error}"),
            Self::UnknownUser => f.write_str("the user is not enrolled"),
            Self::AlreadyEnrolled => f.write_str("the user is enrolled already"),
            Self::Disabled => f.write_str("the user's key is disabled"),
            Self::NoSuchRecord => f.write_str("there is no such record for this user"),
            Self::Conflict(Some(sequence)) => write!(f, "the record is at version {sequence}: read it again"),
            Self::Conflict(None) => f.write_str("the record is gone, or not this user's"),
            Self::Outdated => {
                f.write_str("the server key was replaced by a newer one: do it again, with the newest ring")
            }
            Self::Gone => f.write_str("the payload was replaced or deleted: ask for the record again"),
            Self::TooLarge => f.write_str("the document is too large to be processed"),
            Self::Open(error) => error.fmt(f),
            Self::Seal(error) => error.fmt(f),
            Self::Ring(error) => error.fmt(f),
        }
    }
}

impl Error for CustodianError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Store(error) => Some(&**error),
            Self::Open(error) => Some(error),
            Self::Seal(error) => Some(error),
            Self::Ring(error) => Some(error),
            _ => None,
        }
    }
}

impl From<OpenError> for CustodianError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<SealError> for CustodianError {
    fn from(error: SealError) -> Self {
        Self::Seal(error)
    }
}

impl From<RewrapError> for CustodianError {
    fn from(error: RewrapError) -> Self {
        match error {
            RewrapError::Open(error) => Self::Open(error),
            RewrapError::Seal(error) => Self::Seal(error),
        }
    }
}

impl From<RingError> for CustodianError {
    fn from(error: RingError) -> Self {
        Self::Ring(error)
    }
}
