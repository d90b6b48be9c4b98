//! How much of what there is one may have: sessions of a source, transfers of a user.

use alloc::sync::Arc;
use core::hash::Hash;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many places each has.
pub(super) struct Guests<K>(Arc<Mutex<HashMap<K, usize>>>);

/// One place among those that somebody has.
pub(super) struct Seat<K: Copy + Eq + Hash>(Guests<K>, K);

impl<K> Default for Guests<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Copy + Eq + Hash> Guests<K> {
    /// One more place, unless `guest` has so many.
    pub(super) fn seat(&self, guest: K, most: usize) -> Option<Seat<K>> {
        let mut seats = self.lock();
        let count = seats.entry(guest).or_default();
        if *count >= most {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Seat(Self(Arc::clone(&self.0)), guest))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash> Drop for Seat<K> {
    fn drop(&mut self) {
        let mut sessions = self.0.lock();
        if let Some(count) = sessions.get_mut(&self.1) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                sessions.remove(&self.1);
            }
        }
    }
}
