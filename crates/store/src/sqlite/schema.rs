//! The schema, its version, and how an older one becomes the present one.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::guard::InstanceId;
use crate::{AttachError, StoreError};

/// "SYMB": SQLite's `application_id` of our databases.
pub(super) const APPLICATION_ID: i32 = 0x5359_4d42;
/// "SYMK": the same for a backup, which must not be mistaken for the database that it was made from.
pub(super) const BACKUP_ID: i32 = 0x5359_4d4b;
/// The schema that this release reads and writes.
pub(super) const VERSION: u32 = 1;

/// Every table, of every domain, whichever of them this build serves: a database does not depend on a build.
const TABLES: &[&str] = &[
    include_str!("../../schema/sqlite/store.sql"),
    include_str!("../../schema/sqlite/agreement.sql"),
    include_str!("../../schema/sqlite/table.sql"),
    include_str!("../../schema/sqlite/ledger.sql"),
    include_str!("../../schema/sqlite/envelope.sql"),
];

/// The statements that lead from one version to the next; step `i` leads from version `i + 1`.
const STEPS: &[&str] = &[];

/// Makes a database of an empty file.
pub(super) fn create(path: &Path, instance: InstanceId) -> Result<(), rusqlite::Error> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // Before anything is written, WAL mode included: free pages can be given back later.
    db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    let tx = db.unchecked_transaction()?;
    for tables in TABLES {
        tx.execute_batch(tables)?;
    }
    tx.execute(
        "INSERT INTO store (one, instance, commits, restores) VALUES (1, ?1, 0, 0)",
        [instance.as_bytes()],
    )?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()?;
    db.close().map_err(|(_, error)| error)
}

/// Gives a copy a name of its own, and marks what the copy may not simply go on with.
pub(super) fn mark_restored(tx: &Transaction<'_>, instance: InstanceId) -> Result<(), rusqlite::Error> {
    tx.execute(
        "UPDATE store SET instance = ?1, commits = commits + 1, restores = restores + 1",
        [instance.as_bytes()],
    )?;
    // Halted until an operator recovers them with their peers: "rollback suspected" instead of "open".
    tx.execute("UPDATE pads SET status = 5 WHERE status = 1", [])?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)
}

/// Refuses a database of another version.
pub(super) fn check_version(db: &Connection) -> Result<(), AttachError> {
    let found = version(db)?;
    match found.cmp(&VERSION) {
        core::cmp::Ordering::Less => Err(AttachError::Older { found, known: VERSION }),
        core::cmp::Ordering::Equal => Ok(()),
        core::cmp::Ordering::Greater => Err(AttachError::Newer { found, known: VERSION }),
    }
}

/// Brings a database to the present version, in one transaction; one that is there already is left alone.
pub(super) fn upgrade(db: &mut Connection) -> Result<(), AttachError> {
    upgrade_by(db, STEPS, VERSION)
}

fn upgrade_by(db: &mut Connection, steps: &[&str], known: u32) -> Result<(), AttachError> {
    let sql = StoreError::from;
    let tx = Transaction::new(db, TransactionBehavior::Immediate).map_err(sql)?;
    let found = version(&tx)?;
    if found > known {
        return Err(AttachError::Newer { found, known });
    }
    let done = found.checked_sub(1).and_then(|n| usize::try_from(n).ok());
    let due = done.and_then(|done| steps.get(done..)).ok_or(AttachError::Older { found, known })?;
    for step in due {
        tx.execute_batch(step).map_err(sql)?;
    }
    tx.pragma_update(None, "user_version", known).map_err(sql)?;
    Ok(tx.commit().map_err(sql)?)
}

fn version(db: &Connection) -> Result<u32, StoreError> {
    Ok(db.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Schemas that this crate might have had: version 2 adds a table, version 3 fills it.
    const SYNTHETIC: &[&str] = &[
        "CREATE TABLE colours (name TEXT NOT NULL) STRICT;",
        "INSERT INTO colours (name) VALUES ('red'); UPDATE store SET restores = 7;",
    ];

    fn version_1() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        for tables in TABLES {
            db.execute_batch(tables).unwrap();
        }
        db.execute("INSERT INTO store VALUES (1, zeroblob(16), 0, 0)", []).unwrap();
        db.pragma_update(None, "user_version", 1).unwrap();
        db
    }

    fn colours(db: &Connection) -> Option<i64> {
        db.query_row("SELECT count(*) FROM colours", [], |row| row.get(0)).ok()
    }

    #[test]
    fn an_older_schema_goes_through_every_step_that_it_lacks() {
        let mut db = version_1();
        upgrade_by(&mut db, SYNTHETIC, 3).unwrap();
        assert_eq!((version(&db), colours(&db)), (Ok(3), Some(1)));
        upgrade_by(&mut db, SYNTHETIC, 3).unwrap();
        assert_eq!((version(&db), colours(&db)), (Ok(3), Some(1)), "twice is once");

        let mut db = version_1();
        upgrade_by(&mut db, &SYNTHETIC[..1], 2).unwrap();
        assert_eq!((version(&db), colours(&db)), (Ok(2), Some(0)), "the release between");
        upgrade_by(&mut db, SYNTHETIC, 3).unwrap();
        assert_eq!((version(&db), colours(&db)), (Ok(3), Some(1)));
    }

    #[test]
    fn an_upgrade_that_fails_changes_nothing() {
        let mut db = version_1();
        let steps = [SYNTHETIC[0], "INSERT INTO colours (name) VALUES (NULL);"];
        assert!(matches!(upgrade_by(&mut db, &steps, 3), Err(AttachError::Store(_))));
        assert_eq!((version(&db), colours(&db)), (Ok(1), None));
    }

    #[test]
    fn what_no_step_leads_from_is_refused() {
        let mut db = version_1();
        for (found, known) in [(0, 3), (4, 3)] {
            db.pragma_update(None, "user_version", found).unwrap();
            let refused = upgrade_by(&mut db, SYNTHETIC, known).unwrap_err();
            let older = AttachError::Older { found, known };
            assert_eq!(refused, if found < known { older } else { AttachError::Newer { found, known } });
            assert_eq!((version(&db), colours(&db)), (Ok(found), None));
        }
    }

    #[test]
    fn there_is_a_step_for_every_version() {
        assert_eq!(STEPS.len() + 1, VERSION as usize);
    }
}
