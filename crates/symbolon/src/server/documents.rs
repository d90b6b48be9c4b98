//! Requests about documents: what the custodian does, in terms of the protocol (E3 to E5).

use symbolon_envelope::{CustodianError, Delivery, RecordId};
use symbolon_keys::Id;

use super::exchange::Exchange;
use crate::protocol::{RecordRef, Refusal, RefusalCode, Reply, Salt};

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
