use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{FallocateFlags, fallocate, fstatfs};
use zeroize::Zeroizing;

use super::registry::Taken;
use super::sink::FileSink;
use super::state::State;
use super::{Erased, MaterialError, PadHalf, PadHeader, PadKeys, PadMaterial, Stage, check_present};
use crate::frame::widen;
use crate::{Instance, PadId};

/// The unit of the layout, and of what can be punched out of a file.
const BLOCK: u64 = 4096;
const LANES: u64 = 3 * BLOCK;
const BAD_HEADER: MaterialError = MaterialError::Corrupt("its header");
/// What is overwritten at a time.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// A folder of pad files, each named by its pad: `<id>.pad`.
///
/// Several processes may share it, on file systems whose locks work.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The pads in `folder`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The file of a pad, there or not.
    #[must_use]
    pub fn path(&self, pad: PadId) -> PathBuf {
        self.0.join(alloc::format!("{pad}.pad"))
    }

    /// Receives a half that is being issued, as a new file of this folder.
    #[must_use]
    pub fn sink(&self) -> FileSink {
        FileSink::in_folder(self.clone())
    }
}

impl PadMaterial for Folder {
    type Half = FileHalf;

    fn take(&self, pad: PadId) -> Result<FileHalf, MaterialError> {
        let half = FileHalf::open(&self.path(pad)).map_err(|error| match error {
            MaterialError::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                MaterialError::NotFound(pad)
            }
            other => other,
        })?;
        half.checked(pad)
    }
}

/// One pad file, whatever its name.
#[derive(Clone, Debug)]
pub struct SinglePad(PathBuf);

impl SinglePad {
    /// The pad in the file at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// What the file says of itself. It is not taken.
    ///
    /// # Errors
    /// [`MaterialError`] if it is no whole pad file.
    pub fn header(&self) -> Result<PadHeader, MaterialError> {
        let file = File::open(&self.0)?;
        Ok(Content::read(&file)?.header)
    }
}

impl PadMaterial for SinglePad {
    type Half = FileHalf;

    fn take(&self, pad: PadId) -> Result<FileHalf, MaterialError> {
        FileHalf::open(&self.0)?.checked(pad)
    }
}

/// One half of a pad in a file (`docs/pad-file.md`), locked while this lives.
pub struct FileHalf {
    file: File,
    header: PadHeader,
    keys: PadKeys,
    checksum: [u8; 32],
    state: Mutex<State>,
    in_place: bool,
    _taken: Taken,
}

impl FileHalf {
    /// Opens and locks the pad file at `path`.
    ///
    /// # Errors
    /// [`MaterialError`] if it is in use, or no whole pad file.
    pub fn open(path: &Path) -> Result<Self, MaterialError> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let (named, _) = PadHeader::parse_unchecked(&*read_header(&file)?).map_err(|_| BAD_HEADER)?;
        let taken = Taken::new(named.pad, named.lane)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(MaterialError::InUse(named.pad)),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        // What is read before the lock is held may be changing.
        let Content { header, keys, checksum, state } = Content::read(&file)?;
        if file.metadata()?.len() != file_len(&header) {
            return Err(MaterialError::Corrupt("its length is not what its header says"));
        }
        let in_place = writes_in_place(&file);
        Ok(Self { file, header, keys, checksum, state: Mutex::new(state), in_place, _taken: taken })
    }

    fn checked(self, pad: PadId) -> Result<Self, MaterialError> {
        if self.header.pad == pad { Ok(self) } else { Err(MaterialError::OtherPad(self.header.pad)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) -> Result<(), MaterialError> {
        let mut state = self.state();
        let mut next = *state;
        change(&mut next);
        if next == *state {
            return Ok(());
        }
        next.counter =
            state.counter.checked_add(1).ok_or(MaterialError::Corrupt("its counter is at its end"))?;
        self.file.write_all_at(&next.to_bytes(&self.checksum), slot_at(next.slot()))?;
        self.file.sync_data()?;
        *state = next;
        Ok(())
    }

    /// Where a range of a lane lies in the file.
    fn locate(&self, lane: u8, range: &Range<u64>) -> Result<u64, MaterialError> {
        if range.start > range.end || range.end > self.header.lane_bytes(lane) || lane > 1 {
            return Err(MaterialError::OutOfRange);
        }
        lane_at(&self.header, lane).checked_add(range.start).ok_or(MaterialError::OutOfRange)
    }
}

impl PadHalf for FileHalf {
    fn header(&self) -> &PadHeader {
        &self.header
    }

    fn keys(&self) -> &PadKeys {
        &self.keys
    }

    fn instance(&self) -> Option<Instance> {
        self.state().instance
    }

    fn bind(&self, instance: Instance) -> Result<(), MaterialError> {
        self.change(|state| state.instance = Some(instance))
    }

    fn floor(&self, lane: u8) -> u64 {
        let [zero, one] = self.state().floors;
        if lane == 0 { zero } else { one }
    }

    fn raise(&self, lane: u8, floor: u64) -> Result<(), MaterialError> {
        self.change(|state| {
            let [zero, one] = &mut state.floors;
            let slot = if lane == 0 { zero } else { one };
            *slot = floor.max(*slot);
        })
    }

    fn read(&self, lane: u8, offset: u64, out: &mut [u8]) -> Result<(), MaterialError> {
        let end = offset.checked_add(widen(out.len())).ok_or(MaterialError::OutOfRange)?;
        let at = self.locate(lane, &(offset..end))?;
        self.file.read_exact_at(out, at)?;
        check_present(offset, out)
    }

    fn stage(&self) -> Stage {
        self.state().stage
    }

    fn advance(&self, stage: Stage) -> Result<(), MaterialError> {
        let header = self.header.to_bytes(&self.keys);
        let sum = PadHeader::sum_without_keys(&header).map_err(|_| BAD_HEADER)?;
        self.change(|state| {
            if stage > state.stage {
                (state.stage, state.header) = (stage, sum);
            }
        })?;
        // Only now: a header whose keys are gone is whole to those who find that mark, and damaged to all others.
        if self.stage() > Stage::InUse {
            let keys = ZEROS.get(PadHeader::KEYS).unwrap_or_default();
            self.file.write_all_at(keys, widen(PadHeader::KEYS.start))?;
            self.file.sync_data()?;
        }
        Ok(())
    }

    fn destroy(&self, lane: u8, range: Range<u64>) -> Result<Erased, MaterialError> {
        let start = self.locate(lane, &range)?;
        let end = start.saturating_add(range.end.saturating_sub(range.start));
        let mut at = start;
        while at < end {
            let left = usize::try_from(end.saturating_sub(at)).unwrap_or(ZEROS.len()).min(ZEROS.len());
            self.file.write_all_at(ZEROS.get(..left).unwrap_or_default(), at)?;
            at = at.saturating_add(widen(left));
        }
        self.file.sync_data()?;
        let whole = start.next_multiple_of(BLOCK)..end.saturating_sub(end.checked_rem(BLOCK).unwrap_or(0));
        if !whole.is_empty() {
            // Giving the blocks back lets the medium forget them. They are zero already, so it may fail.
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let _ = fallocate(&self.file, hole, whole.start, whole.end.saturating_sub(whole.start));
        }
        Ok(if self.in_place { Erased::Overwritten } else { Erased::BestEffort })
    }
}

impl fmt::Debug for FileHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file: _, header, keys: _, checksum: _, state: _, in_place: _, _taken: _ } = self;
        f.debug_struct("FileHalf").field("header", header).finish_non_exhaustive()
    }
}

/// What a pad file says, but for its lanes.
struct Content {
    header: PadHeader,
    keys: PadKeys,
    checksum: [u8; 32],
    state: State,
}

impl Content {
    /// Reads the header before the state: if the keys are gone by then, the state says so.
    fn read(file: &File) -> Result<Self, MaterialError> {
        let bytes = read_header(file)?;
        let (_, checksum) = bytes.split_last_chunk().ok_or(BAD_HEADER)?;
        let state = read_state(file, checksum);
        let parsed = match &state {
            Ok(State { stage: Stage::Ended | Stage::Destroyed, header, .. }) => {
                PadHeader::parse_ended(&*bytes, header)
            }
            _ => PadHeader::parse(&*bytes),
        };
        let (header, keys) = parsed.map_err(|_| BAD_HEADER)?;
        Ok(Self { header, keys, checksum: *checksum, state: state? })
    }
}

fn read_header(file: &File) -> Result<Zeroizing<[u8; PadHeader::LEN]>, MaterialError> {
    let mut bytes = Zeroizing::new([0; PadHeader::LEN]);
    file.read_exact_at(&mut *bytes, 0).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => MaterialError::Corrupt("it is too short"),
        _ => error.into(),
    })?;
    Ok(bytes)
}

fn read_state(file: &File, checksum: &[u8; 32]) -> Result<State, MaterialError> {
    let mut whole = Vec::with_capacity(2);
    for slot in [0, 1] {
        let mut bytes = [0; State::LEN];
        file.read_exact_at(&mut bytes, slot_at(slot))?;
        whole.extend(State::parse(&bytes, checksum).ok().filter(|state| state.slot() == slot));
    }
    let newest = whole.into_iter().max_by_key(|state| state.counter);
    newest.ok_or(MaterialError::Corrupt("neither copy of its state is whole"))
}

pub(super) const fn slot_at(slot: u64) -> u64 {
    BLOCK.saturating_mul(slot.saturating_add(1))
}

pub(super) fn lane_at(header: &PadHeader, lane: u8) -> u64 {
    let second = LANES.saturating_add(header.lane_bytes(0).next_multiple_of(BLOCK));
    if lane == 0 { LANES } else { second }
}

pub(super) fn file_len(header: &PadHeader) -> u64 {
    lane_at(header, 1).saturating_add(header.lane_bytes(1))
}

/// Whether the file system is known to write over the old bytes.
pub(crate) fn writes_in_place(file: &File) -> bool {
    // ext2, ext3, ext4; tmpfs; ramfs. Others copy on write, or may share blocks with a copy of the file.
    const IN_PLACE: [u64; 3] = [0xEF53, 0x0102_1994, 0x8584_58F6];
    let kind = fstatfs(file).ok().and_then(|stat| u64::try_from(stat.f_type).ok());
    kind.is_some_and(|kind| IN_PLACE.contains(&kind))
}
