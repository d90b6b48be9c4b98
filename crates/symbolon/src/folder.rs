//! What a server keeps outside its database: its halves of pads, and the ring of private server keys.

use core::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use symbolon_envelope::{NewFile, RingError, SealError, ServerKeys};
use symbolon_keys::{AgePublicKey, Identity, OsRng};

const RING: &str = "server-keys.age";
const PADS: &str = "pads";

/// The longest ring: 1,000 versions and the header of the envelope around them.
const MAX_RING: u64 = 128 * 1024;

/// A server's folder.
///
/// ```text
/// server-keys.age    the private server keys, an envelope to the server's own age identity
/// pads/              the server's halves of the pads that it sold
/// ```
///
/// It belongs to one database as a pad belongs to its ledger: back both up together, and restore both.
#[derive(Debug)]
pub struct ServerFolder {
    path: PathBuf,
    ring: ServerKeys,
    keeper: AgePublicKey,
}

impl ServerFolder {
    /// Creates the folder, with a first private server key.
    ///
    /// # Errors
    /// [`FolderError::Exists`] if something of that name is there: nothing is overwritten; [`FolderError::Io`].
    pub fn provision(path: impl Into<PathBuf>, identity: &Identity) -> Result<Self, FolderError> {
        let path = path.into();
        let exists = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => FolderError::Exists(path.clone()),
            _ => FolderError::Io(path.clone(), error),
        };
        private_folder(&path).map_err(exists)?;
        private_folder(&path.join(PADS)).map_err(exists)?;
        let ring = ServerKeys::generate(&mut OsRng);
        let sealed = ring.export(&[identity.public().age_key()], &mut OsRng).map_err(FolderError::Seal)?;
        write_new(&path.join(RING), &sealed).map_err(exists)?;
        Ok(Self { path, ring, keeper: *identity.public().age_key() })
    }

    /// Opens a folder that was provisioned.
    ///
    /// # Errors
    /// [`FolderError::Missing`] if it was not, or its ring is gone: a new ring would open nothing that is stored;
    /// [`FolderError::Ring`] if the ring is not this identity's, or damaged; [`FolderError::Io`].
    pub fn attach(path: impl Into<PathBuf>, identity: &Identity) -> Result<Self, FolderError> {
        let path = path.into();
        let file = path.join(RING);
        let len = fs::metadata(&file).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => FolderError::Missing(file.clone()),
            _ => FolderError::Io(file.clone(), error),
        })?;
        if len.len() > MAX_RING || !path.join(PADS).is_dir() {
            return Err(FolderError::Missing(path));
        }
        let sealed = fs::read(&file).map_err(|error| FolderError::Io(file.clone(), error))?;
        let ring = ServerKeys::import(&[&identity.age_key()], &sealed)
            .map_err(|error| FolderError::Ring(file, error))?;
        Ok(Self { path, ring, keeper: *identity.public().age_key() })
    }

    /// Where the halves of pads are.
    #[must_use]
    pub fn pads(&self) -> PathBuf {
        self.path.join(PADS)
    }

    /// The ring, and the file that keeps it.
    pub(crate) fn into_ring(self) -> (ServerKeys, RingFile) {
        (self.ring, RingFile { path: self.path.join(RING), keeper: self.keeper })
    }
}

/// Where the ring of server keys is kept.
#[derive(Debug)]
pub(crate) struct RingFile {
    path: PathBuf,
    keeper: AgePublicKey,
}

impl RingFile {
    /// Keeps `ring` in place of the one before: durable on return, or as it was.
    pub(crate) fn replace(&self, ring: &ServerKeys) -> Result<(), FolderError> {
        let sealed = ring.export(&[&self.keeper], &mut OsRng).map_err(FolderError::Seal)?;
        let kept = NewFile::create(&self.path).and_then(|mut file| {
            file.write_all(&sealed)?;
            file.commit()
        });
        kept.map_err(|error| FolderError::Io(self.path.clone(), error))
    }
}

fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    sync_parent(path)
}

/// Writes a file that is whole under its name, or not there at all; never over another.
fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    // A link, unlike a rename, refuses to replace what is there.
    let written = written.and_then(|()| fs::hard_link(&temporary, path));
    fs::remove_file(&temporary)?;
    written?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// Why a server's folder cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum FolderError {
    /// Something of that name is there.
    Exists(PathBuf),
    /// Nothing of that name is there, or not all of it.
    Missing(PathBuf),
    /// The ring of server keys does not open.
    Ring(PathBuf, RingError),
    /// The ring of server keys could not be sealed.
    Seal(SealError),
    /// The file system failed.
    Io(PathBuf, io::Error),
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(path) => {
                write!(
                    f,
                    "{} exists: attach it, or choose another name; nothing is overwritten",
                    path.display()
                )
            }
            Self::Missing(path) => write!(
                f,
                "{} is missing: restore the folder from a backup; a new one opens nothing that is stored",
                path.display()
            ),
            Self::Ring(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Seal(error) => write!(f, "the server keys cannot be kept: {error}"),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl core::error::Error for FolderError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Ring(_, error) => Some(error),
            Self::Seal(error) => Some(error),
            Self::Io(_, error) => Some(error),
            Self::Exists(_) | Self::Missing(_) => None,
        }
    }
}
