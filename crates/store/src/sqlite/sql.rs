//! Statements, and how the types of the domain crates stand in columns.

use alloc::format;
use alloc::vec::Vec;

use rusqlite::types::FromSql;
use rusqlite::{Connection, Params, Row};
use symbolon_keys::{Id, UnixTime};

use crate::StoreError;

type Result<T> = core::result::Result<T, StoreError>;

/// Runs a statement that returns no rows; how many it changed.
pub(super) fn execute(db: &Connection, sql: &str, params: impl Params) -> Result<usize> {
    Ok(db.prepare_cached(sql)?.execute(params)?)
}

/// The first row of a statement, if it has one.
pub(super) fn first<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&mut Columns<'_, '_>) -> Result<T>,
) -> Result<Option<T>> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(|row| read(&mut Columns { row, next: 0 })).transpose()
}

/// Every row of a statement.
pub(super) fn all<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&mut Columns<'_, '_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut statement = db.prepare_cached(sql)?;
    statement.query_and_then(params, |row| read(&mut Columns { row, next: 0 }))?.collect()
}

/// The columns of a row, read from left to right.
pub(super) struct Columns<'r, 's> {
    row: &'r Row<'s>,
    next: usize,
}

impl Columns<'_, '_> {
    /// A number, a blob, a text, or any of them that may be null.
    pub(super) fn get<T: FromSql>(&mut self) -> Result<T> {
        let column = self.next;
        self.next = column.saturating_add(1);
        Ok(self.row.get(column)?)
    }

    /// A random id of 16 bytes.
    pub(super) fn random<T: From<[u8; 16]>>(&mut self) -> Result<T> {
        Ok(T::from(self.get::<[u8; 16]>()?))
    }

    /// A random id that may be null.
    pub(super) fn random_option<T: From<[u8; 16]>>(&mut self) -> Result<Option<T>> {
        Ok(self.get::<Option<[u8; 16]>>()?.map(T::from))
    }

    /// The id of a user.
    pub(super) fn id(&mut self) -> Result<Id> {
        let column = self.next;
        self.next = column.saturating_add(1);
        let id = self.row.get_ref(column)?.as_bytes().ok().and_then(|text| Id::from_bytes(text).ok());
        id.ok_or_else(|| corrupt("an id"))
    }

    /// A time written by [`time`].
    pub(super) fn time(&mut self) -> Result<UnixTime> {
        Ok(UnixTime::from_secs(self.get::<i64>()?.cast_unsigned()))
    }

    /// A time that may be null.
    pub(super) fn time_option(&mut self) -> Result<Option<UnixTime>> {
        Ok(self.get::<Option<i64>>()?.map(|time| UnixTime::from_secs(time.cast_unsigned())))
    }

    /// An enumeration, from its code.
    pub(super) fn code<T>(&mut self, from_code: impl FnOnce(u8) -> Option<T>) -> Result<T> {
        from_code(self.get()?).ok_or_else(|| corrupt("a code"))
    }
}

/// A time as it stands in a column, exactly: those that no clock will ever show, after 2^63, are negative there.
pub(super) const fn time(time: UnixTime) -> i64 {
    time.as_secs().cast_signed()
}

/// A number as a bound in a query: no column holds a larger one than SQLite can.
pub(super) fn bound(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count of rows or bytes in memory.
pub(super) fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// For what the database holds and we did not write.
pub(super) fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(format!("{what} is not what was stored"))
}
