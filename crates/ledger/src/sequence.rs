//! The frame of a key sequence (C3k, `docs/key-sequence.md`), and when a new key begins: the layer below
//! [`Pad`](crate::Pad), for vectors, other drivers and tools.

mod rekey;

use alloc::vec::Vec;
use core::fmt;

use symbolon_keys::hazmat::ChaChaPoly;
use symbolon_keys::wire::{Malformed, Reader};
use symbolon_keys::{Backend, Label, Psk, Rejected, RootKey, Secret, TAG_LEN, label};
use zeroize::{Zeroize, Zeroizing};

pub use rekey::{Rekey, Usage};

use crate::frame::{Chunk, LaneId, bucket, is_bucket, put_padded, request_id, strip};
use crate::{PadMode, RequestId};

/// The header of a frame.
pub const HEADER_LEN: usize = 52;
/// The bytes of a lane that make one key.
pub const KEY_LEN: u64 = 32;
/// A key ends before its numbers do.
const MAX_SEQ: u32 = u32::MAX - 1;

/// A frame of a key sequence that parses. Nothing about it is authentic yet.
#[derive(Clone, Debug)]
pub struct KeyFrame<'a> {
    bytes: &'a [u8],
    lane: LaneId,
    index: u64,
    seq: u32,
}

impl<'a> KeyFrame<'a> {
    /// Reads a whole frame.
    ///
    /// # Errors
    /// [`Malformed`] if it is cut, extended, not canonical, or of another version or mode.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        r.expect(&[1, PadMode::KeySequence.code()])?;
        let lane = Some(r.u8()?).filter(|lane| *lane <= 1).ok_or(Malformed)?;
        r.expect(&[0])?;
        let (pad, generation) = (r.array()?.into(), r.array()?.into());
        let lane = LaneId { pad, generation, mode: PadMode::KeySequence, lane };
        let (index, seq) = (r.u64()?, r.u32()?);
        let len = usize::try_from(r.u32()?).map_err(|_| Malformed)?;
        if r.rest().len() != len || !len.checked_sub(TAG_LEN).is_some_and(is_bucket) || seq > MAX_SEQ {
            return Err(Malformed);
        }
        Ok(Self { bytes, lane, index, seq })
    }

    /// Where it comes from.
    #[must_use]
    pub const fn lane(&self) -> &LaneId {
        &self.lane
    }

    /// The index of its key.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// Its number under the key.
    #[must_use]
    pub const fn seq(&self) -> u32 {
        self.seq
    }

    /// Its name, if it is a request.
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        request_id(self.bytes)
    }
}

/// One key of a sequence, in use: it numbers what it seals, and never goes back.
pub struct SessionKey {
    lane: LaneId,
    index: u64,
    next_seq: u32,
    aead: ChaChaPoly,
}

impl SessionKey {
    /// The key at `index` of `lane`, made from its 32 bytes, which are used up.
    ///
    /// # Errors
    /// [`Rejected`] if the chunk is not one key.
    ///
    /// # Security
    /// The index must be durable, and no key may be made from these bytes twice to seal with.
    pub fn new(lane: LaneId, index: u64, bytes: Chunk<'_>, backend: Backend) -> Result<Self, Rejected> {
        let key = derive(label::SEQUENCE, &lane, index, bytes)?;
        Ok(Self { lane, index, next_seq: 0, aead: ChaChaPoly::new(backend, &key) })
    }

    /// The key at `index` of `lane` as a pre-shared key for a handshake.
    ///
    /// # Errors
    /// [`Rejected`] if the chunk is not one key.
    pub fn psk(lane: LaneId, index: u64, bytes: Chunk<'_>) -> Result<Psk, Rejected> {
        derive(label::SEQUENCE_PSK, &lane, index, bytes).map(Psk::from)
    }

    /// Its index.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// Whether it has no number left.
    #[must_use]
    pub const fn is_used_up(&self) -> bool {
        self.next_seq > MAX_SEQ
    }

    /// Seals `message` into `out`, which is cleared first.
    ///
    /// # Errors
    /// [`Rejected`] if the message is too long, or the key is used up.
    pub fn seal(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), Rejected> {
        let bucket = bucket(message.len()).map_err(|_| Rejected)?;
        if self.is_used_up() {
            return Err(Rejected);
        }
        let seq = self.next_seq;
        // Whatever comes of it, the number is used.
        self.next_seq = seq.saturating_add(1);
        let sealed = self.seal_as(seq, message, bucket, out);
        if sealed.is_err() {
            out.zeroize();
        }
        sealed
    }

    fn seal_as(&self, seq: u32, message: &[u8], bucket: usize, out: &mut Vec<u8>) -> Result<(), Rejected> {
        let len = bucket.saturating_add(TAG_LEN);
        out.clear();
        out.reserve_exact(len.saturating_add(HEADER_LEN));
        out.extend_from_slice(&[1, PadMode::KeySequence.code(), self.lane.lane, 0]);
        out.extend_from_slice(self.lane.pad.as_bytes());
        out.extend_from_slice(self.lane.generation.as_bytes());
        out.extend_from_slice(&self.index.to_be_bytes());
        out.extend_from_slice(&seq.to_be_bytes());
        out.extend_from_slice(&u32::try_from(len).map_err(|_| Rejected)?.to_be_bytes());
        put_padded(out, message, bucket)?;
        let (header, body) = out.split_at_mut_checked(HEADER_LEN).ok_or(Rejected)?;
        let tag = self.aead.seal_in_place(nonce(seq), header, body)?;
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// Verifies `frame`, and gives the message.
    ///
    /// # Errors
    /// [`Rejected`] if it is not authentic, of another key, or not padded as it must be.
    ///
    /// # Security
    /// The message must not be released before its place is durable.
    pub fn open(&self, frame: &KeyFrame<'_>) -> Result<Zeroizing<Vec<u8>>, Rejected> {
        if frame.lane != self.lane || frame.index != self.index {
            return Err(Rejected);
        }
        let (header, body) = frame.bytes.split_at_checked(HEADER_LEN).ok_or(Rejected)?;
        let (body, tag) = body.split_last_chunk::<TAG_LEN>().ok_or(Rejected)?;
        let mut plain = Zeroizing::new(body.to_vec());
        self.aead.open_in_place(nonce(frame.seq), header, &mut plain, tag)?;
        strip(plain)
    }
}

fn derive(label: Label, lane: &LaneId, index: u64, bytes: Chunk<'_>) -> Result<Secret<32>, Rejected> {
    let key: &[u8; 32] = bytes.bytes().try_into().map_err(|_| Rejected)?;
    let root = RootKey::from(Secret::init_with(|out| out.copy_from_slice(key)));
    let fields: [&[u8]; 4] =
        [lane.pad.as_bytes(), lane.generation.as_bytes(), &[lane.lane], &index.to_be_bytes()];
    root.derive(label, &fields).map_err(|_| Rejected)
}

fn nonce(seq: u32) -> [u8; 12] {
    let mut nonce = [0; 12];
    let (_, end) = nonce.split_at_mut(8);
    end.copy_from_slice(&seq.to_be_bytes());
    nonce
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lane, index, next_seq, aead: _ } = self;
        f.debug_struct("SessionKey")
            .field("lane", lane)
            .field("index", index)
            .field("next_seq", next_seq)
            .finish_non_exhaustive()
    }
}
