//! Envelopes as files: nothing half-written is ever left under the final name.

use core::sync::atomic::{AtomicU64, Ordering};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process;

use symbolon_keys::OsRng;

use crate::context::Context;
use crate::error::{OpenError, RewrapError};
use crate::io::read_header;
use crate::open::Open;
use crate::rewrap::Rewrap;
use crate::seal::Seal;

/// A file on its way to its final name.
///
/// It is written beside it, under a temporary name. [`NewFile::commit`] makes it durable and renames it over whatever
/// was there; dropped before that, it is removed.
#[must_use = "without commit the file is removed again"]
#[derive(Debug)]
pub struct NewFile {
    /// None after the commit.
    temporary: Option<PathBuf>,
    path: PathBuf,
    file: File,
}

impl NewFile {
    /// Begins a file that will be called `path`. Only its owner may read it.
    ///
    /// # Errors
    /// The system's.
    pub fn create(path: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        loop {
            let mut temporary = OsString::from(".");
            temporary.push(name);
            temporary.push(format!(".{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
            let temporary = path.with_file_name(temporary);
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            match options.open(&temporary) {
                Ok(file) => return Ok(Self { temporary: Some(temporary), path: path.to_path_buf(), file }),
                // Left behind by a process of the same number that was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes the file durable, gives it its name, and makes that durable.
    ///
    /// # Errors
    /// The system's; whatever was under the name before is then still there.
    pub fn commit(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        if let Some(temporary) = &self.temporary {
            fs::rename(temporary, &self.path)?;
        }
        self.temporary = None;
        // A name is durable when its folder is. Not every system can sync a folder.
        #[cfg(unix)]
        {
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
        }
        Ok(())
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            // Nobody is left to be told.
            let _ = fs::remove_file(temporary);
        }
    }
}

impl Seal<'_> {
    /// Seals the file `from` into the file `to`, which is there in full or as it was before.
    ///
    /// # Errors
    /// The system's, or a [`SealError`](crate::SealError) in an [`io::Error`].
    pub fn file(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut from = File::open(from)?;
        let mut sealer = self.writer(NewFile::create(to)?)?;
        sealer.copy_from(&mut from)?;
        sealer.finish()?.commit()
    }
}

impl Open<'_> {
    /// Opens the file `from` into the file `to`, which is there in full and authentic, or as it was before.
    ///
    /// # Errors
    /// The system's, or an [`OpenError`] in an [`io::Error`]; [`OpenError::ViewOnly`] if the policy asks not to keep the
    /// plaintext.
    pub fn file(&self, from: &Path, to: &Path) -> io::Result<Option<Context>> {
        let mut opener = self.reader(File::open(from)?)?;
        if opener.policy().is_view_only() {
            return Err(OpenError::ViewOnly.into());
        }
        let mut file = NewFile::create(to)?;
        opener.copy_to(&mut file)?;
        file.commit()?;
        Ok(opener.context().cloned())
    }
}

impl Rewrap<'_> {
    /// Re-wraps the file `from` into the file `to`, which may be the same: a new header, then the payload as it is. `to` is
    /// there in full, or as it was before.
    ///
    /// If the new header is as long as the old one, and the file system shares blocks between files (Btrfs, XFS), nothing
    /// is copied, and the cost does not depend on the payload. Otherwise the system copies it, without a detour through
    /// this process.
    ///
    /// # Errors
    /// The system's, or a [`RewrapError`] in an [`io::Error`].
    pub fn file(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut from = File::open(from)?;
        let (header, _) = read_header(&mut from)?;
        let new = self.header_with(&header, &mut OsRng)?;
        let old = header.as_bytes().len();
        let mut file = NewFile::create(to)?;
        // Blocks are shared whole: what stands at another place cannot be.
        if new.len() == old && share(&from, &file.file) {
            file.write_all(&new)?;
            return file.commit();
        }
        file.write_all(&new)?;
        from.seek(SeekFrom::Start(old as u64))?;
        // Between two files the standard library uses `copy_file_range`, and what else there is where it does not work.
        io::copy(&mut from, &mut file.file)?;
        file.commit()
    }
}

/// Whether `to`, which is empty, now has the contents of `from`, in the same blocks.
#[cfg(target_os = "linux")]
fn share(from: &File, to: &File) -> bool {
    rustix::fs::ioctl_ficlone(to, from).is_ok()
}

#[cfg(not(target_os = "linux"))]
const fn share(_: &File, _: &File) -> bool {
    false
}

impl From<RewrapError> for io::Error {
    fn from(error: RewrapError) -> Self {
        match error {
            RewrapError::Open(error) => error.into(),
            RewrapError::Seal(error) => error.into(),
        }
    }
}
