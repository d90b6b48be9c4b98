//! What a database must be before it is used: ours, of our version, set to be durable, and the one last in use.

use alloc::string::{String, ToString};
use core::time::Duration;

use symbolon_keys::{OsRng, random_id};

use super::durability::Durability;
use super::place::Place;
use super::schema;
use super::session::{Session, Whereabouts};
use super::sql::number;
use crate::{AttachError, Restored, StoreError};

random_id! {
    /// Names a database: a restore gives it a new name.
    pub(super) struct InstanceId;
    /// Names one attached handle: one process, from its start to its end.
    pub(super) struct AttachmentId;
}

/// The oldest server that this release is made for.
const OLDEST_SERVER: i32 = 150_000;
/// How long a process that says nothing is remembered: longer than any pause it may come back from.
const REMEMBER: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How a database is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Provision,
    Attach,
    AfterFailover,
    AfterRestore,
}

/// What the database says of itself.
struct Stored {
    version: u32,
    instance: InstanceId,
    cluster: i64,
    database: i64,
    timeline: i64,
}

/// A handle, as the database knows it; every new connection that commits is checked against it.
#[derive(Clone, Debug)]
pub(super) struct Attachment {
    pub(super) id: AttachmentId,
    instance: InstanceId,
    cluster: i64,
    database: i64,
    timeline: i64,
}

impl Attachment {
    /// Starts the database on a new session and takes part in it.
    pub(super) async fn start(session: &Session, how: Start) -> Result<Self, AttachError> {
        let at = session.whereabouts().await?;
        check_server(&at)?;
        session.batch("BEGIN").await?;
        // Of two who start at once one waits, whichever of the two may still have to make the tables.
        session.batch("SELECT pg_advisory_xact_lock(-1)").await?;
        match (how, schema::exists(session).await?) {
            (Start::Provision, true) => return Err(AttachError::Provisioned),
            (Start::Provision, false) => {
                schema::create(session).await?;
                insert_store(session, &at).await?;
            }
            (_, false) => return Err(AttachError::NotProvisioned),
            (_, true) => {}
        }
        let found = stored(session).await?;
        schema::check_version(found.version)?;
        match how {
            Start::AfterRestore => mark_restored(session, &at).await?,
            Start::AfterFailover => {
                check_place(&found, &at)?;
                move_to(session, at.timeline).await?;
            }
            Start::Provision | Start::Attach => {
                check_place(&found, &at)?;
                check_timeline(&found, &at)?;
            }
        }
        let instance = stored(session).await?.instance;
        let id = AttachmentId::generate(&mut OsRng);
        join(session, id).await?;
        session.batch("COMMIT").await?;
        let Whereabouts { cluster, database, timeline, .. } = at;
        Ok(Self { id, instance, cluster, database, timeline })
    }

    /// Whether a new connection leads to the database that was attached, with all that it acknowledged to us.
    ///
    /// After a failover it is on another timeline. We may go on there if nothing of ours is missing and the standby that
    /// took over was synchronous; then we vouch for it to those who attach later.
    pub(super) async fn check(
        &mut self,
        session: &Session,
        acknowledged: u64,
        last_seen: Durability,
    ) -> Result<(), StoreError> {
        let at = session.whereabouts().await?;
        // Set back, it may be used again.
        check_server(&at).map_err(|error| StoreError::Io(error.to_string()))?;
        let found = stored(session).await?;
        schema::check_version(found.version).map_err(replaced)?;
        check_place(&found, &at).map_err(replaced)?;
        self.check_name(&found, &at)?;
        if at.timeline < self.timeline {
            // Not final: the right one may answer next. Nothing is read here, and nothing written.
            return Err(StoreError::Unavailable("it is the primary from before a failover".into()));
        }
        let sql = "SELECT commits FROM attachments WHERE id = $1";
        let commits = session.first(sql, &[&self.id.as_bytes().as_slice()], |c| c.number::<u64>()).await?;
        if commits.is_none_or(|commits| commits < acknowledged) {
            halt_pads(session).await?;
            return Err(StoreError::Replaced("commits that it acknowledged are missing".into()));
        }
        if at.timeline != self.timeline {
            if at.timeline != found.timeline {
                if last_seen != Durability::Replicated {
                    let why = "it is on another timeline, and was not replicated synchronously";
                    return Err(StoreError::Replaced(why.into()));
                }
                move_to(session, at.timeline).await?;
                tracing::warn!(
                    timeline = at.timeline,
                    "going on after a failover: nothing of ours is missing"
                );
            }
            self.timeline = at.timeline;
        }
        Ok(())
    }

    /// Whether a connection beside the lane leads there, on the timeline that the lane goes on.
    pub(super) async fn check_beside(&self, session: &Session, timeline: i64) -> Result<(), StoreError> {
        let at = session.whereabouts().await?;
        self.check_name(&stored(session).await?, &at)?;
        match at.timeline == timeline {
            true => Ok(()),
            false => Err(StoreError::Unavailable("it is on another timeline".into())),
        }
    }

    fn check_name(&self, found: &Stored, at: &Whereabouts) -> Result<(), StoreError> {
        match (self.instance, self.cluster, self.database) == (found.instance, at.cluster, at.database) {
            true => Ok(()),
            false => Err(StoreError::Replaced("it was restored, or is another one".into())),
        }
    }
}

fn replaced(error: AttachError) -> StoreError {
    match error {
        AttachError::Store(error) => error,
        other => StoreError::Replaced(other.to_string()),
    }
}

/// Whether the server keeps what it acknowledges.
fn check_server(at: &Whereabouts) -> Result<(), AttachError> {
    if at.version < OLDEST_SERVER {
        return Err(AttachError::OldServer { found: at.version });
    }
    let unsafely = |setting, value: &String| AttachError::Unsafe { setting, value: value.clone() };
    if at.fsync != "on" {
        return Err(unsafely("fsync", &at.fsync));
    }
    if !matches!(at.synchronous_commit.as_str(), "on" | "remote_apply") {
        return Err(unsafely("synchronous_commit", &at.synchronous_commit));
    }
    Ok(())
}

fn check_place(found: &Stored, at: &Whereabouts) -> Result<(), AttachError> {
    match (found.cluster, found.database) == (at.cluster, at.database) {
        true => Ok(()),
        false => Err(AttachError::RestoreRequired(Restored::OtherPlace)),
    }
}

fn check_timeline(found: &Stored, at: &Whereabouts) -> Result<(), AttachError> {
    match found.timeline == at.timeline {
        true => Ok(()),
        false => Err(AttachError::RestoreRequired(Restored::Timeline {
            found: at.timeline,
            known: found.timeline,
        })),
    }
}

async fn stored(session: &Session) -> Result<Stored, StoreError> {
    let sql = "SELECT version::bigint, instance, cluster, database, timeline FROM store";
    let found = session.first(sql, &[], |c| {
        Ok(Stored {
            version: c.number()?,
            instance: c.random()?,
            cluster: c.get()?,
            database: c.get()?,
            timeline: c.get()?,
        })
    });
    found.await?.ok_or_else(|| StoreError::Corrupt("the table store is empty".into()))
}

async fn insert_store(session: &Session, at: &Whereabouts) -> Result<(), StoreError> {
    let sql = "INSERT INTO store (one, version, instance, cluster, database, timeline, restores)
               VALUES (1, $1::bigint, $2, $3, $4, $5, 0)";
    let instance = InstanceId::generate(&mut OsRng);
    let version = number(schema::VERSION.into())?;
    let row: &[super::sql::Param<'_>] =
        &[&version, &instance.as_bytes().as_slice(), &at.cluster, &at.database, &at.timeline];
    session.execute(sql, row).await.map(drop)
}

/// Gives a copy a name of its own, and marks what the copy may not simply go on with.
async fn mark_restored(session: &Session, at: &Whereabouts) -> Result<(), StoreError> {
    let sql =
        "UPDATE store SET instance = $1, cluster = $2, database = $3, timeline = $4, restores = restores + 1";
    let instance = InstanceId::generate(&mut OsRng);
    let row: &[super::sql::Param<'_>] =
        &[&instance.as_bytes().as_slice(), &at.cluster, &at.database, &at.timeline];
    session.execute(sql, row).await?;
    suspect_rollback(session).await?;
    // Nobody who had the original attached is at home here; their unfinished uploads go with them.
    session.execute("DELETE FROM attachments", &[]).await?;
    session.execute("DELETE FROM processes", &[]).await.map(drop)
}

/// Halts every open pad until an operator recovers it with its peer: "rollback suspected" instead of "open".
async fn suspect_rollback(session: &Session) -> Result<(), StoreError> {
    session.execute("UPDATE pads SET status = 5 WHERE status = 1", &[]).await.map(drop)
}

/// Whoever sees that commits are lost halts the pads of everybody: others, who lack nothing, may have vouched for the
/// timeline, and we are attached anew as one that never lost anything.
async fn halt_pads(session: &Session) -> Result<(), StoreError> {
    session.batch("BEGIN; SELECT pg_advisory_xact_lock(-1)").await?;
    suspect_rollback(session).await?;
    session.batch("COMMIT").await?;
    tracing::error!("commits are lost: every open pad is halted until it is recovered with its peer");
    Ok(())
}

async fn move_to(session: &Session, timeline: i64) -> Result<(), StoreError> {
    session.execute("UPDATE store SET timeline = $1", &[&timeline]).await.map(drop)
}

async fn join(session: &Session, id: AttachmentId) -> Result<(), StoreError> {
    let forgotten = i64::try_from(REMEMBER.as_secs()).unwrap_or(i64::MAX);
    let sql = "DELETE FROM attachments WHERE seen < now() - $1::bigint * interval '1 second'";
    session.execute(sql, &[&forgotten]).await?;
    let sql = "INSERT INTO attachments (id, commits, seen) VALUES ($1, 0, now())";
    session.execute(sql, &[&id.as_bytes().as_slice()]).await.map(drop)
}

/// Takes part no more: unfinished uploads of this handle go with it.
pub(super) async fn leave(session: &Session, id: AttachmentId) -> Result<(), StoreError> {
    session.execute("DELETE FROM attachments WHERE id = $1", &[&id.as_bytes().as_slice()]).await.map(drop)
}

/// Opens a session that may be used.
pub(super) async fn open_first(place: &Place, how: Start) -> Result<(Session, Attachment), AttachError> {
    let session = Session::open(place, None).await?;
    let attachment = Attachment::start(&session, how).await?;
    Ok((session, attachment))
}
