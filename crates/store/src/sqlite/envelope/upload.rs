//! Payloads on their way in, and the folder of the large ones.
//!
//! A file is noted in `discarded_files` before it exists; the commit that stores its payload strikes it off. So a
//! crash, a full disk or a dropped upload leaves nothing that the next start does not find and remove.

use alloc::format;
use alloc::vec::Vec;
use core::mem;
use core::sync::atomic::Ordering;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use symbolon_envelope::Upload;
use symbolon_keys::OsRng;

use super::Result;
use crate::StoreError;
use crate::sqlite::sql::{all, execute, first};
use crate::sqlite::{Sqlite, beside};

/// The longest payload that is kept in the database itself: up to about this size SQLite is faster than a file.
const INLINE: usize = 64 * 1024;

symbolon_keys::random_id! {
    /// Names the file of a payload. Not by the payload's own id: two uploads never meet in one file.
    pub(super) struct FileName;
}

/// A payload on its way into the database. Dropped before it was put, it leaves nothing behind.
#[derive(Debug)]
pub struct SqliteUpload {
    store: Sqlite,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Memory(Vec<u8>),
    File(Unfinished),
}

/// A file that no payload names yet; removed when this is dropped, unless it was kept.
#[derive(Debug)]
struct Unfinished {
    store: Sqlite,
    name: FileName,
    /// Gone while a write is under way, and for good when one failed.
    file: Option<File>,
    kept: bool,
}

impl SqliteUpload {
    pub(super) const fn new(store: Sqlite) -> Self {
        Self { store, body: Body::Memory(Vec::new()) }
    }

    /// Puts a file on the disk, before a commit names it.
    pub(super) async fn finish(&mut self) -> Result<()> {
        let Body::File(unfinished) = &mut self.body else { return Ok(()) };
        let folder = folder(self.store.engine.path());
        unfinished
            .with_file(move |file| {
                file.sync_all()?;
                Ok(File::open(folder)?.sync_all()?)
            })
            .await
    }

    /// What the row of the payload says: its bytes, or the name of its file.
    pub(super) fn take(&mut self) -> (Option<Vec<u8>>, Option<FileName>) {
        match &mut self.body {
            Body::Memory(bytes) => (Some(mem::take(bytes)), None),
            Body::File(unfinished) => (None, Some(unfinished.name)),
        }
    }

    /// Says whether a commit has named the file, or may yet: then it stays.
    pub(super) const fn keep(&mut self, kept: bool) {
        if let Body::File(unfinished) = &mut self.body {
            unfinished.kept = kept;
        }
    }
}

impl Upload for SqliteUpload {
    type Error = StoreError;

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.body {
            Body::Memory(held) if held.len().saturating_add(bytes.len()) <= INLINE => {
                held.extend_from_slice(bytes);
                Ok(())
            }
            Body::Memory(held) => {
                let mut first = mem::take(held);
                first.extend_from_slice(bytes);
                let mut unfinished = Unfinished::create(&self.store).await?;
                unfinished.append(first).await?;
                self.body = Body::File(unfinished);
                Ok(())
            }
            Body::File(unfinished) => unfinished.append(bytes.to_vec()).await,
        }
    }
}

impl Unfinished {
    async fn create(store: &Sqlite) -> Result<Self> {
        let name = FileName::generate(&mut OsRng);
        let note = "INSERT INTO discarded_files (file) VALUES (?1)";
        store.write(move |db| execute(db, note, [name.as_bytes()])).await?;
        let mut new = Self { store: store.clone(), name, file: None, kept: false };
        let path = path_of(store.engine.path(), name);
        let create = move || {
            if let Some(folder) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            Ok(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?)
        };
        new.file = Some(store.engine.files(create).await?);
        Ok(new)
    }

    async fn append(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.with_file(move |file| Ok(file.write_all(&bytes)?)).await
    }

    async fn with_file<F>(&mut self, work: F) -> Result<()>
    where
        F: FnOnce(&mut File) -> Result<()> + Send + 'static,
    {
        let gone = || StoreError::Io("an earlier write of this upload failed".into());
        let mut file = self.file.take().ok_or_else(gone)?;
        let file = self.store.engine.files(move || work(&mut file).map(|()| file)).await?;
        self.file = Some(file);
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.kept {
            let path = path_of(self.store.engine.path(), self.name);
            // Its note stays until the next start, which finds nothing to remove any more.
            let _ = self.store.engine.chore(move || drop(fs::remove_file(path)));
        }
    }
}

/// At most `max` bytes of a file from `offset`; none if there is no such file.
pub(super) fn read(database: &Path, name: FileName, offset: u64, max: usize) -> Result<Option<Vec<u8>>> {
    let mut file = match File::open(path_of(database, name)) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let end = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(offset.min(end)))?;
    let mut bytes = Vec::new();
    file.take(u64::try_from(max).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

impl Sqlite {
    /// Removes the file of a payload whose row is gone, and then the note of it.
    pub(super) async fn discard(&self, name: Option<FileName>) {
        let Some(name) = name else { return };
        let path = path_of(self.engine.path(), name);
        let holds = self.engine.holds.clone();
        let remove = move || match holds.load(Ordering::SeqCst) {
            0 => Ok(fs::remove_file(path)?),
            // The next start removes it.
            _ => Err(StoreError::Busy),
        };
        let strike = "DELETE FROM discarded_files WHERE file = ?1";
        if self.engine.files(remove).await.is_ok() {
            let struck = self.write(move |db| execute(db, strike, [name.as_bytes()]));
            // A note too many costs the next start one look.
            let _ = struck.await;
        }
    }
}

/// Removes the files that are noted as discarded. Only at a start: later, some of them are uploads.
pub(in crate::sqlite) fn sweep(db: &Connection, database: &Path) -> Result<()> {
    for name in all(db, "SELECT file FROM discarded_files", [], |c| c.random())? {
        remove(&path_of(database, name))?;
    }
    execute(db, "DELETE FROM discarded_files", []).map(drop)
}

/// Removes every file that no payload names. After a restore: what came after the copy was made is noted nowhere.
pub(in crate::sqlite) fn sweep_all(db: &Connection, database: &Path) -> Result<()> {
    let entries = match fs::read_dir(folder(database)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for entry in entries {
        let entry = entry?;
        // A file with any other name is not ours.
        let Some(name) = entry.file_name().to_str().and_then(|text| text.parse::<FileName>().ok()) else {
            continue;
        };
        let named = first(db, "SELECT 1 FROM payloads WHERE file = ?1", [name.as_bytes()], |_| Ok(()))?;
        if named.is_none() {
            remove(&entry.path())?;
        }
    }
    execute(db, "DELETE FROM discarded_files", []).map(drop)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Brings the files that a backup names to its folder: as links where that is possible, for they never change.
pub(in crate::sqlite) fn copy_named(backup: &Connection, database: &Path, to: &Path) -> Result<()> {
    let names: Vec<FileName> =
        all(backup, "SELECT file FROM payloads WHERE file IS NOT NULL", [], |c| c.random())?;
    if names.is_empty() {
        return Ok(());
    }
    DirBuilder::new().mode(0o700).create(folder(to))?;
    for name in names {
        let (from, to) = (path_of(database, name), path_of(to, name));
        if fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to)?;
            File::open(&to)?.sync_all()?;
        }
    }
    Ok(File::open(folder(to))?.sync_all()?)
}

/// Is the file of every payload there, as long as it should be?
pub(in crate::sqlite) fn check_named(db: &Connection, database: &Path) -> Result<()> {
    let sql = "SELECT p.file, r.payload_len FROM payloads p LEFT JOIN records r ON r.payload = p.id
               WHERE p.file IS NOT NULL";
    for (name, len) in all(db, sql, [], |c| Ok((c.random()?, c.get::<Option<u64>>()?)))? {
        let found = fs::metadata(path_of(database, name)).map(|file| file.len());
        if found.ok() != len {
            return Err(StoreError::Corrupt(format!("the file {name} of a payload is missing or cut")));
        }
    }
    Ok(())
}

fn folder(database: &Path) -> PathBuf {
    beside(database, "-files")
}

fn path_of(database: &Path, name: FileName) -> PathBuf {
    folder(database).join(format!("{name}"))
}
