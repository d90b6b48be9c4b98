//! What the operator of a server does: enrol people, take money, look at the books.

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use symbolon_agreement::ProfileError;
use symbolon_envelope::{
    CustodianError, Record, RecordId, Records, RewrapJob, UserKey, UserKeyRow, UserKeyStore, UserParameters,
};
use symbolon_keys::{Id, OsRng, UnixTime};
use symbolon_ledger::{
    AccountId, Amount, Batch, CommitError, LedgerStore, Op, Side, StorageError, Transfer, TransferId,
};
use symbolon_store::StoreError;
use tokio::time::Instant;

use super::exchange::Exchange;
use crate::folder::FolderError;
use crate::voucher::Voucher;

/// The account of money received from outside.
pub(super) const CASH: AccountId = account(b"symbolon/cash   ");
/// The account of what the server earned.
pub(super) const REVENUE: AccountId = account(b"symbolon/revenue");

/// How many rows a step of a re-wrap reads: their headers are in memory meanwhile.
const REWRAPPED_AT_ONCE: usize = 64;

const fn account(name: &'static [u8; 16]) -> AccountId {
    AccountId::new(*name)
}

/// The operator's hands on a server. Nothing of it is reachable over the network.
#[derive(Clone)]
pub struct Operator(Arc<Exchange>);

/// What the books say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Books {
    /// Money received from outside.
    pub cash: Amount,
    /// Of it, what the server has earned. The rest is owed to holders of vouchers and pads.
    pub revenue: Amount,
    /// Entries of the journal.
    pub entries: u64,
}

/// How a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Sessions at present.
    pub sessions: usize,
    /// Requests in work.
    pub requests: usize,
    /// Pads in use.
    pub pads: usize,
    /// How long the store took to say how long its journal is.
    pub store: Duration,
}

impl Operator {
    pub(super) const fn new(exchange: Arc<Exchange>) -> Self {
        Self(exchange)
    }

    /// The server's realm, which user keys are bound to.
    #[must_use]
    pub fn realm(&self) -> Id {
        self.0.realm
    }

    /// Stores what a user's profile will be compared with (A7): a keyed digest of it.
    ///
    /// # Errors
    /// [`OperatorError::Profile`].
    pub async fn enrol_profile(&self, user: Id, profile: &[u8]) -> Result<(), OperatorError> {
        self.0.profiles.enroll(&user, profile).await.map_err(OperatorError::Profile)
    }

    /// Takes a user's shared key into the database of user keys (E1). It came here out of band: this is the one time
    /// that it passes between the two (E9).
    ///
    /// # Errors
    /// [`OperatorError::Custodian`] if the user is enrolled already.
    pub async fn enrol_key(
        &self,
        user: Id,
        key: &UserKey,
        parameters: &UserParameters,
    ) -> Result<(), OperatorError> {
        let UserParameters { epoch, derivation, .. } = *parameters;
        Ok(self.0.custodian.enrol(user, key, epoch, Some(derivation)).await?)
    }

    /// What is kept of a user's shared key (E1): wrapped under the private server key, never the key itself.
    ///
    /// # Errors
    /// [`OperatorError::Custodian`].
    pub async fn user_key(&self, user: Id) -> Result<Option<UserKeyRow>, OperatorError> {
        let row = self.0.custodian.user_keys();
        UserKeyStore::get(row, user)
            .await
            .map_err(|error| OperatorError::Custodian(CustodianError::Store(error.into())))
    }

    /// What is kept of a document (E2): its header under the private server key, and where its payload is.
    ///
    /// # Errors
    /// [`OperatorError::Custodian`].
    pub async fn record(&self, id: RecordId) -> Result<Option<Record>, OperatorError> {
        let records = self.0.custodian.records();
        Records::get(records, id)
            .await
            .map_err(|error| OperatorError::Custodian(CustodianError::Store(error.into())))
    }

    /// Takes a new private server key into use (E13): it is durable in the server's folder before anything is wrapped
    /// under it. Then everything is moved to it, as by [`Self::rewrap`]. Documents are not touched, only their headers.
    ///
    /// Back up the folder after that: an older copy of it does not open what is stored from now on.
    ///
    /// # Errors
    /// [`OperatorError::Folder`]: nothing was changed. [`OperatorError::Custodian`]: the new key is in use, and not
    /// everything was moved; [`Self::rewrap`] goes on.
    pub async fn rotate_server_key(&self) -> Result<RewrapJob, OperatorError> {
        {
            let file = self.0.ring.lock().await;
            let ring = self.0.custodian.rotated().map_err(CustodianError::from)?;
            file.replace(&ring).map_err(OperatorError::Folder)?;
            self.0.custodian.install(ring).map_err(CustodianError::from)?;
        }
        self.rewrap().await
    }

    /// Moves every user's key and every document's header that is still under an older server key to the newest.
    ///
    /// # Errors
    /// [`OperatorError::Custodian`]; what was done stays done.
    pub async fn rewrap(&self) -> Result<RewrapJob, OperatorError> {
        let mut job = RewrapJob::default();
        while self.0.custodian.rewrap_step(&mut job, REWRAPPED_AT_ONCE).await? {}
        Ok(job)
    }

    /// Takes `amount` of money, and gives a voucher for it.
    ///
    /// # Errors
    /// [`OperatorError::Ledger`]. If the outcome may be unknown, make the voucher first and use [`Self::top_up`].
    pub async fn sell_voucher(&self, amount: Amount) -> Result<Voucher, OperatorError> {
        let voucher = Voucher::generate(&mut OsRng);
        self.top_up(&voucher, TransferId::generate(&mut OsRng), amount).await?;
        Ok(voucher)
    }

    /// Takes `amount` of money for a voucher that exists. Asked again with the same `sale`, it is taken once.
    ///
    /// # Errors
    /// [`OperatorError::Ledger`]; with an unknown outcome, ask again.
    pub async fn top_up(
        &self,
        voucher: &Voucher,
        sale: TransferId,
        amount: Amount,
    ) -> Result<(), OperatorError> {
        let account = voucher.account();
        let steps = Batch::new(UnixTime::now())
            .with(Op::OpenAccount { id: CASH, side: Side::Debit })
            .with(Op::OpenAccount { id: account, side: Side::Credit })
            .with(Op::Transfer(Transfer::post(sale, CASH, account, amount)));
        self.0.store.commit(steps).await?;
        Ok(())
    }

    /// Does at once what the server does every few seconds: lapsed quotes are given back, old letters go, and the courier
    /// gets what is due to it.
    pub async fn housekeep(&self) {
        self.0.housekeep().await;
    }

    /// What a voucher is worth now.
    ///
    /// # Errors
    /// [`OperatorError::Storage`].
    pub async fn value_of(&self, voucher: &Voucher) -> Result<Amount, OperatorError> {
        self.balance(voucher.account()).await
    }

    /// How the server is, and that its store answers.
    ///
    /// # Errors
    /// [`OperatorError::Storage`] if that does not.
    pub async fn health(&self) -> Result<Health, OperatorError> {
        let asked = Instant::now();
        self.0.store.head().await?;
        let (sessions, requests) = self.0.gate.load();
        Ok(Health { sessions, requests, pads: self.0.pads.len(), store: asked.elapsed() })
    }

    /// What the books say.
    ///
    /// # Errors
    /// [`OperatorError::Storage`].
    pub async fn books(&self) -> Result<Books, OperatorError> {
        let (cash, revenue) = (self.balance(CASH).await?, self.balance(REVENUE).await?);
        let entries = self.0.store.head().await?.entries;
        Ok(Books { cash, revenue, entries })
    }

    async fn balance(&self, id: AccountId) -> Result<Amount, OperatorError> {
        Ok(self.0.store.account(id).await?.map_or(Amount::ZERO, |account| account.balance))
    }
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Operator({})", self.0.realm)
    }
}

/// Why the operator's request failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum OperatorError {
    /// The profile cannot be stored.
    Profile(ProfileError<StoreError>),
    /// The user's key or records.
    Custodian(CustodianError),
    /// The server's folder, where its keys are kept.
    Folder(FolderError),
    /// The ledger did not commit.
    Ledger(CommitError),
    /// The ledger could not be read.
    Storage(StorageError),
}

impl fmt::Display for OperatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profile(error) => error.fmt(f),
            Self::Custodian(error) => error.fmt(f),
            Self::Folder(error) => error.fmt(f),
            Self::Ledger(error) => error.fmt(f),
            Self::Storage(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for OperatorError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Profile(error) => Some(error),
            Self::Custodian(error) => Some(error),
            Self::Folder(error) => Some(error),
            Self::Ledger(error) => Some(error),
            Self::Storage(error) => Some(error),
        }
    }
}

impl From<CustodianError> for OperatorError {
    fn from(error: CustodianError) -> Self {
        Self::Custodian(error)
    }
}

impl From<CommitError> for OperatorError {
    fn from(error: CommitError) -> Self {
        Self::Ledger(error)
    }
}

impl From<StorageError> for OperatorError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}
