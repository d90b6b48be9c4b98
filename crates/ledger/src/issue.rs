use core::fmt;

use symbolon_keys::{MacKey, RootKey, Secret, UnixTime};
use zeroize::Zeroizing;

use crate::frame::widen;
use crate::material::{MaterialError, PadHeader, PadKeys, check_present};
use crate::source::{Source, SourceError};
use crate::{Amount, Generation, PadId, PadMode};

/// What is written at a time; never more of a pad is in memory.
const PIECE: usize = 1 << 16;

/// Receives one half of a pad while it is issued: the header, then lane 0, then lane 1, in pieces.
pub trait PadSink {
    /// Begins a half.
    ///
    /// # Errors
    /// [`MaterialError`] if there is something already, or no room.
    fn start(&mut self, header: &PadHeader, keys: &PadKeys) -> Result<(), MaterialError>;

    /// Takes the next bytes; a piece never spans two lanes.
    ///
    /// # Errors
    /// [`MaterialError`] if they cannot be written.
    fn write(&mut self, bytes: &[u8]) -> Result<(), MaterialError>;

    /// Ends the half, and makes it durable.
    ///
    /// # Errors
    /// [`MaterialError`]; then there is no half.
    fn finish(&mut self) -> Result<(), MaterialError>;

    /// Takes back what [`finish`](Self::finish) made, because the other half failed.
    fn discard(&mut self);
}

/// The terms of a new pad.
///
/// ```
/// # use symbolon_ledger::{Amount, GeneratorSource, Issue, MemoryMaterial, PadMode};
/// # let (server, user) = (MemoryMaterial::new(), MemoryMaterial::new());
/// let id = Issue::new(1 << 20)
///     .value(Amount::new(500))
///     .mode(PadMode::PadOverAead)
///     .split(1, 3) // the server answers at length
///     .run(GeneratorSource::os(), &mut server.sink(), &mut user.sink())?;
/// # Ok::<(), symbolon_ledger::IssueError>(())
/// ```
#[must_use = "nothing is issued until it is run"]
pub struct Issue<'p> {
    bytes: u64,
    value: Amount,
    mode: PadMode,
    split: (u32, u32),
    witnessed: bool,
    issued: Option<UnixTime>,
    progress: Option<&'p mut dyn FnMut(u64, u64)>,
}

impl<'p> Issue<'p> {
    /// The shortest pad: below, even the smallest frames hardly fit.
    pub const MIN_BYTES: u64 = 4 << 10;
    /// The longest pad: nobody has tried more.
    pub const MAX_BYTES: u64 = 64 << 30;

    /// A pad of so many bytes, both lanes together.
    pub fn new(bytes: u64) -> Self {
        let (value, mode) = (Amount::ZERO, PadMode::default());
        Self { bytes, value, mode, split: (1, 1), witnessed: true, issued: None, progress: None }
    }

    /// What is paid for it.
    pub const fn value(mut self, value: Amount) -> Self {
        self.value = value;
        self
    }

    /// How it will be used.
    pub const fn mode(mut self, mode: PadMode) -> Self {
        self.mode = mode;
        self
    }

    /// How it is cut: so many parts for the user's lane, so many for the server's.
    pub const fn split(mut self, user: u32, server: u32) -> Self {
        self.split = (user, server);
        self
    }

    /// Does without the peer as a witness of reservations (C3w).
    ///
    /// # Security
    /// Then an old copy of *both* the ledger and the pad file, restored together, is not noticed, and pad bytes are used
    /// twice.
    pub const fn unwitnessed(mut self) -> Self {
        self.witnessed = false;
        self
    }

    /// When it is issued; now, unless told otherwise.
    pub const fn issued_at(mut self, time: UnixTime) -> Self {
        self.issued = Some(time);
        self
    }

    /// Is told how many bytes of how many are written, after each piece.
    pub fn progress(mut self, tell: &'p mut dyn FnMut(u64, u64)) -> Self {
        self.progress = Some(tell);
        self
    }

    /// Makes the pad: its bytes, keys and names all come from `source`, into both halves. The user sends on lane 0, the
    /// server on lane 1.
    ///
    /// # Errors
    /// [`IssueError`]; then there is no half of it anywhere.
    pub fn run<S: Source>(
        self,
        source: S,
        server: &mut impl PadSink,
        user: &mut impl PadSink,
    ) -> Result<PadId, IssueError> {
        let issued = self.issue(source, server, user);
        if issued.is_err() {
            server.discard();
            user.discard();
        }
        issued
    }

    fn issue<S: Source>(
        mut self,
        mut source: S,
        server: &mut impl PadSink,
        user: &mut impl PadSink,
    ) -> Result<PadId, IssueError> {
        let header = self.header::<S>(&mut source)?;
        let inner = RootKey::from(Secret::try_init_with(|out| source.fill(out))?);
        let witness = MacKey::from(Secret::try_init_with(|out| source.fill(out))?);
        let keys = PadKeys::new(inner, witness);
        user.start(&header, &keys)?;
        server.start(&header.for_peer(), &keys)?;
        let mut buffer = Zeroizing::new([0; PIECE]);
        let [zero, one] = header.lanes;
        let (mut done, total) = (0_u64, zero.saturating_add(one));
        for len in header.lanes {
            let mut left = len;
            while left > 0 {
                let size = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                let piece = buffer.get_mut(..size).unwrap_or_default();
                source.fill(piece)?;
                check_present(0, piece).map_err(|_| SourceError::NotRandom)?;
                user.write(piece)?;
                server.write(piece)?;
                left = left.saturating_sub(widen(size));
                done = done.saturating_add(widen(size));
                if let Some(tell) = &mut self.progress {
                    tell(done, total);
                }
            }
        }
        user.finish()?;
        server.finish()?;
        Ok(header.pad)
    }

    /// The header as the user has it.
    fn header<S: Source>(&self, source: &mut S) -> Result<PadHeader, IssueError> {
        let mut random = || {
            let mut bytes = [0; 16];
            source.fill(&mut bytes)?;
            Ok::<_, SourceError>(bytes)
        };
        let (pad, generation) = (PadId::from(random()?), Generation::from(random()?));
        let header = PadHeader {
            pad,
            generation,
            mode: self.mode,
            witnessed: self.witnessed,
            claim: S::CLAIM,
            lane: 0,
            lanes: self.lanes().ok_or(IssueError::Size)?,
            value: self.value,
            issued: self.issued.unwrap_or_else(UnixTime::now),
        };
        if header.is_valid() { Ok(header) } else { Err(IssueError::Size) }
    }

    /// The bytes of each lane, whole keys in a key sequence; each has room for a message.
    fn lanes(&self) -> Option<[u64; 2]> {
        if !(Self::MIN_BYTES..=Self::MAX_BYTES).contains(&self.bytes) {
            return None;
        }
        let unit = if self.mode == PadMode::KeySequence { 32 } else { 1 };
        let units = u128::from(self.bytes.checked_div(unit)?);
        let (user, server) = (u128::from(self.split.0), u128::from(self.split.1));
        let zero = units.checked_mul(user)?.checked_div(user.checked_add(server)?)?;
        let one = units.checked_sub(zero)?;
        let lane = |units: u128| u64::try_from(units).ok().filter(|units| *units >= self.mode.min_cost());
        Some([lane(zero)?.checked_mul(unit)?, lane(one)?.checked_mul(unit)?])
    }
}

impl fmt::Debug for Issue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, value, mode, split, witnessed, issued, progress: _ } = self;
        f.debug_struct("Issue")
            .field("bytes", bytes)
            .field("value", value)
            .field("mode", mode)
            .field("split", split)
            .field("witnessed", witnessed)
            .field("issued", issued)
            .finish_non_exhaustive()
    }
}

/// Why no pad was issued.
#[derive(Debug)]
#[non_exhaustive]
pub enum IssueError {
    /// The pad would be too short, too long, or have a lane without room for a message.
    Size,
    /// The source failed.
    Source(SourceError),
    /// A half could not be written.
    Material(MaterialError),
}

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size => {
                write!(
                    f,
                    "a pad has {} to {} bytes, and room for a message in each lane",
                    Issue::MIN_BYTES,
                    Issue::MAX_BYTES
                )
            }
            Self::Source(error) => error.fmt(f),
            Self::Material(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for IssueError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Size => None,
            Self::Source(error) => Some(error),
            Self::Material(error) => Some(error),
        }
    }
}

impl From<SourceError> for IssueError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<MaterialError> for IssueError {
    fn from(error: MaterialError) -> Self {
        Self::Material(error)
    }
}
