use alloc::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use quick_cache::sync::Cache;
use symbolon_keys::{Id, UnixTime};

use crate::error::TableError;
use crate::policy::Policy;

/// Whom the directory does not know, and how often messages made the table ask: what bounds the cost of strangers.
#[derive(Debug)]
pub(crate) struct Strangers {
    unknown: Cache<Id, UnixTime>,
    window: Mutex<Window>,
}

/// The fetches of one span of time. At most [`Policy::fetches`] senders are in it.
#[derive(Debug, Default)]
struct Window {
    since: UnixTime,
    all: u32,
    by_sender: BTreeMap<Id, u32>,
}

impl Strangers {
    pub(crate) fn new() -> Self {
        Self { unknown: Cache::new(Policy::MAX_STRANGERS), window: Mutex::default() }
    }

    /// Whether the directory said lately that it does not know `id`.
    pub(crate) fn is_unknown(&self, id: &Id, now: UnixTime, policy: &Policy) -> bool {
        self.unknown.get(id).is_some_and(|asked| Policy::is_recent(asked, now, policy.unknown_for))
    }

    /// The directory does not know `id`.
    pub(crate) fn unknown(&self, id: &Id, now: UnixTime) {
        self.unknown.insert(*id, now);
    }

    /// The directory may know `id` now.
    pub(crate) fn forget(&self, id: &Id) {
        self.unknown.remove(id);
    }

    /// Counts a fetch on behalf of a message that claims to be from `sender`.
    ///
    /// # Errors
    /// [`TableError::Busy`] if that is one too many.
    pub(crate) fn admit(&self, sender: &Id, now: UnixTime, policy: &Policy) -> Result<(), TableError> {
        let mut window = self.window();
        // A clock set back begins a new window too.
        if now < window.since || now.saturating_since(window.since) >= Policy::WINDOW {
            *window = Window { since: now, ..Window::default() };
        }
        let Window { all, by_sender, .. } = &mut *window;
        let of_sender = by_sender.get(sender).copied().unwrap_or_default();
        if *all >= policy.fetches || of_sender >= policy.fetches_per_sender {
            return Err(TableError::Busy);
        }
        *all = all.saturating_add(1);
        by_sender.insert(*sender, of_sender.saturating_add(1));
        Ok(())
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
