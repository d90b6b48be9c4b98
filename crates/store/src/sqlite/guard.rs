//! The file beside the database that tells the one in use from every copy (docs/store.md, "The guard").

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use symbolon_keys::wire::{Malformed, Reader};

use super::beside;
use crate::{AttachError, Restored, StoreError};

symbolon_keys::random_id! {
    /// Names a database file: a new one with every provisioning and every restore.
    pub(super) struct InstanceId;
}

/// "A guard of Symbolon, version 1."
const MAGIC: &[u8; 8] = b"SYGUARD1";
/// One record, well inside one sector: it is written whole or not at all.
const RECORD: usize = 8 + 16 + 8 + 8 + 16;

/// What one guard file says: which database, in which file, with how many commits acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) instance: InstanceId,
    pub(super) commits: u64,
    /// So many commits the file has without the log beside it, or more.
    base: u64,
    file: FileIdentity,
}

/// What a file system tells one file from its copies by: inode number and time of creation.
///
/// Not the device number: it may change with a reboot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileIdentity {
    inode: u64,
    /// Nanoseconds since 1970; zero where the file system does not keep it.
    created: u64,
}

impl FileIdentity {
    fn of(file: &Metadata) -> Self {
        let created = file.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let created = created.and_then(|since| u64::try_from(since.as_nanos()).ok());
        Self { inode: file.ino(), created: created.unwrap_or_default() }
    }
}

impl Record {
    /// Of a database without a log.
    pub(super) fn new(instance: InstanceId, commits: u64, database: &Path) -> Result<Self, StoreError> {
        Ok(Self { instance, commits, base: commits, file: FileIdentity::of(&fs::metadata(database)?) })
    }

    fn to_bytes(self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        let fields: [&[u8]; 6] = [
            MAGIC,
            self.instance.as_bytes(),
            &self.commits.to_be_bytes(),
            &self.base.to_be_bytes(),
            &self.file.inode.to_be_bytes(),
            &self.file.created.to_be_bytes(),
        ];
        for (to, from) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        r.expect(MAGIC)?;
        let instance = InstanceId::from(r.array()?);
        let commits = r.u64()?;
        let base = r.u64()?;
        let file = FileIdentity { inode: r.u64()?, created: r.u64()? };
        r.finish()?;
        Ok(Self { instance, commits, base, file })
    }

    /// Is `database`, which says of itself what `found` says, the one that this record guards?
    pub(super) fn admits(&self, found: &Self) -> Result<(), Restored> {
        if self.instance != found.instance {
            Err(Restored::OtherInstance)
        } else if self.file != found.file {
            Err(Restored::Copied)
        } else if self.commits > found.commits {
            Err(Restored::Behind { commits: found.commits, seen: self.commits })
        } else {
            Ok(())
        }
    }

    /// May a log be played into the file that without it says of itself what `alone` says? Not into one that is older
    /// than the beginning of the log: the commits between would be missing, and the newest there.
    pub(super) fn admits_log(&self, alone: &Self) -> Result<(), Restored> {
        if self.instance != alone.instance {
            Err(Restored::OtherInstance)
        } else if self.base > alone.commits {
            Err(Restored::Behind { commits: alone.commits, seen: self.base })
        } else {
            Ok(())
        }
    }
}

/// A guard file, locked for as long as this lives.
#[derive(Debug)]
pub(super) struct Guard {
    file: File,
    record: Option<Record>,
}

impl Guard {
    pub(super) fn path(database: &Path) -> PathBuf {
        beside(database, "-guard")
    }

    /// Locks the guard of `database`; creates it if `create`.
    pub(super) fn lock(database: &Path, create: bool) -> Result<Self, AttachError> {
        let path = Self::path(database);
        let opened = OpenOptions::new().read(true).write(true).create(create).mode(0o600).open(&path);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(AttachError::RestoreRequired(Restored::NoGuard));
            }
            Err(error) => return Err(StoreError::from(error).into()),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(AttachError::InUse { path }),
            Err(TryLockError::Error(error)) => return Err(StoreError::from(error).into()),
        }
        let mut bytes = Vec::new();
        Read::by_ref(&mut file).take(4096).read_to_end(&mut bytes).map_err(StoreError::from)?;
        let record = Record::parse(&bytes).ok();
        Ok(Self { file, record })
    }

    pub(super) const fn record(&self) -> Option<Record> {
        self.record
    }

    /// Replaces the record and waits until it is on the disk.
    pub(super) fn replace(&mut self, record: Record) -> Result<(), StoreError> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&record.to_bytes())?;
        self.file.set_len(RECORD as u64)?;
        self.file.sync_all()?;
        self.record = Some(record);
        Ok(())
    }

    /// Notes that `commits` are on the disk. Not synced: the note survives the process, and mostly the machine; it
    /// is never ahead of the database.
    pub(super) fn advance(&mut self, commits: u64) -> Result<(), StoreError> {
        if let Some(record) = &mut self.record {
            record.commits = commits;
            self.file.write_all_at(&record.to_bytes(), 0)?;
        }
        Ok(())
    }

    /// Notes, on the disk, that the file has `base` commits without its log: before a log begins that stands on them.
    pub(super) fn rebase(&mut self, base: u64) -> Result<(), StoreError> {
        if let Some(record) = self.record.as_mut().filter(|record| record.base < base) {
            record.base = base;
            self.file.write_all_at(&record.to_bytes(), 0)?;
            self.file.sync_data()?;
        }
        Ok(())
    }

    pub(super) fn sync(&self) -> Result<(), StoreError> {
        Ok(self.file.sync_data()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded() -> Record {
        let file = FileIdentity { inode: 3, created: 9 };
        Record { instance: InstanceId::from([7; 16]), commits: 5, base: 4, file }
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_in_no_other_length() {
        let bytes = recorded().to_bytes();
        assert_eq!(Record::parse(&bytes), Ok(recorded()));
        for cut in 0..bytes.len() {
            assert_eq!(Record::parse(&bytes[..cut]), Err(Malformed));
        }
        assert_eq!(Record::parse(&[&bytes[..], &[0]].concat()), Err(Malformed));
        let mut other = bytes;
        other[7] = b'2';
        assert_eq!(Record::parse(&other), Err(Malformed), "another version");
    }

    #[test]
    fn only_what_it_guards_is_admitted() {
        let ahead = Record { commits: 6, ..recorded() };
        assert_eq!(recorded().admits(&recorded()), Ok(()));
        assert_eq!(recorded().admits(&ahead), Ok(()), "the last note was lost with the power");
        assert_eq!(ahead.admits(&recorded()), Err(Restored::Behind { commits: 5, seen: 6 }));
        for file in [FileIdentity { inode: 4, created: 9 }, FileIdentity { inode: 3, created: 8 }] {
            assert_eq!(recorded().admits(&Record { file, ..recorded() }), Err(Restored::Copied));
        }
        let alone = |commits| Record { commits, ..recorded() };
        assert_eq!(recorded().admits_log(&alone(4)), Ok(()));
        assert_eq!(recorded().admits_log(&alone(3)), Err(Restored::Behind { commits: 3, seen: 4 }));
        let other = Record { instance: InstanceId::from([8; 16]), ..ahead };
        assert_eq!(recorded().admits_log(&other), Err(Restored::OtherInstance));
        assert_eq!(recorded().admits(&other), Err(Restored::OtherInstance));
    }
}
