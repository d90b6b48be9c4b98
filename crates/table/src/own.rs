use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use symbolon_keys::{Epoch, Id, TableSecretKey, UnixTime};

use crate::pair::Party;

/// The most keys of our own that were replaced and still open messages.
const MAX_RETIRED: usize = 2;

/// A secret key of our own.
#[derive(Debug)]
pub(crate) struct OwnKey {
    pub(crate) party: Party,
    pub(crate) secret: TableSecretKey,
}

impl OwnKey {
    pub(crate) fn new(id: Id, epoch: Epoch, secret: TableSecretKey) -> Arc<Self> {
        Arc::new(Self { party: Party { id, epoch, key: *secret.public_key() }, secret })
    }

    pub(crate) const fn epoch(&self) -> Epoch {
        self.party.epoch
    }
}

/// The key that seals, and those before it that still open.
#[derive(Debug)]
pub(crate) struct OwnKeys {
    current: Arc<OwnKey>,
    /// The newest first, each with the time when it stops opening.
    retired: VecDeque<(Arc<OwnKey>, UnixTime)>,
}

impl OwnKeys {
    pub(crate) fn new(current: Arc<OwnKey>, retired: Vec<(Arc<OwnKey>, UnixTime)>) -> Self {
        let mut keys = Self { current, retired: retired.into() };
        keys.retired.truncate(MAX_RETIRED);
        keys
    }

    pub(crate) const fn current(&self) -> &Arc<OwnKey> {
        &self.current
    }

    /// The key of `epoch` and the time when it stops opening, if it opens at `now`.
    pub(crate) fn opening(&self, epoch: Epoch, now: UnixTime) -> Option<(&Arc<OwnKey>, UnixTime)> {
        if epoch == self.current.epoch() {
            return Some((&self.current, UnixTime::from_secs(u64::MAX)));
        }
        let (key, until) = self.retired.iter().find(|(key, _)| key.epoch() == epoch)?;
        (now < *until).then_some((key, *until))
    }

    /// The oldest epoch that opens at `now`, and at any time after this call: keys that are past their date are wiped,
    /// so that no clock that is set back makes them open again.
    pub(crate) fn oldest(&mut self, now: UnixTime) -> Epoch {
        self.retired.retain(|(_, until)| now < *until);
        let retired = self.retired.iter().map(|(key, _)| key.epoch());
        retired.min().unwrap_or_else(|| self.current.epoch())
    }

    /// Seals with `key` from now on, and opens with the current one until `until`.
    pub(crate) fn rotate(&mut self, key: Arc<OwnKey>, until: UnixTime) {
        let old = core::mem::replace(&mut self.current, key);
        self.retired.push_front((old, until));
        self.retired.truncate(MAX_RETIRED);
    }
}
