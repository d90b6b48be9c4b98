use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, Range};
use core::sync::atomic::Ordering;

use symbolon_keys::Backend;
use zeroize::Zeroizing;

use super::Pad;
use super::seal::destroy;
use crate::frame::{Chunk, Frame, LaneCipher, LaneId};
use crate::material::{Erased, MaterialError, PadHalf};
use crate::sequence::{KEY_LEN, KeyFrame, SessionKey};
use crate::{
    CommitError, LedgerStore, Op, PadError, PadMode, PadRow, PadStatus, Refusal, Refused, Remaining,
    RequestId,
};

/// The peer's lane, its cipher, where it stands, and what of it is still to be destroyed.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) cipher: LaneCipher,
    pub(super) row: PadRow,
    /// Of a key sequence: the key in use.
    key: Option<SessionKey>,
    backend: Backend,
    pub(super) destroyed: u64,
    /// The frame whose claim was asked for and not heard of.
    in_doubt: Option<RequestId>,
}

impl Receiver {
    pub(super) fn new<H: PadHalf>(cipher: LaneCipher, row: PadRow, half: &H, backend: Backend) -> Self {
        let destroyed = half.floor(row.receive.lane);
        Self { cipher, row, key: None, backend, destroyed, in_doubt: None }
    }

    /// What is left of the lane, in bytes or keys.
    pub(super) const fn left(&self) -> u64 {
        self.row.receive.len.saturating_sub(self.row.receive.end())
    }

    fn left_after(&self, end: u64, seq: Option<u32>) -> u64 {
        self.row.receive.len.saturating_sub(if seq.is_some() { end.saturating_add(1) } else { end })
    }

    /// Opens a frame with a copy of what it was sealed with, and gives the key if it is a new one.
    fn verify<H: PadHalf>(
        &self,
        half: &H,
        frame: &Received<'_>,
    ) -> Result<(Zeroizing<Vec<u8>>, Option<SessionKey>), PadError> {
        let lane = self.cipher.lane();
        let rejected = |_| PadError::Rejected;
        match frame {
            Received::Pad(frame) => {
                let Range { start, end } = *frame.range();
                let len = usize::try_from(end.saturating_sub(start)).map_err(|_| PadError::Malformed)?;
                let mut pad = Zeroizing::new(vec![0; len]);
                half.read(lane.lane, start, &mut pad)?;
                let bytes = self.cipher.open(frame, Chunk::new(start, &mut pad)).map_err(rejected)?;
                Ok((bytes, None))
            }
            Received::Key(frame) => match &self.key {
                Some(key) if key.index() == frame.index() => Ok((key.open(frame).map_err(rejected)?, None)),
                _ => {
                    let key = self.session_key(half, frame.index())?;
                    Ok((key.open(frame).map_err(rejected)?, Some(key)))
                }
            },
        }
    }

    fn session_key<H: PadHalf>(&self, half: &H, index: u64) -> Result<SessionKey, PadError> {
        let mut bytes = read_key(half, self.row.receive.lane, index)?;
        let chunk = Chunk::new(index, &mut *bytes);
        SessionKey::new(*self.cipher.lane(), index, chunk, self.backend).map_err(|_| PadError::Rejected)
    }

    /// Nothing of the lane will be received any more.
    pub(super) fn end(&mut self) {
        self.key = None;
    }

    fn undestroyed(&self) -> u64 {
        self.row.receive.end().saturating_mul(self.row.mode.unit()).saturating_sub(self.destroyed)
    }

    pub(super) fn destroy<H: PadHalf>(&mut self, half: &H) -> Result<Erased, MaterialError> {
        let lane = self.row.receive.lane;
        let end = self.row.receive.end().saturating_mul(half.header().unit());
        let erased = destroy(half, lane, &mut self.destroyed, end)?;
        half.raise(lane, end)?;
        Ok(erased)
    }
}

/// One key of a lane.
pub(super) fn read_key<H: PadHalf>(
    half: &H,
    lane: u8,
    index: u64,
) -> Result<Zeroizing<[u8; 32]>, MaterialError> {
    let mut bytes = Zeroizing::new([0; 32]);
    half.read(lane, index.saturating_mul(KEY_LEN), &mut *bytes)?;
    Ok(bytes)
}

/// A frame of either form.
enum Received<'a> {
    Pad(Frame<'a>),
    Key(KeyFrame<'a>),
}

impl<'a> Received<'a> {
    fn parse(mode: PadMode, bytes: &'a [u8]) -> Result<Self, PadError> {
        let parsed = match mode {
            PadMode::KeySequence => KeyFrame::parse(bytes).map(Self::Key),
            PadMode::PadOverAead | PadMode::PadOnly => Frame::parse(bytes).map(Self::Pad),
        };
        parsed.map_err(|_| PadError::Malformed)
    }

    fn place(&self) -> (LaneId, Range<u64>, Option<u32>) {
        match self {
            Self::Pad(frame) => (frame.header().lane, frame.range().clone(), None),
            Self::Key(frame) => (*frame.lane(), frame.index()..frame.index(), Some(frame.seq())),
        }
    }

    fn request_id(&self) -> RequestId {
        match self {
            Self::Pad(frame) => frame.request_id(),
            Self::Key(frame) => frame.request_id(),
        }
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
        if (range.start, seq.unwrap_or_default()) < (receiver.row.receive.position, receiver.row.receive.seq)
        {
            self.repeated(id).await?;
        }
        receiver.row.receivable(lane.generation, &range, seq).map_err(PadError::Refused)?;
        if self.status() != PadStatus::Open {
            return Err(PadError::NotOpen(self.status()));
        }
        let (bytes, key) = receiver.verify(&self.half, &frame).inspect_err(|error| {
            if matches!(error, PadError::Rejected) {
                self.rejected.fetch_add(1, Ordering::Relaxed);
            }
        })?;
        let fee = if key.is_some() { self.key_fee()? } else { None };
        let left =
            Remaining { receive: self.usable(receiver.left_after(range.end, seq)), ..self.remaining() };
        // With a value the pad ends with the answer to this, not before it.
        let spent = self.value.is_none() && self.is_spent(left);
        let claim = Op::Claim {
            fence: self.fence,
            generation: lane.generation,
            from: range.start,
            to: range.end,
            seq,
            request: id,
        };
        let close = Op::Close { fence: self.fence, status: PadStatus::PadSpent };
        let ops = [claim].into_iter().chain(steps).chain(fee).chain(spent.then_some(close));
        let asked_before = receiver.in_doubt.replace(id) == Some(id);
        match self.commit(ops).await {
            Ok(_) => {}
            // It was claimed by an attempt of ours that never heard of it, and so never gave the message away.
            Err(PadError::Commit(CommitError::Refused(Refused {
                why: Refusal::Replayed { .. }, ..
            }))) if asked_before => {}
            // So it was, and that ended the pad.
            Err(PadError::NotOpen(_))
                if asked_before && self.store.request(self.fence.pad, id).await?.is_some() => {}
            Err(PadError::Commit(CommitError::Unknown(error))) => {
                return Err(PadError::Commit(CommitError::Unknown(error)));
            }
            Err(error) => {
                // A refusal is certain; that this attempt was not applied says nothing of an earlier one.
                if !matches!(error, PadError::Commit(CommitError::NotApplied(_))) {
                    receiver.in_doubt = None;
                }
                return Err(error);
            }
        }
        receiver.in_doubt = None;
        receiver.row.receive.position = range.end;
        receiver.row.receive.seq = seq.map_or(0, |seq| seq.saturating_add(1));
        if key.is_some() {
            receiver.key = key;
        }
        self.set_life(|life| life.left.receive = left.receive);
        if receiver.undestroyed() >= self.policy.destroy {
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
