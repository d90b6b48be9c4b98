use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;
use core::sync::atomic::Ordering;

use zeroize::Zeroizing;

use super::Pad;
use super::receiver::{Claimed, Received, Receiver};
use crate::material::PadHalf;
use crate::sequence::SessionKey;
use crate::{CommitError, LedgerStore, Op, PadError, PadStatus, Refusal, Remaining, RequestId};

/// A handle forgets old requests with its first claim, and then with every so many: twice as many at a time as were
/// received since.
pub(super) const FORGET_EVERY: u32 = 512;

/// A message that was received: authentic, and its place durably claimed. Wiped when dropped.
pub struct Message {
    id: RequestId,
    bytes: Zeroizing<Vec<u8>>,
}

impl Message {
    /// The name of the request that it is, to [answer](super::Seal::answering) it.
    #[must_use]
    pub const fn id(&self) -> RequestId {
        self.id
    }

    /// The message itself.
    #[must_use]
    pub fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.bytes
    }
}

impl Deref for Message {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, bytes } = self;
        write!(f, "Message({id}, {} bytes)", bytes.len())
    }
}

impl<S: LedgerStore, H: PadHalf> Pad<S, H> {
    /// Opens a frame of the peer, once: verifies it on a copy, claims its place durably, and only then gives the message.
    ///
    /// # Errors
    /// [`PadError::Answered`] if it is a request that was answered before: send that frame again. Any other error
    /// changes nothing and burns nothing; [`PadError::Commit`] with an unknown outcome is asked again with the same frame,
    /// also after others: this handle keeps the messages of the last 64 such frames.
    pub async fn open(&self, frame: &[u8]) -> Result<Message, PadError> {
        self.open_with(frame, []).await
    }

    /// As [`open`](Self::open); `steps` are committed together with the claim. Of a frame that was in doubt, those stand
    /// that were given with the attempt which was applied.
    ///
    /// # Errors
    /// As [`open`](Self::open), and the refusals of the steps.
    pub async fn open_with(
        &self,
        frame: &[u8],
        steps: impl IntoIterator<Item = Op> + Send,
    ) -> Result<Message, PadError> {
        self.alive()?;
        let message = self.receive(frame, steps).await;
        self.end_if_closed().await;
        message
    }

    async fn receive(
        &self,
        frame: &[u8],
        steps: impl IntoIterator<Item = Op> + Send,
    ) -> Result<Message, PadError> {
        let frame = Received::parse(self.half.header().mode, frame)?;
        let (lane, range, seq) = frame.place();
        let mut guard = self.receiver.lock().await;
        let receiver = &mut *guard;
        let ours = *receiver.cipher.lane();
        if (lane.pad, lane.mode, lane.lane) != (ours.pad, ours.mode, ours.lane) {
            return Err(PadError::OtherLane);
        }
        let id = frame.request_id();
        if let Some(message) = self.resolved(receiver, id).await? {
            return Ok(message);
        }
        if !receiver.is_beyond(range.start, seq) {
            self.repeated(id).await?;
        }
        if let Err(why) = receiver.row.receivable(lane.generation, &range, seq) {
            if matches!(why, Refusal::Replayed { .. }) {
                // The lane has gone on: whatever became of the claim, it is not to be had any more.
                receiver.refused(id);
            }
            return Err(PadError::Refused(why));
        }
        let (bytes, key) = self.verify(receiver, &frame)?;
        let fee = if key.is_some() { self.key_fee(&lane, range.start)? } else { None };
        let left =
            Remaining { receive: self.usable(receiver.left_after(range.end, seq)), ..self.remaining() };
        // With a value the pad ends with the answer to this, not before it.
        let spent = self.value.is_none() && self.is_spent(left);
        let fence = self.fence;
        let (generation, from, to) = (lane.generation, range.start, range.end);
        let claim = Op::Claim { fence, generation, from, to, seq, request: id };
        let close = Op::Close { fence, status: PadStatus::PadSpent };
        let forget = receiver.claims % FORGET_EVERY == FORGET_EVERY - 1;
        // Of a pad that was closed everything would be forgotten, also what the peer still asks for: so that is first.
        let more = [forget.then_some(Op::Forget { fence }), spent.then_some(close)];
        let ops = [claim].into_iter().chain(steps).chain(fee).chain(more.into_iter().flatten());
        let asked_before = receiver.is_in_doubt(id);
        receiver.claiming(Claimed { message: Message { id, bytes }, end: range.end, seq, key });
        match self.commit(ops).await {
            Ok(_) => self.claimed(receiver, id).ok_or(PadError::Dead),
            Err(error) => self.not_claimed(receiver, id, asked_before, error).await,
        }
    }

    /// The message of a frame that was claimed by an attempt of ours which never heard of it, and so never gave it away.
    async fn resolved(&self, receiver: &mut Receiver, id: RequestId) -> Result<Option<Message>, PadError> {
        if !receiver.is_in_doubt(id) || self.store.request(self.fence.pad, id).await?.is_none() {
            return Ok(None);
        }
        // Read after that: whoever has taken the pad since may have claimed the frame, and given its message away.
        let row = self.store.pad(self.fence.pad).await?;
        let Some(row) = row.filter(|row| row.lease.epoch == self.fence.epoch) else {
            self.set_life(|life| life.dead = true);
            return Err(PadError::Dead);
        };
        // It may have ended the pad.
        self.set_life(|life| life.status = row.status);
        Ok(self.claimed(receiver, id))
    }

    /// An unknown outcome leaves the claim in doubt. That this attempt was not applied says nothing of an earlier one; a
    /// refusal is certain, and may be there because of an earlier one.
    async fn not_claimed(
        &self,
        receiver: &mut Receiver,
        id: RequestId,
        asked_before: bool,
        error: PadError,
    ) -> Result<Message, PadError> {
        match &error {
            PadError::Commit(CommitError::Unknown(_)) => return Err(error),
            PadError::Commit(CommitError::NotApplied(_)) if asked_before => return Err(error),
            _ if asked_before => {
                if let Some(message) = self.resolved(receiver, id).await? {
                    return Ok(message);
                }
            }
            _ => {}
        }
        receiver.refused(id);
        Err(error)
    }

    /// What follows from a claim that is durable.
    fn claimed(&self, receiver: &mut Receiver, id: RequestId) -> Option<Message> {
        let message = receiver.claimed(id);
        let receive = self.usable(receiver.left());
        if !self.status().is_closed() {
            self.set_life(|life| life.left.receive = receive);
        }
        if receiver.undestroyed() >= self.policy.destroy {
            // It is tried again; `destroy` and `detach` tell if it keeps failing.
            let _ = receiver.destroy(&self.half);
        }
        message
    }

    /// Opens the frame, on a copy. How the pad is, is told to whoever can write a frame for it, and to nobody else: but for
    /// one that was closed, whose keys are destroyed, so that nothing is left to verify a frame with.
    fn verify(
        &self,
        receiver: &Receiver,
        frame: &Received<'_>,
    ) -> Result<(Zeroizing<Vec<u8>>, Option<SessionKey>), PadError> {
        let status = self.status();
        if status.is_closed() {
            return Err(PadError::NotOpen(status));
        }
        let verified = receiver.verify(&self.half, frame).inspect_err(|error| {
            if matches!(error, PadError::Rejected) {
                self.rejected.fetch_add(1, Ordering::Relaxed);
            }
        })?;
        if status == PadStatus::Open { Ok(verified) } else { Err(PadError::NotOpen(status)) }
    }

    /// What is to be said to a frame below the position, if it is a request that is known.
    async fn repeated(&self, id: RequestId) -> Result<(), PadError> {
        match self.store.request(self.fence.pad, id).await? {
            None => Ok(()),
            Some(row) => Err(row.reply.map_or(PadError::Unanswered(id), PadError::Answered)),
        }
    }
}
