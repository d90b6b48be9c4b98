//! The users' wrapped keys (`schema/sqlite/envelope.sql`).

use alloc::vec::Vec;

use rusqlite::{Connection, params};
use symbolon_envelope::{Change, Derivation, RecordId, UserKeyRow, UserKeyStore, UserState};
use symbolon_keys::{Epoch, Id};

use super::{USER_KEYS, outdated, require};
use crate::StoreError;
use crate::sqlite::Sqlite;
use crate::sqlite::sql::{Columns, all, count, execute, first};

type Result<T> = core::result::Result<T, StoreError>;

macro_rules! select_user_key {
    ($rest:literal) => {
        concat!(
            "SELECT user, revision, epoch, state, server_key, key_id, wrapped, salt, memory_kib, passes, lanes
             FROM user_keys ",
            $rest
        )
    };
}

impl UserKeyStore for Sqlite {
    type Error = StoreError;

    async fn put(&self, row: UserKeyRow, replaces: Option<u64>) -> Result<Change> {
        self.write(move |db| {
            if let Some(required) = outdated(db, USER_KEYS, row.server_key)? {
                return Ok(Change::Outdated(required));
            }
            let sql = "SELECT revision, key_id FROM user_keys WHERE user = ?1";
            let found = first(db, sql, [row.user.as_str()], |c| Ok((c.get()?, c.random::<RecordId>()?)))?;
            let revision = found.map(|(revision, _)| revision);
            if revision != replaces || found.is_some_and(|(_, key_id)| key_id != row.key_id) {
                return Ok(Change::Conflict(revision));
            }
            put_user_key(db, &row)?;
            Ok(Change::Done)
        })
        .await
    }

    async fn require(&self, server_key: u32) -> Result<()> {
        self.write(move |db| require(db, USER_KEYS, server_key)).await
    }

    async fn get(&self, user: Id) -> Result<Option<UserKeyRow>> {
        self.read(move |db| first(db, select_user_key!("WHERE user = ?1"), [user.as_str()], read_user_key))
            .await
    }

    async fn delete(&self, user: Id) -> Result<bool> {
        self.write(move |db| Ok(execute(db, "DELETE FROM user_keys WHERE user = ?1", [user.as_str()])? == 1))
            .await
    }

    async fn below(&self, version: u32, after: Option<Id>, limit: usize) -> Result<Vec<UserKeyRow>> {
        self.read(move |db| {
            let mut found = Vec::new();
            let next = "SELECT min(server_key) FROM user_keys WHERE server_key >= ?1 AND server_key < ?2";
            let of = select_user_key!("WHERE server_key = ?1 AND user > ?2 ORDER BY user LIMIT ?3");
            let after = after.as_ref().map_or("", Id::as_str);
            let mut from = 0;
            while let Some(key) = first(db, next, [from, version], |c| c.get::<Option<u32>>())?.flatten() {
                found.extend(all(db, of, params![key, after, count(limit)], read_user_key)?);
                from = key.saturating_add(1);
            }
            found.sort_unstable_by_key(|row: &UserKeyRow| row.user);
            found.truncate(limit);
            Ok(found)
        })
        .await
    }
}

fn read_user_key(c: &mut Columns<'_, '_>) -> Result<UserKeyRow> {
    Ok(UserKeyRow {
        user: c.id()?,
        revision: c.get()?,
        epoch: Epoch::new(c.get()?),
        state: c.code(|code| match code {
            1 => Some(UserState::Active),
            2 => Some(UserState::Disabled),
            _ => None,
        })?,
        server_key: c.get()?,
        key_id: c.random()?,
        wrapped: c.get()?,
        derivation: match c.get()? {
            None => None,
            Some(salt) => Some(Derivation { salt, memory_kib: c.get()?, passes: c.get()?, lanes: c.get()? }),
        },
    })
}

fn put_user_key(db: &Connection, row: &UserKeyRow) -> Result<()> {
    let UserKeyRow { user, revision, epoch, state, derivation, server_key, key_id, wrapped } = row;
    let sql = "INSERT OR REPLACE INTO user_keys VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let state = match state {
        UserState::Active => 1,
        UserState::Disabled => 2,
    };
    let row = params![
        user.as_str(),
        revision,
        epoch.number(),
        state,
        server_key,
        key_id.as_bytes(),
        wrapped,
        derivation.map(|derivation| derivation.salt),
        derivation.map(|derivation| derivation.memory_kib),
        derivation.map(|derivation| derivation.passes),
        derivation.map(|derivation| derivation.lanes),
    ];
    execute(db, sql, row).map(drop)
}
