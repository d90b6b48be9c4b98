//! Confirming what is stale before it is needed.

use alloc::sync::Arc;
use alloc::vec::Vec;

use symbolon_keys::{Id, UnixTime};

use super::Table;
use crate::directory::{Directory, MAX_RECORDS};
use crate::error::TableError;
use crate::peer::Sealing;
use crate::record::{InvalidRecord, Record};

/// What a round of [`Table::refresh`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refreshed {
    /// How many peers have the keys that the table held.
    pub confirmed: usize,
    /// The peers whose keys changed: taken, or waiting for approval, as the policy says.
    pub changed: Vec<Id>,
    /// The peers about whom the directory's answer did not hold.
    pub failed: Vec<(Id, TableError)>,
}

impl<D: Directory> Table<D> {
    /// Asks the directory about every peer that is stale, [`MAX_RECORDS`] in one question. Call it now and then: no
    /// message has to wait for the directory then, and changes are noticed while nobody writes.
    ///
    /// # Errors
    /// [`TableError::Unavailable`] if the directory does not answer; what was confirmed before stays so.
    pub async fn refresh(&self) -> Result<Refreshed, TableError> {
        let now = self.now();
        let mut refreshed = Refreshed::default();
        for batch in self.stale(now).chunks(MAX_RECORDS) {
            let records = self.ask(now, async { self.directory.lookup(batch).await }).await?;
            let mut records = records.into_iter();
            for id in batch {
                // A directory that answers for fewer than it was asked has said nothing of the others.
                match self.refresh_with(id, records.next().flatten(), now).await {
                    Ok(true) => refreshed.changed.push(*id),
                    Ok(false) => refreshed.confirmed = refreshed.confirmed.saturating_add(1),
                    Err(error @ TableError::Unavailable(_)) => return Err(error),
                    Err(error) => refreshed.failed.push((*id, error)),
                }
            }
        }
        Ok(refreshed)
    }

    fn stale(&self, now: UnixTime) -> Vec<Id> {
        let ours = self.own_epoch();
        let due = self.peers.iter().filter(|(id, held)| {
            // A change that waits is asked for again too: there may be a later one.
            let changed = held.offered().is_some();
            changed && held.is_old(now, &self.policy)
                || matches!(held.sealing(id, ours, now, &self.policy), Sealing::Stale { .. })
        });
        due.map(|(id, _)| id).collect()
    }

    /// Takes the directory's newest record of `id`. Answers whether it changed.
    async fn refresh_with(&self, id: &Id, newest: Option<Record>, now: UnixTime) -> Result<bool, TableError> {
        let flight = self.flights.enter(id).await?;
        let Some(held) = self.peers.peek(id) else { return Ok(false) };
        let newest = newest.ok_or(InvalidRecord::History)?;
        if newest.hash() == held.head {
            let confirmed = held.refreshed(&[newest], &self.own(), now, &self.policy)?;
            self.peers.insert(id, Arc::new(confirmed));
            return Ok(false);
        }
        flight.land(self.refresh_held(id, &held, now).await).map(|_| true)
    }
}
