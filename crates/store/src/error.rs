use alloc::string::String;
use core::fmt;
use std::path::PathBuf;

/// Why a store in use did not do what it was asked.
///
/// After every variant but [`Unknown`](Self::Unknown) the database is as if the request had never been made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The queue is full, or another program holds the database: ask again, later.
    Busy,
    /// The disk, or the size set by [`Options::max_size`](crate::Options::max_size), is full.
    Full,
    /// The file, or the file system that it is on, is read-only.
    ReadOnly,
    /// The file does not hold what was written to it; it has to be restored. The text is for the operator.
    Corrupt(String),
    /// The commit failed when it may already have been on the disk. What it would have used up counts as used; ask
    /// again under the same id to learn the outcome.
    Unknown,
    /// A number in the request is larger than the database keeps: 2^63 - 1.
    TooLarge,
    /// The store was closed.
    Closed,
    /// This process was forked from the one that attached the database; only that one may use it.
    Forked,
    /// Any other failure of the file system or the engine. The text is for the operator.
    Io(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("the database is busy: ask again later"),
            Self::Full => f.write_str("the disk is full: nothing was stored; make room and ask again"),
            Self::ReadOnly => f.write_str("the database is read-only: remount or change its mode"),
            Self::Corrupt(what) => write!(f, "the database is corrupt ({what}): stop, and restore a backup"),
            Self::Unknown => f.write_str(
                "the outcome of the commit is unknown: ask again under the same id, spend nothing twice",
            ),
            Self::TooLarge => {
                f.write_str("a number in the request is larger than the database keeps (2^63 - 1)")
            }
            Self::Closed => f.write_str("the store was closed: attach it again"),
            Self::Forked => {
                f.write_str("the process was forked: only the one that attached the store may use it")
            }
            Self::Io(what) => write!(f, "the database failed ({what})"),
        }
    }
}

impl core::error::Error for StoreError {}

/// Why a database was not created or attached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttachError {
    /// The URL does not name a store.
    Url(InvalidUrl),
    /// There is no database at this path.
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is a file at this path already, or what an earlier database left beside it.
    Exists {
        /// The file in the way.
        path: PathBuf,
    },
    /// Another handle, in this process or in another one, has the database attached.
    InUse {
        /// The guard file that it has locked.
        path: PathBuf,
    },
    /// The file has a second name (a hard link), under which it could be used at the same time.
    Linked {
        /// One of the names.
        path: PathBuf,
    },
    /// The file is not a database of ours.
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// A newer release wrote the database.
    Newer {
        /// Its schema version.
        found: u32,
        /// The version of this release.
        known: u32,
    },
    /// An older release wrote the database, and it was not upgraded.
    Older {
        /// Its schema version.
        found: u32,
        /// The version of this release.
        known: u32,
    },
    /// The file is not, or may not be, the one that was last in use: going on as if it were could spend a pad twice.
    RestoreRequired(Restored),
    /// The database itself failed.
    Store(StoreError),
}

/// How a database shows that it is a copy, or older than it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Restored {
    /// It was made by a backup.
    Backup,
    /// Its guard file is missing or unreadable.
    NoGuard,
    /// Its guard file belongs to another database.
    OtherInstance,
    /// It lies in another file than the one that its guard knows: it was copied.
    Copied,
    /// It has fewer commits than its guard has seen.
    Behind {
        /// The commits in the database.
        commits: u64,
        /// The commits that were acknowledged.
        seen: u64,
    },
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => url.fmt(f),
            Self::Missing { path } => write!(
                f,
                "no database at {}: provision a new one or restore the lost one; never start from nothing in its place",
                path.display()
            ),
            Self::Exists { path } => write!(
                f,
                "{} is in the way: attach what is there, or move it away first; nothing is overwritten",
                path.display()
            ),
            Self::InUse { path } => {
                write!(f, "the database is in use ({} is locked): one handle at a time", path.display())
            }
            Self::Linked { path } => {
                write!(f, "{} has another name too (a hard link): remove every name but one", path.display())
            }
            Self::NotOurs { path } => write!(f, "{} is not a database of this library", path.display()),
            Self::Newer { found, known } => {
                write!(
                    f,
                    "the database has schema {found}, this release knows {known}: use the newer release"
                )
            }
            Self::Older { found, known } => {
                write!(
                    f,
                    "the database has schema {found}, this release needs {known}: back it up, then upgrade it"
                )
            }
            Self::RestoreRequired(how) => {
                write!(f, "{how}: attach it after a restore, or find the file last in use")
            }
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backup => f.write_str("the database is a backup"),
            Self::NoGuard => f.write_str("the database has no readable guard file beside it"),
            Self::OtherInstance => f.write_str("the guard file belongs to another database"),
            Self::Copied => {
                f.write_str("the database is a copy: it lies in another file than its guard knows")
            }
            Self::Behind { commits, seen } => {
                write!(f, "the database is an older copy: it has {commits} commits, {seen} were acknowledged")
            }
        }
    }
}

impl core::error::Error for AttachError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Url(url) => Some(url),
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for AttachError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<InvalidUrl> for AttachError {
    fn from(url: InvalidUrl) -> Self {
        Self::Url(url)
    }
}

/// Why some text is not the URL of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidUrl {
    /// It does not begin with the name of an engine and a colon.
    NoEngine,
    /// It names an engine that this build does not have.
    UnknownEngine,
    /// The path is empty.
    NoPath,
    /// It has a host, parameters or a fragment, which a file has not.
    NotAPath,
}

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEngine => "a store is named as engine:place, such as sqlite:./exchange.db",
            Self::UnknownEngine => "this build has no such engine: write sqlite:./exchange.db",
            Self::NoPath => "the path of the database is missing: write sqlite:./exchange.db",
            Self::NotAPath => "a path follows sqlite: without //, ? or #, as in sqlite:/var/lib/exchange.db",
        })
    }
}

impl core::error::Error for InvalidUrl {}
