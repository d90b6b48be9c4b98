use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex as Lock, PoisonError};

use symbolon_keys::UnixTime;
use tokio::sync::Mutex;

mod attach;
mod end;
mod error;
mod keys;
mod open;
mod policy;
mod provision;
mod receiver;
mod recover;
mod requests;
mod seal;
mod sender;
mod witness;

pub use error::PadError;
pub use open::Message;
pub use policy::Policy;
pub use provision::Provision;
pub use recover::Restored;
pub use seal::Seal;
pub use witness::WitnessLink;

use receiver::Receiver;
use sender::Sender;

use crate::issue::{Issue, IssueError, PadSink};
use crate::material::{Erased, PadHalf, PadHeader};
use crate::source::Source;
use crate::{
    AccountId, Amount, Batch, CommitError, Fence, LedgerStore, Op, Outcome, PadId, PadMode, PadStatus,
    Refusal, Refused,
};

/// One end of a pad, attached to its ledger and its material: it seals and opens, and uses no byte twice.
///
/// One process owns a pad at a time, through one handle. Both directions can be used at once; within one, messages take
/// turns. If a handle cannot know any more what is durable, it dies ([`PadError::Dead`]) and the pad is attached anew.
///
/// ```
/// # use symbolon_ledger::*;
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let (a, b, ledger_a, ledger_b) =
/// #     (MemoryMaterial::new(), MemoryMaterial::new(), MemoryStore::new(), MemoryStore::new());
/// let id = Issue::new(1 << 16).unwitnessed().run(GeneratorSource::os(), &mut a.sink(), &mut b.sink())?;
/// Pad::provision(&ledger_a, &a, Provision::new(id)).await?;
/// Pad::provision(&ledger_b, &b, Provision::new(id)).await?;
///
/// let (alice, bob) = (Pad::attach(&ledger_a, &a, id).await?, Pad::attach(&ledger_b, &b, id).await?);
/// let frame = alice.seal(b"hello").commit().await?;
/// assert_eq!(*bob.open(&frame).await?, *b"hello");
/// assert!(bob.open(&frame).await.is_err()); // once
/// # Ok::<(), Box<dyn core::error::Error>>(()) }).unwrap();
/// ```
pub struct Pad<S, H> {
    store: S,
    half: H,
    fence: Fence,
    policy: Policy,
    /// The process that attached it. A fork has the same memory, and must not use it.
    process: u32,
    value: Option<AccountId>,
    life: Lock<Life>,
    sender: Mutex<Sender>,
    receiver: Mutex<Receiver>,
    rejected: AtomicU64,
}

/// What the handle knows of itself.
#[derive(Clone, Copy, Debug)]
struct Life {
    status: PadStatus,
    dead: bool,
    left: Remaining,
    /// Of a key sequence: one of the lanes had no key left when it was attached.
    keys_over: bool,
}

impl Pad<(), ()> {
    /// Issues a pad of so many bytes, half of them for each lane, with the peer as a witness; [`Issue`] has more to say.
    ///
    /// # Errors
    /// [`IssueError`]; then there is no half of it anywhere.
    pub fn issue<R: Source>(
        bytes: u64,
        value: Amount,
        mode: PadMode,
        source: R,
        server: &mut impl PadSink,
        user: &mut impl PadSink,
    ) -> Result<PadId, IssueError> {
        Issue::new(bytes).value(value).mode(mode).run(source, server, user)
    }
}

impl<S: LedgerStore, H: PadHalf> Pad<S, H> {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> PadId {
        self.fence.pad
    }

    /// What was fixed when it was issued.
    #[must_use]
    pub fn header(&self) -> &PadHeader {
        self.half.header()
    }

    /// Whether it can be used.
    #[must_use]
    pub fn status(&self) -> PadStatus {
        self.life().status
    }

    /// How many frames were refused because they were not authentic. They cost nothing else.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// What is left of both lanes, exactly.
    #[must_use]
    pub fn remaining(&self) -> Remaining {
        self.life().left
    }

    /// Whether either lane has less left than the policy's [low-water mark](Policy::low_water): time for a new pad. Look
    /// after every message; it costs no more than [`remaining`](Self::remaining).
    #[must_use]
    pub fn is_low(&self) -> bool {
        let (left, header) = (self.remaining(), self.half.header());
        let low = |left, lane| left < self.policy.low.unwrap_or_else(|| header.lane_len(lane) / 16);
        low(left.send, header.lane) || low(left.receive, header.peer_lane())
    }

    /// Gives the pad back: burns what is reserved and not used, [destroys](Self::destroy) what is used, and lets others
    /// attach it.
    ///
    /// # Errors
    /// [`PadError`]; the handle is gone even then, and the lease lasts until it ends.
    pub async fn detach(self) -> Result<Erased, PadError> {
        self.alive()?;
        let erased = self.destroy().await?;
        self.commit([Op::Detach { fence: self.fence }]).await?;
        Ok(erased)
    }

    fn life(&self) -> Life {
        *self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_life(&self, change: impl FnOnce(&mut Life)) {
        change(&mut self.life.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Nothing is done by a handle that is dead, or was carried into another process by a fork.
    fn alive(&self) -> Result<(), PadError> {
        if std::process::id() != self.process {
            return Err(PadError::Forked);
        }
        if self.life().dead { Err(PadError::Dead) } else { Ok(()) }
    }

    /// As [`alive`](Self::alive), and the pad is open.
    fn usable_now(&self) -> Result<(), PadError> {
        self.alive()?;
        match self.status() {
            PadStatus::Open => Ok(()),
            status => Err(PadError::NotOpen(status)),
        }
    }

    /// What of a lane is of use: less than the smallest frame is not.
    fn usable(&self, left: u64) -> u64 {
        if left < self.half.header().mode.min_cost() { 0 } else { left }
    }

    /// Whether the pad comes to its end: with a value, when either lane does; without, when both do. The last key of a
    /// sequence may be in use for long: that ends when another is needed, or with its handle.
    fn is_spent(&self, left: Remaining) -> bool {
        if self.half.header().mode == PadMode::KeySequence {
            return self.value.is_some() && self.life().keys_over;
        }
        if self.value.is_some() {
            left.send == 0 || left.receive == 0
        } else {
            left.send == 0 && left.receive == 0
        }
    }

    async fn commit(&self, ops: impl IntoIterator<Item = Op>) -> Result<Vec<Outcome>, PadError> {
        let batch = ops.into_iter().fold(Batch::new(UnixTime::now()), Batch::with);
        // Of which life the peer's lane is, the peer may be wrong about: that says nothing of this handle.
        let attesting = batch.ops().iter().any(|op| matches!(op, Op::Ceiling { .. } | Op::Adopt { .. }));
        let pads: Vec<_> = batch.ops().iter().map(Op::pad).collect();
        match self.store.commit(batch).await {
            Ok(outcomes) => {
                for outcome in &outcomes {
                    if let Outcome::Ended { pad, status } = outcome
                        && *pad == self.fence.pad
                    {
                        self.set_life(|life| life.status = *status);
                    }
                }
                Ok(outcomes)
            }
            // A step about another pad: what is refused there says nothing of this one.
            Err(CommitError::Refused(refused))
                if pads.get(refused.op).copied().flatten().is_some_and(|pad| pad != self.fence.pad) =>
            {
                Err(PadError::Commit(CommitError::Refused(refused)))
            }
            Err(error) => {
                if let CommitError::Refused(Refused { why, .. }) = &error {
                    self.refused(why, attesting);
                }
                Err(error.into())
            }
        }
    }

    fn refused(&self, why: &Refusal, attesting: bool) {
        match why {
            Refusal::NotOpen(status) => self.set_life(|life| life.status = *status),
            Refusal::OtherGeneration if attesting => {}
            Refusal::Fenced { .. } | Refusal::OtherGeneration | Refusal::NoSuchPad(_) => {
                self.set_life(|life| life.dead = true);
            }
            _ => {}
        }
    }
}

impl<S, H: fmt::Debug> fmt::Debug for Pad<S, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store: _, half, fence, policy, life, .. } = self;
        f.debug_struct("Pad")
            .field("half", half)
            .field("fence", fence)
            .field("policy", policy)
            .field("life", life)
            .finish_non_exhaustive()
    }
}

/// What is left of a pad: bytes, or keys of a key sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remaining {
    /// Of the lane that we send on; zero when it has no room for another message.
    pub send: u64,
    /// Of the lane that the peer sends on.
    pub receive: u64,
}
