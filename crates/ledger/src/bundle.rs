//! The user's half of a pad in one file to be carried (`docs/bundle.md`).
//!
//! ```
//! # use symbolon_ledger::*;
//! # use symbolon_ledger::bundle::{Bundle, BundleSink, Connection};
//! # let folder = tempfile::tempdir().unwrap();
//! # let (stick, server) = (folder.path().join("alice.bundle"), MemoryMaterial::new());
//! // At the server: the user's half goes straight into a bundle.
//! let connection = Connection::new("exchange.example:7000", b"the server's public key".to_vec(), [7; 16].into())?;
//! let mut user = BundleSink::at(&stick, connection);
//! let id = Issue::new(1 << 16).run(GeneratorSource::os(), &mut server.sink(), &mut user)?;
//!
//! // At the user's machine.
//! let bundle = Bundle::open(&stick)?;
//! assert_eq!(bundle.connection().address(), "exchange.example:7000");
//! let pads = Folder::new(folder.path());
//! assert_eq!(bundle.install(&mut pads.sink())?, id);
//! bundle.destroy()?;
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod content;
mod error;
mod sink;

use alloc::vec::Vec;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
#[cfg(feature = "passphrase")]
use symbolon_keys::passphrase::{Passphrase, unprotect};
use symbolon_keys::wire::Reader;
use symbolon_keys::{Backend, OneTimeKey, RootKey, TAG_LEN, label};
use zeroize::Zeroizing;

pub use content::Connection;
pub use error::BundleError;
pub use sink::BundleSink;

use content::Content;

use crate::PadId;
use crate::frame::widen;
use crate::issue::PadSink;
use crate::material::{Erased, PadHeader, writes_in_place};

const MAGIC: &[u8; 8] = b"SYMBUNDL";
const VERSION: u8 = 1;
const PROTECTED: u8 = 1;
const PREFIX_LEN: usize = 16;
/// Room for the largest content, and its wrap.
const MAX_CONTENT: usize = 16 << 10;
const CHUNK: usize = 1 << 16;

/// A bundle that can be read: its content is whole. Its chunks are checked when they are installed.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    file: File,
    content: Content,
    chunks: Chunks,
    data_at: u64,
}

impl Bundle {
    /// Opens the bundle at `path`.
    ///
    /// # Errors
    /// [`BundleError`]; [`BundleError::Protected`] if it is under a passphrase.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, BundleError> {
        let path = path.into();
        let (file, head, protected) = read_head(&path)?;
        if protected {
            return Err(BundleError::Protected);
        }
        let content = Content::parse(head.get(PREFIX_LEN..).unwrap_or_default())?;
        Self::with_content(path, file, &head, content)
    }

    /// Opens a bundle that is kept under a passphrase. Slow on purpose.
    ///
    /// # Errors
    /// [`BundleError`]; [`BundleError::Passphrase`] if it is not this one.
    #[cfg(feature = "passphrase")]
    pub fn open_protected(path: impl Into<PathBuf>, passphrase: &Passphrase) -> Result<Self, BundleError> {
        let path = path.into();
        let (file, head, protected) = read_head(&path)?;
        if !protected {
            return Err(BundleError::Malformed("it is not under a passphrase"));
        }
        let content = unprotect(passphrase, head.get(PREFIX_LEN..).unwrap_or_default());
        let content = Content::parse(&content.map_err(BundleError::Passphrase)?)?;
        Self::with_content(path, file, &head, content)
    }

    /// Whether the bundle at `path` is under a passphrase: to know which way to open it.
    ///
    /// # Errors
    /// [`BundleError`] if it is no bundle.
    pub fn is_protected(path: &Path) -> Result<bool, BundleError> {
        Ok(read_head(path)?.2)
    }

    fn with_content(path: PathBuf, file: File, head: &[u8], content: Content) -> Result<Self, BundleError> {
        let data_at = widen(head.len());
        let chunks = Chunks::new(&content, head);
        if file.metadata()?.len() != data_at.saturating_add(chunks.sealed_len()) {
            return Err(BundleError::Malformed("its length is not what its header says"));
        }
        Ok(Self { path, file, content, chunks, data_at })
    }

    /// How to reach the server.
    #[must_use]
    pub const fn connection(&self) -> &Connection {
        self.content.connection()
    }

    /// What was fixed about the pad when it was issued.
    #[must_use]
    pub const fn header(&self) -> &PadHeader {
        self.content.header()
    }

    /// Copies the half to where it will be used, checking all of it. The bundle stays as it is.
    ///
    /// # Errors
    /// [`BundleError`]; then there is no half at the new place, and it can be done again.
    pub fn install(&self, sink: &mut impl PadSink) -> Result<PadId, BundleError> {
        let installed = self.copy(sink);
        if installed.is_err() {
            sink.discard();
        }
        installed
    }

    fn copy(&self, sink: &mut impl PadSink) -> Result<PadId, BundleError> {
        let (header, keys) = (self.content.header(), self.content.keys());
        sink.start(header, keys)?;
        let [first, _] = header.lanes;
        let mut buffer = Zeroizing::new(alloc::vec![0; CHUNK.saturating_add(TAG_LEN)]);
        let mut done = 0_u64;
        for index in 0..self.chunks.count() {
            let len = self.chunks.len_of(index);
            let sealed = buffer.get_mut(..len.saturating_add(TAG_LEN)).unwrap_or_default();
            self.file.read_exact_at(sealed, self.data_at.saturating_add(Chunks::at(index)))?;
            let (piece, tag) =
                sealed.split_last_chunk_mut::<TAG_LEN>().ok_or(BundleError::Damaged { chunk: index })?;
            let key = self.chunks.key(index)?;
            key.open_in_place(b"", piece, tag).map_err(|_| BundleError::Damaged { chunk: index })?;
            // A piece that is given to a sink never spans the lanes.
            let border = usize::try_from(first.saturating_sub(done)).unwrap_or(len).min(len);
            let (zero, one) = piece.split_at(border);
            for part in [zero, one].into_iter().filter(|part| !part.is_empty()) {
                sink.write(part)?;
            }
            done = done.saturating_add(widen(len));
        }
        sink.finish()?;
        Ok(header.pad)
    }

    /// Overwrites the bundle, its keys first, and removes it.
    ///
    /// # Errors
    /// [`BundleError::Io`] if it cannot be overwritten or removed.
    pub fn destroy(self) -> Result<Erased, BundleError> {
        let file = OpenOptions::new().write(true).open(&self.path)?;
        let len = file.metadata()?.len();
        let zeros = alloc::vec![0; CHUNK];
        let mut at = 0;
        while at < len {
            let left = usize::try_from(len.saturating_sub(at)).unwrap_or(CHUNK).min(CHUNK);
            file.write_all_at(zeros.get(..left).unwrap_or_default(), at)?;
            if at == 0 {
                // Without the keys at its front the rest is unreadable, whatever happens now.
                file.sync_data()?;
            }
            at = at.saturating_add(widen(left));
        }
        file.sync_all()?;
        let in_place = writes_in_place(&file);
        std::fs::remove_file(&self.path)?;
        Ok(if in_place { Erased::Overwritten } else { Erased::BestEffort })
    }
}

/// How the lanes are cut into chunks, and their keys.
#[derive(Debug)]
struct Chunks {
    root: RootKey,
    digest: [u8; 32],
    total: u64,
}

impl Chunks {
    fn new(content: &Content, head: &[u8]) -> Self {
        let [zero, one] = content.header().lanes;
        let root = symbolon_keys::extract(label::BUNDLE, content.key().expose());
        Self { root, digest: Sha256::digest(head).into(), total: zero.saturating_add(one) }
    }

    const fn count(&self) -> u64 {
        self.total.div_ceil(widen(CHUNK))
    }

    fn len_of(&self, index: u64) -> usize {
        let left = self.total.saturating_sub(index.saturating_mul(widen(CHUNK)));
        usize::try_from(left).unwrap_or(CHUNK).min(CHUNK)
    }

    /// Where a chunk begins, after the head.
    const fn at(index: u64) -> u64 {
        index.saturating_mul(widen(CHUNK + TAG_LEN))
    }

    const fn sealed_len(&self) -> u64 {
        self.total.saturating_add(self.count().saturating_mul(widen(TAG_LEN)))
    }

    fn key(&self, index: u64) -> Result<OneTimeKey, BundleError> {
        let key = self.root.derive(label::BUNDLE, &[&self.digest, &index.to_be_bytes()]);
        Ok(OneTimeKey::new(Backend::best(), &key.map_err(|_| BundleError::Malformed("its keys"))?))
    }
}

fn read_head(path: &Path) -> Result<(File, Zeroizing<Vec<u8>>, bool), BundleError> {
    let file = File::open(path)?;
    let short = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => BundleError::Malformed("it is too short"),
        _ => BundleError::Io(error),
    };
    let malformed = |what| move |_| BundleError::Malformed(what);
    let mut prefix = [0; PREFIX_LEN];
    file.read_exact_at(&mut prefix, 0).map_err(short)?;
    let mut r = Reader::new(&prefix);
    r.expect(MAGIC).map_err(malformed("it is no bundle"))?;
    r.expect(&[VERSION]).map_err(malformed("it has another version"))?;
    let flags = r.u8().map_err(malformed("its flags"))?;
    r.expect(&[0; 2]).map_err(malformed("its flags"))?;
    let len = usize::try_from(r.u32().map_err(malformed("its length"))?).unwrap_or(usize::MAX);
    if flags > PROTECTED || len > MAX_CONTENT {
        return Err(BundleError::Malformed("its flags or length"));
    }
    let mut head = Zeroizing::new(alloc::vec![0; PREFIX_LEN.saturating_add(len)]);
    file.read_exact_at(&mut head, 0).map_err(short)?;
    Ok((file, head, flags == PROTECTED))
}
