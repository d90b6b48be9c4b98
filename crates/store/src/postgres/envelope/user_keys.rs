//! The users' wrapped keys (`schema/postgres/envelope.sql`).

use alloc::format;
use alloc::vec::Vec;

use symbolon_envelope::{Change, Derivation, RecordId, UserKeyRow, UserKeyStore, UserState};
use symbolon_keys::{Epoch, Id};

use super::{USER_KEYS, outdated};
use crate::StoreError;
use crate::postgres::Postgres;
use crate::postgres::lane::Lock;
use crate::postgres::session::Session;
use crate::postgres::sql::{Columns, Param, count, number};

type Result<T> = core::result::Result<T, StoreError>;

macro_rules! select_user_key {
    ($rest:literal) => {
        concat!(
            "SELECT user_id, revision, epoch, state, server_key, key_id, wrapped, salt, memory_kib, passes, lanes
             FROM user_keys ",
            $rest
        )
    };
}

impl UserKeyStore for Postgres {
    type Error = StoreError;

    async fn put(&self, row: UserKeyRow, replaces: Option<u64>) -> Result<Change> {
        self.write(lock(&row.user), move |db| {
            let row = row.clone();
            async move {
                if let Some(required) = outdated(&db, USER_KEYS, row.server_key).await? {
                    return Ok(Change::Outdated(required));
                }
                let sql = "SELECT revision, key_id FROM user_keys WHERE user_id = $1 FOR UPDATE";
                let read = |c: &mut Columns<'_>| Ok((c.number()?, c.random::<RecordId>()?));
                let found = db.first(sql, &[&row.user.as_str()], read).await?;
                let revision = found.map(|(revision, _)| revision);
                if revision != replaces || found.is_some_and(|(_, key_id)| key_id != row.key_id) {
                    return Ok(Change::Conflict(revision));
                }
                put_user_key(&db, &row).await?;
                Ok(Change::Done)
            }
        })
        .await
    }

    async fn require(&self, server_key: u32) -> Result<()> {
        self.require_server_key(USER_KEYS, server_key).await
    }

    async fn get(&self, user: Id) -> Result<Option<UserKeyRow>> {
        self.read(move |db| async move {
            db.first(select_user_key!("WHERE user_id = $1"), &[&user.as_str()], read_user_key).await
        })
        .await
    }

    async fn delete(&self, user: Id) -> Result<bool> {
        self.write(lock(&user), move |db| async move {
            Ok(db.execute("DELETE FROM user_keys WHERE user_id = $1", &[&user.as_str()]).await? == 1)
        })
        .await
    }

    async fn below(&self, version: u32, after: Option<Id>, limit: usize) -> Result<Vec<UserKeyRow>> {
        self.read(move |db| async move {
            let sql = "WITH RECURSIVE versions (key) AS (
                           SELECT min(server_key) FROM user_keys WHERE server_key < $1
                           UNION ALL
                           SELECT (SELECT min(server_key) FROM user_keys WHERE server_key > key AND server_key < $1)
                           FROM versions WHERE key IS NOT NULL)
                       SELECT k.* FROM versions, LATERAL (
                           SELECT user_id, revision, epoch, state, server_key, key_id, wrapped, salt, memory_kib,
                                  passes, lanes
                           FROM user_keys WHERE server_key = key AND user_id > $2 ORDER BY user_id LIMIT $3) AS k
                       ORDER BY k.user_id LIMIT $3";
            let after = after.as_ref().map_or("", Id::as_str);
            db.all(sql, &[&i64::from(version), &after, &count(limit)], read_user_key).await
        })
        .await
    }
}

fn read_user_key(c: &mut Columns<'_>) -> Result<UserKeyRow> {
    Ok(UserKeyRow {
        user: c.id()?,
        revision: c.number()?,
        epoch: Epoch::new(c.number()?),
        state: c.code(|code| match code {
            1 => Some(UserState::Active),
            2 => Some(UserState::Disabled),
            _ => None,
        })?,
        server_key: c.number()?,
        key_id: c.random()?,
        wrapped: c.get()?,
        derivation: match c.random_option()? {
            None => None,
            Some(salt) => {
                Some(Derivation { salt, memory_kib: c.number()?, passes: c.number()?, lanes: c.number()? })
            }
        },
    })
}

async fn put_user_key(db: &Session, row: &UserKeyRow) -> Result<()> {
    let UserKeyRow { user, revision, epoch, state, derivation, server_key, key_id, wrapped } = row;
    let sql = "INSERT INTO user_keys VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
               ON CONFLICT (user_id) DO UPDATE SET revision = $2, epoch = $3, state = $4, server_key = $5,
               key_id = $6, wrapped = $7, salt = $8, memory_kib = $9, passes = $10, lanes = $11";
    let state = match state {
        UserState::Active => 1_i16,
        UserState::Disabled => 2,
    };
    let row: &[Param<'_>] = &[
        &user.as_str(),
        &number(*revision)?,
        &number(epoch.number())?,
        &state,
        &i64::from(*server_key),
        &key_id.as_bytes().as_slice(),
        wrapped,
        &derivation.as_ref().map(|derivation| derivation.salt.as_slice()),
        &derivation.map(|derivation| i64::from(derivation.memory_kib)),
        &derivation.map(|derivation| i64::from(derivation.passes)),
        &derivation.map(|derivation| i64::from(derivation.lanes)),
    ];
    db.execute(sql, row).await.map(drop)
}

fn lock(user: &Id) -> Lock {
    Lock::Name(format!("user key {}", user.as_str()))
}
