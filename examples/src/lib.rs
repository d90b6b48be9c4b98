//! What the programs `server` and `client` share; each of the other programs beside this folder stands alone.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use symbolon::keys::passphrase::Passphrase;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

mod enrolment;

pub use enrolment::Enrolment;

/// Any failure, told in one line.
pub type Failure = Box<dyn core::error::Error + Send + Sync>;

/// Says where an error of the disk happened.
pub trait At<T> {
    /// With the path before it.
    ///
    /// # Errors
    /// The error, as it was.
    fn at(self, path: &Path) -> Result<T, Failure>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, Failure> {
        self.map_err(|error| format!("{}: {error}", path.display()).into())
    }
}

/// The passphrase, from `SYMBOLON_PASSPHRASE` or the terminal; asked for twice where it is new.
///
/// # Errors
/// Nobody is there to be asked, the two differ, or it has a character that no passphrase has.
pub fn passphrase(new: bool) -> Result<Passphrase, Failure> {
    if let Ok(text) = std::env::var("SYMBOLON_PASSPHRASE") {
        return Ok(Passphrase::new(&Zeroizing::new(text))?);
    }
    let text = Zeroizing::new(rpassword::prompt_password("Passphrase: ")?);
    if new && Zeroizing::new(rpassword::prompt_password("Passphrase, again: ")?) != text {
        return Err("the passphrases differ".into());
    }
    Ok(Passphrase::new(&text)?)
}

/// Creates a folder that only its owner can enter, if it is not there.
///
/// # Errors
/// The system's.
pub fn private_folder(path: &Path) -> Result<(), Failure> {
    let mut builder = DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        created => created.and_then(|()| sync_parent(path)).at(path),
    }
}

/// Writes a file that only its owner can read: whole under its name, or what was there before.
///
/// # Errors
/// The system's.
pub fn keep(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let kept = symbolon::envelope::NewFile::create(path).and_then(|mut file| {
        file.write_all(content)?;
        file.commit()
    });
    kept.at(path)
}

/// What a file holds, if there is one.
///
/// # Errors
/// The system's.
pub fn kept(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    match fs::read(path) {
        Ok(content) => Ok(Some(Zeroizing::new(content))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at(path),
    }
}

/// Gives a file, which is on the disk in full, another name, durably.
///
/// # Errors
/// The system's.
pub fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::rename(from, to).and_then(|()| sync_parent(to)).at(from)
}

/// Takes a file off, durably, if it is there.
///
/// # Errors
/// The system's.
pub fn forget(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| sync_parent(path)).at(path),
    }
}

/// Holds a lock on a file for as long as it lives; the system lets go of it with the process, whatever happens to that.
#[derive(Debug)]
pub struct Lock {
    _held: File,
}

impl Lock {
    /// Locks `path`, which is created, unless somebody has.
    ///
    /// # Errors
    /// The system's, or that somebody has.
    pub fn try_on(path: &Path) -> Result<Self, Failure> {
        let file = lock_file(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _held: file }),
            Err(TryLockError::WouldBlock) => {
                Err(format!("{}: in use by another process", path.display()).into())
            }
            Err(TryLockError::Error(error)) => Err(error).at(path),
        }
    }

    /// Waits until `path`, which is created, can be locked.
    ///
    /// # Errors
    /// The system's.
    pub async fn on(path: &Path) -> Result<Self, Failure> {
        let file = lock_file(path)?;
        let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await?;
        Ok(Self { _held: locked.at(path)? })
    }
}

fn lock_file(path: &Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).at(path)
}

/// Waits for Ctrl-C or the system's request to end.
///
/// # Errors
/// The system's, if it cannot be listened for them.
pub fn interruption() -> io::Result<impl Future<Output = ()>> {
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
        }
    })
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
}
