//! What becomes of acknowledged commits if the server is lost: the standbys decide.

use super::session::Session;
use super::sql::Columns;
use crate::StoreError;

/// What the loss of the server would cost, as its standbys stand now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// A synchronous standby has all that was acknowledged.
    Replicated,
    /// There is no standby: what is lost with the server is lost, and a backup is attached after a restore.
    Alone,
    /// There are standbys, and none of them is synchronous: one that takes over lacks what was acknowledged last. Pads
    /// are refused ([`StoreError::NotReplicated`]).
    Asynchronous,
    /// The role may not see the standbys (`GRANT pg_monitor`): treated as [`Asynchronous`](Self::Asynchronous).
    Hidden,
}

impl Durability {
    /// Whether a pad may be used: a standby that takes over must not lack a reservation.
    #[must_use]
    pub const fn admits_pads(self) -> bool {
        matches!(self, Self::Replicated | Self::Alone)
    }
}

/// How the standbys stand, and on which timeline that is so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) timeline: i64,
    pub(super) durability: Durability,
}

/// Asks the server. What copies the log and will never take over (a backup under way, an archiver of the log, logical
/// replication) is no standby.
pub(super) async fn look(session: &Session) -> Result<Seen, StoreError> {
    let sql = "SELECT ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint,
                      count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')), count(*),
                      count(*) FILTER (WHERE sync_state IS NULL)
               FROM pg_stat_replication r
               WHERE coalesce(application_name, '') NOT IN ('pg_basebackup', 'pg_receivewal')
               AND NOT EXISTS (SELECT FROM pg_replication_slots s
                               WHERE s.active_pid = r.pid AND s.slot_type = 'logical')";
    let read = |c: &mut Columns<'_>| {
        let timeline = c.get()?;
        let durability = match (c.get::<i64>()?, c.get::<i64>()?, c.get::<i64>()?) {
            (1.., _, _) => Durability::Replicated,
            (_, 0, _) => Durability::Alone,
            (_, _, 1..) => Durability::Hidden,
            _ => Durability::Asynchronous,
        };
        Ok(Seen { timeline, durability })
    };
    session.first(sql, &[], read).await?.ok_or(StoreError::Closed)
}
