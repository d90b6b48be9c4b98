use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;
use core::sync::atomic::Ordering;

use zeroize::Zeroizing;

use super::Pad;
use super::seal::destroy;
use crate::frame::{Chunk, Frame, LaneCipher};
use crate::material::{Erased, MaterialError, PadHalf};
use crate::{
    CommitError, LedgerStore, Op, PadError, PadRow, PadStatus, Refusal, Refused, Remaining, RequestId,
};

/// The peer's lane, its cipher, where it stands, and what of it is still to be destroyed.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) cipher: LaneCipher,
    pub(super) row: PadRow,
    destroyed: u64,
    /// The frame whose claim was asked for and not heard of.
    in_doubt: Option<RequestId>,
}

impl Receiver {
    pub(super) fn new<H: PadHalf>(cipher: LaneCipher, row: PadRow, half: &H) -> Self {
        let unit = half.header().unit();
        let destroyed = half.floor(row.receive.lane).checked_div(unit).unwrap_or_default();
        Self { cipher, row, destroyed, in_doubt: None }
    }

    pub(super) const fn left(&self) -> u64 {
        self.row.receive.len.saturating_sub(self.row.receive.position)
    }

    pub(super) fn destroy<H: PadHalf>(&mut self, half: &H) -> Result<Erased, MaterialError> {
        let (lane, position) = (self.row.receive.lane, self.row.receive.position);
        let erased = destroy(half, lane, &mut self.destroyed, position)?;
        half.raise(lane, position.saturating_mul(half.header().unit()))?;
        Ok(erased)
    }
}

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
    /// changes nothing and burns nothing; [`PadError::Commit`] with an unknown outcome is asked again with the same frame.
    pub async fn open(&self, frame: &[u8]) -> Result<Message, PadError> {
        self.open_with(frame, []).await
    }

    /// As [`open`](Self::open); `steps` are committed together with the claim.
    ///
    /// # Errors
    /// As [`open`](Self::open), and the refusals of the steps.
    pub async fn open_with(
        &self,
        frame: &[u8],
        steps: impl IntoIterator<Item = Op> + Send,
    ) -> Result<Message, PadError> {
        self.alive()?;
        let frame = Frame::parse(frame).map_err(|_| PadError::Malformed)?;
        let (header, range) = (*frame.header(), frame.range().clone());
        let mut guard = self.receiver.lock().await;
        let receiver = &mut *guard;
        let ours = receiver.cipher.lane();
        if (header.lane.pad, header.lane.mode, header.lane.lane) != (ours.pad, ours.mode, ours.lane) {
            return Err(PadError::OtherLane);
        }
        let id = frame.request_id();
        if range.start < receiver.row.receive.position {
            self.repeated(id).await?;
        }
        receiver.row.receivable(header.lane.generation, &range, None).map_err(PadError::Refused)?;
        if self.status() != PadStatus::Open {
            return Err(PadError::NotOpen(self.status()));
        }
        let len = usize::try_from(range.end.saturating_sub(range.start)).map_err(|_| PadError::Malformed)?;
        let mut pad = Zeroizing::new(vec![0; len]);
        self.half.read(ours.lane, range.start, &mut pad)?;
        let bytes = receiver.cipher.open(&frame, Chunk::new(range.start, &mut pad)).map_err(|_| {
            self.rejected.fetch_add(1, Ordering::Relaxed);
            PadError::Rejected
        })?;
        let left = Remaining {
            receive: self.usable(receiver.row.receive.len.saturating_sub(range.end)),
            ..self.remaining()
        };
        // With a value the pad ends with the answer to this, not before it.
        let spent = self.value.is_none() && self.is_spent(left);
        let claim = Op::Claim {
            fence: self.fence,
            generation: header.lane.generation,
            from: range.start,
            to: range.end,
            seq: None,
            request: id,
        };
        let close = Op::Close { fence: self.fence, status: PadStatus::PadSpent };
        let ops = [claim].into_iter().chain(steps).chain(spent.then_some(close));
        let asked_before = receiver.in_doubt.replace(id) == Some(id);
        match self.commit(ops).await {
            Ok(_) => {}
            // It was claimed by an attempt of ours that never heard of it, and so never gave the message away.
            Err(PadError::Commit(CommitError::Refused(Refused {
                why: Refusal::Replayed { .. }, ..
            }))) if asked_before => {}
            Err(PadError::Commit(CommitError::Unknown(error))) => {
                return Err(PadError::Commit(CommitError::Unknown(error)));
            }
            Err(error) => {
                receiver.in_doubt = None;
                return Err(error);
            }
        }
        receiver.in_doubt = None;
        receiver.row.receive.position = range.end;
        self.set_life(|life| life.left.receive = left.receive);
        if range.end.saturating_sub(receiver.destroyed) >= self.policy.destroy {
            // It is tried again; `destroy` and `detach` tell if it keeps failing.
            let _ = receiver.destroy(&self.half);
        }
        Ok(Message { id, bytes })
    }

    /// What is to be said to a frame below the position, if it is a request that is known.
    async fn repeated(&self, id: RequestId) -> Result<(), PadError> {
        match self.store.request(self.fence.pad, id).await? {
            None => Ok(()),
            Some(row) => Err(row.reply.map_or(PadError::Unanswered(id), PadError::Answered)),
        }
    }
}
