//! What a server does for its users, for a fee.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::pin::Pin;

use symbolon_envelope::Context;
use symbolon_ledger::{Amount, OutboxId};
use zeroize::Zeroizing;

/// A service that the server performs against value.
///
/// A request is quoted, the quoted value is reserved, the service is performed, and the fee (at most the quote) is
/// captured together with the answer in one commit. A request that is repeated gets the answer of the first time:
/// `perform` is not called again once its answer is durable.
///
/// # When the server dies in between
/// Between `perform` and the commit of its answer the server may be killed; the user asks again and `perform` runs a
/// second time. The same if the user's end does not witness the reservation that the answer needs, whose length nobody
/// knows before: then nothing is answered and nothing charged. Each time costs the user a frame of the pad, so what can be
/// had of it, which is no answer, is bounded. So it must have no effect outside its answer. Effects elsewhere go into [`Performed::outbox`], which is
/// written in the same commit and handed to the server's [`Courier`] from there at least once.
pub trait Service: Send + Sync + 'static {
    /// The name by which requests reach it.
    fn name(&self) -> &'static str;

    /// The most that `request` will cost.
    ///
    /// # Errors
    /// [`ServiceError`] if the service cannot serve such a request.
    fn quote(&self, request: &[u8]) -> Result<Amount, ServiceError>;

    /// Serves `request`.
    ///
    /// # Errors
    /// [`ServiceError`]; then what was reserved is released, and nothing is charged.
    fn perform(&self, request: &[u8]) -> impl Future<Output = Result<Performed, ServiceError>> + Send;
}

/// What a server does with a document on its user's instruction (E7): the result goes out sealed, to that user or another.
///
/// # Security
/// It sees the plaintext, as the custodian's trust allows. Both buffers are wiped; whatever else it makes is its own care.
pub trait Process: Send + Sync + 'static {
    /// The name by which it is asked for.
    fn name(&self) -> &'static str;

    /// Makes the result. It is called with the whole document, verified to its end, where blocking is allowed.
    ///
    /// # Errors
    /// [`ServiceError`]; nothing is delivered then.
    fn process(
        &self,
        context: &Context,
        instruction: &[u8],
        document: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, ServiceError>;
}

/// As [`Process`], for documents of every size: piece by piece, while they are read and the result is sent.
pub trait ProcessPieces: Send + Sync + 'static {
    /// The name by which it is asked for.
    fn name(&self) -> &'static str;

    /// Begins on one document.
    ///
    /// # Errors
    /// [`ServiceError`] if the instruction is none.
    fn begin(&self, instruction: &[u8]) -> Result<Box<dyn Pieces>, ServiceError>;
}

/// One document being processed.
///
/// # Security
/// Each piece is authentic, and may be the beginning of something longer: only the end says that the document was whole.
/// Take no step before it that cannot be taken back. The result is not complete without it either.
pub trait Pieces: Send {
    /// Takes the next piece of the document, none at its end, and appends what comes of it to `result`. It must not block
    /// for long: other sessions wait.
    ///
    /// # Errors
    /// [`ServiceError`]: the result stays cut short, and the client is told.
    fn next(
        &mut self,
        context: &Context,
        piece: Option<&[u8]>,
        result: &mut Vec<u8>,
    ) -> Result<(), ServiceError>;
}

/// What a server does with documents under one name.
pub(crate) enum AnyProcess {
    Whole(Arc<dyn Process>),
    Pieces(Arc<dyn ProcessPieces>),
}

/// Brings about elsewhere what services enqueued ([`Performed::outbox`]).
pub trait Courier: Send + Sync + 'static {
    /// Brings one about. It may be asked more than once for the same `id`: whoever receives it deduplicates by that.
    ///
    /// # Errors
    /// [`ServiceError`]; it is asked again later, and what was enqueued after it waits.
    fn deliver(&self, id: OutboxId, payload: &[u8]) -> impl Future<Output = Result<(), ServiceError>> + Send;
}

/// [`Courier`] behind a pointer.
pub(crate) trait AnyCourier: Send + Sync {
    fn deliver<'a>(&'a self, id: OutboxId, payload: &'a [u8]) -> Boxed<'a, Result<(), ServiceError>>;
}

impl<C: Courier> AnyCourier for C {
    fn deliver<'a>(&'a self, id: OutboxId, payload: &'a [u8]) -> Boxed<'a, Result<(), ServiceError>> {
        Box::pin(Courier::deliver(self, id, payload))
    }
}

/// An answer, what it costs, and what else is to happen once it is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Performed {
    /// The answer, as the service encodes it.
    pub answer: Vec<u8>,
    /// The fee; whatever exceeds the quote is not charged.
    pub fee: Amount,
    /// Effects elsewhere: handed to the server's [`Courier`] after the commit, at least once. Without a courier they stay
    /// in the ledger's outbox.
    pub outbox: Vec<Vec<u8>>,
}

impl Performed {
    /// An answer for a fee, with no effect elsewhere.
    #[must_use]
    pub const fn new(answer: Vec<u8>, fee: Amount) -> Self {
        Self { answer, fee, outbox: Vec::new() }
    }
}

/// A typed request to a service, and its typed answer: what a client works with.
pub trait Ask {
    /// What comes back.
    type Answer;

    /// The service's name.
    const SERVICE: &'static str;

    /// The request as it travels.
    fn request(&self) -> Vec<u8>;

    /// Reads the answer.
    ///
    /// # Errors
    /// [`ServiceError`] if it is not one.
    fn answer(&self, bytes: &[u8]) -> Result<Self::Answer, ServiceError>;
}

/// Why a service did not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceError {
    /// There is no service of that name here.
    Unknown(String),
    /// The service does not understand the request, or the client the answer.
    Malformed(&'static str),
    /// The service understood, and will not.
    Refused(String),
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "this server has no service named {name:?}"),
            Self::Malformed(what) => write!(f, "malformed: {what}"),
            Self::Refused(why) => write!(f, "the service refused: {why}"),
        }
    }
}

impl core::error::Error for ServiceError {}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// [`Service`] behind a pointer; its futures are boxed here so that implementors need not.
trait AnyService: Send + Sync {
    fn quote(&self, request: &[u8]) -> Result<Amount, ServiceError>;
    fn perform<'a>(&'a self, request: &'a [u8]) -> Boxed<'a, Result<Performed, ServiceError>>;
}

impl<S: Service> AnyService for S {
    fn quote(&self, request: &[u8]) -> Result<Amount, ServiceError> {
        Service::quote(self, request)
    }

    fn perform<'a>(&'a self, request: &'a [u8]) -> Boxed<'a, Result<Performed, ServiceError>> {
        Box::pin(Service::perform(self, request))
    }
}

/// The services of one server, by name.
#[derive(Clone, Default)]
pub(crate) struct Services(BTreeMap<&'static str, Arc<dyn AnyService>>);

impl Services {
    /// Adds `service`; one of the same name is replaced.
    pub(crate) fn add(&mut self, service: impl Service) {
        self.0.insert(service.name(), Arc::new(service));
    }

    pub(crate) fn quote(&self, name: &str, request: &[u8]) -> Result<Amount, ServiceError> {
        self.find(name)?.quote(request)
    }

    pub(crate) async fn perform(&self, name: &str, request: &[u8]) -> Result<Performed, ServiceError> {
        self.find(name)?.perform(request).await
    }

    fn find(&self, name: &str) -> Result<&dyn AnyService, ServiceError> {
        self.0.get(name).map(|service| &**service).ok_or_else(|| ServiceError::Unknown(name.into()))
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
