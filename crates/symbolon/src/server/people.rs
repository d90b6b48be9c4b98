//! Requests about people: login, profile, registration, look-up (A7, T5, T7, T11).

use symbolon_agreement::{ProfileError, Source};
use symbolon_keys::{Epoch, Id, NoisePublicKey, UnixTime};
use symbolon_table::{Directory, RegisterError, Registration};

use super::exchange::{Exchange, unavailable};
use crate::protocol::{Bytes, MAX_ITEMS, Refusal, RefusalCode, Reply};

impl Exchange {
    /// Whether the newest record of `id` names the Noise key that this session proved.
    pub(super) async fn login(&self, id: Id, peer: Option<&NoisePublicKey>) -> Result<Id, Refusal> {
        let record = self.directory.lookup(&[id]).await.map_err(unavailable)?.pop().flatten();
        let known = record.filter(|record| record.is_valid_at(UnixTime::now()));
        match (known.and_then(|record| record.keys().noise), peer) {
            (Some(key), Some(peer)) if key == *peer => Ok(id),
            _ => Err(Refusal::new(RefusalCode::Denied, "no such user with this key: register first")),
        }
    }

    pub(super) async fn verify_profile(&self, user: Id, profile: &[u8]) -> Result<Reply, Refusal> {
        match self.profiles.verify(&user, profile, UnixTime::now()).await {
            Ok(()) => Ok(Reply::Done),
            Err(ProfileError::Store(error)) => Err(unavailable(error)),
            // Not a mismatch: the session goes on, and may ask later.
            Err(error @ ProfileError::TooManyAttempts { .. }) => {
                Err(Refusal::new(RefusalCode::Unavailable, error))
            }
            Err(error) => Err(Refusal::new(RefusalCode::Denied, error)),
        }
    }

    pub(super) async fn begin_registration(&self, id: Id) -> Result<Reply, Refusal> {
        let challenge = self.directory.begin(&id, UnixTime::now()).await.map_err(refused_registration)?;
        Ok(Reply::Challenge(challenge.to_bytes()))
    }

    pub(super) async fn register(&self, registration: &[u8], source: Source) -> Result<Reply, Refusal> {
        let registration = Registration::from_bytes(registration)
            .map_err(|error| Refusal::new(RefusalCode::Malformed, error))?;
        let registered =
            self.directory.register_from(source.as_bytes(), &registration, UnixTime::now()).await;
        registered.map_err(refused_registration)?;
        tracing::info!(id = %registration.record().id(), epoch = %registration.record().epoch(), "registered");
        Ok(Reply::Records(vec![Bytes(registration.record().as_bytes().to_vec())]))
    }

    pub(super) async fn look_up(&self, ids: &[Id]) -> Result<Reply, Refusal> {
        let records = self.directory.lookup(ids).await.map_err(unavailable)?;
        let bytes = records
            .into_iter()
            .map(|record| Bytes(record.map(|record| record.as_bytes().to_vec()).unwrap_or_default()));
        Ok(Reply::Records(bytes.collect()))
    }

    pub(super) async fn history(&self, id: Id, from: u64) -> Result<Reply, Refusal> {
        let records = self.directory.history(&id, Epoch::new(from)).await.map_err(unavailable)?;
        let bytes = records.iter().take(MAX_ITEMS).map(|record| Bytes(record.as_bytes().to_vec()));
        Ok(Reply::Records(bytes.collect()))
    }
}

fn refused_registration(error: RegisterError) -> Refusal {
    let code = match &error {
        RegisterError::Taken => RefusalCode::Conflict,
        RegisterError::Store(_) | RegisterError::TooMany => RefusalCode::Unavailable,
        _ => RefusalCode::Denied,
    };
    Refusal::new(code, error)
}
