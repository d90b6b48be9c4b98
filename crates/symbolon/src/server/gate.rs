//! Who is let in, and how fast: back-pressure, and refusals that say when to come back.

use core::hash::Hash;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Mutex as Lock, PoisonError};

use symbolon_agreement::Source;
use symbolon_envelope::{Record, RecordId, Records};
use symbolon_keys::Id;
use symbolon_store::AnyStore;
use tokio::sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout};

use super::exchange::unavailable;
use super::guests::{Guests, Seat};
use super::limits::{Limits, Rate};
use crate::protocol::{Refusal, RefusalCode, Request};

/// How long a request waits for its turn before it is told to come back, and when.
pub(super) const WAIT: Duration = Duration::from_secs(5);

/// The part of all transfers that one user may have, or one source without a login: 1 in 8.
const SHARE: usize = 8;

/// How many finish a document at once, each for another owner, or nearly.
const SHELVES: usize = 64;

/// How many records are looked at in one step.
const PAGE: usize = 256;

/// Whose requests are counted together.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Who {
    User(Id),
    /// Nobody is logged in.
    Source(Source),
    /// Another process of this server, which keeps its clients within their limits itself.
    Process,
}

/// What stands before a server's work.
pub(super) struct Gate {
    pub(super) limits: Limits,
    requests: Semaphore,
    transfers: Semaphore,
    sharing: Guests<Who>,
    /// Requests of other processes: they have a place there already, and must not wait for each other's.
    relayed: Semaphore,
    request_rate: Meter<Who>,
    byte_rate: Meter<Who>,
    registration_rate: Meter<Source>,
    shelves: [Mutex<()>; SHELVES],
    stored: AtomicU64,
    sessions: AtomicUsize,
}

/// Room for one document.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) bytes: u64,
    /// What goes when it comes.
    freed: u64,
}

/// A session, as long as it lasts.
pub(super) struct Present<'a>(&'a AtomicUsize);

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("symbolon_sessions").decrement(1);
    }
}

/// A request's place among those in work.
pub(super) struct Turn<'a> {
    _request: SemaphorePermit<'a>,
    _transfer: Option<SemaphorePermit<'a>>,
    _share: Option<Seat<Who>>,
}

impl Gate {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            requests: Semaphore::new(limits.requests),
            transfers: Semaphore::new(limits.transfers),
            sharing: Guests::default(),
            relayed: Semaphore::new(limits.requests),
            request_rate: Meter::new(limits.request_rate),
            byte_rate: Meter::new(limits.byte_rate),
            registration_rate: Meter::new(limits.registration_rate),
            shelves: [const { Mutex::const_new(()) }; SHELVES],
            stored: AtomicU64::new(0),
            sessions: AtomicUsize::new(0),
        }
    }

    /// Counts a session in.
    pub(super) fn present(&self) -> Present<'_> {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("symbolon_sessions_total").increment(1);
        metrics::gauge!("symbolon_sessions").increment(1);
        Present(&self.sessions)
    }

    /// How many sessions there are, and how many requests are in work.
    pub(super) fn load(&self) -> (usize, usize) {
        let requests = self.limits.requests.saturating_sub(self.requests.available_permits());
        (self.sessions.load(Ordering::Relaxed), requests)
    }

    /// Lets a request in, or says when to come back.
    pub(super) async fn admit(
        &self,
        request: &Request,
        who: Who,
        source: Source,
    ) -> Result<Turn<'_>, Refusal> {
        if who != Who::Process {
            self.request_rate.take(who, 1).map_err(|wait| Refusal::later("too many requests", wait))?;
        }
        if matches!(request, Request::Register(_)) {
            let took = self.registration_rate.take(source, 1);
            took.map_err(|wait| Refusal::later("too many registrations from your network", wait))?;
        }
        let busy = || Refusal::later("the server has as much to do as it can", WAIT);
        let transfers = matches!(
            request,
            Request::Put(..) | Request::Get(_) | Request::Process(..) | Request::BuyPad(..)
        );
        let places = if who == Who::Process { &self.relayed } else { &self.requests };
        let turn = async {
            let (mut transfer, mut share) = (None, None);
            if transfers && who != Who::Process {
                let most = self.limits.transfers.div_ceil(SHARE);
                let full = || Refusal::later("you have as many documents on their way as you may", WAIT);
                share = Some(self.sharing.seat(who, most).ok_or_else(full)?);
                transfer = Some(self.transfers.acquire().await.map_err(|_| busy())?);
            }
            let place = places.acquire().await.map_err(|_| busy())?;
            Ok(Turn { _request: place, _transfer: transfer, _share: share })
        };
        timeout(WAIT, turn).await.map_err(|_| busy())?
    }

    /// Lets so many bytes through, in their time.
    pub(super) async fn pass(&self, who: Who, bytes: usize) {
        if who == Who::Process {
            return;
        }
        let wait = self.byte_rate.pass(who, u64::try_from(bytes).unwrap_or(u64::MAX));
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }

    /// Forgets who was slow enough.
    pub(super) fn tidy(&self) {
        let now = Instant::now();
        self.request_rate.tidy(now);
        self.byte_rate.tidy(now);
        self.registration_rate.tidy(now);
    }

    /// Held by whoever finishes a document of `owner`: what is counted is then what is there.
    pub(super) async fn shelf(&self, owner: Id) -> MutexGuard<'_, ()> {
        let sum = owner
            .as_bytes()
            .iter()
            .fold(0, |sum: usize, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        let [first, ..] = &self.shelves;
        self.shelves.get(sum % SHELVES).unwrap_or(first).lock().await
    }

    /// How much room there is for a document of `owner` that takes the place of `replaced`.
    pub(super) async fn room(
        &self,
        store: &AnyStore,
        owner: Id,
        replaced: RecordId,
    ) -> Result<Room, Refusal> {
        let full = |what| Refusal::new(RefusalCode::Full, what);
        let (mut own, mut freed) = (0_u64, 0_u64);
        let mut after = None;
        loop {
            let page = Records::owned_by(store, owner, after, PAGE).await.map_err(unavailable)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for record in page {
                own = own.saturating_add(record.payload.len);
                if record.id == replaced {
                    freed = record.payload.len;
                }
            }
        }
        let left = self.limits.documents_per_owner.saturating_sub(own.saturating_sub(freed));
        if left == 0 {
            return Err(full("your documents fill your quota: put shorter ones in their place"));
        }
        let stored = self.stored.load(Ordering::Relaxed).saturating_sub(freed);
        let in_all = self.limits.documents.saturating_sub(stored);
        if in_all == 0 {
            return Err(full("the server has no room for documents: ask its operator"));
        }
        Ok(Room { bytes: left.min(in_all).min(self.limits.document), freed })
    }

    /// A document is stored, in the room that there was for it.
    pub(super) fn stored(&self, bytes: u64, room: Room) {
        let count = |stored: u64| Some(stored.saturating_add(bytes).saturating_sub(room.freed));
        let _ = self.stored.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
    }

    /// Counts the bytes of all documents.
    pub(super) async fn count(&self, store: &AnyStore) -> Result<(), symbolon_store::StoreError> {
        let before = self.stored.load(Ordering::Relaxed);
        let (mut sum, mut after) = (0_u64, None);
        loop {
            let page: Vec<Record> = Records::below(store, u32::MAX, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            sum = page.iter().fold(sum, |sum, record| sum.saturating_add(record.payload.len));
        }
        // With what came meanwhile: it may be counted twice until the next time, and is not missed.
        let count = |stored: u64| Some(sum.saturating_add(stored.saturating_sub(before)));
        let _ = self.stored.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        Ok(())
    }
}

/// Keeps many to a rate each: for each it knows until when what came is paid for (the generic cell rate algorithm).
struct Meter<K> {
    rate: Rate,
    until: Lock<HashMap<K, Instant>>,
}

impl<K: Eq + Hash> Meter<K> {
    fn new(rate: Rate) -> Self {
        Self { rate, until: Lock::default() }
    }

    /// Takes `n`, or says when they can be taken.
    fn take(&self, key: K, n: u64) -> Result<(), Duration> {
        let now = Instant::now();
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let paid = until.get(&key).copied().unwrap_or(now).max(now);
        let next = paid.checked_add(self.cost(n)).unwrap_or(paid);
        let wait = next.saturating_duration_since(now).saturating_sub(self.cost(self.rate.burst));
        if !wait.is_zero() {
            return Err(wait);
        }
        until.insert(key, next);
        Ok(())
    }

    /// Takes `n`, whenever they can be had: how long to wait.
    fn pass(&self, key: K, n: u64) -> Duration {
        let now = Instant::now();
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let paid = until.get(&key).copied().unwrap_or(now).max(now);
        let next = paid.checked_add(self.cost(n)).unwrap_or(paid);
        until.insert(key, next);
        next.saturating_duration_since(now).saturating_sub(self.cost(self.rate.burst))
    }

    /// How long `n` take.
    fn cost(&self, n: u64) -> Duration {
        let nanos = u128::from(n).saturating_mul(1_000_000_000).checked_div(self.rate.per_second.into());
        Duration::from_nanos(nanos.and_then(|nanos| nanos.try_into().ok()).unwrap_or(u64::MAX / 4))
    }

    /// Forgets whose time is over.
    fn tidy(&self, now: Instant) {
        self.until.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, until| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept_for_each_alone() {
        let meter = Meter::new(Rate::new(10, 3));
        for _ in 0..3 {
            meter.take("one", 1).unwrap();
        }
        let wait = meter.take("one", 1).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        meter.take("two", 3).unwrap();
        tokio::time::advance(wait).await;
        meter.take("one", 1).unwrap();
        meter.take("one", 1).unwrap_err();
        // What is slowed down is paid for later, and later still.
        assert_eq!(meter.pass("three", 13), Duration::from_secs(1));
        assert_eq!(meter.pass("three", 10), Duration::from_secs(2));
        tokio::time::advance(Duration::from_secs(60)).await;
        meter.tidy(Instant::now());
        assert!(meter.until.lock().unwrap().is_empty());
    }
}
