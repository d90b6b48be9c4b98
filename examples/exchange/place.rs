//! The folder that a story is played in: made whole or not at all, and never made anew.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use symbolon::keys::{Backend, OsRng, Secret};
use symbolon::{AnyStore, Identity, IdentityFile, ServerFolder};
use tempfile::TempDir;

use crate::Failure;

/// Those who have an identity and a database. The server's is named differently: it is the exchange.
pub(crate) const USERS: [&str; 3] = ["alice", "bob", "mallory"];
const SCRATCH: &str = "scratch-";

/// A folder with everything in it, and nobody else's while this lives.
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    /// Whether an earlier run made it.
    pub(crate) resumed: bool,
    /// What is not kept: removed with everything in it, however the story ends.
    pub(crate) scratch: TempDir,
    /// Where the server's database is, if not in the folder.
    store: Option<String>,
    _lock: File,
}

impl Place {
    /// Opens the folder; one that is not there, or empty, is made first.
    #[cfg(test)]
    pub(crate) async fn open(folder: &Path) -> Result<Self, Failure> {
        Self::open_with(folder, None).await
    }

    /// As [`Self::open`], with the server's database elsewhere.
    pub(crate) async fn open_with(folder: &Path, store: Option<String>) -> Result<Self, Failure> {
        let resumed = match folder.read_dir() {
            Ok(mut entries) => entries.next().is_some(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error).at(folder),
        };
        if !resumed {
            build(folder, store.as_deref()).await?;
        }
        // From here on, what is missing is an error.
        let lock = folder.join("lock");
        let held = File::options().write(true).open(&lock).at(&lock)?;
        match held.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!("{}: another run is in it", folder.display()).into());
            }
            Err(TryLockError::Error(error)) => return Err(error).at(&lock),
        }
        remove_scratch(folder).at(folder)?;
        let scratch = private_folder(folder, SCRATCH)?;
        Ok(Self { folder: folder.to_path_buf(), resumed, scratch, store, _lock: held })
    }

    pub(crate) fn identity(&self, name: &str) -> Result<Identity, Failure> {
        Ok(identity_file(&self.folder, name).read()?)
    }

    pub(crate) async fn database(&self, name: &str) -> Result<AnyStore, Failure> {
        match &self.store {
            Some(url) if name == "exchange" => Ok(AnyStore::attach(url).await?),
            _ => Ok(AnyStore::attach(&url(&self.folder, name)?).await?),
        }
    }

    pub(crate) fn server_folder(&self, identity: &Identity) -> Result<ServerFolder, Failure> {
        Ok(ServerFolder::attach(self.folder.join("exchange"), identity)?)
    }

    /// A file that is not kept.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Keeps `content` in a private file: whole under its name, or what was there before.
    pub(crate) fn keep(&self, name: &str, content: &[u8]) -> Result<(), Failure> {
        let new = self.scratch(name);
        private(&new, content)?;
        self.move_in(&new, name)
    }

    /// Moves a file that is whole to its name in the folder.
    pub(crate) fn move_in(&self, file: &Path, name: &str) -> Result<(), Failure> {
        fs::rename(file, self.folder.join(name)).at(file)?;
        sync(&self.folder)
    }
}

/// Makes everything beside the folder, and gives it the folder's name when it is whole.
async fn build(folder: &Path, store: Option<&str>) -> Result<(), Failure> {
    let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
        return Err(format!("{}: not the name of a folder", folder.display()).into());
    };
    fs::create_dir_all(parent).at(parent)?;
    let prefix = format!("{}.new-", name.display());
    let new = private_folder(parent, &prefix)?;
    let server = Identity::generate(Backend::best(), &mut OsRng);
    identity_file(new.path(), "server").create(&server)?;
    ServerFolder::provision(new.path().join("exchange"), &server)?;
    let exchange = store.map_or_else(|| url(new.path(), "exchange"), |url| Ok(url.to_owned()))?;
    AnyStore::provision(&exchange).await?.close().await;
    for name in USERS {
        identity_file(new.path(), name).create(&Identity::generate(Backend::best(), &mut OsRng))?;
        let secret = Secret::<16>::generate(&mut OsRng);
        let text: String = secret.expose().iter().map(|byte| format!("{byte:02x}")).collect();
        private(&passphrase_file(new.path(), name), text.as_bytes())?;
        AnyStore::provision(&url(new.path(), name)?).await?.close().await;
    }
    private(&new.path().join("lock"), &[])?;
    sync(new.path())?;
    fs::rename(new.path(), folder).at(folder)?;
    // There is nothing under the old name to remove any more.
    let _ = new.keep();
    sync(parent)
}

/// What runs left that could not remove it.
fn remove_scratch(folder: &Path) -> io::Result<()> {
    for entry in folder.read_dir()? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(SCRATCH)) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

pub(crate) fn passphrase_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.passphrase"))
}

fn identity_file(folder: &Path, name: &str) -> IdentityFile {
    IdentityFile::at(folder.join(format!("{name}.identity")))
}

fn url(folder: &Path, name: &str) -> Result<String, Failure> {
    let path = folder.join(format!("{name}.db"));
    Ok(format!("sqlite:{}", path.to_str().ok_or("the folder's name is not UTF-8")?))
}

/// A new folder that only its owner can enter, removed with everything in it unless it is kept.
fn private_folder(parent: &Path, prefix: &str) -> Result<TempDir, Failure> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder.prefix(prefix).tempdir_in(parent).at(parent)
}

/// A new file that only its owner can read.
pub(crate) fn private(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).at(path)?;
    file.write_all(content).and_then(|()| file.sync_all()).at(path)
}

fn sync(folder: &Path) -> Result<(), Failure> {
    File::open(folder).and_then(|folder| folder.sync_all()).at(folder)
}

/// Says where an error of the disk happened.
pub(crate) trait At<T> {
    fn at(self, path: &Path) -> Result<T, Failure>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, Failure> {
        self.map_err(|error| format!("{}: {error}", path.display()).into())
    }
}
