//! Where the bytes of pads are: files, or memory for tests.

mod file;
mod header;
mod memory;
pub(crate) mod new_file;
mod registry;
mod sink;
mod state;

use core::fmt;
use core::ops::Range;

use symbolon_keys::{MacKey, RootKey, Secret};

pub(crate) use file::writes_in_place;
pub use file::{FileHalf, Folder, SinglePad};
pub use header::{Claim, PadHeader};
pub use memory::{MemoryHalf, MemoryMaterial, MemorySink};
pub use sink::FileSink;

use crate::{Instance, PadId};

/// The pads that a process can get at: a folder of files, a single file, or memory.
pub trait PadMaterial: Send + Sync + 'static {
    /// One half of a pad, held exclusively.
    type Half: PadHalf;

    /// Takes a pad, for as long as the half lives: a second handle, in this process or in another, is refused.
    ///
    /// # Errors
    /// [`MaterialError`] if it is not there, is in use, or cannot be read.
    fn take(&self, pad: PadId) -> Result<Self::Half, MaterialError>;
}

/// One half of a pad. Offsets count bytes of a lane.
///
/// Its methods block, for as long as a disk takes; a driver calls them once for a batch of messages.
pub trait PadHalf: Send + Sync + 'static {
    /// What was fixed when the pad was issued.
    fn header(&self) -> &PadHeader;

    /// The keys beside the pad.
    fn keys(&self) -> &PadKeys;

    /// The provisioning that the half belongs to; none while it is new.
    fn instance(&self) -> Option<Instance>;

    /// Marks the half as provisioned, or recovered, durably.
    ///
    /// # Errors
    /// [`MaterialError`] if that cannot be made durable.
    fn bind(&self, instance: Instance) -> Result<(), MaterialError>;

    /// Everything of a lane below this was given away.
    fn floor(&self, lane: u8) -> u64;

    /// Raises the floor of a lane, durably; it never sinks.
    ///
    /// # Errors
    /// [`MaterialError`] if that cannot be made durable.
    fn raise(&self, lane: u8, floor: u64) -> Result<(), MaterialError>;

    /// Reads bytes of a lane.
    ///
    /// # Errors
    /// [`MaterialError::OutOfRange`] beyond the lane; [`MaterialError::Destroyed`] where the bytes are gone.
    fn read(&self, lane: u8, offset: u64, out: &mut [u8]) -> Result<(), MaterialError>;

    /// How much of the half there still is.
    fn stage(&self) -> Stage;

    /// Goes over to a later stage, durably, and never back. [`Stage::Ended`] destroys the keys, once it is durable;
    /// asked again, it does so again.
    ///
    /// # Errors
    /// [`MaterialError`] if that cannot be made durable.
    fn advance(&self, stage: Stage) -> Result<(), MaterialError>;

    /// Destroys bytes of a lane as well as the medium lets it.
    ///
    /// # Errors
    /// [`MaterialError`] if they could not be overwritten.
    fn destroy(&self, lane: u8, range: Range<u64>) -> Result<Erased, MaterialError>;
}

/// The keys that lie beside a pad and are not of it.
#[derive(Debug)]
pub struct PadKeys {
    inner: RootKey,
    witness: MacKey,
}

impl PadKeys {
    /// The two keys of a pad.
    #[must_use]
    pub const fn new(inner: RootKey, witness: MacKey) -> Self {
        Self { inner, witness }
    }

    /// What a half has that was destroyed: nothing is sealed or opened with these.
    pub(crate) fn destroyed() -> Self {
        Self::new(RootKey::from(Secret::from([0; 32])), MacKey::from(Secret::from([0; 32])))
    }

    /// The root of the inner AEAD's keys (C3).
    #[must_use]
    pub const fn inner(&self) -> &RootKey {
        &self.inner
    }

    /// The key of witness messages (C3w).
    #[must_use]
    pub const fn witness(&self) -> &MacKey {
        &self.witness
    }
}

/// How much of a half there still is. The stages come in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stage {
    /// It is new, or in use.
    InUse,
    /// Its pad has ended: the keys are destroyed, and what is left of the lanes is to be.
    Ended,
    /// Nothing is left of it but its header and state.
    Destroyed,
}

/// How well bytes were destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Erased {
    /// Overwritten in place, as far as the file system goes. What flash and journals keep is beyond it.
    Overwritten,
    /// Overwritten by a file system that may write elsewhere and keep the old bytes.
    BestEffort,
}

/// Why the bytes of a pad cannot be had.
#[derive(Debug)]
#[non_exhaustive]
pub enum MaterialError {
    /// There is no such pad.
    NotFound(PadId),
    /// The pad is in use: by another handle of this process, or by another process.
    InUse(PadId),
    /// Something is there already, and nothing is overwritten.
    Exists,
    /// It is not a pad file of this version, or it is damaged.
    Corrupt(&'static str),
    /// It is the file of another pad.
    OtherPad(PadId),
    /// The lane ends before.
    OutOfRange,
    /// The bytes were destroyed: this place was used before.
    Destroyed {
        /// Where.
        offset: u64,
    },
    /// The pad has ended, and the half was destroyed: a ledger in which it is open is an old copy.
    Ended(PadId),
    /// The file system failed.
    Io(std::io::Error),
}

impl fmt::Display for MaterialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(pad) => write!(f, "there is no file of pad {pad}"),
            Self::InUse(pad) => write!(f, "pad {pad} is in use: a pad has one handle at a time"),
            Self::Exists => f.write_str("the file exists already, and a pad is never overwritten"),
            Self::Corrupt(what) => write!(f, "not a whole pad file: {what}"),
            Self::OtherPad(pad) => write!(f, "the file holds another pad: {pad}"),
            Self::OutOfRange => f.write_str("the lane ends before"),
            Self::Destroyed { offset } => {
                write!(
                    f,
                    "the pad at offset {offset} was destroyed: it was used before, the ledger is an old copy"
                )
            }
            Self::Ended(pad) => write!(
                f,
                "pad {pad} has ended and its half was destroyed: the ledger is an old copy, and can only close it"
            ),
            Self::Io(error) => write!(f, "the pad's file failed: {error}"),
        }
    }
}

impl core::error::Error for MaterialError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<std::io::Error> for MaterialError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// Destroyed bytes read as zeros. Random ones are that for 32 bytes with probability 2^-256.
pub(crate) fn check_present(offset: u64, bytes: &[u8]) -> Result<(), MaterialError> {
    let (blocks, _) = bytes.as_chunks::<32>();
    match blocks.iter().position(|block| block.iter().fold(0, |all, byte| all | byte) == 0) {
        None => Ok(()),
        Some(at) => {
            let at = crate::frame::widen(at.saturating_mul(32));
            Err(MaterialError::Destroyed { offset: offset.saturating_add(at) })
        }
    }
}
