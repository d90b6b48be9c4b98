//! The frame of a pad (C3, `docs/pad-frame.md`): the layer below [`Pad`](crate::Pad), for vectors, other drivers and
//! tools.
//!
//! # Security
//! Nothing here remembers which bytes were used. [`Pad`](crate::Pad) does: use that.

mod cipher;
mod mac;

use core::ops::Range;

use sha2::{Digest, Sha256};
use symbolon_keys::TAG_LEN;
use symbolon_keys::label;
use symbolon_keys::wire::{Malformed, Reader, TooLong};

pub use cipher::{Chunk, LaneCipher};
pub(crate) use cipher::{put_padded, strip};

use crate::{Generation, PadId, PadMode, RequestId};

/// The header of every mode, without the salt.
pub const HEADER_LEN: usize = 48;
/// The salt of [`PadMode::PadOverAead`].
pub const SALT_LEN: usize = 24;
/// Pad bytes that key the one-time MAC of a frame.
pub const MAC_KEY_LEN: usize = 32;
/// The longest body of a frame.
pub const MAX_BODY: usize = 1 << 20;
/// The longest frame: header with salt, body, tag.
pub const MAX_FRAME: usize = HEADER_LEN + SALT_LEN + MAX_BODY + TAG_LEN;
/// The longest message: what the largest bucket holds after its length.
pub const MAX_MESSAGE: usize = MAX_BUCKET - LENGTH_LEN;

const VERSION: u8 = 1;
const LENGTH_LEN: usize = 4;
const MIN_BUCKET: usize = 64;
/// Buckets are powers of two up to this size, then multiples of it: at most half, then little, is padding.
const STEP: usize = 4096;
/// The largest bucket that fits [`MAX_BODY`] together with the tag of the inner AEAD.
const MAX_BUCKET: usize = MAX_BODY - STEP;

/// The length of the padded message: the smallest bucket that holds it and its length.
///
/// # Errors
/// [`TooLong`] if the message is longer than [`MAX_MESSAGE`].
pub const fn bucket(message_len: usize) -> Result<usize, TooLong> {
    if message_len > MAX_MESSAGE {
        return Err(TooLong);
    }
    let len = message_len.saturating_add(LENGTH_LEN);
    Ok(if len <= MIN_BUCKET {
        MIN_BUCKET
    } else if len <= STEP {
        len.next_power_of_two()
    } else {
        len.next_multiple_of(STEP)
    })
}

pub(crate) const fn is_bucket(len: usize) -> bool {
    let small = len >= MIN_BUCKET && len <= STEP && len.is_power_of_two();
    small || (len > STEP && len <= MAX_BUCKET && len.is_multiple_of(STEP))
}

/// What the padded message grows by under the pad.
const fn inner_tag(mode: PadMode) -> usize {
    match mode {
        PadMode::PadOnly => 0,
        PadMode::PadOverAead | PadMode::KeySequence => TAG_LEN,
    }
}

impl PadMode {
    /// What a message of this length takes from its lane: pad bytes, or the one key it goes under.
    ///
    /// # Errors
    /// [`TooLong`] if the message is longer than [`MAX_MESSAGE`].
    pub const fn cost(self, message_len: usize) -> Result<u64, TooLong> {
        let bucket = match bucket(message_len) {
            Ok(bucket) => bucket,
            Err(error) => return Err(error),
        };
        Ok(match self {
            Self::KeySequence => 1,
            Self::PadOverAead | Self::PadOnly => {
                widen(bucket.saturating_add(MAC_KEY_LEN).saturating_add(inner_tag(self)))
            }
        })
    }

    /// What the smallest frame takes. A shorter rest of a lane is of no use, and counts as exhausted.
    #[must_use]
    pub const fn min_cost(self) -> u64 {
        match self.cost(0) {
            Ok(cost) => cost,
            Err(_) => u64::MAX,
        }
    }
}

/// Lengths here are at most a few megabytes.
pub(crate) const fn widen(len: usize) -> u64 {
    len as u64
}

/// One life of one lane of one pad: what every frame of it has in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the header's fields, and no others")]
pub struct LaneId {
    /// The pad.
    pub pad: PadId,
    /// The life of the lane.
    pub generation: Generation,
    /// How the pad is used.
    pub mode: PadMode,
    /// The lane, 0 or 1.
    pub lane: u8,
}

/// The header that every frame of a pad begins with: `hdr48`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the header's fields, and no others")]
pub struct Header {
    /// Where the frame comes from.
    pub lane: LaneId,
    /// Where its pad bytes begin.
    pub offset: u64,
    /// The length of its ciphertext.
    pub body_len: u32,
}

impl Header {
    fn to_bytes(self) -> [u8; HEADER_LEN] {
        let Self { lane: LaneId { pad, generation, mode, lane }, offset, body_len } = self;
        let mut out = [0; HEADER_LEN];
        let (start, rest) = out.split_at_mut(4);
        start.copy_from_slice(&[VERSION, mode.code(), lane, 0]);
        let (ids, numbers) = rest.split_at_mut(32);
        let (first, second) = ids.split_at_mut(16);
        first.copy_from_slice(pad.as_bytes());
        second.copy_from_slice(generation.as_bytes());
        let (first, second) = numbers.split_at_mut(8);
        first.copy_from_slice(&offset.to_be_bytes());
        second.copy_from_slice(&body_len.to_be_bytes());
        out
    }

    fn parse(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        r.expect(&[VERSION])?;
        let mode =
            PadMode::from_code(r.u8()?).filter(|mode| *mode != PadMode::KeySequence).ok_or(Malformed)?;
        let lane = Some(r.u8()?).filter(|lane| *lane <= 1).ok_or(Malformed)?;
        r.expect(&[0])?;
        let lane = LaneId { pad: r.array()?.into(), generation: r.array()?.into(), mode, lane };
        Ok(Self { lane, offset: r.u64()?, body_len: r.u32()? })
    }
}

/// A frame that parses: every length and reserved bit is right. Nothing about it is authentic yet.
#[derive(Clone, Debug)]
pub struct Frame<'a> {
    bytes: &'a [u8],
    header: Header,
    range: Range<u64>,
    head: &'a [u8],
    body: &'a [u8],
    tag: &'a [u8; TAG_LEN],
}

impl<'a> Frame<'a> {
    /// Reads a whole frame.
    ///
    /// # Errors
    /// [`Malformed`] if it is cut, extended, not canonical, or of another version or mode.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let header = Header::parse(&mut r)?;
        let mode = header.lane.mode;
        let head_len = match mode {
            PadMode::PadOverAead => HEADER_LEN.saturating_add(SALT_LEN),
            _ => HEADER_LEN,
        };
        let body_len = usize::try_from(header.body_len).map_err(|_| Malformed)?;
        if !body_len.checked_sub(inner_tag(mode)).is_some_and(is_bucket) {
            return Err(Malformed);
        }
        let end = header.offset.checked_add(widen(body_len.saturating_add(MAC_KEY_LEN))).ok_or(Malformed)?;
        let mut r = Reader::new(bytes);
        let head = r.take(head_len)?;
        let body = r.take(body_len)?;
        let (tag, rest) = r.rest().split_first_chunk().ok_or(Malformed)?;
        if !rest.is_empty() {
            return Err(Malformed);
        }
        Ok(Self { bytes, header, range: header.offset..end, head, body, tag })
    }

    /// Its header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The bytes of the lane that it uses.
    #[must_use]
    pub const fn range(&self) -> &Range<u64> {
        &self.range
    }

    /// Its name, if it is a request: a hash of all of it.
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        request_id(self.bytes)
    }
}

/// The name of a request: a hash of its whole frame, so that identical bytes are the same request (C3).
#[must_use]
pub fn request_id(frame: &[u8]) -> RequestId {
    let hash: [u8; 32] =
        Sha256::new().chain_update(label::LEDGER_REQUEST.as_bytes()).chain_update(frame).finalize().into();
    let (id, _) = hash.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    RequestId::from(*id)
}
