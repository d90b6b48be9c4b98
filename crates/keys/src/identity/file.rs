//! Identity files: never overwritten, readable by their owner only.

use alloc::string::String;
use core::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Identity;
use super::text::InvalidIdentity;
use crate::Backend;
#[cfg(feature = "passphrase")]
use crate::passphrase::{
    self, Argon2Params, Passphrase, ProtectError, UnprotectError, is_protected, unprotect,
};

/// The file of a secret identity.
///
/// ```
/// # #[cfg(feature = "getrandom")] {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("alice.key");
/// use symbolon_keys::{Backend, Identity, IdentityFile, OsRng};
///
/// let alice = Identity::generate(Backend::best(), &mut OsRng);
/// let file = IdentityFile::at(path);
/// file.create(&alice).unwrap();
/// assert_eq!(file.read().unwrap().public(), alice.public());
/// assert!(file.create(&alice).is_err()); // never overwritten
/// # }
/// ```
///
/// # Security
/// A file made by [`Self::create`] holds the seed in the clear; prefer [`Self::create_protected`]. `docs/identity.md`
/// says what neither protects.
#[derive(Clone, Debug)]
pub struct IdentityFile {
    path: PathBuf,
    backend: Backend,
}

impl IdentityFile {
    /// The most bytes of such a file: room for comments, and nothing larger is read.
    pub const MAX_LEN: usize = 4096;

    /// The file at `path`, there or not.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), backend: Backend::best() }
    }

    /// Lets what is read compute on `backend`.
    #[must_use]
    pub fn backend(self, backend: Backend) -> Self {
        Self { backend, ..self }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates the file with the identity as text, readable by its owner only, and durable on return.
    ///
    /// # Errors
    /// [`IdentityFileError::Exists`] if something is there; it is not touched. [`IdentityFileError::Io`]; then there is
    /// no new file.
    pub fn create(&self, identity: &Identity) -> Result<(), IdentityFileError> {
        const COMMENT: &str = "# Symbolon identity. Whoever reads the last line is you.\n# fingerprint: ";
        let secret = identity.to_secret_text();
        let fingerprint = alloc::format!("{}\n", identity.public().fingerprint());
        self.write_new(&[COMMENT, &fingerprint, &secret, "\n"].map(str::as_bytes))
    }

    /// Reads an identity that is kept as text.
    ///
    /// # Errors
    /// [`IdentityFileError`]; [`IdentityFileError::Protected`] if the file is under a passphrase.
    pub fn read(&self) -> Result<Identity, IdentityFileError> {
        let mut buffer = Zeroizing::new([0; Self::MAX_LEN]);
        let content = self.load(&mut buffer)?;
        if content.starts_with(b"SYK1") {
            return Err(IdentityFileError::Protected(self.path.clone()));
        }
        let invalid = |error| IdentityFileError::Invalid(self.path.clone(), error);
        let text = str::from_utf8(content).map_err(|_| invalid(InvalidIdentity::Text))?;
        let mut lines = text.split_terminator('\n').filter(|line| !line.starts_with('#'));
        match (lines.next(), lines.next()) {
            (Some(line), None) => Identity::from_text(self.backend, line).map_err(invalid),
            _ => Err(invalid(InvalidIdentity::Length)),
        }
    }

    /// Creates the file with the identity under a passphrase. Slow on purpose.
    ///
    /// # Errors
    /// As [`Self::create`], and [`IdentityFileError::Protect`].
    #[cfg(feature = "passphrase")]
    pub fn create_protected<R: rand_core::CryptoRng + ?Sized>(
        &self,
        identity: &Identity,
        passphrase: &Passphrase,
        params: Argon2Params,
        rng: &mut R,
    ) -> Result<(), IdentityFileError> {
        let content = super::text::secret_to_bytes(identity.expose());
        let file = passphrase::protect(passphrase, params, &*content, rng)
            .map_err(|error| IdentityFileError::Protect(self.path.clone(), error))?;
        self.write_new(&[&file])
    }

    /// Reads an identity that is kept under a passphrase. Slow on purpose.
    ///
    /// # Errors
    /// [`IdentityFileError`]; [`UnprotectError::Rejected`] inside if the passphrase is wrong.
    #[cfg(feature = "passphrase")]
    pub fn read_protected(&self, passphrase: &Passphrase) -> Result<Identity, IdentityFileError> {
        let mut buffer = Zeroizing::new([0; Self::MAX_LEN]);
        let content = unprotect(passphrase, self.load(&mut buffer)?)
            .map_err(|error| IdentityFileError::Unprotect(self.path.clone(), error))?;
        let seed = super::text::secret_from_bytes(&content)
            .map_err(|error| IdentityFileError::Invalid(self.path.clone(), error))?;
        Ok(Identity::from_seed(self.backend, seed))
    }

    /// Whether the file is under a passphrase: to know which way to read it.
    ///
    /// # Errors
    /// [`IdentityFileError`] if it cannot be read.
    #[cfg(feature = "passphrase")]
    pub fn is_protected(&self) -> Result<bool, IdentityFileError> {
        Ok(is_protected(self.load(&mut Zeroizing::new([0; Self::MAX_LEN]))?))
    }

    fn write_new(&self, parts: &[&[u8]]) -> Result<(), IdentityFileError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => IdentityFileError::Exists(self.path.clone()),
            _ => self.failed("create", error),
        })?;
        let written = parts
            .iter()
            .try_for_each(|part| file.write_all(part))
            .and_then(|()| file.sync_all())
            .and_then(|()| sync_folder(&self.path));
        written.map_err(|error| {
            // It is ours and of use to nobody; if this fails too, there is nothing better to do.
            let _ = std::fs::remove_file(&self.path);
            self.failed("write", error)
        })
    }

    fn load<'a>(&self, buffer: &'a mut [u8; Self::MAX_LEN]) -> Result<&'a [u8], IdentityFileError> {
        let failed = |error| self.failed("read", error);
        // Opening a pipe would wait for its writer.
        self.check_kind(&std::fs::metadata(&self.path).map_err(failed)?)?;
        let mut file = File::open(&self.path).map_err(failed)?;
        // What counts is the file that was opened.
        let metadata = file.metadata().map_err(failed)?;
        self.check_kind(&metadata)?;
        self.check_access(&metadata)?;
        let len = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
        let content = buffer.get_mut(..len).ok_or_else(|| IdentityFileError::TooLong(self.path.clone()))?;
        file.read_exact(content).map_err(failed)?;
        Ok(content)
    }

    fn check_kind(&self, metadata: &std::fs::Metadata) -> Result<(), IdentityFileError> {
        if metadata.is_file() { Ok(()) } else { Err(IdentityFileError::NotAFile(self.path.clone())) }
    }

    fn check_access(&self, metadata: &std::fs::Metadata) -> Result<(), IdentityFileError> {
        #[cfg(unix)]
        if std::os::unix::fs::MetadataExt::mode(metadata) & 0o077 != 0 {
            return Err(IdentityFileError::Exposed(self.path.clone()));
        }
        let _ = metadata;
        Ok(())
    }

    fn failed(&self, doing: &'static str, error: io::Error) -> IdentityFileError {
        IdentityFileError::Io { doing, path: self.path.clone(), error }
    }
}

/// A new name in a folder is durable once the folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
    }
    let _ = path;
    Ok(())
}

/// Why an identity file was not created or not read.
#[derive(Debug)]
#[non_exhaustive]
pub enum IdentityFileError {
    /// Something is there already.
    Exists(PathBuf),
    /// It is a folder, a device or the like.
    NotAFile(PathBuf),
    /// Others than its owner have access to it.
    Exposed(PathBuf),
    /// It is longer than [`IdentityFile::MAX_LEN`].
    TooLong(PathBuf),
    /// It is under a passphrase, and was read without one.
    Protected(PathBuf),
    /// What it holds is not an identity.
    Invalid(PathBuf, InvalidIdentity),
    /// It could not be put under a passphrase.
    #[cfg(feature = "passphrase")]
    Protect(PathBuf, ProtectError),
    /// The passphrase does not open it.
    #[cfg(feature = "passphrase")]
    Unprotect(PathBuf, UnprotectError),
    /// The operating system refused.
    Io {
        /// What was being done: `create`, `write` or `read`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
}

impl fmt::Display for IdentityFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(path) => {
                write!(f, "{} exists and is left as it is: choose another name", path.display())
            }
            Self::NotAFile(path) => write!(f, "{} is not a regular file", path.display()),
            Self::Exposed(path) => write!(
                f,
                "others than you have access to {0}: if nobody has read it, run\n  chmod 600 {1}\n\
                 otherwise make a new identity",
                path.display(),
                quoted(path)
            ),
            Self::TooLong(path) => {
                write!(
                    f,
                    "{} is longer than any identity file ({} bytes)",
                    path.display(),
                    IdentityFile::MAX_LEN
                )
            }
            Self::Protected(path) => write!(f, "{} is kept under a passphrase: give it", path.display()),
            Self::Invalid(path, error) => write!(f, "{}: {error}", path.display()),
            #[cfg(feature = "passphrase")]
            Self::Protect(path, error) => write!(f, "{}: {error}", path.display()),
            #[cfg(feature = "passphrase")]
            Self::Unprotect(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Io { doing, path, error } => write!(f, "cannot {doing} {}: {error}", path.display()),
        }
    }
}

/// A path as a shell takes it, whatever characters it has.
fn quoted(path: &Path) -> String {
    alloc::format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

impl core::error::Error for IdentityFileError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Invalid(_, error) => Some(error),
            #[cfg(feature = "passphrase")]
            Self::Protect(_, error) => Some(error),
            #[cfg(feature = "passphrase")]
            Self::Unprotect(_, error) => Some(error),
            Self::Io { error, .. } => Some(error),
            Self::Exists(_)
            | Self::NotAFile(_)
            | Self::Exposed(_)
            | Self::TooLong(_)
            | Self::Protected(_) => None,
        }
    }
}
