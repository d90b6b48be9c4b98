//! The users' shared keys (E1), each in an envelope under the server key.

use alloc::vec::Vec;

use symbolon_keys::{Epoch, Id, OsRng, Secret};

use super::{Custodian, CustodianError, Event};
use crate::context::Context;
use crate::error::OpenError;
use crate::expect::Expect;
use crate::joint::Recipient;
use crate::open::Open;
use crate::records::{Change, RecordId, Records};
use crate::seal::Seal;
use crate::shared_key::UserKey;
use crate::user_keys::{Derivation, UserKeyRow, UserKeyStore, UserParameters, UserState};

impl<R: Records, U: UserKeyStore> Custodian<R, U> {
    /// Puts the key of a new user into the database, with how the user derives it, if it is from a passphrase.
    ///
    /// This is the one time that the key passes between user and server, out of band (E9).
    ///
    /// # Errors
    /// [`CustodianError::AlreadyEnrolled`], or the store's.
    pub async fn enrol(
        &self,
        user: Id,
        key: &UserKey,
        epoch: Epoch,
        derivation: Option<Derivation>,
    ) -> Result<(), CustodianError> {
        let outcome = async {
            let key_id = RecordId::generate(&mut OsRng);
            let (revision, state) = (1, UserState::Active);
            let (wrapped, server_key) = self.wrap_user_key(user, key_id, revision, key)?;
            let row = UserKeyRow { user, revision, epoch, state, derivation, server_key, key_id, wrapped };
            match self.user_keys.put(row, None).await.map_err(CustodianError::store)? {
                Change::Done => {
                    (self.audit)(&Event::Enrolled { user, epoch });
                    Ok(())
                }
                Change::Conflict(_) => Err(CustodianError::AlreadyEnrolled),
                Change::Outdated(_) => Err(CustodianError::Outdated),
            }
        };
        self.audited(None, user, outcome.await)
    }

    /// What a user needs to derive the key from a passphrase (C8). For an unknown user a stable answer that looks the
    /// same as a new user's: asking does not tell who is enrolled.
    ///
    /// # Errors
    /// The store's.
    ///
    /// # Security
    /// Serve it only inside a session whose server the user has pinned.
    pub async fn user_parameters(&self, user: Id) -> Result<UserParameters, CustodianError> {
        let row = self.user_keys.get(user).await.map_err(CustodianError::store)?;
        let known = row.and_then(|row| Some(UserParameters::new(row.derivation?, row.epoch)));
        Ok(known.unwrap_or_else(|| {
            let salt = self.with_ring(|ring| ring.decoy_salt(self.realm, user));
            UserParameters::new(Derivation::with_salt(salt), Epoch::FIRST)
        }))
    }

    /// Lets a user's key be used no more, until [`Self::enable`].
    ///
    /// # Errors
    /// [`CustodianError`].
    pub async fn disable(&self, user: Id) -> Result<(), CustodianError> {
        self.update_user(user, |row, _| row.state = UserState::Disabled).await?;
        (self.audit)(&Event::Disabled { user });
        Ok(())
    }

    /// Lets a user's key be used again.
    ///
    /// # Errors
    /// [`CustodianError`].
    pub async fn enable(&self, user: Id) -> Result<(), CustodianError> {
        self.update_user(user, |row, _| row.state = UserState::Active).await?;
        (self.audit)(&Event::Enabled { user });
        Ok(())
    }

    /// Replaces a user's key by that of another passphrase, which [`UserKey::change`] sealed under the old one. Records
    /// are not touched: they are under the server key.
    ///
    /// # Errors
    /// [`CustodianError`]; [`CustodianError::Conflict`] if the epoch is not the one that follows.
    pub async fn change_key(&self, user: Id, sealed: &[u8]) -> Result<Epoch, CustodianError> {
        let outcome = async {
            // One row for all: the one that is replaced is the one whose key opened the change.
            let (row, old) = self.active_row(user).await?;
            let (new, UserParameters { derivation, epoch, .. }) =
                old.open_change(self.realm, user, sealed)?;
            if row.epoch.next() != Some(epoch) {
                return Err(CustodianError::Conflict(Some(row.epoch.number())));
            }
            self.update_row(row, |row, key| {
                (row.epoch, row.derivation) = (epoch, Some(derivation));
                *key = new;
            })
            .await?;
            (self.audit)(&Event::KeyChanged { user, epoch });
            Ok(epoch)
        };
        self.audited(None, user, outcome.await)
    }

    /// Destroys a user's key, so that whatever is under it is noise, deletes the user's records, and takes back what
    /// the user was granted, so that whoever has the name next finds nothing.
    ///
    /// The key goes first: interrupted, the user is erased, and a repetition deletes the rest. A repetition is due, too, if
    /// the process dies soon after: a record of the user that was being stored may have come later, and whoever stored it
    /// did not live to take it back. What backups still hold, `docs/revocation.md` says.
    ///
    /// # Errors
    /// The stores'.
    pub async fn erase(&self, user: Id) -> Result<(), CustodianError> {
        self.user_keys.delete(user).await.map_err(CustodianError::store)?;
        loop {
            let owned = self.records.owned_by(user, None, 100).await.map_err(CustodianError::store)?;
            if owned.is_empty() {
                break;
            }
            for record in owned {
                self.records.delete(record.id, user).await.map_err(CustodianError::store)?;
            }
        }
        let mut after = None;
        loop {
            let granted = self.records.granted_to(user, after, 100).await.map_err(CustodianError::store)?;
            let Some(last) = granted.last() else { break };
            after = Some(*last);
            for id in granted {
                // Grants go with their record, if it is gone.
                if let Some(record) = self.records.get(id).await.map_err(CustodianError::store)? {
                    self.records.revoke(id, record.owner, user).await.map_err(CustodianError::store)?;
                }
            }
        }
        (self.audit)(&Event::Erased { user });
        Ok(())
    }

    /// Changes a user's row and wraps the key again, so that the old row put back is noticed.
    pub(super) async fn update_user(
        &self,
        user: Id,
        change: impl FnOnce(&mut UserKeyRow, &mut UserKey),
    ) -> Result<(), CustodianError> {
        let row = self.user_keys.get(user).await.map_err(CustodianError::store)?;
        self.update_row(row.ok_or(CustodianError::UnknownUser)?, change).await
    }

    async fn update_row(
        &self,
        mut row: UserKeyRow,
        change: impl FnOnce(&mut UserKeyRow, &mut UserKey),
    ) -> Result<(), CustodianError> {
        let mut key = self.unwrap_user_key(&row)?;
        let (user, replaces) = (row.user, row.revision);
        row.revision = replaces.checked_add(1).ok_or(CustodianError::Conflict(Some(replaces)))?;
        change(&mut row, &mut key);
        (row.wrapped, row.server_key) = self.wrap_user_key(user, row.key_id, row.revision, &key)?;
        let put = self.user_keys.put(row, Some(replaces)).await;
        CustodianError::unless_done(put.map_err(CustodianError::store)?)
    }

    /// What names the key of a user who is enrolled. Erased and enrolled again, the name has another one.
    pub(super) async fn key_of(&self, user: Id) -> Result<Option<RecordId>, CustodianError> {
        let row = self.user_keys.get(user).await.map_err(CustodianError::store)?;
        Ok(row.map(|row| row.key_id))
    }

    /// The key of a user who may use it.
    pub(super) async fn user_key(&self, user: Id) -> Result<UserKey, CustodianError> {
        Ok(self.active_row(user).await?.1)
    }

    pub(super) async fn active_row(&self, user: Id) -> Result<(UserKeyRow, UserKey), CustodianError> {
        let row = self.user_keys.get(user).await.map_err(CustodianError::store)?;
        let row = row.ok_or(CustodianError::UnknownUser)?;
        match row.state {
            UserState::Active => self.unwrap_user_key(&row).map(|key| (row, key)),
            UserState::Disabled => Err(CustodianError::Disabled),
        }
    }

    fn wrap_user_key(
        &self,
        user: Id,
        key_id: RecordId,
        revision: u64,
        key: &UserKey,
    ) -> Result<(Vec<u8>, u32), CustodianError> {
        let context = Context::new(self.realm, key_id, user).at(revision);
        self.with_ring(|ring| {
            let current = ring.current();
            let recipients: [&dyn Recipient; 1] = [&current];
            let seal = Seal::to(&recipients).context(&context).backend(self.backend);
            Ok((seal.bytes(key.expose())?, ring.version()))
        })
    }

    fn unwrap_user_key(&self, row: &UserKeyRow) -> Result<UserKey, CustodianError> {
        let UserKeyRow { user, revision, key_id, wrapped, .. } = row;
        let expect = Expect::context().realm(self.realm).record(*key_id).owner(*user).sequence(*revision);
        let opened =
            self.with_ring(|ring| Open::with(&[ring]).expect(expect).backend(self.backend).bytes(wrapped))?;
        let key = Secret::try_init_with(|out| {
            *out = opened.plaintext().try_into().map_err(|_| OpenError::Rejected)?;
            Ok::<_, CustodianError>(())
        })?;
        Ok(UserKey::from(key))
    }
}
