//! The server: sessions on one side, the engines of the domain crates over one store on the other.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::time::Duration;

use std::io;

use symbolon_agreement::net::{BindError, Listener, Policy};
use symbolon_keys::{Id, Identity, NoisePublicKey};
use symbolon_ledger::Amount;
use symbolon_store::AnyStore;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};

use crate::folder::ServerFolder;
use crate::service::{AnyCourier, Courier, Process, Service, Services};

mod connection;
mod documents;
mod exchange;
mod frames;
mod guests;
mod housekeeping;
mod mail;
mod operator;
mod pads;
mod people;
mod sale;

pub use operator::{Books, Operator, OperatorError};

use connection::Connection;
use exchange::Exchange;
use guests::Guests;

/// The most sessions at once, in all and from one source (an IPv4 address, or the first 64 bits of an IPv6 one), unless
/// [`ServerBuilder::max_sessions`] says otherwise: each holds up to 1.5 MiB, and one source must not hold them all.
const MAX_SESSIONS: (usize, usize) = (1024, 128);

/// The most bytes of one document, sealed, unless [`ServerBuilder::max_document`] says otherwise.
const MAX_DOCUMENT: u64 = 16 << 30;

/// How long what a quote set aside stays set aside: a person may think about it.
const QUOTE_TTL: Duration = Duration::from_secs(300);

/// How long sessions have to finish the request at hand when the server stops.
const GRACE: Duration = Duration::from_secs(20);

/// What a server does with documents, by name.
type Processes = BTreeMap<&'static str, Arc<dyn Process>>;

/// A server, listening. [`Server::run`] serves; before that nobody is answered.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use symbolon::{AnyStore, Calculation, IdentityFile, Server, ServerFolder};
///
/// let identity = IdentityFile::at("server.identity").read()?;
/// let store = AnyStore::attach("sqlite:./exchange.db").await?;
/// let folder = ServerFolder::attach("./exchange", &identity)?;
/// let server = Server::builder(store, identity, folder)
///     .service(Calculation::default())
///     .bind("0.0.0.0:7000")
///     .await?;
/// server.run(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await;
/// # Ok(())
/// # }
/// ```
pub struct Server {
    exchange: Arc<Exchange>,
    listener: Listener,
    key: NoisePublicKey,
    max_sessions: (usize, usize),
}

/// A server before it listens.
#[must_use]
pub struct ServerBuilder {
    store: AnyStore,
    identity: Identity,
    folder: ServerFolder,
    services: Services,
    processes: Processes,
    courier: Option<Arc<dyn AnyCourier>>,
    quote_ttl: Duration,
    policy: Policy,
    realm: Option<Id>,
    pad_price: Amount,
    max_document: u64,
    max_sessions: (usize, usize),
}

impl ServerBuilder {
    /// Offers `service`; one of the same name is replaced.
    pub fn service(mut self, service: impl Service) -> Self {
        self.services.add(service);
        self
    }

    /// Offers to process documents; one of the same name is replaced.
    pub fn process(mut self, process: impl Process) -> Self {
        self.processes.insert(process.name(), Arc::new(process));
        self
    }

    /// Has `courier` bring about what services enqueue.
    pub fn courier(mut self, courier: impl Courier) -> Self {
        self.courier = Some(Arc::new(courier));
        self
    }

    /// How long what a quote set aside stays set aside; five minutes if nothing is said.
    pub const fn quote_ttl(mut self, ttl: Duration) -> Self {
        self.quote_ttl = ttl;
        self
    }

    /// How ports are assigned, and the caps and deadlines of strangers.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The name of the whole installation, which every envelope's context and every user key is bound to; `exchange` if
    /// nothing is said. It must stay the same as long as the data lives.
    pub const fn realm(mut self, realm: Id) -> Self {
        self.realm = Some(realm);
        self
    }

    /// What a pad costs for each KiB of it, beside the value that it is charged with; nothing if nothing is said.
    pub const fn pad_price(mut self, per_kib: Amount) -> Self {
        self.pad_price = per_kib;
        self
    }

    /// The most bytes of one document, sealed.
    pub const fn max_document(mut self, bytes: u64) -> Self {
        self.max_document = bytes;
        self
    }

    /// The most sessions at once. Those that come when `in_all` is reached wait in the listener's own queue; one more
    /// than `from_one_source` is told to come back.
    pub const fn max_sessions(mut self, in_all: usize, from_one_source: usize) -> Self {
        self.max_sessions = (in_all, from_one_source);
        self
    }

    /// Listens on a well-known port; with port 0 the system chooses one.
    ///
    /// # Errors
    /// [`ServerError::Bind`] if the address cannot be bound.
    pub async fn bind(self, addr: impl tokio::net::ToSocketAddrs) -> Result<Server, ServerError> {
        let key = *self.identity.public().noise_key();
        let listener = Listener::bind(addr, self.identity.noise_key()).policy(self.policy.clone());
        let max_sessions = self.max_sessions;
        let exchange = Arc::new(Exchange::new(self)?);
        exchange.pads.sweep(&exchange.store).await.map_err(ServerError::Folder)?;
        let listener = listener.start().await?;
        Ok(Server { exchange, listener, key, max_sessions })
    }
}

impl Server {
    /// A server over `store`, with the keys of `identity` and what `folder` holds.
    pub fn builder(store: AnyStore, identity: Identity, folder: ServerFolder) -> ServerBuilder {
        ServerBuilder {
            store,
            identity,
            folder,
            services: Services::default(),
            processes: Processes::new(),
            courier: None,
            quote_ttl: QUOTE_TTL,
            policy: Policy::default(),
            realm: None,
            pad_price: Amount::ZERO,
            max_document: MAX_DOCUMENT,
            max_sessions: MAX_SESSIONS,
        }
    }

    /// The address of the well-known port.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// The key that clients pin.
    #[must_use]
    pub const fn public_key(&self) -> &NoisePublicKey {
        &self.key
    }

    /// What the operator can do, also while the server runs.
    #[must_use]
    pub fn operator(&self) -> Operator {
        Operator::new(Arc::clone(&self.exchange))
    }

    /// Serves until `stop` is ready: then no session is begun, each session has 20 s to finish the request at hand, the pads are
    /// given back, and the store, which has everything that was acknowledged, is closed.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(false);
        let (in_all, from_one_source) = self.max_sessions;
        let permits = Arc::new(Semaphore::new(in_all));
        let guests = Guests::default();
        let mut sessions = JoinSet::new();
        let mut due = tokio::time::interval(housekeeping::EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(stop);
        loop {
            // A session is accepted only when there is room to serve it.
            let next = async {
                let permit = Arc::clone(&permits).acquire_owned().await.ok()?;
                Some((self.listener.accept().await?, permit))
            };
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_) = sessions.join_next(), if !sessions.is_empty() => {}
                _ = due.tick() => {
                    let exchange = Arc::clone(&self.exchange);
                    sessions.spawn(async move { exchange.housekeep().await });
                }
                next = next => {
                    let Some((session, permit)) = next else { break };
                    let seat = guests.seat(session.peer_addr().ip(), from_one_source);
                    tracing::debug!(peer = %session.peer_addr(), port = session.local_port(), "session");
                    let connection = Connection::new(Arc::clone(&self.exchange), session);
                    let stopped = stopped.clone();
                    sessions.spawn(async move {
                        match seat {
                            Some(_seat) => connection.serve(stopped).await,
                            None => connection.turn_away().await,
                        }
                        drop(permit);
                    });
                }
            }
        }
        self.listener.shutdown();
        // Each session sees it before its next request.
        let _ = stopping.send(true);
        let finished = timeout(GRACE, async { while sessions.join_next().await.is_some() {} });
        if finished.await.is_err() {
            tracing::warn!(sessions = sessions.len(), "cut off: they did not finish in time");
            sessions.shutdown().await;
        }
        self.exchange.pads.detach().await;
        self.exchange.store.clone().close().await;
        tracing::info!("stopped");
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { exchange: _, listener, key, max_sessions } = self;
        f.debug_struct("Server")
            .field("addr", &listener.local_addr())
            .field("key", key)
            .field("max_sessions", max_sessions)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, identity, folder: _, services, policy, realm, .. } = self;
        f.debug_struct("ServerBuilder")
            .field("store", store)
            .field("identity", identity)
            .field("services", services)
            .field("policy", policy)
            .field("realm", realm)
            .finish_non_exhaustive()
    }
}

/// Why a server does not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerError {
    /// The well-known port, or the ports to assign, cannot be had.
    Bind(BindError),
    /// The identity gives no keys.
    Identity,
    /// The folder of pads cannot be read.
    Folder(io::Error),
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Folder(error) => write!(f, "the folder of pads: {error}"),
            Self::Identity => f.write_str("the server's secrets cannot be derived from its identity"),
        }
    }
}

impl core::error::Error for ServerError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Bind(error) => Some(error),
            Self::Folder(error) => Some(error),
            Self::Identity => None,
        }
    }
}

impl From<BindError> for ServerError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}
