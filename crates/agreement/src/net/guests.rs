use alloc::sync::Arc;
use core::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand_core::Rng;
use symbolon_keys::OsRng;
use tokio::sync::Notify;

use crate::tickets::Source;

/// The connections that have proven nothing yet: a bounded number, in which newcomers displace others at random.
///
/// Whom to displace cannot be steered by arriving early or late, and an honest client is here for milliseconds.
#[derive(Debug)]
pub(super) struct Guests {
    seats: Mutex<Seats>,
    total: usize,
    per_source: usize,
}

#[derive(Debug, Default)]
struct Seats {
    taken: Vec<Seat>,
    next: u64,
}

#[derive(Debug)]
struct Seat {
    id: u64,
    source: Source,
    displaced: Arc<Notify>,
}

/// A place among the guests; given up when dropped.
#[derive(Debug)]
pub(super) struct Guest {
    guests: Arc<Guests>,
    id: u64,
    displaced: Arc<Notify>,
}

impl Guests {
    pub(super) fn new(total: usize, per_source: usize) -> Arc<Self> {
        Arc::new(Self { seats: Mutex::default(), total, per_source })
    }

    /// A place for whoever is at `address`.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Guest {
        let source = Source::from(address);
        let displaced = Arc::new(Notify::new());
        let mut seats = self.lock();
        let of_source = || seats.taken.iter().enumerate().filter(|(_, seat)| seat.source == source);
        let count = of_source().count();
        let victim = if count >= self.per_source {
            of_source().nth(draw(count)).map(|(index, _)| index)
        } else if seats.taken.len() >= self.total {
            Some(draw(seats.taken.len()))
        } else {
            None
        };
        if let Some(victim) = victim {
            seats.taken.swap_remove(victim).displaced.notify_one();
        }
        let id = seats.next;
        seats.next = seats.next.wrapping_add(1);
        seats.taken.push(Seat { id, source, displaced: Arc::clone(&displaced) });
        Guest { guests: Arc::clone(self), id, displaced }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().taken.len()
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        // Nothing in here panics half-way: a poisoned list is whole.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    /// Completes when the place has gone to somebody else.
    pub(super) async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.guests.lock().taken.retain(|seat| seat.id != self.id);
    }
}

/// A random number below `n`. Its bias, at most n / 2^64, says nothing to anybody.
pub(super) fn draw(n: usize) -> usize {
    let n = u64::try_from(n).unwrap_or(u64::MAX);
    usize::try_from(OsRng.next_u64().checked_rem(n).unwrap_or_default()).unwrap_or_default()
}
