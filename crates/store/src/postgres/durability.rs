//! What becomes of acknowledged commits if the server is lost: the standbys decide.

use super::session::Session;
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

/// Asks the server. What copies the log and will never take over (a backup under way, an archiver of the log, logical
/// replication) is no standby.
pub(super) async fn look(session: &Session) -> Result<Durability, StoreError> {
    let sql = "SELECT count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')), count(*),
                      count(*) FILTER (WHERE sync_state IS NULL)
               FROM pg_stat_replication r
               WHERE coalesce(application_name, '') NOT IN ('pg_basebackup', 'pg_receivewal')
               AND NOT EXISTS (SELECT FROM pg_replication_slots s
                               WHERE s.active_pid = r.pid AND s.slot_type = 'logical')";
    let counts = session.first(sql, &[], |c| Ok((c.get::<i64>()?, c.get::<i64>()?, c.get::<i64>()?)));
    Ok(match counts.await?.unwrap_or_default() {
        (1.., _, _) => Durability::Replicated,
        (_, 0, _) => Durability::Alone,
        (_, _, 1..) => Durability::Hidden,
        _ => Durability::Asynchronous,
    })
}
