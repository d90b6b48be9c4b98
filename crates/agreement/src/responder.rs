//! The responder up to its answer: hello, first message, second message with the assignment (C5).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU16;
use core::time::Duration;

use rand_core::CryptoRng;
use symbolon_keys::wire::Reader;
use symbolon_keys::{Backend, NoisePublicKey, NoiseSecretKey, Psk, Secret, UnixTime};

use crate::assignment::{Assignment, MAX_APPLICATION_LEN, MAX_TTL, TicketId};
use crate::error::AgreementError;
use crate::frame::Kind;
use crate::hello::{Hello, HelloError, Refusal, Retried, prologue};
use crate::level::EarlyPayload;
use crate::noise::{HandshakeState, Role};
use crate::suite::Suite;
use crate::ticket::Ticket;

type PskLookup = Arc<dyn Fn(Option<&NoisePublicKey>) -> Option<Psk> + Send + Sync>;

/// A pre-shared key that could be guessed: from a passphrase, without a second secret of full entropy.
///
/// It is no [`Psk`], so that it cannot stand where one is needed.
#[derive(Debug)]
pub struct GuessableKey(pub(crate) Secret<32>);

impl From<Secret<32>> for GuessableKey {
    fn from(key: Secret<32>) -> Self {
        Self(key)
    }
}

/// A responder's key and what it takes; shared by all handshakes.
#[derive(Clone)]
pub struct Responder {
    key: Arc<NoiseSecretKey>,
    suites: Vec<Suite>,
    backend: Backend,
    initiator: Option<NoisePublicKey>,
    psk: Option<PskLookup>,
    guessable: bool,
}

impl Responder {
    /// A responder that takes [`Suite::XX_HYBRID`].
    #[must_use]
    pub fn new(key: impl Into<Arc<NoiseSecretKey>>) -> Self {
        Self {
            key: key.into(),
            suites: Vec::from([Suite::XX_HYBRID]),
            backend: Backend::best(),
            initiator: None,
            psk: None,
            guessable: false,
        }
    }

    /// The suites to take instead, at most [`MAX_SUITES`](crate::MAX_SUITES) of them.
    #[must_use]
    pub fn suites(mut self, suites: &[Suite]) -> Self {
        self.suites = suites.iter().copied().take(crate::hello::MAX_SUITES).collect();
        self
    }

    /// Which backend computes; [`Backend::best`] if nothing is said.
    #[must_use]
    pub const fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// The initiator that patterns KK and KX know beforehand. One only: their first message does not name it, so there
    /// is nothing to look it up by. Listen once for each, or take IK, whose first message names the initiator, encrypted.
    #[must_use]
    pub const fn initiator(mut self, key: NoisePublicKey) -> Self {
        self.initiator = Some(key);
        self
    }

    /// Where pre-shared keys come from: by the initiator's static key, as far as the pattern has named it before the
    /// key is needed (never for `psk0`). It is asked again for every forged message: it must not spend anything.
    #[must_use]
    pub fn psk(
        mut self,
        lookup: impl Fn(Option<&NoisePublicKey>) -> Option<Psk> + Send + Sync + 'static,
    ) -> Self {
        self.psk = Some(Arc::new(lookup));
        self.guessable = false;
        self
    }

    /// As [`Self::psk`], with keys that come from passphrases: then only the suites NKpsk0 and XKpsk3 are taken with a
    /// pre-shared key.
    ///
    /// # Security
    /// In every other place a stranger would get something to try guesses on, alone and at leisure. Here each guess is
    /// a connection: limit them ([`TicketLimits`](crate::TicketLimits) do for a network; count failures for an account
    /// where you look its key up).
    #[must_use]
    pub fn guessable_psk(
        mut self,
        lookup: impl Fn(Option<&NoisePublicKey>) -> Option<GuessableKey> + Send + Sync + 'static,
    ) -> Self {
        self.psk = Some(Arc::new(move |initiator| lookup(initiator).map(|key| Psk::from(key.0))));
        self.guessable = true;
        self
    }

    /// Its public key, which initiators pin.
    #[must_use]
    pub fn public_key(&self) -> &NoisePublicKey {
        self.key.public_key()
    }

    /// Whether every suite's first message proves the initiator.
    #[cfg(feature = "net")]
    pub(crate) fn proves_first(&self) -> bool {
        self.suites.iter().all(|suite| suite.authenticates_first())
    }

    /// Reads the body of a first message; on a connection whose first attempt was refused, with that attempt.
    ///
    /// # Errors
    /// [`Declined::Refused`] with what to answer; else [`Declined::Rejected`] and the like, and nothing is answered.
    pub fn receive(&self, body: &[u8], retried: Option<&Retried>) -> Result<Received, Declined> {
        let mut r = Reader::new(body);
        let hello = Hello::read(&mut r)?;
        let hello_bytes = hello.to_bytes();
        let m1 = r.lp().map_err(|_| Declined::Malformed)?;
        r.finish().map_err(|_| Declined::Malformed)?;
        let Some(suite) = hello.suite().filter(|suite| self.takes(*suite)) else {
            let taken: Vec<Suite> = self.suites.iter().copied().filter(|suite| self.takes(*suite)).collect();
            let refusal = Refusal::new(&taken).to_bytes();
            return Err(match retried {
                None if !taken.is_empty() => Declined::Refused(Retried { first_hello: hello_bytes, refusal }),
                _ => Declined::Rejected,
            });
        };
        let prologue = prologue(&hello_bytes, retried).map_err(|_| Declined::Malformed)?;
        let mut handshake = self.handshake(suite, &prologue)?;
        let (tried, early) = handshake.try_read(m1, |s| self.find_psk(s)).map_err(|_| Declined::Rejected)?;
        // Where the responder is not known beforehand, it would have come in the clear.
        let most = if suite.knows_responder() { MAX_APPLICATION_LEN } else { 0 };
        if early.len() > most {
            return Err(Declined::Malformed);
        }
        handshake.commit(tried);
        Ok(Received { responder: self.clone(), handshake, suite, early })
    }

    fn takes(&self, suite: Suite) -> bool {
        let safe = suite.psk().is_none() || suite.takes_guessable_psk();
        self.suites.contains(&suite) && (safe || !self.guessable)
    }

    fn handshake(&self, suite: Suite, prologue: &[u8]) -> Result<HandshakeState<'static>, Declined> {
        let protocol = suite.protocol().ok_or(Declined::Rejected)?;
        let mut builder = HandshakeState::builder(protocol, Role::Responder)
            .backend(self.backend)
            .local_static(self.key.clone());
        if protocol.pattern().knows_initiator {
            builder = builder.remote_static(self.initiator.ok_or(Declined::Rejected)?);
        }
        builder.prologue(prologue).build().map_err(|_| Declined::Rejected)
    }

    pub(crate) fn find_psk(&self, initiator: Option<&NoisePublicKey>) -> Option<Psk> {
        self.psk.as_ref().and_then(|lookup| lookup(initiator))
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, suites, backend, initiator, psk: _, guessable: _ } = self;
        f.debug_struct("Responder")
            .field("key", key.public_key())
            .field("suites", suites)
            .field("backend", backend)
            .field("initiator", initiator)
            .finish_non_exhaustive()
    }
}

/// Why a first message was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Declined {
    /// The suite is not taken. [`Retried::refusal`] says which are; one retry on the same connection is read with
    /// this.
    Refused(Retried),
    /// The message is not authentic, or not for this responder.
    Rejected,
    /// The message does not follow the format.
    Malformed,
    /// The hello is of another version.
    Version(u8),
}

impl fmt::Display for Declined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(_) => f.write_str("the suite is not one that this responder takes"),
            Self::Rejected => f.write_str("the first message is not authentic, or not for this responder"),
            Self::Malformed => f.write_str("the first message does not follow the format"),
            Self::Version(version) => {
                write!(f, "the hello is of version {version}, this is version {}", crate::hello::VERSION)
            }
        }
    }
}

impl core::error::Error for Declined {}

impl From<HelloError> for Declined {
    fn from(error: HelloError) -> Self {
        match error {
            HelloError::Malformed => Self::Malformed,
            HelloError::Version(version) => Self::Version(version),
        }
    }
}

impl Retried {
    /// The refusal, framed for a byte stream.
    #[must_use]
    pub fn refusal(&self) -> Vec<u8> {
        Kind::Refusal.frame(&self.refusal)
    }
}

/// A first message that was taken, to be answered.
#[must_use]
pub struct Received {
    responder: Responder,
    handshake: HandshakeState<'static>,
    suite: Suite,
    early: Vec<u8>,
}

impl Received {
    /// The suite in use.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// The initiator, where the first message proves it (IK, KK; a replayed first message proves it again).
    #[must_use]
    pub fn initiator(&self) -> Option<&NoisePublicKey> {
        self.handshake.remote_static().filter(|_| self.suite.authenticates_first())
    }

    /// The initiator's ephemeral key: equal in every replay of one first message.
    #[must_use]
    pub fn ephemeral(&self) -> [u8; 32] {
        self.handshake.remote_ephemeral().copied().unwrap_or_default()
    }

    /// What the initiator sent early, if anything.
    #[must_use]
    pub fn early_payload(&self) -> Option<EarlyPayload<'_>> {
        let [level, _, _] = self.suite.levels();
        (!self.early.is_empty()).then(|| EarlyPayload::new(&self.early, level))
    }

    /// Makes the second message with the assignment in it: its body, and the ticket that waits for the claim.
    ///
    /// # Errors
    /// [`AgreementError::TooLong`] if the application data is; [`AgreementError::Rejected`] if a key of the initiator
    /// is useless; [`AgreementError::Keys`] if there is no pre-shared key for it.
    pub fn answer<R: CryptoRng + ?Sized>(
        self,
        terms: Terms,
        now: UnixTime,
        rng: &mut R,
    ) -> Result<(Vec<u8>, Ticket), AgreementError> {
        let Self { responder, mut handshake, suite, .. } = self;
        if suite.psk() == Some(2) {
            let psk = responder.find_psk(handshake.remote_static()).ok_or(AgreementError::Keys)?;
            handshake.add_psk(psk);
        }
        let Terms { port, ttl, fallback, application } = terms;
        let assignment = Assignment { port, ticket: TicketId::generate(rng), ttl, fallback, application };
        let m2 = handshake.write_message(&assignment.to_bytes()?, rng)?;
        let ticket = Ticket::new(assignment, handshake, suite, responder, now)?;
        Ok((m2, ticket))
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { responder: _, handshake, suite, early } = self;
        f.debug_struct("Received")
            .field("suite", suite)
            .field("handshake", handshake)
            .field("early_bytes", &early.len())
            .finish_non_exhaustive()
    }
}

/// What a responder grants in its answer.
#[must_use]
#[derive(Clone, Debug)]
pub struct Terms {
    port: Option<NonZeroU16>,
    ttl: u16,
    fallback: bool,
    application: Vec<u8>,
}

impl Terms {
    /// No other port, 20 seconds, no fallback, no application data.
    pub const fn new() -> Self {
        Self { port: None, ttl: 20, fallback: false, application: Vec::new() }
    }

    /// The port to go on at; 0 for none.
    pub const fn port(mut self, port: u16) -> Self {
        self.port = NonZeroU16::new(port);
        self
    }

    /// How long the ticket can be claimed: 1 to 300 seconds.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        let seconds = ttl.clamp(Duration::from_secs(1), MAX_TTL).as_secs();
        self.ttl = u16::try_from(seconds).unwrap_or(u16::MAX);
        self
    }

    /// Whether the claim may also come to the well-known port.
    pub const fn fallback(mut self, fallback: bool) -> Self {
        self.fallback = fallback;
        self
    }

    /// Application data for the initiator, at most 4 KiB.
    ///
    /// # Security
    /// In XX, NX, XK and NK it goes to whoever sent the first message: the initiator has proven nothing yet. It comes out
    /// as an [`AnswerPayload`](crate::AnswerPayload), with its level.
    pub fn application(mut self, data: &[u8]) -> Self {
        self.application = data.to_vec();
        self
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self::new()
    }
}
