//! How a table asks the directory, and what it makes of the answers.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use std::sync::PoisonError;

use symbolon_keys::{Epoch, Id, UnixTime};

use super::{Table, opening_root};
use crate::directory::{Directory, MAX_RECORDS};
use crate::error::TableError;
use crate::message::Header;
use crate::peer::{Peer, Sealing};
use crate::policy::Policy;
use crate::record::{InvalidRecord, Record, RecordHash, verify_history};

/// The most answers that make up one history, so that a directory cannot keep a client busy for ever.
const MAX_PAGES: usize = 16;

impl<D: Directory> Table<D> {
    /// The peer with a secret to seal with: asks the directory, and goes on with a stale secret where it may.
    pub(super) async fn confirm(&self, peer: &Id, now: UnixTime) -> Result<Arc<Peer>, TableError> {
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
    pub(super) async fn find(&self, header: &Header, now: UnixTime) -> Result<Arc<Peer>, TableError> {
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
        self.peers.insert(sender, Arc::clone(&held));
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
        self.peers.insert(peer, Arc::clone(&held));
        Ok(held)
    }

    /// The newest record of `peer`, which follows the history that the table trusts: for those keys of theirs that are for
    /// something else than messages, a signature say. The directory is asked each time.
    ///
    /// # Errors
    /// [`TableError`], as for [`Self::seal`]: a changed key is taken by the same policy.
    pub async fn record(&self, peer: &Id) -> Result<Record, TableError> {
        let now = self.now();
        let held = self.confirm(peer, now).await?;
        let history = self.history_from(peer, &held, now).await?;
        let held = self.follow(peer, &held, &history, now)?;
        match held.sealing(peer, self.own_epoch(), now, &self.policy) {
            Sealing::Changed(changed) => Err(changed),
            Sealing::Stale { usable: false } => Err(TableError::Expired(*peer)),
            Sealing::Stale { usable: true } | Sealing::Ready => {
                let newest = history.into_iter().next_back();
                newest
                    .filter(|newest| newest.hash() == held.head)
                    .ok_or_else(|| InvalidRecord::History.into())
            }
        }
    }

    /// Asks what became of a peer that the table holds.
    pub(super) async fn refresh_held(
        &self,
        peer: &Id,
        held: &Peer,
        now: UnixTime,
    ) -> Result<Arc<Peer>, TableError> {
        if let Some((at, error)) = &*self.down.lock().unwrap_or_else(PoisonError::into_inner)
            && Policy::is_recent(*at, now, self.policy.retry_after)
        {
            return Err(error.clone().into());
        }
        let history = self.history_from(peer, held, now).await?;
        self.follow(peer, held, &history, now)
    }

    /// The verified history of a peer from the record on that the table holds.
    async fn history_from(&self, peer: &Id, held: &Peer, now: UnixTime) -> Result<Vec<Record>, TableError> {
        let known = held.current.theirs;
        self.ask(now, self.history(peer, known, known, &held.head)).await
    }

    /// Takes what a verified history says of a peer.
    fn follow(
        &self,
        peer: &Id,
        held: &Peer,
        history: &[Record],
        now: UnixTime,
    ) -> Result<Arc<Peer>, TableError> {
        let held = Arc::new(held.refreshed(history, &self.own(), now, &self.policy)?);
        self.peers.insert(peer, Arc::clone(&held));
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
    pub(super) async fn ask<T, E: Into<TableError>>(
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
