//! Statements, and how the types of the domain crates stand in columns.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::error::Error;

use symbolon_keys::{Id, UnixTime};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::session::Session;
use crate::StoreError;

type Result<T> = core::result::Result<T, StoreError>;

/// A parameter of a statement.
pub(super) type Param<'a> = &'a (dyn tokio_postgres::types::ToSql + Sync);

impl Session {
    /// Runs a statement that returns no rows; how many it changed.
    pub(super) async fn execute(&self, sql: &'static str, params: &[Param<'_>]) -> Result<u64> {
        let statement = self.prepare(sql).await?;
        Ok(self.client().execute(&statement, params).await?)
    }

    /// The first row of a statement, if it has one.
    pub(super) async fn first<T>(
        &self,
        sql: &'static str,
        params: &[Param<'_>],
        read: impl FnOnce(&mut Columns<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let statement = self.prepare(sql).await?;
        let rows = self.client().query(&statement, params).await?;
        rows.first().map(|row| read(&mut Columns { row, next: 0 })).transpose()
    }

    /// Every row of a statement.
    pub(super) async fn all<T>(
        &self,
        sql: &'static str,
        params: &[Param<'_>],
        read: impl Fn(&mut Columns<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let statement = self.prepare(sql).await?;
        let rows = self.client().query(&statement, params).await?;
        rows.iter().map(|row| read(&mut Columns { row, next: 0 })).collect()
    }
}

/// The columns of a row, read from left to right.
pub(super) struct Columns<'r> {
    row: &'r Row,
    next: usize,
}

impl<'r> Columns<'r> {
    /// A number, bytes, a text, or any of them that may be null.
    pub(super) fn get<T: FromSql<'r>>(&mut self) -> Result<T> {
        let column = self.next;
        self.next = column.saturating_add(1);
        self.row.try_get(column).map_err(|error| {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            StoreError::Corrupt(format!("column {column}: {cause}"))
        })
    }

    /// A number that is never negative.
    pub(super) fn number<N: TryFrom<i64>>(&mut self) -> Result<N> {
        N::try_from(self.get::<i64>()?).map_err(|_| corrupt("a number"))
    }

    /// Bytes of a fixed length.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.get::<&[u8]>()?.try_into().map_err(|_| corrupt("a value of a fixed length"))
    }

    /// A random id of 16 bytes.
    pub(super) fn random<T: From<[u8; 16]>>(&mut self) -> Result<T> {
        Ok(T::from(self.array()?))
    }

    /// A random id that may be null.
    pub(super) fn random_option<T: From<[u8; 16]>>(&mut self) -> Result<Option<T>> {
        let bytes = self.get::<Option<&[u8]>>()?;
        bytes.map(|bytes| bytes.try_into().map(<[u8; 16]>::into)).transpose().map_err(|_| corrupt("an id"))
    }

    /// The id of a user.
    pub(super) fn id(&mut self) -> Result<Id> {
        Id::from_bytes(self.get::<&str>()?.as_bytes()).map_err(|_| corrupt("an id"))
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
        let code = u8::try_from(self.get::<i16>()?).ok();
        code.and_then(from_code).ok_or_else(|| corrupt("a code"))
    }
}

/// A number as it stands in a column.
pub(super) fn number(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| StoreError::TooLarge)
}

/// A time as it stands in a column, exactly: those that no clock will ever show, after 2^63, are negative there.
pub(super) const fn time(time: UnixTime) -> i64 {
    time.as_secs().cast_signed()
}

/// A number as a bound in a query: no column holds a larger one.
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
