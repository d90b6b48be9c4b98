use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use symbolon_keys::Backend;
use zeroize::Zeroizing;

use super::open::{FORGET_EVERY, Message};
use super::sender::destroy;
use crate::frame::{Chunk, Frame, LaneCipher, LaneId};
use crate::material::{Erased, MaterialError, PadHalf};
use crate::sequence::{KEY_LEN, KeyFrame, SessionKey};
use crate::{PadError, PadMode, PadRow, RequestId};

/// The most frames whose claims are in doubt at once, as each keeps its message in memory. With one more the oldest is
/// given up: sent again, it is a request that was received and not answered.
const MAX_IN_DOUBT: usize = 64;

/// The peer's lane, its cipher, where it stands, and what of it is still to be destroyed.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) cipher: LaneCipher,
    pub(super) row: PadRow,
    /// Of a key sequence: the key in use.
    key: Option<SessionKey>,
    backend: Backend,
    pub(super) destroyed: u64,
    /// Frames whose claims were asked for and not heard of, the oldest first.
    in_doubt: Vec<Claimed>,
    /// How many claims were made, in this life and, as if it were so, before.
    pub(super) claims: u32,
}

/// A frame that verified, and whose place was asked for: its message is given away when that is known to be durable.
#[derive(Debug)]
pub(super) struct Claimed {
    pub(super) message: Message,
    /// Where its lane goes on.
    pub(super) end: u64,
    pub(super) seq: Option<u32>,
    /// Of a key sequence: its key, if it is a new one.
    pub(super) key: Option<SessionKey>,
}

impl Receiver {
    pub(super) fn new<H: PadHalf>(cipher: LaneCipher, row: PadRow, half: &H, backend: Backend) -> Self {
        let destroyed = half.floor(row.receive.lane);
        // However short the lives of its handles are, a pad forgets: each with its first claim.
        let claims = FORGET_EVERY - 1;
        Self { cipher, row, key: None, backend, destroyed, in_doubt: Vec::new(), claims }
    }

    /// What is left of the lane, in bytes or keys.
    pub(super) const fn left(&self) -> u64 {
        self.row.receive.len.saturating_sub(self.row.receive.end())
    }

    pub(super) fn left_after(&self, end: u64, seq: Option<u32>) -> u64 {
        self.row.receive.len.saturating_sub(if seq.is_some() { end.saturating_add(1) } else { end })
    }

    /// Opens a frame with a copy of what it was sealed with, and gives the key if it is a new one.
    pub(super) fn verify<H: PadHalf>(
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

    /// Notes what is about to be claimed.
    pub(super) fn claiming(&mut self, claimed: Claimed) {
        self.refused(claimed.message.id());
        if self.in_doubt.len() >= MAX_IN_DOUBT {
            self.in_doubt.remove(0);
        }
        self.in_doubt.push(claimed);
    }

    /// Whether a frame cannot have been received before: with claims in doubt, the lane may have gone further than we know.
    pub(super) fn is_beyond(&self, start: u64, seq: Option<u32>) -> bool {
        let lane = &self.row.receive;
        !self.has_doubts() && (start, seq.unwrap_or_default()) >= (lane.position, lane.seq)
    }

    pub(super) const fn has_doubts(&self) -> bool {
        !self.in_doubt.is_empty()
    }

    pub(super) fn is_in_doubt(&self, id: RequestId) -> bool {
        self.in_doubt.iter().any(|claimed| claimed.message.id() == id)
    }

    /// The claim is durable: the lane goes on behind it, unless it has gone further.
    pub(super) fn claimed(&mut self, id: RequestId) -> Option<Message> {
        let at = self.in_doubt.iter().position(|claimed| claimed.message.id() == id)?;
        let Claimed { message, end, seq, key } = self.in_doubt.remove(at);
        let lane = &mut self.row.receive;
        let next = seq.map_or(0, |seq| seq.saturating_add(1));
        if (end, next) > (lane.position, lane.seq) {
            (lane.position, lane.seq) = (end, next);
            if key.is_some() {
                self.key = key;
            }
        }
        self.claims = self.claims.wrapping_add(1);
        Some(message)
    }

    /// The claim was certainly not made.
    pub(super) fn refused(&mut self, id: RequestId) {
        self.in_doubt.retain(|claimed| claimed.message.id() != id);
    }

    /// Goes on at `position`, if the lane has not gone further.
    pub(super) fn skip_to(&mut self, position: u64) {
        let lane = &mut self.row.receive;
        if position > lane.position {
            (lane.position, lane.seq) = (position, 0);
            self.key = None;
        }
    }

    /// Nothing of the lane will be received any more.
    pub(super) fn end(&mut self) {
        self.key = None;
    }

    pub(super) fn undestroyed(&self) -> u64 {
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
pub(super) enum Received<'a> {
    Pad(Frame<'a>),
    Key(KeyFrame<'a>),
}

impl<'a> Received<'a> {
    pub(super) fn parse(mode: PadMode, bytes: &'a [u8]) -> Result<Self, PadError> {
        let parsed = match mode {
            PadMode::KeySequence => KeyFrame::parse(bytes).map(Self::Key),
            PadMode::PadOverAead | PadMode::PadOnly => Frame::parse(bytes).map(Self::Pad),
        };
        parsed.map_err(|_| PadError::Malformed)
    }

    pub(super) fn place(&self) -> (LaneId, Range<u64>, Option<u32>) {
        match self {
            Self::Pad(frame) => (frame.header().lane, frame.range().clone(), None),
            Self::Key(frame) => (*frame.lane(), frame.index()..frame.index(), Some(frame.seq())),
        }
    }

    pub(super) fn request_id(&self) -> RequestId {
        match self {
            Self::Pad(frame) => frame.request_id(),
            Self::Key(frame) => frame.request_id(),
        }
    }
}
