use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use symbolon_keys::Id;
use tokio::sync::OwnedMutexGuard;

use crate::error::TableError;
use crate::policy::Policy;

/// The turn of one peer, and how the directory failed the last who had it.
type Turn = tokio::sync::Mutex<Option<TableError>>;

/// Sees that the directory is asked once for a peer, however many callers wait for the answer.
#[derive(Default)]
pub(crate) struct Flights(Mutex<BTreeMap<Id, Arc<Turn>>>);

impl Flights {
    /// Waits until nobody else asks for `id`. Whoever waited looks into the table first: the answer may be there.
    ///
    /// # Errors
    /// That of whoever asked meanwhile and failed; [`TableError::Busy`] if too many peers are being asked for.
    pub(crate) async fn enter(&self, id: &Id) -> Result<Flight<'_>, TableError> {
        let turn = {
            let mut flights = self.lock();
            if flights.len() >= Policy::MAX_FLIGHTS && !flights.contains_key(id) {
                return Err(TableError::Busy);
            }
            Arc::clone(flights.entry(*id).or_default())
        };
        // From here on a caller that goes away leaves nothing behind.
        let mut flight = Flight { flights: self, id: *id, turn: None };
        let turn = turn.lock_owned().await;
        if let Some(error) = &*turn {
            return Err(error.clone());
        }
        flight.turn = Some(turn);
        Ok(flight)
    }

    /// Whether somebody asks for `id` at this moment.
    pub(crate) fn is_out(&self, id: &Id) -> bool {
        self.lock().contains_key(id)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Id, Arc<Turn>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flights({})", self.lock().len())
    }
}

/// The right to ask the directory for one peer.
pub(crate) struct Flight<'a> {
    flights: &'a Flights,
    id: Id,
    turn: Option<OwnedMutexGuard<Option<TableError>>>,
}

impl Flight<'_> {
    /// Tells those who wait if the directory failed for this peer, and gives the same answer. What else went wrong is
    /// the caller's own: another message of the same peer may well open.
    pub(crate) fn land<T>(mut self, outcome: Result<T, TableError>) -> Result<T, TableError> {
        use TableError::{Directory, Unavailable, UnknownPeer};
        if let (Some(turn), Err(error @ (Directory(_) | Unavailable(_) | UnknownPeer(_)))) =
            (&mut self.turn, &outcome)
        {
            **turn = Some(error.clone());
        }
        outcome
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.turn = None;
        let mut flights = self.flights.lock();
        if flights.get(&self.id).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            flights.remove(&self.id);
        }
    }
}
