//! What all sessions of a server share: the parties' engines over one store.

use alloc::sync::Arc;
use core::fmt::Display;
use core::time::Duration;

use symbolon_agreement::ProfileVerifier;
use symbolon_envelope::{Custodian, Event};
use symbolon_keys::{Backend, Id, Identity, RootKey, Secret, extract, label};
use symbolon_ledger::Amount;
use symbolon_store::AnyStore;
use symbolon_table::{DirectoryServer, Mailbox, MailboxLimits};
use tokio::sync::{Mutex, Semaphore};

use super::cluster::Cluster;
use super::gate::Gate;
use super::pads::Pads;
use super::{Processes, ServerBuilder, ServerError};
use crate::folder::RingFile;
use crate::protocol::{MAX_LETTER, Refusal};
use crate::service::{AnyCourier, Services};

/// The most documents processed at once: each takes up to twice 64 MiB.
const MAX_PROCESSING: usize = 4;

/// When a request that the store could not take may come again: its queue is worked off in less.
const STORE_BUSY: Duration = Duration::from_secs(1);

/// The realm of a server that was given none.
const DEFAULT_REALM: &str = "exchange";

pub(super) struct Exchange {
    pub(super) store: AnyStore,
    pub(super) directory: DirectoryServer<AnyStore>,
    pub(super) mailbox: Arc<Mailbox<AnyStore>>,
    pub(super) profiles: ProfileVerifier<AnyStore>,
    pub(super) custodian: Custodian<AnyStore, AnyStore>,
    /// Where the custodian's keys are kept; held while they change.
    pub(super) ring: Mutex<RingFile>,
    pub(super) pads: Pads,
    pub(super) services: Services,
    pub(super) processes: Processes,
    /// Each document that is processed is in memory, and its result: so many at once.
    pub(super) processing: Arc<Semaphore>,
    pub(super) courier: Option<Arc<dyn AnyCourier>>,
    pub(super) quote_ttl: Duration,
    pub(super) realm: Id,
    /// For each KiB of a pad.
    pub(super) pad_price: Amount,
    pub(super) gate: Gate,
    pub(super) identity: Identity,
    /// Held by whoever does what is due.
    pub(super) housekeeping: Mutex<()>,
    /// The other processes of this server, where its store has a place for them.
    pub(super) cluster: Option<Cluster>,
}

impl Exchange {
    pub(super) fn new(builder: ServerBuilder) -> Result<Self, ServerError> {
        let ServerBuilder {
            store,
            identity,
            folder,
            services,
            processes,
            courier,
            quote_ttl,
            realm,
            pad_price,
            limits,
            ..
        } = builder;
        let secrets = Secrets::of(&identity);
        let realm = realm.map_or_else(|| DEFAULT_REALM.parse(), Ok).map_err(|_| ServerError::Identity)?;
        let pads = Pads::new(store.clone(), folder.pads());
        let (ring, ring_file) = folder.into_ring();
        let mut letters = MailboxLimits::default();
        (letters.message_len, letters.quota) = (MAX_LETTER, limits.mailbox);
        Ok(Self {
            directory: DirectoryServer::with_secret(
                store.clone(),
                secrets.named(b"directory")?,
                Backend::best(),
            )
            .limits(limits.registrations),
            mailbox: Arc::new(Mailbox::with_limits(store.clone(), letters)),
            profiles: ProfileVerifier::new(secrets.named(b"profiles")?, store.clone()),
            custodian: Custodian::new(realm, ring, store.clone(), store.clone()).audit(record),
            ring: Mutex::new(ring_file),
            pads,
            services,
            processes,
            processing: Arc::new(Semaphore::new(MAX_PROCESSING)),
            courier,
            quote_ttl,
            realm,
            pad_price,
            gate: Gate::new(limits),
            store,
            identity,
            housekeeping: Mutex::default(),
            cluster: None,
        })
    }
}

/// One event of an envelope's way, into the log: no secret is in it.
fn record(event: &Event) {
    tracing::info!(target: "symbolon::audit", ?event);
}

/// "The store cannot do it now": the same request may succeed later.
pub(super) fn unavailable(error: impl Display) -> Refusal {
    tracing::warn!(%error, "store");
    Refusal::later("the server's store cannot do this now", STORE_BUSY)
}

/// What a server keeps secret beside the four keys of its identity: derived from the same seed, so that every process
/// of the server has them, and nothing more must be kept.
struct Secrets(RootKey);

impl Secrets {
    fn of(identity: &Identity) -> Self {
        Self(extract(label::SERVER_SECRETS, identity.expose().expose()))
    }

    fn named(&self, name: &[u8]) -> Result<RootKey, ServerError> {
        let secret: Secret<32> =
            self.0.derive(label::SERVER_SECRETS, &[name]).map_err(|_| ServerError::Identity)?;
        Ok(secret.into())
    }
}
