use alloc::string::{String, ToString};
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
    /// The server cannot be reached, or broke off; nothing was changed. Ask again, later. The text is for the operator.
    Unavailable(String),
    /// The server has standbys, and none is synchronous: one that took over would lack what was acknowledged last, and
    /// a pad would be spent twice. Pads wait until that has changed.
    NotReplicated,
    /// The database is not, or may not be, the one that was attached, with all that it acknowledged. The text is for
    /// the operator.
    Replaced(String),
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
            Self::Unavailable(what) => {
                write!(f, "the database server cannot be reached ({what}): nothing was changed; ask again later")
            }
            Self::NotReplicated => f.write_str(
                "pads are refused while PostgreSQL has standbys and none is synchronous: set synchronous_standby_names",
            ),
            Self::Replaced(what) => {
                write!(f, "the database is not the one that was attached ({what}): stop, and attach it after a restore")
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
    /// The PostgreSQL database has no tables of ours.
    NotProvisioned,
    /// The PostgreSQL database has them already.
    Provisioned,
    /// The PostgreSQL server is older than 15.
    OldServer {
        /// Its `server_version_num`.
        found: i32,
    },
    /// The PostgreSQL server acknowledges what it may lose.
    Unsafe {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
    },
    /// The database is not, or may not be, the one that was last in use: going on as if it were could spend a pad twice.
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
    /// It is in another cluster, or another database of the cluster, than it was: it was copied.
    OtherPlace,
    /// Its log is on another timeline: a standby took over, or it was recovered to a point in time.
    Timeline {
        /// The timeline that it is on.
        found: i64,
        /// The one that it was on.
        known: i64,
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
            Self::NotProvisioned => f.write_str(
                "the PostgreSQL database has no tables of this library: provision it, or name the right one",
            ),
            Self::Provisioned => f.write_str(
                "the PostgreSQL database has tables of this library: attach it; nothing is overwritten",
            ),
            Self::OldServer { found } => {
                write!(f, "the server is PostgreSQL {}: version 15 or later is needed", found / 10_000)
            }
            Self::Unsafe { setting, value } => {
                write!(
                    f,
                    "the server has {setting} = {value} and would lose what it acknowledged: set it to on"
                )
            }
            Self::RestoreRequired(Restored::Timeline { found, known }) => write!(
                f,
                "the database is on timeline {found}, it was on {known}: attach it after a failover if a synchronous \
                 standby took over, else after a restore"
            ),
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
            Self::OtherPlace => f.write_str("the database is a copy: it was in another cluster or database"),
            Self::Timeline { found, known } => {
                write!(f, "the database is on timeline {found}, it was on {known}")
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
    /// It is not `postgres://user@host/database`, or has a parameter that is not known.
    NotPostgres,
    /// The server is elsewhere, and nothing says under whose certificates.
    NoRoots,
}

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEngine => "a store is named as engine:place, such as sqlite:./exchange.db",
            Self::UnknownEngine => "this build has no such engine: write sqlite:./exchange.db",
            Self::NotPostgres => {
                "a PostgreSQL database is named as postgres://user:password@host:port/database"
            }
            Self::NoRoots => "the server is reached by TLS: add sslrootcert=/path/ca.pem, or sslmode=disable",
            Self::NoPath => "the path of the database is missing: write sqlite:./exchange.db",
            Self::NotAPath => "a path follows sqlite: without //, ? or #, as in sqlite:/var/lib/exchange.db",
        })
    }
}

impl core::error::Error for InvalidUrl {}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            std::io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            _ => Self::Io(error.to_string()),
        }
    }
}

#[cfg(feature = "ledger")]
impl From<StoreError> for symbolon_ledger::StorageError {
    fn from(error: StoreError) -> Self {
        Self::new(error)
    }
}

#[cfg(feature = "ledger")]
impl From<StoreError> for symbolon_ledger::CommitError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unknown => Self::Unknown(error.into()),
            _ => Self::NotApplied(error.into()),
        }
    }
}

#[cfg(feature = "table")]
impl From<StoreError> for symbolon_table::StoreError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy
            | StoreError::Full
            | StoreError::Unknown
            | StoreError::Unavailable(_)
            | StoreError::Io(_) => Self::retryable(error.to_string()),
            _ => Self::permanent(error.to_string()),
        }
    }
}
