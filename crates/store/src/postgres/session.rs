//! One connection to the server, and what its failures mean.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::error::Error;
use core::fmt;
use core::future::poll_fn;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_postgres::error::{DbError, Severity, SqlState};
use tokio_postgres::{AsyncMessage, Client, Notification, Statement};

use super::place::Place;
use super::sql::Columns;
use crate::StoreError;

/// A connection, with the statements that it has prepared.
pub(super) struct Session {
    client: Client,
    statements: Mutex<BTreeMap<&'static str, Statement>>,
    /// Set by a warning of the server: see [`Session::take_warning`].
    warned: Arc<AtomicBool>,
    connection: AbortHandle,
}

/// Where a session is and how the server is set: what decides whether it may be used.
#[derive(Clone, Debug)]
pub(super) struct Whereabouts {
    pub(super) cluster: i64,
    pub(super) database: i64,
    pub(super) timeline: i64,
    pub(super) version: i32,
    pub(super) synchronous_commit: String,
    pub(super) fsync: String,
}

impl Session {
    /// Connects. Whoever wants notifications gives a channel for them.
    pub(super) async fn open(
        place: &Place,
        notifications: Option<mpsc::UnboundedSender<Notification>>,
    ) -> Result<Self, StoreError> {
        let (client, connection) = place.connect().await?;
        let warned = Arc::new(AtomicBool::new(false));
        let warns = warned.clone();
        let task = tokio::spawn(async move {
            let mut connection = pin!(connection);
            while let Some(message) = poll_fn(|cx| connection.as_mut().poll_message(cx)).await {
                match message {
                    Ok(AsyncMessage::Notice(notice)) => note(&notice, &warns),
                    Ok(AsyncMessage::Notification(notification)) => {
                        // Nobody listens any more only when the session ends, too.
                        notifications.as_ref().map(|channel| channel.send(notification));
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!(%error, "a connection to PostgreSQL ended");
                        break;
                    }
                }
            }
        });
        let session = Self { client, statements: Mutex::default(), warned, connection: task.abort_handle() };
        session.batch(&place.settings()).await?;
        Ok(session)
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// Gives the connection up, with all that is queued for a server that does not answer.
    pub(super) fn break_off(&self) {
        self.connection.abort();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.connection.is_finished() || self.client.is_closed()
    }

    /// Statements without parameters.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), StoreError> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Whether the server has warned since the last call. A `COMMIT` whose wait for a standby was cancelled succeeds,
    /// with nothing but a warning that the standby may not have it.
    pub(super) fn take_warning(&self) -> bool {
        self.warned.swap(false, Ordering::SeqCst)
    }

    pub(super) async fn prepare(&self, sql: &'static str) -> Result<Statement, StoreError> {
        let known = self.statements().get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.statements().insert(sql, statement.clone());
        Ok(statement)
    }

    fn statements(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Statement>> {
        // An insertion into a map is whole or not at all.
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn whereabouts(&self) -> Result<Whereabouts, StoreError> {
        // The timeline is in the name of the file of the log: the control file learns it later.
        let sql = "SELECT (SELECT system_identifier FROM pg_control_system()),
                   (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
                   ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint,
                   current_setting('server_version_num')::integer,
                   current_setting('synchronous_commit'), current_setting('fsync')";
        let read = |c: &mut Columns<'_>| {
            Ok(Whereabouts {
                cluster: c.get()?,
                database: c.get()?,
                timeline: c.get()?,
                version: c.get()?,
                synchronous_commit: c.get()?,
                fsync: c.get()?,
            })
        };
        self.first(sql, &[], read).await?.ok_or(StoreError::Closed)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, statements: _, warned: _, connection: _ } = self;
        f.debug_struct("Session").field("closed", &client.is_closed()).finish_non_exhaustive()
    }
}

fn note(notice: &DbError, warned: &AtomicBool) {
    if notice.parsed_severity() == Some(Severity::Warning) {
        warned.store(true, Ordering::SeqCst);
        tracing::warn!(code = notice.code().code(), message = notice.message(), "PostgreSQL warns");
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(server) = error.as_db_error() else {
            let text = match error.source() {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            };
            let broken = error.source().is_none_or(<dyn Error>::is::<std::io::Error>);
            return if broken || error.is_closed() { Self::Unavailable(text) } else { Self::Io(text) };
        };
        // The message, never the detail, which may quote values.
        let text = || format!("{}: {}", server.code().code(), server.message());
        match *server.code() {
            SqlState::DISK_FULL => Self::Full,
            SqlState::READ_ONLY_SQL_TRANSACTION => Self::ReadOnly,
            SqlState::LOCK_NOT_AVAILABLE
            | SqlState::QUERY_CANCELED
            | SqlState::T_R_SERIALIZATION_FAILURE
            | SqlState::T_R_DEADLOCK_DETECTED => Self::Busy,
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE => Self::TooLarge,
            SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => Self::Corrupt(text()),
            SqlState::TOO_MANY_CONNECTIONS
            | SqlState::CANNOT_CONNECT_NOW
            | SqlState::ADMIN_SHUTDOWN
            | SqlState::CRASH_SHUTDOWN
            | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Self::Unavailable(text()),
            _ if server.code().code().starts_with("08") => Self::Unavailable(server.message().to_string()),
            _ => Self::Io(text()),
        }
    }
}
