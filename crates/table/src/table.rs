use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use quick_cache::sync::Cache;
use symbolon_keys::{Backend, Epoch, Id, OsRng, TableSecretKey, UnixTime};

use crate::directory::{Directory, MAX_RECORDS};
use crate::error::TableError;
use crate::flight::Flights;
use crate::inbox::Opened;
use crate::message::{self, Header};
use crate::own::{OwnKey, OwnKeys};
use crate::pair::PairRoot;
use crate::peer::{Opening, Peer, Sealing};
use crate::policy::Policy;
use crate::record::{InvalidRecord, Record, RecordHash, verify_history};
use crate::store::StoreError;
use crate::strangers::Strangers;

/// The most answers that make up one history, so that a directory cannot keep a client busy for ever.
const MAX_PAGES: usize = 16;

/// Where a table reads the time.
pub type Clock = Arc<dyn Fn() -> UnixTime + Send + Sync>;

/// The secrets that one user shares with others, each made when it is first needed.
///
/// [`Self::seal`] and [`Self::open`] are one call whatever the table knows of the peer: they look it up, ask the
/// directory where it is missing or stale, verify what comes back, agree on the secret, and keep it. A table is shared
/// by reference between tasks; a look-up takes no lock that another peer's takes.
pub struct Table<D> {
    id: Id,
    directory: D,
    policy: Policy,
    backend: Backend,
    clock: Clock,
    peers: Cache<Id, Arc<Peer>>,
    own: RwLock<OwnKeys>,
    /// The epoch of the current key in `own`, where a hit reads it without a lock.
    own_epoch: AtomicU64,
    strangers: Strangers,
    flights: Flights,
    /// The last failure of the directory, and when it was.
    down: Mutex<Option<(UnixTime, StoreError)>>,
}

/// Sets up a [`Table`].
#[must_use]
pub struct TableBuilder<D> {
    id: Id,
    key: TableSecretKey,
    directory: D,
    epoch: Epoch,
    policy: Policy,
    backend: Backend,
    clock: Clock,
}

impl<D: Directory> TableBuilder<D> {
    /// The epoch at which `key` is registered; [`Epoch::FIRST`] if not said.
    pub const fn epoch(mut self, epoch: Epoch) -> Self {
        self.epoch = epoch;
        self
    }

    /// Limits, and what to do when a peer's key changed.
    pub const fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Which implementation computes; the fastest if not said.
    pub const fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Where the table reads the time; the system clock if not said.
    pub fn clock(mut self, clock: impl Fn() -> UnixTime + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The table, empty.
    #[must_use]
    pub fn build(self) -> Table<D> {
        let own = OwnKey::new(self.id, self.epoch, self.key);
        Table {
            id: self.id,
            directory: self.directory,
            policy: self.policy,
            backend: self.backend,
            clock: self.clock,
            peers: Cache::new(self.policy.capacity),
            own: RwLock::new(OwnKeys::new(own)),
            own_epoch: AtomicU64::new(self.epoch.number()),
            strangers: Strangers::new(),
            flights: Flights::default(),
            down: Mutex::default(),
        }
    }
}

impl<D> fmt::Debug for TableBuilder<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, key, directory: _, epoch, policy, backend, clock: _ } = self;
        f.debug_struct("TableBuilder")
            .field("id", id)
            .field("key", key)
            .field("epoch", epoch)
            .field("policy", policy)
            .field("backend", backend)
            .finish_non_exhaustive()
    }
}

impl<D: Directory> Table<D> {
    /// The table of `id`, whose registered key is `key`, with peers from `directory`.
    #[must_use]
    pub fn new(id: Id, key: TableSecretKey, directory: D) -> Self {
        Self::builder(id, key, directory).build()
    }

    /// As [`Self::new`], with choices.
    pub fn builder(id: Id, key: TableSecretKey, directory: D) -> TableBuilder<D> {
        TableBuilder {
            id,
            key,
            directory,
            epoch: Epoch::FIRST,
            policy: Policy::default(),
            backend: Backend::best(),
            clock: Arc::new(UnixTime::now),
        }
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
        let header = Header::read(message)?;
        if header.recipient() != &self.id {
            return Err(TableError::Misaddressed(*header.recipient()));
        }
        let now = self.now();
        if header.recipient_epoch() != self.own_epoch() {
            self.opening_key(header.recipient_epoch(), now)?;
        }
        if let Some(held) = self.peers.get(header.sender())
            && let Some(root) = opening_root(&held, &header, now)?
        {
            return Ok(message::open(root, self.backend, message)?);
        }
        let held = self.find(&header, now).await?;
        let root = opening_root(&held, &header, now)?.ok_or(TableError::UnknownEpoch)?;
        Ok(message::open(root, self.backend, message)?)
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
        Ok(approved.map(|approved| self.peers.insert(*peer, Arc::new(approved))).is_some())
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

    /// How many peers it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// The oldest epoch of our own key under which messages still open: what the inbox may forget lies below.
    #[must_use]
    pub fn oldest_epoch(&self) -> Epoch {
        self.own().oldest(self.now())
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

    /// The peer with a secret to seal with: asks the directory, and goes on with a stale secret where it may.
    async fn confirm(&self, peer: &Id, now: UnixTime) -> Result<Arc<Peer>, TableError> {
        if peer == &self.id {
            return Err(TableError::OwnId);
        }
        let flight = self.flights.enter(peer).await?;
        let outcome = match self.peers.get(peer) {
            None => self.meet(peer, now).await,
            Some(held) => match held.sealing(peer, self.own_epoch(), now, &self.policy) {
                Sealing::Ready => return Ok(held),
                Sealing::Changed(changed) => return Err(changed),
                Sealing::Stale { usable } => match self.refresh_held(peer, &held, now).await {
                    Err(TableError::Unavailable(_))
                        if usable && self.opening_key(held.current.ours, now).is_ok() =>
                    {
                        return Ok(held);
                    }
                    outcome => outcome,
                },
            },
        };
        let held = flight.land(outcome)?;
        match held.sealing(peer, self.own_epoch(), now, &self.policy) {
            Sealing::Changed(changed) => Err(changed),
            Sealing::Stale { usable: false } => Err(TableError::Expired(*peer)),
            Sealing::Stale { usable: true } | Sealing::Ready => Ok(held),
        }
    }

    /// The peer with the secret that opens a message with this header, as far as the directory has one.
    async fn find(&self, header: &Header, now: UnixTime) -> Result<Arc<Peer>, TableError> {
        let sender = header.sender();
        if self.strangers.is_unknown(sender, now, &self.policy) {
            return Err(TableError::UnknownPeer(*sender));
        }
        let flight = self.flights.enter(sender).await?;
        let held = match self.peers.get(sender) {
            Some(held) if opening_root(&held, header, now)?.is_some() => return Ok(held),
            held => held,
        };
        self.strangers.admit(sender, now, &self.policy)?;
        flight.land(self.find_now(header, held, now).await)
    }

    async fn find_now(
        &self,
        header: &Header,
        held: Option<Arc<Peer>>,
        now: UnixTime,
    ) -> Result<Arc<Peer>, TableError> {
        let (sender, theirs) = (header.sender(), header.sender_epoch());
        let held = match held {
            None => self.meet(sender, now).await?,
            Some(held) if theirs > held.current.theirs => self.refresh_held(sender, &held, now).await?,
            Some(held) => held,
        };
        if theirs > held.current.theirs || opening_root(&held, header, now)?.is_some() {
            return Ok(held);
        }
        // A key that was replaced before we met the peer, or one of our own.
        let own = self.opening_key(header.recipient_epoch(), now)?;
        let history = self.history(sender, theirs, held.current.theirs, &held.head).await?;
        let held = Arc::new(held.with_pair(&history, (&own.0, own.1), now, &self.policy)?);
        self.peers.insert(*sender, Arc::clone(&held));
        Ok(held)
    }

    /// Takes a peer that the table does not hold, on the directory's word.
    async fn meet(&self, peer: &Id, now: UnixTime) -> Result<Arc<Peer>, TableError> {
        if self.strangers.is_unknown(peer, now, &self.policy) {
            return Err(TableError::UnknownPeer(*peer));
        }
        let Some(record) = self.ask(now, self.directory.lookup(&[*peer])).await?.pop().flatten() else {
            self.strangers.unknown(peer, now);
            return Err(TableError::UnknownPeer(*peer));
        };
        verify_history(peer, core::slice::from_ref(&record), None)?;
        let own = Arc::clone(self.own().current());
        let held = Arc::new(Peer::meet(&record, &own, now)?);
        self.peers.insert(*peer, Arc::clone(&held));
        Ok(held)
    }

    /// Asks what became of a peer that the table holds.
    async fn refresh_held(&self, peer: &Id, held: &Peer, now: UnixTime) -> Result<Arc<Peer>, TableError> {
        if let Some((at, error)) = &*self.down.lock().unwrap_or_else(PoisonError::into_inner)
            && now.saturating_since(*at) < self.policy.retry_after
        {
            return Err(error.clone().into());
        }
        let known = held.current.theirs;
        let history = self.ask(now, self.history(peer, known, known, &held.head)).await?;
        let held = Arc::new(held.refreshed(&history, &self.own(), now, &self.policy)?);
        self.peers.insert(*peer, Arc::clone(&held));
        Ok(held)
    }

    /// The verified history of `peer` from epoch `from` on, which includes the record that is known.
    async fn history(
        &self,
        peer: &Id,
        from: Epoch,
        known: Epoch,
        head: &RecordHash,
    ) -> Result<Vec<Record>, TableError> {
        let mut history = self.directory.history(peer, from).await?;
        for _ in 1..MAX_PAGES {
            let next = history.last().and_then(|last| last.epoch().next());
            let Some(next) = next.filter(|_| history.len() % MAX_RECORDS == 0) else { break };
            let page = self.directory.history(peer, next).await?;
            if page.is_empty() {
                break;
            }
            history.extend(page);
        }
        if history.first().is_none_or(|first| first.epoch() != from) {
            return Err(InvalidRecord::History.into());
        }
        verify_history(peer, &history, Some((known, head)))?;
        Ok(history)
    }

    /// Remembers whether the directory answers.
    async fn ask<T, E: Into<TableError>>(
        &self,
        now: UnixTime,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, TableError> {
        let answer = answer.await.map_err(Into::into);
        let down = match &answer {
            Err(TableError::Unavailable(error)) => Some((now, error.clone())),
            _ => None,
        };
        *self.down.lock().unwrap_or_else(PoisonError::into_inner) = down;
        answer
    }
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
