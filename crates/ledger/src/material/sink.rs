use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::fs::{FallocateFlags, fallocate};

use super::file::{Folder, file_len, lane_at, slot_at};
use super::new_file::NewFile;
use super::state::State;
use super::{MaterialError, PadHeader, PadKeys};
use crate::frame::widen;
use crate::issue::PadSink;

/// Receives a half that is being issued, as a new file of mode 0600.
#[derive(Debug)]
pub struct FileSink {
    target: Target,
    writing: Option<Writing>,
    finished: Option<PathBuf>,
}

#[derive(Debug)]
enum Target {
    Path(PathBuf),
    Folder(Folder),
}

#[derive(Debug)]
struct Writing {
    file: NewFile,
    header: PadHeader,
    /// How much of the lanes was written, the first before the second.
    written: u64,
}

impl FileSink {
    /// The new file will be at `path`.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { target: Target::Path(path.into()), writing: None, finished: None }
    }

    pub(super) const fn in_folder(folder: Folder) -> Self {
        Self { target: Target::Folder(folder), writing: None, finished: None }
    }
}

impl PadSink for FileSink {
    fn start(&mut self, header: &PadHeader, keys: &PadKeys) -> Result<(), MaterialError> {
        let path = match &self.target {
            Target::Path(path) => path.clone(),
            Target::Folder(folder) => folder.path(header.pad),
        };
        let file = NewFile::create(path).map_err(exists)?;
        // Room for all of it first: a full disk is noticed before anything else.
        match fallocate(file.file(), FallocateFlags::empty(), 0, file_len(header)) {
            Ok(()) => {}
            Err(rustix::io::Errno::OPNOTSUPP) => file.file().set_len(file_len(header))?,
            Err(error) => return Err(MaterialError::Io(error.into())),
        }
        let bytes = header.to_bytes(keys);
        let (_, checksum) = bytes.split_last_chunk().ok_or(MaterialError::Corrupt("its header"))?;
        file.file().write_all_at(&bytes, 0)?;
        file.file().write_all_at(&State::NEW.to_bytes(checksum), slot_at(State::NEW.slot()))?;
        self.writing = Some(Writing { file, header: header.clone(), written: 0 });
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), MaterialError> {
        let Writing { file, header, written } = self.writing.as_mut().ok_or(MaterialError::OutOfRange)?;
        let first = header.lane_bytes(0);
        // A piece never spans the lanes.
        let (lane, offset) =
            if *written < first { (0, *written) } else { (1, written.saturating_sub(first)) };
        let end = offset.saturating_add(widen(bytes.len()));
        if end > header.lane_bytes(lane) {
            return Err(MaterialError::OutOfRange);
        }
        file.file().write_all_at(bytes, lane_at(header, lane).saturating_add(offset))?;
        *written = written.saturating_add(widen(bytes.len()));
        Ok(())
    }

    fn finish(&mut self) -> Result<(), MaterialError> {
        let Writing { file, header, written } = self.writing.take().ok_or(MaterialError::OutOfRange)?;
        let [zero, one] = header.lanes;
        if written != zero.saturating_add(one) {
            return Err(MaterialError::OutOfRange);
        }
        self.finished = Some(file.path().to_path_buf());
        file.finish().map_err(exists).inspect_err(|_| self.finished = None)
    }

    fn discard(&mut self) {
        self.writing = None;
        if let Some(path) = self.finished.take() {
            // A half without its other is of no use to anybody; if it cannot be removed, it stays new for ever.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn exists(error: io::Error) -> MaterialError {
    if error.kind() == io::ErrorKind::AlreadyExists {
        MaterialError::Exists
    } else {
        MaterialError::Io(error)
    }
}
