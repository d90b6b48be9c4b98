use alloc::vec::Vec;
use core::fmt;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

#[cfg(feature = "passphrase")]
use symbolon_keys::passphrase::{Argon2Params, Passphrase, protect};
use symbolon_keys::{OsRng, Secret, TAG_LEN};
use zeroize::Zeroizing;

#[cfg(feature = "passphrase")]
use super::PROTECTED;
use super::content::Content;
use super::{BundleError, CHUNK, Chunks, Connection, MAGIC, PREFIX_LEN, VERSION};
use crate::frame::widen;
use crate::issue::PadSink;
use crate::material::new_file::NewFile;
use crate::material::{MaterialError, PadHeader, PadKeys};

/// Receives the user's half while it is issued, into a new bundle of mode 0600.
#[derive(Debug)]
pub struct BundleSink {
    path: PathBuf,
    connection: Connection,
    #[cfg(feature = "passphrase")]
    passphrase: Option<(Passphrase, Argon2Params)>,
    writing: Option<Writing>,
    finished: bool,
}

struct Writing {
    file: NewFile,
    chunks: Chunks,
    data_at: u64,
    /// What is not a whole chunk yet.
    rest: Zeroizing<Vec<u8>>,
    index: u64,
}

impl BundleSink {
    /// The bundle will be at `path`.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>, connection: Connection) -> Self {
        Self {
            path: path.into(),
            connection,
            #[cfg(feature = "passphrase")]
            passphrase: None,
            writing: None,
            finished: false,
        }
    }

    /// Keeps it under a passphrase.
    #[cfg(feature = "passphrase")]
    #[must_use]
    pub fn under(mut self, passphrase: Passphrase, params: Argon2Params) -> Self {
        self.passphrase = Some((passphrase, params));
        self
    }

    /// The content as it is written, and whether it is under a passphrase.
    fn wrap(&self, content: Zeroizing<Vec<u8>>) -> Result<(Zeroizing<Vec<u8>>, u8), BundleError> {
        #[cfg(feature = "passphrase")]
        if let Some((passphrase, params)) = &self.passphrase {
            let wrapped = protect(passphrase, *params, &content, &mut OsRng).map_err(BundleError::Protect)?;
            return Ok((Zeroizing::new(wrapped), PROTECTED));
        }
        Ok((content, 0))
    }

    fn begin(&self, header: &PadHeader, keys: &PadKeys) -> Result<Writing, BundleError> {
        let key = Secret::generate(&mut OsRng);
        let (bytes, content) = Content::make(&key, header, keys, &self.connection)?;
        let (bytes, flags) = self.wrap(bytes)?;
        let len = u32::try_from(bytes.len()).map_err(|_| BundleError::TooLong)?;
        let mut head = Zeroizing::new(Vec::with_capacity(PREFIX_LEN.saturating_add(bytes.len())));
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&[VERSION, flags, 0, 0]);
        head.extend_from_slice(&len.to_be_bytes());
        head.extend_from_slice(&bytes);
        let chunks = Chunks::new(&content, &head);
        let file = NewFile::create(self.path.clone())?;
        file.file().set_len(widen(head.len()).saturating_add(chunks.sealed_len()))?;
        file.file().write_all_at(&head, 0)?;
        let rest = Zeroizing::new(Vec::with_capacity(CHUNK));
        Ok(Writing { file, chunks, data_at: widen(head.len()), rest, index: 0 })
    }
}

impl Writing {
    fn flush(&mut self) -> Result<(), BundleError> {
        let Self { file, chunks, data_at, rest, index } = self;
        let tag: [u8; TAG_LEN] =
            chunks.key(*index)?.seal_in_place(b"", rest).map_err(|_| BundleError::Malformed("a chunk"))?;
        let at = data_at.saturating_add(Chunks::at(*index));
        file.file().write_all_at(rest, at)?;
        file.file().write_all_at(&tag, at.saturating_add(widen(rest.len())))?;
        rest.clear();
        *index = index.saturating_add(1);
        Ok(())
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), BundleError> {
        while !bytes.is_empty() {
            let room = CHUNK.saturating_sub(self.rest.len()).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            self.rest.extend_from_slice(now);
            bytes = later;
            if self.rest.len() == CHUNK {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn end(mut self) -> Result<(), BundleError> {
        if !self.rest.is_empty() {
            self.flush()?;
        }
        if self.index != self.chunks.count() {
            return Err(BundleError::Malformed("it is too short"));
        }
        Ok(self.file.finish()?)
    }
}

impl PadSink for BundleSink {
    fn start(&mut self, header: &PadHeader, keys: &PadKeys) -> Result<(), MaterialError> {
        self.writing = Some(self.begin(header, keys).map_err(as_material)?);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), MaterialError> {
        self.writing.as_mut().ok_or(MaterialError::OutOfRange)?.take(bytes).map_err(as_material)
    }

    fn finish(&mut self) -> Result<(), MaterialError> {
        self.writing.take().ok_or(MaterialError::OutOfRange)?.end().map_err(as_material)?;
        self.finished = true;
        Ok(())
    }

    fn discard(&mut self) {
        self.writing = None;
        if core::mem::take(&mut self.finished) {
            // A bundle whose pad the server does not have is of no use; if it cannot be removed, nothing is lost.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn as_material(error: BundleError) -> MaterialError {
    match error {
        BundleError::Io(error) if error.kind() == io::ErrorKind::AlreadyExists => MaterialError::Exists,
        BundleError::Io(error) => MaterialError::Io(error),
        BundleError::Material(error) => error,
        other => MaterialError::Io(io::Error::other(other)),
    }
}

impl fmt::Debug for Writing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, chunks: _, data_at: _, rest: _, index } = self;
        f.debug_struct("Writing").field("file", file).field("index", index).finish_non_exhaustive()
    }
}
