use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest, Sha256};
use symbolon_keys::{Backend, OneTimeKey, Rejected, RootKey, Secret, TAG_LEN, label};
use zeroize::{Zeroize, Zeroizing};

use super::{Frame, HEADER_LEN, Header, LENGTH_LEN, LaneId, MAC_KEY_LEN, SALT_LEN, bucket, inner_tag, mac};
use crate::PadMode;

/// Bytes of a lane, to be used once: sealing or opening consumes them, and they are wiped whatever comes of it.
///
/// ```compile_fail
/// # use symbolon_ledger::frame::Chunk;
/// let mut pad = [7; 96];
/// let chunk = Chunk::new(0, &mut pad);
/// let twice = (chunk, chunk); // a chunk is used once
/// ```
/// ```
/// # use symbolon_ledger::frame::Chunk;
/// let mut pad = [7; 96];
/// let chunk = Chunk::new(0, &mut pad);
/// drop(chunk);
/// assert_eq!(pad, [0; 96]);
/// ```
pub struct Chunk<'a> {
    offset: u64,
    bytes: &'a mut [u8],
}

impl<'a> Chunk<'a> {
    /// The bytes of a lane from `offset` on.
    ///
    /// # Security
    /// Nobody must have made a chunk of any of these bytes before, to seal with; their place must be durable.
    #[must_use]
    pub const fn new(offset: u64, bytes: &'a mut [u8]) -> Self {
        Self { offset, bytes }
    }

    pub(crate) const fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// The key of the MAC, and the keystream.
    fn split(&self) -> Result<(&[u8; MAC_KEY_LEN], &[u8]), Rejected> {
        self.bytes.split_first_chunk().ok_or(Rejected)
    }
}

impl Drop for Chunk<'_> {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for Chunk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, bytes } = self;
        write!(f, "Chunk({} bytes at {offset})", bytes.len())
    }
}

/// Seals and opens the frames of one lane.
pub struct LaneCipher {
    lane: LaneId,
    inner: RootKey,
    backend: Backend,
}

impl LaneCipher {
    /// For `lane`, with the inner root of its pad (unused in [`PadMode::PadOnly`]).
    #[must_use]
    pub const fn new(lane: LaneId, inner: RootKey, backend: Backend) -> Self {
        Self { lane, inner, backend }
    }

    /// The lane.
    #[must_use]
    pub const fn lane(&self) -> &LaneId {
        &self.lane
    }

    /// Goes over to another life of the lane.
    #[cfg(feature = "std")]
    pub(crate) const fn enter(&mut self, generation: crate::Generation) {
        self.lane.generation = generation;
    }

    /// Seals `message` with `pad`, which has exactly the bytes that [`PadMode::cost`] says, into `out`, which is
    /// cleared first. `random` hedges the salt of the inner AEAD; it need not be secret.
    ///
    /// # Errors
    /// [`Rejected`] if the message is too long or the chunk has another length; its bytes are spent even so.
    pub fn seal(
        &self,
        pad: Chunk<'_>,
        random: &[u8; 32],
        message: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Rejected> {
        let sealed = self.try_seal(pad, random, message, out);
        if sealed.is_err() {
            out.zeroize();
        }
        sealed
    }

    fn try_seal(
        &self,
        pad: Chunk<'_>,
        random: &[u8; 32],
        message: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Rejected> {
        let bucket = bucket(message.len()).map_err(|_| Rejected)?;
        let (mac_key, keystream) = pad.split()?;
        let body_len = bucket.saturating_add(inner_tag(self.lane.mode));
        if keystream.len() != body_len {
            return Err(Rejected);
        }
        let body_len = u32::try_from(body_len).map_err(|_| Rejected)?;
        let hdr48 = Header { lane: self.lane, offset: pad.offset, body_len }.to_bytes();
        // Grown once, before any plaintext is in it: a move would leave a copy behind.
        out.clear();
        out.reserve_exact(super::MAX_FRAME.min(bucket.saturating_add(HEADER_LEN + SALT_LEN + 2 * TAG_LEN)));
        out.extend_from_slice(&hdr48);
        let salted = self.lane.mode == PadMode::PadOverAead;
        let head_len = if salted { HEADER_LEN + SALT_LEN } else { HEADER_LEN };
        out.resize(head_len, 0);
        put_padded(out, message, bucket)?;
        let (head, body) = out.split_at_mut(head_len);
        let inner_tag = if salted { Some(self.seal_inner(&hdr48, head, random, body)?) } else { None };
        out.extend(inner_tag.iter().flatten());
        let (head, body) = out.split_at_mut(head_len);
        xor(body, keystream);
        let tag = mac::tag(mac_key, head, body);
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// Derives a fresh salt into the header and encrypts `body` in place (C3, mode 1).
    fn seal_inner(
        &self,
        hdr48: &[u8; HEADER_LEN],
        head: &mut [u8],
        random: &[u8; 32],
        body: &mut [u8],
    ) -> Result<[u8; TAG_LEN], Rejected> {
        let digest = Sha256::digest(&*body);
        let salt: Secret<SALT_LEN> =
            self.inner.derive(label::PAD_SALT, &[random, &digest, hdr48]).map_err(|_| Rejected)?;
        head.get_mut(HEADER_LEN..).ok_or(Rejected)?.copy_from_slice(salt.expose());
        self.inner_key(hdr48, salt.expose())?.seal_in_place(head, body)
    }

    /// Verifies `frame` with a copy of its bytes of the lane, and gives the message.
    ///
    /// # Errors
    /// [`Rejected`] if it is not authentic, was made for another lane, or is not padded as it must be.
    ///
    /// # Security
    /// The message must not be released before the position behind it is durable.
    pub fn open(&self, frame: &Frame<'_>, pad: Chunk<'_>) -> Result<Zeroizing<Vec<u8>>, Rejected> {
        let (mac_key, keystream) = pad.split()?;
        let bound = frame.header.lane == self.lane && frame.header.offset == pad.offset;
        if !bound || keystream.len() != frame.body.len() {
            return Err(Rejected);
        }
        mac::verify(mac_key, frame.head, frame.body, frame.tag)?;
        let mut plain = Zeroizing::new(frame.body.to_vec());
        xor(&mut plain, keystream);
        if self.lane.mode == PadMode::PadOverAead {
            let (hdr48, salt) = frame.head.split_first_chunk::<HEADER_LEN>().ok_or(Rejected)?;
            let (body, tag) = plain.split_last_chunk_mut::<TAG_LEN>().ok_or(Rejected)?;
            self.inner_key(hdr48, salt)?.open_in_place(frame.head, body, tag)?;
            let len = body.len();
            plain.truncate(len);
        }
        strip(plain)
    }

    fn inner_key(&self, hdr48: &[u8; HEADER_LEN], salt: &[u8]) -> Result<OneTimeKey, Rejected> {
        let key = self.inner.derive(label::PAD_INNER, &[hdr48, salt]).map_err(|_| Rejected)?;
        Ok(OneTimeKey::new(self.backend, &key))
    }
}

impl fmt::Debug for LaneCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lane, inner: _, backend } = self;
        f.debug_struct("LaneCipher").field("lane", lane).field("backend", backend).finish_non_exhaustive()
    }
}

/// Appends `u32 length || message || zeros`, `bucket` bytes in all.
pub(crate) fn put_padded(out: &mut Vec<u8>, message: &[u8], bucket: usize) -> Result<(), Rejected> {
    let end = out.len().saturating_add(bucket);
    out.extend_from_slice(&u32::try_from(message.len()).map_err(|_| Rejected)?.to_be_bytes());
    out.extend_from_slice(message);
    out.resize(end, 0);
    Ok(())
}

/// Takes the length and the padding off, and refuses any that [`put_padded`] would not have put on.
pub(crate) fn strip(mut padded: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, Rejected> {
    let (length, rest) = padded.split_first_chunk::<LENGTH_LEN>().ok_or(Rejected)?;
    let len = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Rejected)?;
    if bucket(len) != Ok(padded.len()) {
        return Err(Rejected);
    }
    let padding = rest.get(len..).ok_or(Rejected)?;
    if padding.iter().fold(0, |all, byte| all | byte) != 0 {
        return Err(Rejected);
    }
    padded.copy_within(LENGTH_LEN.., 0);
    padded.truncate(len);
    Ok(padded)
}

fn xor(data: &mut [u8], keystream: &[u8]) {
    for (byte, key) in data.iter_mut().zip(keystream) {
        *byte ^= key;
    }
}
