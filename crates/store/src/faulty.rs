//! A store that fails on purpose, around any store of the domain crates: for tests, ours and yours.
//!
//! A program that keeps its promises on a good disk has shown little. [`Faulty`] passes every call on, except those that
//! its plan picks: these are refused, lost, carried out unheard of, or late. [`Faulty::put`] exchanges the store itself,
//! for an older copy for example.
//!
//! To meet every commit of a story with every fault, run it once to count them, then once for each:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use symbolon_keys::{Epoch, UnixTime};
//! use symbolon_store::faulty::{Fault, Faulty};
//! use symbolon_table::{InboxStore, MemoryStore, MessageId};
//!
//! /// Accepts a message once, however often it has to ask.
//! async fn story(store: &impl InboxStore) -> u32 {
//!     let (bob, alice) = ("bob".parse().unwrap(), "alice".parse().unwrap());
//!     let mut accepted = 0;
//!     for _ in 0..3 {
//!         if let Ok(true) = store.remember(&bob, &alice, &MessageId::from([1; 16]), Epoch::FIRST).await {
//!             accepted += 1;
//!         }
//!     }
//!     accepted
//! }
//!
//! let writes = { let calm = Faulty::calm(MemoryStore::new()); story(&calm).await; calm.writes() };
//! for write in 1..=writes {
//!     for fault in Fault::ALL {
//!         let store = Faulty::at(MemoryStore::new(), write, fault);
//!         assert!(story(&store).await <= 1, "accepted twice after {fault:?} of write {write}");
//!     }
//! }
//! # }
//! ```

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{PoisonError, RwLock};
use std::thread;

use tokio::sync::oneshot;

#[cfg(feature = "agreement")]
mod agreement;
#[cfg(feature = "envelope")]
mod envelope;
#[cfg(feature = "ledger")]
mod ledger;
#[cfg(feature = "table")]
mod table;

#[cfg(feature = "envelope")]
pub use envelope::FaultyUpload;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing is done, and the error says so. (Of an upload's write, half is done: it is torn.)
    Refused,
    /// Nothing is done, but the error says only that nobody knows.
    Lost,
    /// All of it is done, but the error says only that nobody knows.
    Unheard,
    /// It is done after so long.
    Late(Duration),
}

impl Fault {
    /// One of each; late is a millisecond here.
    pub const ALL: [Self; 4] =
        [Self::Refused, Self::Lost, Self::Unheard, Self::Late(Duration::from_millis(1))];
}

/// A call that is about to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The trait's method.
    pub method: &'static str,
    /// Its number among the calls that write, from 1; none if it only reads.
    pub write: Option<u64>,
}

type Plan = dyn Fn(&Call) -> Option<Fault> + Send + Sync;

/// A store of any of the domain traits, with faults. See the [module](self).
pub struct Faulty<S> {
    store: RwLock<Arc<S>>,
    plan: Box<Plan>,
    writes: AtomicU64,
}

impl<S> Faulty<S> {
    /// `store`, with the faults that `plan` picks.
    pub fn new<P>(store: S, plan: P) -> Self
    where
        P: Fn(&Call) -> Option<Fault> + Send + Sync + 'static,
    {
        Self { store: RwLock::new(Arc::new(store)), plan: Box::new(plan), writes: AtomicU64::new(0) }
    }

    /// Without a fault: it counts the calls.
    pub fn calm(store: S) -> Self {
        Self::new(store, |_| None)
    }

    /// With one fault, at the write of this number.
    pub fn at(store: S, write: u64, fault: Fault) -> Self {
        Self::new(store, move |call| (call.write == Some(write)).then_some(fault))
    }

    /// How many calls that write were made.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    /// Exchanges the store, and returns the one before: with an older copy in its place, everything since is rolled
    /// back under the feet of whoever uses it.
    pub fn put(&self, store: S) -> Arc<S> {
        core::mem::replace(&mut *self.store.write().unwrap_or_else(PoisonError::into_inner), Arc::new(store))
    }

    /// The store that calls reach now.
    pub fn inner(&self) -> Arc<S> {
        self.store.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn begin(&self, method: &'static str, writes: bool) -> Result<Begun, Injected> {
        let write = writes.then(|| self.writes.fetch_add(1, Ordering::SeqCst).saturating_add(1));
        match (self.plan)(&Call { method, write }) {
            None => Ok(Begun { unheard: false }),
            Some(Fault::Refused) => Err(Injected { unknown: false }),
            Some(Fault::Lost) => Err(Injected { unknown: true }),
            Some(Fault::Unheard) => Ok(Begun { unheard: true }),
            Some(Fault::Late(by)) => {
                sleep(by).await;
                Ok(Begun { unheard: false })
            }
        }
    }
}

/// Needs no particular runtime: a late call costs a thread.
async fn sleep(time: Duration) {
    let (done, wake) = oneshot::channel();
    thread::spawn(move || {
        thread::sleep(time);
        let _ = done.send(());
    });
    let _ = wake.await;
}

impl<S: fmt::Debug> fmt::Debug for Faulty<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, plan: _, writes } = self;
        f.debug_struct("Faulty").field("store", store).field("writes", writes).finish_non_exhaustive()
    }
}

/// A call that is carried out.
struct Begun {
    unheard: bool,
}

impl Begun {
    fn end<T, E: From<Injected>>(self, done: Result<T, E>) -> Result<T, E> {
        if self.unheard { done.and(Err(Injected { unknown: true }.into())) } else { done }
    }
}

/// A failure that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Injected {
    /// Whether the caller may not conclude that nothing was done.
    pub unknown: bool,
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.unknown {
            true => "a fault that was asked for: the outcome is unknown",
            false => "a fault that was asked for: nothing was done",
        })
    }
}

impl core::error::Error for Injected {}

/// The error of a faulty store: the fault, or the store's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultyError<E> {
    /// It was asked for.
    Injected(Injected),
    /// It was not.
    Store(E),
}

impl<E> From<Injected> for FaultyError<E> {
    fn from(injected: Injected) -> Self {
        Self::Injected(injected)
    }
}

impl<E: fmt::Display> fmt::Display for FaultyError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Injected(injected) => injected.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for FaultyError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Injected(injected) => Some(injected),
            Self::Store(error) => Some(error),
        }
    }
}
