//! The directory behind a session: register, look up (T5, T7, T11).

use alloc::sync::Arc;
use core::time::Duration;

use symbolon_keys::{Epoch, Id, Identity, UnixTime};
use symbolon_table::{Challenge, Directory, PublicKeys, Record, Statement, StoreError};

use super::link::{Link, unexpected};
use super::{Client, ClientError};
use crate::protocol::{Ids, Reply, Request};

/// How long a record is valid before it must be renewed: a year, as certificates were for long.
const VALIDITY: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A record that is younger than this, in seconds, is not renewed by the same once more: an answer was lost.
const REPEATED: u64 = 60 * 60;

/// The clocks of client and server may differ by this much.
const SKEW: u64 = 60;

impl Client {
    /// Registers the public keys of `identity` under `id`, and proves that it holds the private ones (T11).
    ///
    /// An id that is registered with these keys already stays as it is.
    ///
    /// # Errors
    /// [`ClientError::Taken`] if somebody else has the id; [`ClientError::Refused`] if somebody was faster.
    pub async fn register(&self, id: Id, identity: &Identity) -> Result<Record, ClientError> {
        match self.record(id).await? {
            Some(record) if record.keys().verifying == *identity.public().verifying_key() => {
                return Ok(record);
            }
            Some(_) => return Err(ClientError::Taken(id)),
            None => {}
        }
        let record = statement(id, identity).first(&identity.signing_key()).map_err(ClientError::invalid)?;
        self.present(record, identity).await
    }

    /// Changes the keys of `id` from those of `old` to those of `new` (T13), and names the other ids of the same person.
    /// With the same identity twice, only the names change: two devices are linked when each names the other.
    ///
    /// If the newest record says this already, it is that: repeat it when the answer was lost.
    ///
    /// # Errors
    /// [`ClientError::Taken`] if the newest record of `id` is not that of `old`.
    pub async fn change_keys(
        &self,
        id: Id,
        old: &Identity,
        new: &Identity,
        linked: &[Id],
    ) -> Result<Record, ClientError> {
        let previous = self.record(id).await?.ok_or(ClientError::Taken(id))?;
        let mut statement = statement(id, new);
        statement.linked = linked.to_vec();
        statement.linked.sort_unstable();
        let said = previous.statement();
        // With the same identity, a record of long ago is renewed.
        let since = statement.valid_until.as_secs().saturating_sub(said.valid_until.as_secs());
        let changed = old.public().verifying_key() != new.public().verifying_key();
        if said.keys == statement.keys && said.linked == statement.linked && (changed || since < REPEATED) {
            return Ok(previous);
        }
        if previous.keys().verifying != *old.public().verifying_key() {
            return Err(ClientError::Taken(id));
        }
        let record = statement.next(&previous, &old.signing_key(), &new.signing_key());
        self.present(record.map_err(ClientError::invalid)?, new).await
    }

    /// Presents a record with the proof that its private keys are held.
    async fn present(&self, record: Record, identity: &Identity) -> Result<Record, ClientError> {
        let challenge = match self.link.ask(Request::BeginRegistration(*record.id())).await? {
            Reply::Challenge(bytes) => Challenge::from_bytes(&bytes).map_err(ClientError::invalid)?,
            other => return unexpected(&other),
        };
        let registration = challenge
            .answer(record, &identity.table_key(), &identity.signing_key())
            .map_err(ClientError::invalid)?;
        let stored = records(self.link.ask(Request::Register(registration.to_bytes())).await?)?;
        match <[_; 1]>::try_from(stored) {
            Ok([Some(stored)]) if stored == *registration.record() => Ok(stored),
            _ => Err(ClientError::Protocol("another record than was registered")),
        }
    }

    /// The newest record of `id`, with its signature checked; none if the directory knows nobody of that id.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] if the record does not hold.
    pub async fn record(&self, id: Id) -> Result<Option<Record>, ClientError> {
        let record = look_up(&self.link, &[id]).await?.pop().flatten();
        if let Some(record) = &record {
            record.verify().map_err(ClientError::invalid)?;
            if *record.id() != id {
                return Err(ClientError::Protocol("the record of another user"));
            }
        }
        Ok(record)
    }

    /// The directory over this session, for a [`Table`](symbolon_table::Table).
    #[must_use]
    pub fn directory(&self) -> RemoteDirectory {
        RemoteDirectory(Arc::clone(&self.link))
    }
}

/// What `id` says of its keys, from now on.
fn statement(id: Id, identity: &Identity) -> Statement {
    let public = identity.public();
    let mut keys = PublicKeys::new(*public.table_key(), *public.verifying_key());
    keys.age = Some(*public.age_key());
    keys.noise = Some(*public.noise_key());
    let now = UnixTime::now();
    let from = UnixTime::from_secs(now.as_secs().saturating_sub(SKEW));
    Statement::new(id, keys, from, now.saturating_add(VALIDITY))
}

/// The server's directory, asked over a session.
#[derive(Clone, Debug)]
pub struct RemoteDirectory(Arc<Link>);

impl Directory for RemoteDirectory {
    async fn lookup(&self, ids: &[Id]) -> Result<Vec<Option<Record>>, StoreError> {
        look_up(&self.0, ids).await.map_err(|error| StoreError::retryable(error.to_string()))
    }

    async fn history(&self, id: &Id, from: Epoch) -> Result<Vec<Record>, StoreError> {
        let history = async {
            let records = records(self.0.ask(Request::History(*id, from.number())).await?)?;
            records.into_iter().collect::<Option<Vec<_>>>().ok_or(ClientError::Protocol("an empty record"))
        };
        history.await.map_err(|error| StoreError::retryable(error.to_string()))
    }
}

async fn look_up(link: &Link, ids: &[Id]) -> Result<Vec<Option<Record>>, ClientError> {
    let found = records(link.ask(Request::LookUp(Ids(ids.to_vec()))).await?)?;
    if found.len() != ids.len() {
        return Err(ClientError::Protocol("more or fewer records than were asked for"));
    }
    Ok(found)
}

fn records(reply: Reply) -> Result<Vec<Option<Record>>, ClientError> {
    let Reply::Records(list) = reply else { return unexpected(&reply) };
    let read = |bytes: Vec<u8>| match bytes.is_empty() {
        true => Ok(None),
        false => Record::from_bytes(bytes).map(Some).map_err(ClientError::invalid),
    };
    list.into_iter().map(|bytes| read(bytes.0)).collect()
}
