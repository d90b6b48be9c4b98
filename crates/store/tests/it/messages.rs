//! What the errors say. A change here is a change of what operators read.

use symbolon_store::{AttachError, InvalidUrl, Restored, StoreError};

#[test]
fn store_errors() {
    for (error, text) in [
        (StoreError::Busy, "the database is busy: ask again later"),
        (StoreError::Full, "the disk is full: nothing was stored; make room and ask again"),
        (StoreError::ReadOnly, "the database is read-only: remount or change its mode"),
        (
            StoreError::Corrupt("page 3".into()),
            "the database is corrupt (page 3): stop, and restore a backup",
        ),
        (
            StoreError::Unknown,
            "the outcome of the commit is unknown: ask again under the same id, spend nothing twice",
        ),
        (StoreError::TooLarge, "a number in the request is larger than the database keeps (2^63 - 1)"),
        (
            StoreError::Unavailable("connection closed".into()),
            "the database server cannot be reached (connection closed): nothing was changed; ask again later",
        ),
        (
            StoreError::NotReplicated,
            "pads are refused while PostgreSQL has standbys and none is synchronous: set synchronous_standby_names",
        ),
        (
            StoreError::Replaced("it is another one".into()),
            "the database is not the one that was attached (it is another one): stop, and attach it after a restore",
        ),
        (StoreError::Closed, "the store was closed: attach it again"),
        (StoreError::Forked, "the process was forked: only the one that attached the store may use it"),
        (StoreError::Io("disk I/O error".into()), "the database failed (disk I/O error)"),
    ] {
        assert_eq!(error.to_string(), text);
        assert_eq!(AttachError::from(error).to_string(), text);
    }
}

#[test]
fn attach_errors() {
    let path = || "exchange.db".into();
    for (error, text) in [
        (
            AttachError::Missing { path: path() },
            "no database at exchange.db: provision a new one or restore the lost one; never start from nothing in its \
             place",
        ),
        (
            AttachError::Exists { path: path() },
            "exchange.db is in the way: attach what is there, or move it away first; nothing is overwritten",
        ),
        (
            AttachError::InUse { path: path() },
            "the database is in use (exchange.db is locked): one handle at a time",
        ),
        (AttachError::NotOurs { path: path() }, "exchange.db is not a database of this library"),
        (
            AttachError::Newer { found: 2, known: 1 },
            "the database has schema 2, this release knows 1: use the newer release",
        ),
        (
            AttachError::Older { found: 1, known: 2 },
            "the database has schema 1, this release needs 2: back it up, then upgrade it",
        ),
        (
            AttachError::Linked { path: "x.db".into() },
            "x.db has another name too (a hard link): remove every name but one",
        ),
        (
            AttachError::NotProvisioned,
            "the PostgreSQL database has no tables of this library: provision it, or name the right one",
        ),
        (
            AttachError::Provisioned,
            "the PostgreSQL database has tables of this library: attach it; nothing is overwritten",
        ),
        (
            AttachError::OldServer { found: 140_009 },
            "the server is PostgreSQL 14: version 15 or later is needed",
        ),
        (
            AttachError::Unsafe { setting: "fsync", value: "off".into() },
            "the server has fsync = off and would lose what it acknowledged: set it to on",
        ),
        (
            AttachError::RestoreRequired(Restored::Timeline { found: 3, known: 2 }),
            "the database is on timeline 3, it was on 2: attach it after a failover if a synchronous standby took \
             over, else after a restore",
        ),
        (
            AttachError::Url(InvalidUrl::NoEngine),
            "a store is named as engine:place, such as sqlite:./exchange.db",
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
    let then = ": attach it after a restore, or find the file last in use";
    for (how, text) in [
        (Restored::Backup, "the database is a backup"),
        (Restored::NoGuard, "the database has no readable guard file beside it"),
        (Restored::OtherInstance, "the guard file belongs to another database"),
        (Restored::OtherPlace, "the database is a copy: it was in another cluster or database"),
        (Restored::Copied, "the database is a copy: it lies in another file than its guard knows"),
        (
            Restored::Behind { commits: 3, seen: 5 },
            "the database is an older copy: it has 3 commits, 5 were acknowledged",
        ),
    ] {
        assert_eq!(AttachError::RestoreRequired(how).to_string(), format!("{text}{then}"));
    }
}
