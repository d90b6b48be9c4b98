//! How many sessions one source may have.

use alloc::sync::Arc;
use core::net::IpAddr;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use symbolon_agreement::Source;

/// How many sessions each source has.
#[derive(Clone, Default)]
pub(super) struct Guests(Arc<Mutex<HashMap<Source, usize>>>);

/// A session's place among those of its source.
pub(super) struct Seat(Guests, Source);

impl Guests {
    /// A place for one more session, unless its source has so many.
    pub(super) fn seat(&self, ip: IpAddr, most: usize) -> Option<Seat> {
        let source = Source::from(ip);
        let mut sessions = self.lock();
        let count = sessions.entry(source).or_default();
        if *count >= most {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Seat(self.clone(), source))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Source, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
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
