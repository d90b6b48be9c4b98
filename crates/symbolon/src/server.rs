//! The server: sessions on one side, the engines of the domain crates over one store on the other.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::time::Duration;

use std::io;

use symbolon_agreement::Source;
use symbolon_agreement::net::{BindError, Listener, Policy};
use symbolon_keys::{Id, Identity, NoisePublicKey};
use symbolon_ledger::Amount;
use symbolon_store::AnyStore;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};
use tracing::Instrument;

use crate::folder::ServerFolder;
use crate::service::{AnyCourier, AnyProcess, Courier, Process, ProcessPieces, Service, Services};

mod cluster;
mod connection;
mod documents;
mod exchange;
mod frames;
mod gate;
mod guests;
mod housekeeping;
mod limits;
mod mail;
mod operator;
mod pads;
mod people;
mod relay;
mod sale;

pub use limits::{Limits, Rate};
pub use operator::{Books, Health, Operator, OperatorError};

use connection::Connection;
use exchange::Exchange;
use guests::Guests;

/// How long what a quote set aside stays set aside: a person may think about it.
const QUOTE_TTL: Duration = Duration::from_secs(300);

/// What a server does with documents, by name.
type Processes = BTreeMap<&'static str, AnyProcess>;

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
    limits: Limits,
    advertised: Option<SocketAddr>,
}

impl ServerBuilder {
    /// Offers `service`; one of the same name is replaced.
    pub fn service(mut self, service: impl Service) -> Self {
        self.services.add(service);
        self
    }

    /// Offers to process documents; one of the same name is replaced.
    pub fn process(mut self, process: impl Process) -> Self {
        self.processes.insert(process.name(), AnyProcess::Whole(Arc::new(process)));
        self
    }

    /// Offers to process documents of every size, piece by piece; one of the same name is replaced.
    pub fn process_pieces(mut self, process: impl ProcessPieces) -> Self {
        self.processes.insert(process.name(), AnyProcess::Pieces(Arc::new(process)));
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

    /// How much is taken, in all and from each; [`Limits::default`] if nothing is said.
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Where other processes of this server, over the same PostgreSQL database, reach this one; the address that it listens
    /// on if nothing is said, which is of no use to others if it is `0.0.0.0`.
    pub const fn advertise(mut self, addr: SocketAddr) -> Self {
        self.advertised = Some(addr);
        self
    }

    /// Listens on a well-known port; with port 0 the system chooses one.
    ///
    /// # Errors
    /// [`ServerError::Limits`] if nobody could be served within the limits; [`ServerError::Bind`] if the address cannot
    /// be bound.
    pub async fn bind(self, addr: impl tokio::net::ToSocketAddrs) -> Result<Server, ServerError> {
        self.limits.check().map_err(ServerError::Limits)?;
        let key = *self.identity.public().noise_key();
        let listener = Listener::bind(addr, self.identity.noise_key()).policy(self.policy.clone());
        let advertised = self.advertised;
        let mut exchange = Exchange::new(self)?;
        exchange.pads.enter(&exchange.store).await.map_err(ServerError::Folder)?;
        let listener = listener.start().await?;
        exchange.join(advertised.unwrap_or_else(|| listener.local_addr()));
        let exchange = Arc::new(exchange);
        Ok(Server { exchange, listener, key })
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
            limits: Limits::default(),
            advertised: None,
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

    /// Serves until `stop` is ready: then no session is begun, each session has [`Limits::grace`] to finish the request at hand, the pads are
    /// given back, and the store, which has everything that was acknowledged, is closed.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(false);
        let Limits { sessions: most, sessions_per_source, grace, .. } = self.exchange.gate.limits;
        let permits = Arc::new(Semaphore::new(most));
        let guests = Guests::default();
        let mut deposits = self.exchange.deposits();
        let mut sessions = JoinSet::new();
        let mut due = tokio::time::interval(housekeeping::EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut recount = tokio::time::interval(housekeeping::RECOUNT);
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
                news = cluster::next(&mut deposits) => self.exchange.tell(news),
                _ = due.tick() => {
                    let exchange = Arc::clone(&self.exchange);
                    sessions.spawn(async move { exchange.tick().await });
                }
                _ = recount.tick() => {
                    let exchange = Arc::clone(&self.exchange);
                    sessions.spawn(async move { exchange.recount().await });
                }
                next = next => {
                    let Some((session, permit)) = next else { break };
                    // Another process of this server comes for its clients, who have their places there.
                    let (seat, permit) = match session.peer() == Some(&self.key) {
                        true => (Some(None), None),
                        false => {
                            let source = Source::from(session.peer_addr().ip());
                            (guests.seat(source, sessions_per_source).map(Some), Some(permit))
                        }
                    };
                    let span = tracing::debug_span!("session", peer = %session.peer_addr(), port = session.local_port());
                    let connection = Connection::new(Arc::clone(&self.exchange), session);
                    let stopped = stopped.clone();
                    let served = async move {
                        match seat {
                            Some(_seat) => connection.serve(stopped).await,
                            None => connection.turn_away().await,
                        }
                        drop(permit);
                    };
                    sessions.spawn(served.instrument(span));
                }
            }
        }
        self.listener.shutdown();
        // Each session sees it before its next request.
        let _ = stopping.send(true);
        let finished = timeout(grace, async { while sessions.join_next().await.is_some() {} });
        if finished.await.is_err() {
            tracing::warn!(sessions = sessions.len(), "cut off: they did not finish in time");
            sessions.shutdown().await;
        }
        self.exchange.pads.detach().await;
        self.exchange.leave().await;
        self.exchange.store.clone().close().await;
        tracing::info!("stopped");
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { exchange, listener, key } = self;
        f.debug_struct("Server")
            .field("addr", &listener.local_addr())
            .field("key", key)
            .field("limits", &exchange.gate.limits)
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
    /// Nobody could be served within the limits.
    Limits(&'static str),
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
            Self::Limits(which) => write!(f, "limits within which nobody can be served: {which}"),
            Self::Identity => f.write_str("the server's secrets cannot be derived from its identity"),
        }
    }
}

impl core::error::Error for ServerError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Bind(error) => Some(error),
            Self::Folder(error) => Some(error),
            Self::Limits(_) | Self::Identity => None,
        }
    }
}

impl From<BindError> for ServerError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}
