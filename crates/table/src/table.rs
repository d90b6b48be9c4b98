use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use symbolon_keys::{Backend, Epoch, Id, OsRng, TableSecretKey, UnixTime};

use crate::directory::Directory;
use crate::error::TableError;
use crate::flight::Flights;
use crate::inbox::Opened;
use crate::message::{self, Header, Parts};
use crate::own::{OwnKey, OwnKeys};
use crate::pair::PairRoot;
use crate::peer::{Opening, Peer, Sealing};
use crate::policy::Policy;
use crate::record::RecordHash;
use crate::store::StoreError;
use crate::strangers::Strangers;

mod builder;
mod fetch;
mod peers;
mod refresh;
mod snapshot;

pub use builder::TableBuilder;
pub use refresh::Refreshed;
pub use snapshot::SnapshotError;

use peers::Peers;

/// Where a table reads the time.
pub type Clock = Arc<dyn Fn() -> UnixTime + Send + Sync>;

/// The secrets that one user shares with others, each made when it is first needed.
///
/// [`Self::seal`] and [`Self::open`] are one call whatever the table knows of the peer: they look it up, ask the
/// directory where it is missing or stale, verify what comes back, agree on the secret, and keep it. A table is shared
/// by reference between tasks. Dropping a future loses nothing: whoever waits for the same peer asks instead.
pub struct Table<D> {
    id: Id,
    directory: D,
    policy: Policy,
    backend: Backend,
    clock: Clock,
    peers: Peers,
    own: RwLock<OwnKeys>,
    /// The epoch of the current key in `own`, where a hit reads it without a lock.
    own_epoch: AtomicU64,
    strangers: Strangers,
    flights: Flights,
    /// The last failure of the directory, and when it was.
    down: Mutex<Option<(UnixTime, StoreError)>>,
}

impl<D: Directory> Table<D> {
    /// The table of `id`, whose registered key is `key`, with peers from `directory`.
    #[must_use]
    pub fn new(id: Id, key: TableSecretKey, directory: D) -> Self {
        Self::builder(id, key, directory).build()
    }

    /// As [`Self::new`], with choices.
    pub fn builder(id: Id, key: TableSecretKey, directory: D) -> TableBuilder<D> {
        TableBuilder::new(id, key, directory)
    }

    /// Whose table it is.
    #[must_use]
    pub const fn id(&self) -> &Id {
        &self.id
    }

    /// Where it asks for keys.
    #[must_use]
    pub const fn directory(&self) -> &D {
        &self.directory
    }

    /// Seals `plaintext` for `peer`.
    ///
    /// # Errors
    /// [`TableError`] says what to do next.
    pub async fn seal(&self, peer: &Id, plaintext: &[u8]) -> Result<Vec<u8>, TableError> {
        let now = self.now();
        if let Some(held) = self.peers.get(peer) {
            match held.sealing(peer, self.own_epoch(), now, &self.policy) {
                Sealing::Ready => return self.seal_with(&held, peer, plaintext),
                Sealing::Changed(changed) => return Err(changed),
                Sealing::Stale { .. } => {}
            }
        }
        let held = self.confirm(peer, now).await?;
        self.seal_with(&held, peer, plaintext)
    }

    /// Opens a message to us. Its plaintext comes out of [`Inbox::accept`](crate::Inbox::accept).
    ///
    /// # Errors
    /// [`TableError`] says what to do next; [`TableError::is_retryable`] whether the message should stay in its
    /// mailbox.
    ///
    /// # Security
    /// A message that is not for us, or that names a key of ours that does not open, costs no curve arithmetic and
    /// no question to the directory.
    pub async fn open(&self, message: &[u8]) -> Result<Opened, TableError> {
        let parts = Parts::split(message)?;
        let header = &parts.header;
        if header.recipient() != &self.id {
            return Err(TableError::Misaddressed(*header.recipient()));
        }
        let now = self.now();
        if header.recipient_epoch() != self.own_epoch() {
            self.opening_key(header.recipient_epoch(), now)?;
        }
        if let Some(held) = self.peers.get(header.sender())
            && let Some(root) = opening_root(&held, header, now)?
        {
            return Ok(parts.open(root, self.backend)?);
        }
        let held = self.find(header, now).await?;
        let root = opening_root(&held, header, now)?.ok_or(TableError::UnknownEpoch)?;
        Ok(parts.open(root, self.backend)?)
    }

    /// Takes the change of `peer` whose record has the hash `head`, which was compared out of band. Answers whether
    /// that change was waiting.
    ///
    /// # Errors
    /// [`TableError::KeyChanged`] under [`OnChange::Refuse`](crate::OnChange::Refuse).
    pub async fn approve(&self, peer: &Id, head: &RecordHash) -> Result<bool, TableError> {
        let now = self.now();
        let _flight = self.flights.enter(peer).await?;
        let Some(held) = self.peers.get(peer) else { return Ok(false) };
        let approved = held.approved(peer, head, &self.own(), now, &self.policy)?;
        Ok(approved.map(|approved| self.peers.insert(peer, Arc::new(approved))).is_some())
    }

    /// Forgets `peer`: its secrets are wiped, and the next use takes whatever record the directory shows.
    ///
    /// # Security
    /// This is how a broken history is overridden. Do it only after talking to the peer.
    pub fn forget(&self, peer: &Id) {
        self.peers.remove(peer);
        self.strangers.forget(peer);
    }

    /// The hash of the newest record of `peer` that the table trusts: what two clients compare out of band.
    #[must_use]
    pub fn head(&self, peer: &Id) -> Option<RecordHash> {
        self.peers.peek(peer).map(|held| held.head)
    }

    /// What the table knows of `peer`, without asking anybody.
    #[must_use]
    pub fn state(&self, peer: &Id) -> PeerState {
        let now = self.now();
        let Some(held) = self.peers.peek(peer) else {
            return if self.flights.is_out(peer) {
                PeerState::Fetching
            } else if self.strangers.is_unknown(peer, now, &self.policy) {
                PeerState::Unknown
            } else {
                PeerState::Absent
            };
        };
        match (held.offered(), held.sealing(peer, self.own_epoch(), now, &self.policy)) {
            (Some(offered), _) => PeerState::Changed { known: held.current.theirs, offered: offered.epoch() },
            (None, Sealing::Ready) => PeerState::Fresh(held.current.theirs),
            (None, _) => PeerState::Stale(held.current.theirs),
        }
    }

    /// How many peers it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.len() == 0
    }

    /// The oldest epoch of our own key under which messages still open: what the inbox may forget lies below.
    ///
    /// Keys of ours that are past their date are wiped here, and open nothing again.
    #[must_use]
    pub fn oldest_epoch(&self) -> Epoch {
        let now = self.now();
        self.own_mut().oldest(now)
    }

    /// Seals under `key` from now on, registered at `epoch`; messages to the key before open until `until`.
    ///
    /// Register first, then rotate: peers seal to the new key as soon as they see it. Peers are moved to the new
    /// secret one by one, as they are used.
    ///
    /// # Errors
    /// [`TableError::UnknownEpoch`] if `epoch` does not come after the current one.
    pub fn rotate(&self, key: TableSecretKey, epoch: Epoch, until: UnixTime) -> Result<(), TableError> {
        let mut own = self.own_mut();
        if epoch <= own.current().epoch() {
            return Err(TableError::UnknownEpoch);
        }
        own.rotate(OwnKey::new(self.id, epoch, key), until);
        self.own_epoch.store(epoch.number(), Ordering::Release);
        Ok(())
    }

    fn now(&self) -> UnixTime {
        (self.clock)()
    }

    fn own_epoch(&self) -> Epoch {
        Epoch::new(self.own_epoch.load(Ordering::Acquire))
    }

    fn own(&self) -> RwLockReadGuard<'_, OwnKeys> {
        self.own.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn own_mut(&self) -> RwLockWriteGuard<'_, OwnKeys> {
        self.own.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key of ours that opens messages to `epoch`, and until when.
    fn opening_key(&self, epoch: Epoch, now: UnixTime) -> Result<(Arc<OwnKey>, UnixTime), TableError> {
        let own = self.own();
        match own.opening(epoch, now) {
            Some((key, until)) => Ok((Arc::clone(key), until)),
            None if epoch < own.current().epoch() => Err(TableError::Retired),
            None => Err(TableError::UnknownEpoch),
        }
    }

    fn seal_with(&self, held: &Peer, peer: &Id, plaintext: &[u8]) -> Result<Vec<u8>, TableError> {
        let pair = &held.current;
        let header = Header::fresh((self.id, pair.ours), (*peer, pair.theirs), &mut OsRng);
        Ok(message::seal(&pair.root, &header, self.backend, plaintext)?)
    }
}

/// What a table knows of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerState {
    /// Nothing.
    Absent,
    /// Nothing yet; the directory is being asked.
    Fetching,
    /// The directory did not know it, lately.
    Unknown,
    /// Its key at this epoch, confirmed lately.
    Fresh(Epoch),
    /// Its key at this epoch, to be confirmed before it seals.
    Stale(Epoch),
    /// A change of its key that waits for approval.
    Changed {
        /// The epoch of the key that the table holds.
        known: Epoch,
        /// The epoch of the key that it was offered.
        offered: Epoch,
    },
}

/// The secret that opens a message with this header; none if the directory must be asked.
fn opening_root<'a>(
    held: &'a Peer,
    header: &Header,
    now: UnixTime,
) -> Result<Option<&'a PairRoot>, TableError> {
    match held.opening(header.sender(), header.sender_epoch(), header.recipient_epoch(), now) {
        Opening::Ready(root) => Ok(Some(root)),
        Opening::Retired => Err(TableError::Retired),
        Opening::Changed(changed) => Err(changed),
        Opening::Unknown => Ok(None),
    }
}

impl<D> fmt::Debug for Table<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("id", &self.id)
            .field("peers", &self.peers.len())
            .finish_non_exhaustive()
    }
}
