//! Making a server's folder, in steps of which each may be the last: the same command, given again, begins again.

use std::fs;
use std::path::{Path, PathBuf};

use symbolon_examples::{At, Failure, Lock, forget, keep, kept, private_folder, rename};

/// The file that says what was begun.
pub(super) const UNFINISHED: &str = "unfinished";

/// A folder that is being made. A file in it says what was begun, until the identity is there: that comes last, and
/// without it the folder is none.
pub(super) struct Making<'a> {
    data: &'a Path,
    /// It was begun before, and interrupted.
    pub(super) again: bool,
    _lock: Lock,
}

impl<'a> Making<'a> {
    /// Begins, or begins again: then `database`, which was not there the first time, is removed.
    pub(super) fn begin(data: &'a Path, what: &str, database: &[PathBuf]) -> Result<Self, Failure> {
        private_folder(data)?;
        let lock = Lock::try_on(&data.join("lock"))?;
        if data.join("identity").exists() {
            return Err(
                format!("{} is a server's folder already: nothing was changed", data.display()).into()
            );
        }
        let marker = data.join(UNFINISHED);
        let again = match kept(&marker)? {
            Some(begun) if *begun == *what.as_bytes() => {
                remove(database)?;
                true
            }
            Some(_) => {
                let why = "another command was interrupted here: give that again, or choose another folder";
                return Err(format!("{}: {why}", data.display()).into());
            }
            None => {
                if let Some(path) = database.iter().find(|path| path.symlink_metadata().is_ok()) {
                    return Err(format!("{} exists: nothing is overwritten", path.display()).into());
                }
                keep(&marker, what.as_bytes())?;
                false
            }
        };
        let making = Self { data, again, _lock: lock };
        making.clear()?;
        Ok(making)
    }

    /// Where the identity is until everything else is there.
    pub(super) fn identity(&self) -> PathBuf {
        self.data.join("identity.new")
    }

    pub(super) fn finish(self) -> Result<(), Failure> {
        rename(&self.identity(), &self.data.join("identity"))?;
        forget(&self.data.join(UNFINISHED))
    }

    /// Leaves nothing behind, as nothing was begun elsewhere.
    pub(super) fn give_up(self) -> Result<(), Failure> {
        self.clear()?;
        forget(&self.data.join(UNFINISHED))
    }

    /// Removes what is in the folder: nothing is under keys whose identity never was.
    fn clear(&self) -> Result<(), Failure> {
        let exchange = self.data.join("exchange");
        if exchange.exists() {
            fs::remove_dir_all(&exchange).at(&exchange)?;
        }
        forget(&self.data.join("public"))?;
        forget(&self.identity())
    }
}

/// Removes a database that nobody uses.
fn remove(database: &[PathBuf]) -> Result<(), Failure> {
    // The guard comes last: whoever uses the database has it locked.
    let _lock = database.last().map(|guard| Lock::try_on(guard)).transpose()?;
    for path in database {
        match path.is_dir() {
            true => fs::remove_dir_all(path).at(path)?,
            false => forget(path)?,
        }
    }
    Ok(())
}

/// What is beside a SQLite database, under its name and more.
pub(super) const BESIDE: [&str; 6] = ["", "-wal", "-shm", "-journal", "-files", "-guard"];

pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}
