//! The initiator, step by step: hello and first message, second message, claim, path proof (C5).

use alloc::vec::Vec;
use core::fmt;

use rand_core::CryptoRng;
use symbolon_keys::wire::{TooLong, put_lp};
use symbolon_keys::{Backend, NoisePublicKey, Psk};

use crate::assignment::{Assignment, MAX_APPLICATION_LEN, TicketId};
use crate::error::AgreementError;
use crate::established::{Context, Established};
use crate::frame::Kind;
use crate::hello::{Hello, Refusal, Retried, prologue};
use crate::noise::{HandshakeState, Role, StaticKey};
use crate::path::PathKeys;
use crate::responder::GuessableKey;
use crate::suite::Suite;

/// The initiator, after its first message.
///
/// ```
/// # #[cfg(feature = "net")] {
/// # use symbolon_agreement::{Initiator, Responder, Terms};
/// # use symbolon_keys::{Backend, NoiseSecretKey, OsRng, UnixTime};
/// # let my_key = NoiseSecretKey::generate(Backend::best(), &mut OsRng);
/// # let server_key = NoiseSecretKey::generate(Backend::best(), &mut OsRng);
/// # let server_pk = *server_key.public_key();
/// # let responder = Responder::new(server_key);
/// let mut i = Initiator::xx(&my_key).expect(server_pk).start(&mut OsRng)?;
/// // send i.message(), receive the body of the answer:
/// # let terms = Terms::new().port(40123);
/// # let received = responder.receive(i.body(), None)?;
/// # let (m2, ticket) = received.answer(terms, UnixTime::now(), &mut OsRng)?;
/// let (claim, to) = i.receive(&m2)?.claim()?;
/// // connect to the same address at to.port(), send claim.message(), answer the challenge with claim.answer(..)
/// # assert_eq!(to.port().unwrap().get(), 40123);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct Initiator<'k, T = Pinned> {
    handshake: Option<HandshakeState<'k>>,
    settings: Settings,
    suite: Suite,
    hello: Vec<u8>,
    retry: bool,
    body: Vec<u8>,
    trust: T,
}

/// What is said about a handshake before it starts, keys aside.
#[derive(Debug)]
struct Settings {
    base: Suite,
    hybrid: bool,
    allow_classical: bool,
    psk_place: Option<u8>,
    backend: Backend,
    early: Vec<u8>,
}

/// The responder's key is known: whoever cannot prove to hold it is refused.
#[derive(Debug)]
#[non_exhaustive]
pub struct Pinned {
    key: NoisePublicKey,
}

/// The responder's key is not known beforehand: it must be verified before anything else can be done.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unpinned;

/// Nothing has been said about the responder's key yet.
#[derive(Debug)]
#[non_exhaustive]
pub struct Undecided;

/// A handshake to be started. See [`Initiator`].
#[must_use]
#[derive(Debug)]
pub struct InitiatorBuilder<'k, T = Undecided> {
    settings: Settings,
    s: Option<StaticKey<'k>>,
    psks: Vec<Psk>,
    trust: T,
}

macro_rules! patterns {
    ($($(#[$doc:meta])+ $name:ident($($key:ident)?) = $suite:ident;)+) => {
        impl<'k> Initiator<'k> {$(
            $(#[$doc])+
            pub fn $name($($key: impl Into<StaticKey<'k>>)?) -> InitiatorBuilder<'k> {
                InitiatorBuilder::new(Suite::$suite, [$($key.into())?].into_iter().next())
            }
        )+}
    };
}

patterns! {
    /// XX: both prove their keys; both keys travel encrypted. The default.
    xx(my_key) = XX;
    /// IK: the responder's key is known; the initiator's travels in the first message, encrypted to it.
    ik(my_key) = IK;
    /// NK: the responder's key is known; the initiator has none.
    nk() = NK;
    /// XK: the responder's key is known; the initiator's travels in the third message.
    xk(my_key) = XK;
    /// KK: both keys are known beforehand.
    kk(my_key) = KK;
    /// NX: the responder's key travels encrypted; the initiator has none.
    nx() = NX;
    /// IX: the initiator's key travels in the clear.
    ix(my_key) = IX;
    /// KX: the initiator's key is known beforehand; the responder's travels encrypted.
    kx(my_key) = KX;
}

impl<'k> InitiatorBuilder<'k> {
    const fn new(base: Suite, s: Option<StaticKey<'k>>) -> Self {
        let settings = Settings {
            base,
            hybrid: true,
            allow_classical: false,
            psk_place: None,
            backend: Backend::best(),
            early: Vec::new(),
        };
        Self { settings, s, psks: Vec::new(), trust: Undecided }
    }

    /// Only the holder of `responder` will do.
    pub fn expect(self, responder: NoisePublicKey) -> InitiatorBuilder<'k, Pinned> {
        self.trust(Pinned { key: responder })
    }

    /// The responder's key will be looked at when it has come.
    ///
    /// # Security
    /// Then nothing says whom the first message reached. Whatever follows waits for [`Unverified::verify`].
    pub fn unpinned(self) -> InitiatorBuilder<'k, Unpinned> {
        self.trust(Unpinned)
    }

    fn trust<T>(self, trust: T) -> InitiatorBuilder<'k, T> {
        InitiatorBuilder { settings: self.settings, s: self.s, psks: self.psks, trust }
    }
}

impl<'k, T> InitiatorBuilder<'k, T> {
    /// X25519 alone, without ML-KEM-768.
    pub const fn classical(mut self) -> Self {
        self.settings.hybrid = false;
        self
    }

    /// Falls back to X25519 alone where the responder says that it has no ML-KEM-768.
    ///
    /// # Security
    /// Nothing authenticates a refusal when it comes: whoever stands in between can enforce the weaker suite (though
    /// not hide that it did so: both hellos are in the transcript, and [`Context::suite`] shows it).
    pub const fn allow_classical(mut self) -> Self {
        self.settings.allow_classical = true;
        self
    }

    /// Mixes a pre-shared key in at `place` (`psk0` at the very beginning, `psk3` at the end of the third message).
    pub fn psk(mut self, place: u8, psk: Psk) -> Self {
        self.settings.psk_place = Some(place);
        self.psks = Vec::from([psk]);
        self
    }

    /// Which backend computes; [`Backend::best`] if nothing is said.
    pub const fn backend(mut self, backend: Backend) -> Self {
        self.settings.backend = backend;
        self
    }

    /// Sends `payload` in the first message, at the level that the pattern gives it there.
    ///
    /// # Security
    /// **It can be replayed**: whoever records the first message can send it again, and the responder's application
    /// gets the payload again. It has no forward secrecy if the responder's key is stolen, and in a hybrid suite it
    /// is protected by X25519 alone. Patterns that do not know the responder (XX, NX, IX, KX) would send it in the
    /// clear, and refuse it. It has at most [`MAX_APPLICATION_LEN`] bytes.
    pub fn replayable_early_payload(mut self, payload: &[u8]) -> Self {
        self.settings.early = payload.to_vec();
        self
    }
}

impl InitiatorBuilder<'_, Pinned> {
    /// Mixes in a key that came from a passphrase. Only for NK (at `psk0`) and XK (at `psk3`); any other pattern does
    /// not [start](Self::start).
    ///
    /// # Security
    /// With the server pinned, a stranger in between learns nothing to try guesses on. Whoever steals the server's key
    /// can try guesses on handshakes that were recorded, and so can a later quantum computer in a classical suite:
    /// mix a secret of full entropy into the passphrase where you can, and use [`Self::psk`].
    pub fn guessable_psk(self, key: GuessableKey) -> Self {
        // A place that no suite has: `start` refuses.
        let place = match self.settings.base {
            Suite::NK => 0,
            Suite::XK => 3,
            _ => u8::MAX,
        };
        self.psk(place, Psk::from(key.0))
    }
}

impl<'k, T: Trust> InitiatorBuilder<'k, T> {
    /// Makes the first message.
    ///
    /// # Errors
    /// [`AgreementError::Keys`] if the pattern needs the responder's key and none is pinned, has no place for a
    /// pre-shared key where one was given, or would send an early payload in the clear; [`AgreementError::TooLong`].
    pub fn start<R: CryptoRng + ?Sized>(self, rng: &mut R) -> Result<Initiator<'k, T>, AgreementError> {
        let hybrid = self.settings.hybrid;
        self.start_with(hybrid, None, rng)
    }

    fn start_with<R: CryptoRng + ?Sized>(
        self,
        hybrid: bool,
        retried: Option<Retried>,
        rng: &mut R,
    ) -> Result<Initiator<'k, T>, AgreementError> {
        let Self { settings, s, psks, trust } = self;
        let suite_of = |hybrid| {
            let suite = settings.base.hybrid(hybrid);
            settings.psk_place.map_or(Some(suite), |place| suite.with_psk(place)).ok_or(AgreementError::Keys)
        };
        let suite = suite_of(hybrid)?;
        let mut offered = Vec::from([suite]);
        if hybrid && settings.allow_classical {
            offered.push(suite_of(false)?);
        }
        let hello = Hello::new(suite, &offered).to_bytes();
        let prologue = prologue(&hello, retried.as_ref())?;

        let protocol = suite.protocol().ok_or(AgreementError::Keys)?;
        let mut builder =
            HandshakeState::builder(protocol, Role::Initiator).backend(settings.backend).prologue(&prologue);
        let knows_responder = protocol.pattern().knows_responder;
        if knows_responder {
            builder = builder.remote_static(*trust.pinned().ok_or(AgreementError::Keys)?);
        } else if !settings.early.is_empty() {
            return Err(AgreementError::Keys);
        }
        if settings.early.len() > MAX_APPLICATION_LEN {
            return Err(AgreementError::TooLong);
        }
        if let Some(s) = s {
            builder = builder.local_static(s);
        }
        for psk in psks {
            builder = builder.psk(psk);
        }
        let mut handshake = builder.build()?;
        let m1 = handshake.write_message(&settings.early, rng)?;
        let mut body = hello.clone();
        put_lp(&mut body, &m1)?;
        let retry = retried.is_some();
        Ok(Initiator { handshake: Some(handshake), settings, suite, hello, retry, body, trust })
    }
}

impl<'k, T: Trust> Initiator<'k, T> {
    /// The first message, framed for a byte stream.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        Kind::First.frame(&self.body)
    }

    /// The first message's body, for another carrier.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Starts again after a refusal, on the same connection, where policy allows another suite.
    ///
    /// # Errors
    /// [`AgreementError::NoCommonSuite`] unless the classical suite was allowed and is supported, this is the first
    /// refusal, and the refused suite was hybrid; [`AgreementError::Malformed`].
    pub fn retry<R: CryptoRng + ?Sized>(self, refusal: &[u8], rng: &mut R) -> Result<Self, AgreementError> {
        let supported: Vec<Suite> = Refusal::parse(refusal)?.supported().collect();
        let classical = self.suite.hybrid(false);
        let allowed = self.settings.allow_classical && self.suite.is_hybrid() && !self.retry;
        if !allowed || !supported.contains(&classical) {
            return Err(AgreementError::NoCommonSuite { supported });
        }
        let retried = Retried { first_hello: self.hello, refusal: refusal.to_vec() };
        let (s, psks) = self.handshake.ok_or(AgreementError::OutOfTurn)?.into_keys();
        InitiatorBuilder { settings: self.settings, s, psks, trust: self.trust }.start_with(
            false,
            Some(retried),
            rng,
        )
    }

    fn read(&mut self, m2: &[u8]) -> Result<Verified<'k>, AgreementError> {
        let handshake = self.handshake.as_ref().ok_or(AgreementError::OutOfTurn)?;
        let (tried, payload) = handshake.try_read(m2, |_| None)?;
        let responder = *tried.remote_static().ok_or(AgreementError::Keys)?;
        if self.trust.pinned().is_some_and(|pinned| *pinned != responder) {
            return Err(AgreementError::WrongServerKey { found: responder });
        }
        let assignment = Assignment::parse(&payload)?;
        let mut handshake = self.handshake.take().ok_or(AgreementError::OutOfTurn)?;
        handshake.commit(tried);
        Ok(Verified { handshake, assignment, responder, suite: self.suite })
    }
}

impl<'k> Initiator<'k, Pinned> {
    /// Reads the second message.
    ///
    /// # Errors
    /// [`AgreementError::Rejected`], [`AgreementError::WrongServerKey`], [`AgreementError::Malformed`]. The state is
    /// as it was: the true message can still come.
    pub fn receive(&mut self, m2: &[u8]) -> Result<Verified<'k>, AgreementError> {
        self.read(m2)
    }
}

impl<'k> Initiator<'k, Unpinned> {
    /// Reads the second message, whoever sent it.
    ///
    /// # Errors
    /// [`AgreementError::Rejected`], [`AgreementError::Malformed`]; the state is as it was.
    pub fn receive(&mut self, m2: &[u8]) -> Result<Unverified<'k>, AgreementError> {
        self.read(m2).map(Unverified)
    }
}

impl<T: fmt::Debug> fmt::Debug for Initiator<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { handshake, suite, trust, .. } = self;
        f.debug_struct("Initiator")
            .field("suite", suite)
            .field("trust", trust)
            .field("waiting", &handshake.is_some())
            .finish_non_exhaustive()
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "sealed: these are all the ways to trust a key")]
    pub trait Sealed {}
}

/// How the responder's key is trusted.
pub trait Trust: sealed::Sealed + fmt::Debug {
    #[doc(hidden)]
    fn pinned(&self) -> Option<&NoisePublicKey> {
        None
    }
}

impl sealed::Sealed for Pinned {}
impl sealed::Sealed for Unpinned {}
impl Trust for Unpinned {}
impl Trust for Pinned {
    fn pinned(&self) -> Option<&NoisePublicKey> {
        Some(&self.key)
    }
}

/// An assignment from a responder whose key nobody has verified yet: it can be verified, and nothing else.
///
/// ```compile_fail
/// # fn f(u: symbolon_agreement::Unverified<'_>) {
/// let claim = u.claim(); // whose assignment would that be?
/// # }
/// ```
/// ```
/// # fn f(u: symbolon_agreement::Unverified<'_>, known: symbolon_keys::NoisePublicKey) {
/// let claim = u.verify(&known).and_then(|verified| verified.claim());
/// # }
/// ```
#[must_use]
#[derive(Debug)]
pub struct Unverified<'k>(Verified<'k>);

impl<'k> Unverified<'k> {
    /// The key that the responder proved to hold. Whose key that is, the caller must know.
    #[must_use]
    pub const fn responder(&self) -> &NoisePublicKey {
        &self.0.responder
    }

    /// Goes on if the responder's key is this one.
    ///
    /// # Errors
    /// [`AgreementError::WrongServerKey`].
    pub fn verify(self, responder: &NoisePublicKey) -> Result<Verified<'k>, AgreementError> {
        if self.0.responder == *responder {
            Ok(self.0)
        } else {
            Err(AgreementError::WrongServerKey { found: self.0.responder })
        }
    }
}

/// An assignment from the responder whose key was expected.
#[must_use]
pub struct Verified<'k> {
    handshake: HandshakeState<'k>,
    assignment: Assignment,
    responder: NoisePublicKey,
    suite: Suite,
}

impl Verified<'_> {
    /// The assignment.
    #[must_use]
    pub const fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// Builds the claim, once: the same bytes go out on whatever path is tried.
    ///
    /// # Errors
    /// [`AgreementError::Rejected`] if a key of the responder turns out to be useless.
    pub fn claim(self) -> Result<(Claim, Assignment), AgreementError> {
        let Self { mut handshake, mut assignment, responder, suite } = self;
        let m3 = if handshake.is_complete() { None } else { Some(handshake.write_last(&[])?) };
        let mut transport = handshake.into_transport()?;
        // IK, NK, KK, NX, IX, KX: the first transport message, at nonce 0; the session goes on at nonce 1.
        let message = m3.map_or_else(|| transport.write_message(&[]), Ok)?;
        let (send, receive, exporter) = transport.into_parts();
        let path = PathKeys::new(&exporter)?;
        let body = claim_body(assignment.ticket, &message)?;
        let application = core::mem::take(&mut assignment.application);
        let context = Context { exporter, peer: Some(responder), suite, role: Role::Initiator, application };
        let established = Some(Established { send, receive, context });
        Ok((Claim { ticket: assignment.ticket, body, path, established }, assignment))
    }
}

impl fmt::Debug for Verified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { handshake: _, assignment, responder, suite } = self;
        f.debug_struct("Verified")
            .field("responder", responder)
            .field("suite", suite)
            .field("assignment", assignment)
            .finish_non_exhaustive()
    }
}

/// `ticket || u16 length || message`.
fn claim_body(ticket: TicketId, message: &[u8]) -> Result<Vec<u8>, TooLong> {
    let mut body = Vec::from(*ticket.as_bytes());
    put_lp(&mut body, message)?;
    Ok(body)
}

/// A claim to a ticket, and what is needed to prove a path with it.
#[must_use]
#[derive(Debug)]
pub struct Claim {
    ticket: TicketId,
    body: Vec<u8>,
    path: PathKeys,
    established: Option<Established>,
}

impl Claim {
    /// The claim, framed for a byte stream. It may be sent on several paths, always these bytes.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        Kind::Claim.frame(&self.body)
    }

    /// The claim's body, for another carrier.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Checks the body of a challenge and returns the body of the proof. With the proof sent, the path is bound and
    /// the session begins.
    ///
    /// # Errors
    /// [`AgreementError::Rejected`] if whoever sent the challenge does not hold the responder's keys; the claim can
    /// be presented on another path. [`AgreementError::OutOfTurn`] once a path is proven.
    pub fn answer(&mut self, challenge: &[u8]) -> Result<([u8; 16], Established), AgreementError> {
        let proof = self.path.answer(self.ticket, challenge)?;
        let established = self.established.take().ok_or(AgreementError::OutOfTurn)?;
        Ok((proof, established))
    }
}
