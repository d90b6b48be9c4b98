use alloc::vec::Vec;
use core::ops::Range;

use sha2::{Digest, Sha256};
use symbolon_keys::wire::{Malformed, Reader};
use symbolon_keys::{MacKey, RootKey, Secret, UnixTime};
use zeroize::Zeroizing;

use super::PadKeys;
use crate::frame::LaneId;
use crate::{Amount, Generation, PadId, PadMode};

const MAGIC: &[u8; 8] = b"SYMBOPAD";
const VERSION: u8 = 1;
const WITNESSED: u8 = 1;
const PHYSICAL: u8 = 2;

/// What a pad's source says of the secrecy of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claim {
    /// As strong as the generator that made them, and the encryption that carried them.
    Computational,
    /// Physical randomness, and both halves delivered by hand or by quantum key distribution. Nobody can check it.
    InformationTheoretic,
}

/// What is fixed about a pad when it is issued, as one end sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the header of the file format, and no other fields")]
pub struct PadHeader {
    /// Its name.
    pub pad: PadId,
    /// The life that both lanes begin with.
    pub generation: Generation,
    /// How its bytes are used.
    pub mode: PadMode,
    /// Whether the peer witnesses reservations.
    pub witnessed: bool,
    /// What its source claims.
    pub claim: Claim,
    /// The lane that this end sends on.
    pub lane: u8,
    /// The length of each lane, in bytes.
    pub lanes: [u64; 2],
    /// What was paid for it.
    pub value: Amount,
    /// When it was issued.
    pub issued: UnixTime,
}

impl PadHeader {
    /// The length of its encoding, with the keys and the checksum.
    pub(crate) const LEN: usize = 192;
    /// Where the keys lie in it.
    pub(super) const KEYS: Range<usize> = 96..160;

    /// The length of a lane in what it is counted in: bytes, or keys.
    #[must_use]
    pub fn lane_len(&self, lane: u8) -> u64 {
        self.lane_bytes(lane).checked_div(self.unit()).unwrap_or_default()
    }

    /// How many bytes of a lane its offsets count at a time: one, or a key.
    #[must_use]
    pub const fn unit(&self) -> u64 {
        self.mode.unit()
    }

    pub(crate) fn lane_bytes(&self, lane: u8) -> u64 {
        let [zero, one] = self.lanes;
        if lane == 0 { zero } else { one }
    }

    /// The lane that the peer sends on.
    #[must_use]
    pub const fn peer_lane(&self) -> u8 {
        if self.lane == 0 { 1 } else { 0 }
    }

    /// The identity of a lane in a life of it.
    #[must_use]
    pub const fn lane_id(&self, lane: u8, generation: Generation) -> LaneId {
        LaneId { pad: self.pad, generation, mode: self.mode, lane }
    }

    /// The header as the other end has it.
    #[must_use]
    pub fn for_peer(&self) -> Self {
        Self { lane: self.peer_lane(), ..self.clone() }
    }

    pub(crate) fn to_bytes(&self, keys: &PadKeys) -> Zeroizing<Vec<u8>> {
        let Self { pad, generation, mode, witnessed, claim, lane, lanes, value, issued } = self;
        let mut flags = if *witnessed { WITNESSED } else { 0 };
        flags |= if *claim == Claim::InformationTheoretic { PHYSICAL } else { 0 };
        let mut out = Zeroizing::new(Vec::with_capacity(Self::LEN));
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[VERSION, mode.code(), *lane, flags, 0, 0, 0, 0]);
        out.extend_from_slice(pad.as_bytes());
        out.extend_from_slice(generation.as_bytes());
        out.extend(lanes.iter().flat_map(|len| len.to_be_bytes()));
        out.extend_from_slice(&value.to_bytes());
        out.extend_from_slice(&issued.as_secs().to_be_bytes());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(keys.inner().expose());
        out.extend_from_slice(keys.witness().expose());
        let checksum = Sha256::digest(&*out);
        out.extend_from_slice(&checksum);
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<(Self, PadKeys), Malformed> {
        let (start, checksum) = bytes.split_last_chunk::<32>().ok_or(Malformed)?;
        if Sha256::digest(start).as_slice() != checksum {
            return Err(Malformed);
        }
        Self::parse_unchecked(bytes)
    }

    /// The header of a half whose keys are destroyed, or about to be: `sum` of the rest vouches for it.
    pub(super) fn parse_ended(bytes: &[u8], sum: &[u8; 32]) -> Result<(Self, PadKeys), Malformed> {
        if Self::sum_without_keys(bytes)? != *sum {
            return Err(Malformed);
        }
        Ok((Self::parse_unchecked(bytes)?.0, PadKeys::destroyed()))
    }

    /// What vouches for the header when its keys are gone, and with them what its checksum is of.
    pub(super) fn sum_without_keys(bytes: &[u8]) -> Result<[u8; 32], Malformed> {
        Ok(Sha256::digest(bytes.get(..Self::KEYS.start).ok_or(Malformed)?).into())
    }

    /// The fields, whatever the checksum says.
    pub(super) fn parse_unchecked(bytes: &[u8]) -> Result<(Self, PadKeys), Malformed> {
        let mut r = Reader::new(bytes);
        r.expect(MAGIC)?;
        r.expect(&[VERSION])?;
        let mode = PadMode::from_code(r.u8()?).ok_or(Malformed)?;
        let lane = Some(r.u8()?).filter(|lane| *lane <= 1).ok_or(Malformed)?;
        let flags = Some(r.u8()?).filter(|flags| *flags <= WITNESSED | PHYSICAL).ok_or(Malformed)?;
        r.expect(&[0; 4])?;
        let claim = if flags & PHYSICAL == 0 { Claim::Computational } else { Claim::InformationTheoretic };
        let header = Self {
            pad: r.array()?.into(),
            generation: r.array()?.into(),
            mode,
            witnessed: flags & WITNESSED != 0,
            claim,
            lane,
            lanes: [r.u64()?, r.u64()?],
            value: Amount::from_bytes(r.array()?),
            issued: UnixTime::from_secs(r.u64()?),
        };
        r.expect(&[0; 8])?;
        let mut key = || Ok::<_, Malformed>(Secret::from(r.array::<32>()?));
        let (inner, witness) = (key()?, key()?);
        if r.rest().len() != 32 || !header.is_valid() {
            return Err(Malformed);
        }
        Ok((header, PadKeys::new(RootKey::from(inner), MacKey::from(witness))))
    }

    /// Whether its lanes can be what they are said to be.
    pub(crate) fn is_valid(&self) -> bool {
        let whole = self.lanes.iter().all(|len| len.is_multiple_of(self.unit()));
        whole && [0, 1].iter().all(|lane| self.lane_len(*lane) <= self.mode.max_lane())
    }
}
