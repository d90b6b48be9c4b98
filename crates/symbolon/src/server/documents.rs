//! Requests about documents: what the custodian does, in terms of the protocol (E3 to E5).

use alloc::sync::Arc;

use symbolon_envelope::{CustodianError, Delivery, RecordId};
use symbolon_keys::Id;
use zeroize::Zeroizing;

use super::exchange::{Exchange, unavailable};
use crate::protocol::{RecordRef, Refusal, RefusalCode, Reply, Salt};
use crate::service::ServiceError;

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

    /// Processes a document for `by`, and seals the result for `to`.
    pub(super) async fn process(
        &self,
        record: RecordRef,
        by: Id,
        (name, instruction): (&str, Vec<u8>),
        to: Id,
    ) -> Result<Vec<u8>, Refusal> {
        let process = self.processes.get(name).map(Arc::clone);
        let unknown = || Refusal::new(RefusalCode::Service, ServiceError::Unknown(name.into()));
        let process = process.ok_or_else(unknown)?;
        let _turn = self.processing.acquire().await.map_err(unavailable)?;
        let mut failed = None;
        let sealed = self.custodian.process(RecordId::from(record.0), by, to, |context, document| {
            process.process(context, &instruction, document).unwrap_or_else(|error| {
                failed = Some(error);
                Zeroizing::default()
            })
        });
        let sealed = sealed.await.map_err(refused)?;
        match failed {
            None => Ok(sealed),
            Some(error) => Err(Refusal::new(RefusalCode::Service, error)),
        }
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
        CustodianError::Store(_) | CustodianError::Gone => RefusalCode::Unavailable,
        CustodianError::Conflict(_) | CustodianError::AlreadyEnrolled => RefusalCode::Conflict,
        CustodianError::TooLarge => RefusalCode::Full,
        _ => RefusalCode::Denied,
    };
    Refusal::new(code, error)
}
