use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::AtomicU64;
use std::sync::{Mutex, RwLock};

use symbolon_keys::{Backend, Epoch, Id, TableSecretKey, UnixTime};

use super::peers::Peers;
use super::{Clock, Table};
use crate::directory::Directory;
use crate::flight::Flights;
use crate::own::{OwnKey, OwnKeys};
use crate::policy::Policy;
use crate::strangers::Strangers;

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
    retired: Vec<(Arc<OwnKey>, UnixTime)>,
}

impl<D: Directory> TableBuilder<D> {
    pub(super) fn new(id: Id, key: TableSecretKey, directory: D) -> Self {
        Self {
            id,
            key,
            directory,
            epoch: Epoch::FIRST,
            policy: Policy::default(),
            backend: Backend::best(),
            clock: Arc::new(UnixTime::now),
            retired: Vec::new(),
        }
    }

    /// The epoch at which `key` is registered; [`Epoch::FIRST`] if not said.
    pub const fn epoch(mut self, epoch: Epoch) -> Self {
        self.epoch = epoch;
        self
    }

    /// A key of ours that was replaced, and still opens messages to `epoch` until `until`: after a restart, what
    /// [`Table::rotate`] was told before it. At most two, the newest first.
    pub fn opens_also(mut self, key: TableSecretKey, epoch: Epoch, until: UnixTime) -> Self {
        self.retired.push((OwnKey::new(self.id, epoch, key), until));
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
        let current = OwnKey::new(self.id, self.epoch, self.key);
        Table {
            id: self.id,
            directory: self.directory,
            policy: self.policy,
            backend: self.backend,
            clock: self.clock,
            peers: Peers::new(self.policy.capacity),
            own: RwLock::new(OwnKeys::new(current, self.retired)),
            own_epoch: AtomicU64::new(self.epoch.number()),
            strangers: Strangers::new(),
            flights: Flights::default(),
            down: Mutex::default(),
        }
    }
}

impl<D> fmt::Debug for TableBuilder<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, key, directory: _, epoch, policy, backend, clock: _, retired } = self;
        f.debug_struct("TableBuilder")
            .field("id", id)
            .field("key", key)
            .field("epoch", epoch)
            .field("policy", policy)
            .field("backend", backend)
            .field("retired", &retired.len())
            .finish_non_exhaustive()
    }
}
