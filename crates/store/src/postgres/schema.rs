//! The schema, its version, and how an older one becomes the present one.

use alloc::string::ToString;

use super::session::Session;
use crate::{AttachError, StoreError};

/// The schema that this release reads and writes.
pub(super) const VERSION: u32 = 1;

/// Every table, of every domain, whichever of them this build serves: a database does not depend on a build.
const TABLES: &[&str] = &[
    include_str!("../../schema/postgres/store.sql"),
    include_str!("../../schema/postgres/agreement.sql"),
    include_str!("../../schema/postgres/table.sql"),
    include_str!("../../schema/postgres/ledger.sql"),
    include_str!("../../schema/postgres/envelope.sql"),
];

/// The statements that lead from one version to the next; step `i` leads from version `i + 1`.
const STEPS: &[&str] = &[];

/// Whether there are tables of ours.
pub(super) async fn exists(session: &Session) -> Result<bool, StoreError> {
    let sql = "SELECT to_regclass('symbolon.store') IS NOT NULL";
    Ok(session.first(sql, &[], |c| c.get()).await?.unwrap_or_default())
}

/// Makes the tables, inside a transaction of the caller.
pub(super) async fn create(session: &Session) -> Result<(), StoreError> {
    session.batch("CREATE SCHEMA symbolon").await?;
    for tables in TABLES {
        session.batch(tables).await?;
    }
    Ok(())
}

/// Refuses a database of another version.
pub(super) fn check_version(found: u32) -> Result<(), AttachError> {
    match found.cmp(&VERSION) {
        core::cmp::Ordering::Less => Err(AttachError::Older { found, known: VERSION }),
        core::cmp::Ordering::Equal => Ok(()),
        core::cmp::Ordering::Greater => Err(AttachError::Newer { found, known: VERSION }),
    }
}

/// Brings a database to the present version, in one transaction; one that is there already is left alone.
pub(super) async fn upgrade(session: &Session) -> Result<(), AttachError> {
    if !exists(session).await? {
        return Err(AttachError::NotProvisioned);
    }
    session.batch("BEGIN").await?;
    let found = session.first("SELECT version FROM store FOR UPDATE", &[], |c| c.get::<i32>()).await?;
    let found = found.and_then(|found| u32::try_from(found).ok()).unwrap_or_default();
    if found > VERSION {
        return Err(AttachError::Newer { found, known: VERSION });
    }
    let done = found.checked_sub(1).and_then(|n| usize::try_from(n).ok());
    let older = AttachError::Older { found, known: VERSION };
    for step in done.and_then(|done| STEPS.get(done..)).ok_or(older)? {
        session.batch(step).await?;
    }
    session.batch(&["UPDATE store SET version = ", &VERSION.to_string(), "; COMMIT"].concat()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_step_for_every_version() {
        assert_eq!(STEPS.len() + 1, VERSION as usize);
    }
}
