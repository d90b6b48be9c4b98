//! Server key rotation (E13).

use std::sync::PoisonError;

use symbolon_keys::{Id, OsRng};

use super::{Custodian, CustodianError, Event};
use crate::context::Context;
use crate::error::{OpenError, RewrapError};
use crate::header::Header;
use crate::records::{Record, RecordId, Records};
use crate::rewrap::Rewrap;
use crate::server_keys::{RingError, ServerKeys};
use crate::user_keys::UserKeyStore;

/// A background re-wrap to the newest server key, between its steps.
///
/// It may be dropped at any time: a new one goes on where it stopped, as what was done is not listed any more.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RewrapJob {
    /// To which version; another rotation starts it over.
    version: u32,
    users_after: Option<Id>,
    records_after: Option<RecordId>,
    users_done: bool,
    /// User keys re-wrapped.
    pub users: u64,
    /// Records re-wrapped.
    pub records: u64,
    /// Rows that changed at the same time; whoever changed them used the newest key already, or the next job will.
    pub conflicts: u64,
    /// Rows that do not open. They stay as they are; look into them before retiring a version.
    pub failures: u64,
}

impl<R: Records, U: UserKeyStore> Custodian<R, U> {
    /// Uses another ring of server keys from now on, made with [`ServerKeys::rotated`] or imported. Make its export
    /// durable first.
    ///
    /// # Errors
    /// [`RingError::Unrelated`] if it lacks keys that are in use.
    pub fn install(&self, ring: ServerKeys) -> Result<(), RingError> {
        let mut current = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        if !ring.succeeds(&current) {
            return Err(RingError::Unrelated);
        }
        *current = ring;
        Ok(())
    }

    /// The ring with one more version: export it, make that durable, and [`install`](Self::install) it.
    ///
    /// # Errors
    /// [`RingError::Full`].
    pub fn rotated(&self) -> Result<ServerKeys, RingError> {
        self.with_ring(|ring| ring.rotated(&mut OsRng))
    }

    /// One step of a re-wrap to the newest server key: at most `limit` rows. Bodies are not touched. False when
    /// everything was visited; from then on, if there were no failures, nothing needs an older version, nor ever will: its
    /// first step tells the stores to take nothing more under one.
    ///
    /// # Errors
    /// The stores'; [`CustodianError::Outdated`] if another process has a newer ring. What was done stays done.
    pub async fn rewrap_step(&self, job: &mut RewrapJob, limit: usize) -> Result<bool, CustodianError> {
        let version = self.with_ring(ServerKeys::version);
        if job.version != version {
            // From here on nothing is stored under older versions, however long it was on its way: what is listed now
            // is all that there will ever be.
            self.user_keys.require(version).await.map_err(CustodianError::store)?;
            self.records.require(version).await.map_err(CustodianError::store)?;
            (job.version, job.users_done, job.users_after, job.records_after) = (version, false, None, None);
        }
        if !job.users_done {
            let rows = self.user_keys.below(version, job.users_after, limit).await;
            let rows = rows.map_err(CustodianError::store)?;
            job.users_done = rows.is_empty();
            for row in rows {
                let outcome = self.update_user(row.user, |_, _| {}).await;
                job.users = job.users.saturating_add(count(outcome, &mut job.conflicts, &mut job.failures)?);
                // Not before: what a failing store kept from being done comes again.
                job.users_after = Some(row.user);
            }
            return Ok(true);
        }
        let records = self.records.below(version, job.records_after, limit).await;
        let records = records.map_err(CustodianError::store)?;
        let more = !records.is_empty();
        for record in records {
            let outcome = self.rewrap_record(&record).await;
            job.records = job.records.saturating_add(count(outcome, &mut job.conflicts, &mut job.failures)?);
            job.records_after = Some(record.id);
        }
        Ok(more)
    }

    async fn rewrap_record(&self, record: &Record) -> Result<(), CustodianError> {
        let header = Header::parse(&record.header).map_err(OpenError::from)?.0;
        let expect = self.expect(record);
        let (wrapped, version) = self.with_ring(|ring| {
            let current = ring.current();
            let rewrap = Rewrap::from(ring).to(&current).expect(expect).backend(self.backend);
            // The header is at the next sequence, inside as well as beside it.
            let next = |context: &Context| context.clone().at(record.sequence.saturating_add(1));
            Ok::<_, RewrapError>((rewrap.rewrap(&header, next, &mut OsRng)?.0, ring.version()))
        })?;
        let replaced =
            self.records.replace_header(record.id, record.payload.id, record.sequence, wrapped, version);
        CustodianError::unless_done(replaced.await.map_err(CustodianError::store)?)?;
        (self.audit)(&Event::Rewrapped { record: record.id, from: record.server_key, to: version });
        Ok(())
    }
}

/// One if it was done. Only a store that fails, or that wants a newer key than there is here, stops the job.
fn count(
    outcome: Result<(), CustodianError>,
    conflicts: &mut u64,
    failures: &mut u64,
) -> Result<u64, CustodianError> {
    match outcome {
        Ok(()) => return Ok(1),
        Err(error @ (CustodianError::Store(_) | CustodianError::Outdated)) => return Err(error),
        Err(CustodianError::Conflict(_) | CustodianError::UnknownUser) => {
            *conflicts = conflicts.saturating_add(1);
        }
        Err(_) => *failures = failures.saturating_add(1),
    }
    Ok(0)
}
