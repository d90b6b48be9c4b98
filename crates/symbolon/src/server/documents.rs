//! Requests about documents: what the custodian does, in terms of the protocol (E3 to E5).

use alloc::sync::Arc;

use symbolon_envelope::{Context, CustodianError, Delivery, RecordId};
use symbolon_keys::Id;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::exchange::{Exchange, unavailable};
use super::gate::WAIT;
use crate::protocol::{RecordRef, Refusal, RefusalCode, Reply, Salt};
use crate::service::{AnyProcess, ServiceError};

/// The longest result of a process: as long as what it may be made from.
const MAX_RESULT: usize = 64 << 20;

impl Exchange {
    pub(super) async fn key_parameters(&self, user: Id) -> Result<Reply, Refusal> {
        let known = self.custodian.user_parameters(user).await.map_err(refused)?;
        let derivation = known.derivation;
        let (memory, passes, lanes) = (derivation.memory_kib, derivation.passes, derivation.lanes);
        Ok(Reply::KeyParameters(Salt(derivation.salt), memory, passes, lanes, known.epoch.number()))
    }

    pub(super) async fn deliver(&self, record: RecordRef, to: Id) -> Result<Delivery, Refusal> {
        self.custodian.deliver(RecordId::from(record.0), to).await.map_err(refused)
    }

    /// Processes a document for `by`, and seals the result for `to`. The permit is for as long as the result is kept.
    pub(super) async fn process(
        self: Arc<Self>,
        record: RecordRef,
        by: Id,
        (name, instruction): (&str, Vec<u8>),
        to: Id,
    ) -> Result<(Vec<u8>, OwnedSemaphorePermit), Refusal> {
        let unknown = || Refusal::new(RefusalCode::Service, ServiceError::Unknown(name.into()));
        let Some(AnyProcess::Whole(process)) = self.processes.get(name) else { return Err(unknown()) };
        let process = Arc::clone(process);
        let busy = |_| Refusal::later("as many documents are processed as can be", WAIT);
        let turn = timeout(WAIT, Arc::clone(&self.processing).acquire_owned()).await.map_err(busy)?;
        let turn = turn.map_err(unavailable)?;
        let runtime = Handle::current();
        // Away from the threads that serve: what it does may block.
        let processed = spawn_blocking(move || {
            let mut failed = None;
            let work = |context: &Context, document: &[u8]| {
                let result = process.process(context, &instruction, document);
                let result = result.and_then(|result| match result.len() <= MAX_RESULT {
                    true => Ok(result),
                    false => Err(ServiceError::Refused("the result is too large".into())),
                });
                result.unwrap_or_else(|error| {
                    failed = Some(error);
                    Zeroizing::default()
                })
            };
            let sealed = runtime.block_on(self.custodian.process(RecordId::from(record.0), by, to, work));
            match (sealed, failed) {
                (_, Some(error)) => Err(Refusal::new(RefusalCode::Service, error)),
                (sealed, None) => sealed.map_err(refused),
            }
        });
        Ok((processed.await.map_err(unavailable)??, turn))
    }

    pub(super) async fn grant(&self, record: RecordRef, owner: Id, user: Id) -> Result<Reply, Refusal> {
        self.custodian.grant(RecordId::from(record.0), owner, user).await.map_err(refused)?;
        Ok(Reply::Done)
    }

    pub(super) async fn revoke(&self, record: RecordRef, owner: Id, user: Id) -> Result<Reply, Refusal> {
        self.custodian.revoke(RecordId::from(record.0), owner, user).await.map_err(refused)?;
        Ok(Reply::Done)
    }
}

pub(super) fn refused(error: CustodianError) -> Refusal {
    let code = match &error {
        CustodianError::Store(_) => return unavailable(error),
        CustodianError::Gone | CustodianError::Outdated => RefusalCode::Unavailable,
        CustodianError::Conflict(_) | CustodianError::AlreadyEnrolled => RefusalCode::Conflict,
        CustodianError::TooLarge => RefusalCode::Full,
        // One answer to "not yours", "not there", "not enrolled" and "does not hold".
        _ => {
            return Refusal::new(
                RefusalCode::Denied,
                "no such document or key for this user, or it does not hold",
            );
        }
    };
    Refusal::new(code, error)
}
