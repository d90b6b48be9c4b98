//! The responder over TCP.

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::pin::Pin;
use core::time::Duration;
use std::io;

use symbolon_keys::{Backend, NoisePublicKey, NoiseSecretKey, Psk};
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::sync::{Mutex, mpsc};

use super::error::BindError;
use super::policy::{Policy, Ports};
use super::serve::{Phase, Server};
use super::session::Session;
use crate::responder::{GuessableKey, Responder};
use crate::suite::Suite;

/// Answers on a well-known port, assigns others, and hands out the sessions that come of it.
///
/// Tasks of its own do the work: a slow or hostile client holds up nobody. They end with [`Self::shutdown`], or at
/// once when the listener is dropped; sessions that were handed out live on.
#[derive(Debug)]
pub struct Listener {
    server: Arc<Server>,
    sessions: Mutex<mpsc::Receiver<Session>>,
    local: SocketAddr,
}

/// A listener to be started: `.await` it.
#[must_use]
#[derive(Debug)]
pub struct ListenerBuilder<A> {
    addr: A,
    responder: Responder,
    policy: Policy,
}

impl Listener {
    /// Will answer at `addr` as the holder of `key`.
    pub fn bind<A: ToSocketAddrs>(addr: A, key: impl Into<Arc<NoiseSecretKey>>) -> ListenerBuilder<A> {
        ListenerBuilder { addr, responder: Responder::new(key), policy: Policy::default() }
    }

    /// The next session; none after [`Self::shutdown`]. It may be called from several tasks, and dropped.
    pub async fn accept(&self) -> Option<Session> {
        self.sessions.lock().await.recv().await
    }

    /// The well-known address.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The ports that are assigned at present, in no order.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        self.server.ports()
    }

    /// How many assignments wait to be claimed.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.server.pending()
    }

    /// How many connections are served that have proven nothing yet.
    #[must_use]
    pub fn strangers(&self) -> usize {
        self.server.strangers()
    }

    /// Answers no new client; lets the assignments that wait be claimed, while they live. After the last,
    /// [`Self::accept`] returns none.
    pub fn shutdown(&self) {
        self.server.set_phase(Phase::Draining);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.server.set_phase(Phase::Closed);
    }
}

impl<A: ToSocketAddrs> ListenerBuilder<A> {
    /// How ports are assigned, and how much is done for strangers; [`Policy::default`] if nothing is said.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The suites to take; hybrid XX if nothing is said.
    pub fn suites(mut self, suites: &[Suite]) -> Self {
        self.responder = self.responder.suites(suites);
        self
    }

    /// Which backend computes; [`Backend::best`] if nothing is said.
    pub fn backend(mut self, backend: Backend) -> Self {
        self.responder = self.responder.backend(backend);
        self
    }

    /// The initiator that patterns KK and KX know beforehand. One only: their first message does not name it, so there
    /// is nothing to look it up by. Listen once for each, or take IK, whose first message names the initiator, encrypted.
    pub fn initiator(mut self, key: NoisePublicKey) -> Self {
        self.responder = self.responder.initiator(key);
        self
    }

    /// Where pre-shared keys come from; see [`Responder::psk`].
    pub fn psk(
        mut self,
        lookup: impl Fn(Option<&NoisePublicKey>) -> Option<Psk> + Send + Sync + 'static,
    ) -> Self {
        self.responder = self.responder.psk(lookup);
        self
    }

    /// Where keys from passphrases come from; see [`Responder::guessable_psk`].
    pub fn guessable_psk(
        mut self,
        lookup: impl Fn(Option<&NoisePublicKey>) -> Option<GuessableKey> + Send + Sync + 'static,
    ) -> Self {
        self.responder = self.responder.guessable_psk(lookup);
        self
    }

    /// Starts listening; what `.await` on the builder does, for addresses that are borrowed.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn start(self) -> Result<Listener, BindError> {
        let Self { addr, responder, policy } = self;
        if matches!(policy.ports, Ports::PerSession(_)) && !responder.proves_first() {
            return Err(BindError::PerSessionNeedsProof);
        }
        let listener = bind(addr).await?;
        let local = listener.local_addr()?;
        let (sender, sessions) = mpsc::channel(policy.backlog);
        let server = Server::start(listener, local, responder, policy, sender);
        Ok(Listener { server, sessions: Mutex::new(sessions), local })
    }
}

/// Binds the well-known port. A listener that was just closed leaves connections behind; they are no hindrance.
async fn bind(addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
    TcpListener::bind(addr).await
}

impl<A: ToSocketAddrs + Send + 'static> IntoFuture for ListenerBuilder<A> {
    type Output = Result<Listener, BindError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

/// How long a session waits for [`Listener::accept`] before it is closed: its client waits, too.
pub(super) const ACCEPT_DEADLINE: Duration = Duration::from_secs(10);
