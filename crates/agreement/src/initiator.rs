//! The initiator, step by step: hello and first message, second message, claim, path proof (C5).

use alloc::vec::Vec;
use core::fmt;

use rand_core::CryptoRng;
use symbolon_keys::NoisePublicKey;
use symbolon_keys::wire::{TooLong, put_lp};

use crate::assignment::{Assignment, TicketId};
use crate::error::AgreementError;
use crate::established::{Context, Established};
use crate::frame::Kind;
use crate::hello::{Refusal, Retried};
use crate::level::AnswerPayload;
use crate::noise::{HandshakeState, Role, StaticKey};
use crate::path::PathKeys;
use crate::suite::Suite;

mod builder;

use builder::Settings;
pub use builder::{InitiatorBuilder, Pinned, Trust, Undecided, Unpinned};

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

    /// What the responder's application said beside the assignment, and at which level it was said.
    #[must_use]
    pub fn application(&self) -> AnswerPayload<'_> {
        AnswerPayload::new(&self.assignment.application, self.suite)
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

    /// Whether a path was proven: the claim is good for no other any more, wherever the proof went.
    #[must_use]
    pub const fn is_proven(&self) -> bool {
        self.established.is_none()
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
